"""Settings of what is foreseen: which limits a forecast may not reach, and what kind of answer there is."""

from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from diagnosis import Ahead, Limit
from tidegate._section import Section

_FAMILY: dict[str, Ahead] = {"load": "load_ahead", "pool": "pool_ahead", "disk": "disk_ahead"}


class Bound(Section):
    """One limit of the series of one metric of a service, in the unit of the series."""

    service: str = Field(min_length=1)
    metric: str = Field(min_length=1)
    """Name of the series, as `tidegate forecast` prints it."""
    labels: dict[str, str] = {}
    """Only series that have these."""
    most: float | None = None
    """It must stay below."""
    least: float | None = None
    """It must stay above: free space, for example."""
    ahead: Literal["load", "pool", "disk"] = "load"
    """Which runbooks fit: more replicas, a larger pool, or the owner is told."""

    @model_validator(mode="after")
    def _is_one(self) -> "Bound":
        if (self.most is None) == (self.least is None):
            raise ValueError("give `most` or `least`, and not both")
        return self

    def core(self) -> Limit:
        at = self.most if self.most is not None else self.least
        assert at is not None
        labels = tuple(sorted(self.labels.items()))
        return Limit(self.service, self.metric, at, _FAMILY[self.ahead], self.most is not None, labels)


class Forecasts(Section):
    """What follows from forecasts; nothing as long as no limit is named."""

    limits: tuple[Bound, ...] = ()
    """A forecast that says one will be reached is an incident with a hypothesis of its own (docs/forecasts.md)."""

    calibration: Path | None = None
    """CalibrationMap of how often foreseen limits were reached, as `tidegate forecast --fit-limits` writes it; without
    one nothing foreseen has a confidence, and all of it is advice."""

    def core(self) -> tuple[Limit, ...]:
        return tuple(limit.core() for limit in self.limits)
