"""What became of a change: found to be worse, shown not to be, or honestly neither; and whether it did what it was for.

One record an assessment; a later revision replaces an earlier one. A finding that load or the unchanged cohort explains
later is withdrawn in the next revision, and its anomaly with it.
"""

from typing import ClassVar, Literal

from pydantic import Field

from schemas._base import Record
from schemas._diagnosis import Probability

Judgement = Literal["worse", "better", "not_worse", "inconclusive"]


class ChangeFinding(Record):
    """One endpoint since a change: a rate of failed or slow requests, or latency beside the old version."""

    TYPE: ClassVar[str] = "change-finding"
    about: Literal["error_ratio", "latency", "canary"]
    """latency: share of requests slower than nineteen of twenty were before. canary: versions side by side."""
    endpoint: str
    status: str = ""
    """Of the failed requests; empty: all failures."""
    version: str = ""
    """The version that was judged; empty: all that the endpoint served."""
    verdict: Judgement
    alarm: Literal["firing", "withdrawn", "none"] = "none"
    """Whether an anomaly says so, or said so before."""
    reason: str
    """CHANGED, LOAD_EXPLAINS, COHORT_MOVED, FADED, or the reason of a canary (KS_AND_P99, TOO_FEW, ...)."""
    p_value: Probability
    """Valid whenever one looks, shared among all rates of the change."""
    observed: float
    """Failed or slow requests since the change; of a canary its 99th percentile, in seconds."""
    expected: float | None
    """The same as history, load and the cohort have it; of a canary that of the old version."""
    requests: int = Field(ge=0)
    load: float | None = None
    """Traffic of the service since the change over what is usual."""
    cohort: float | None = None
    """How the same rate moved where nothing was changed, 1 is not at all."""
    anomaly: str = ""
    """Id of the anomaly."""


class IntentOutcome(Record):
    """Whether a change did what it was for."""

    TYPE: ClassVar[str] = "intent-outcome"
    state: Literal["pending", "met", "contradicted", "not_shown"]
    p_value: Probability
    observed: float
    expected: float


class ChangeVerdict(Record):
    """One assessment of a change, at a fixed age or when a finding began or was withdrawn."""

    TYPE: ClassVar[str] = "change-verdict"
    id: str
    change_id: str
    tenant: str = "default"
    service: str
    title: str
    revision: int
    at_ns: int
    """Of the change."""
    as_of_ns: int
    state: Literal["watching", "ended", "superseded"]
    verdict: Judgement
    requests: int = Field(ge=0)
    """Of the service since the change."""
    findings: list[ChangeFinding] = []
    """Worse and better ones, those that were withdrawn, and every canary."""
    intent: IntentOutcome | None = None
