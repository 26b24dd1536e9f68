"""What a series is expected to be: for capacity, not for alarms."""

from typing import ClassVar

from pydantic import Field

from schemas._base import Record


class Forecast(Record):
    """One series at one time ahead; a later one of the same series and time replaces it.

    `high` is what a predictive scaler should have room for; between `low` and `high` 90 % of the values are to lie.
    """

    TYPE: ClassVar[str] = "forecast"
    id: str
    tenant: str = "default"
    entity_id: str
    service: str
    series: str
    name: str
    labels: dict[str, str] = {}
    unit: str
    as_of_ns: int
    """End of the newest value that was known."""
    at_ns: int
    """End of the stretch whose mean is forecast."""
    step_s: float
    """How long that stretch is."""
    now: float | None
    expected: float
    low: float
    high: float
    model: str
    loss: float | None
    """Rolling pinball loss on the end of the history; that of the same time a week or a day ago is `naive_loss`."""
    naive_loss: float | None
    errors: int = Field(default=0, ge=0, exclude_if=lambda found: not found)
    """Own errors at this horizon that the interval is made of; left out where nobody counted them."""
