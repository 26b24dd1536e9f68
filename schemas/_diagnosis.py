"""Anomalies, incidents, diagnoses, and what investigation asked and was told."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from schemas._base import Json, Record
from schemas._ids import canonical, sha256
from schemas._telemetry import EvidencePointer, Signal

Probability = Annotated[float, Field(ge=0, le=1)]
ConfidenceState = Literal["UNCALIBRATED", "TRANSFERRED", "OWN"]
AnomalyKind = Literal[
    "metric", "error_ratio", "latency", "edge_gap", "traffic",
    "template_new", "template_burst", "template_vanished", "edge_new", "gap",
]  # fmt: skip


class Anomaly(Record):
    """One window that is improbable under its baseline: a fact, not a page.

    `p_value` is a tail probability in (0, 1] that means the same for every detector. `observed`, `expected` and
    `residual` are in `unit`. `completeness` is seen / expected samples of the window, 0 to 1.
    """

    TYPE: ClassVar[str] = "anomaly"
    id: str
    tenant: str = "default"
    domain: str = "default"
    entity_id: str
    service: str
    series: str
    name: str
    labels: dict[str, str] = {}
    signal: Signal
    kind: AnomalyKind
    detector: str
    start_ns: int
    end_ns: int
    observed: float | None
    expected: float | None
    residual: float | None
    unit: str
    p_value: float = Field(gt=0, le=1)
    direction: Literal[-1, 0, 1] = 0
    completeness: Probability = 1.0
    count: int = Field(default=0, ge=0)
    """Samples, lines or spans that the window held."""
    requests: int = Field(default=0, ge=0, exclude_if=lambda found: not found)
    """Of how many requests, where it counts those that failed; left out where nobody counted them."""
    pointer: EvidencePointer
    status: Literal["firing", "amended", "withdrawn"] = "firing"
    revision: int = 0
    is_discovery: bool | None = Field(default=None, exclude_if=lambda found: found is None)
    """Whether it counts among those of which few are false (`detection.false_share`); None where nobody asked."""


class ObjectiveMissed(Record):
    """What customers were promised of a service, and the worst window of an incident that falls short of it."""

    TYPE: ClassVar[str] = "objective-missed"
    service: str
    of: Literal["error_ratio", "latency"]
    most: float = Field(gt=0)
    """Promised at most: share of requests that fail, 0 to 1, or seconds."""
    observed: float
    requests: int = Field(default=0, ge=0)
    """That this window held; 0 where nobody counted them."""
    end_ns: int
    title: str = ""


class BusinessMoved(Record):
    """A business metric of the services of an incident, in its least probable window. In `unit`."""

    TYPE: ClassVar[str] = "business-moved"
    service: str
    name: str
    observed: float | None
    expected: float | None
    unit: str
    p_value: float = Field(gt=0, le=1)
    end_ns: int


class Incident(Record):
    """A disruption of a service: anomalies grouped by topology and time."""

    TYPE: ClassVar[str] = "incident"
    id: str
    tenant: str = "default"
    domain: str = "default"
    revision: int = 0
    state: Literal["open", "closed", "merged"] = "open"
    opened_ns: int
    updated_ns: int
    closed_ns: int | None = None
    entities: list[str]
    """Entity ids with anomalies, most anomalous first."""
    severity: float = Field(ge=0)
    """Sum over services of their strongest surprise, -log10 p capped at 16 each; what customers lose adds to it as
    much again, where it is known. Only for sorting."""
    title: str
    anomalies: int = 0
    opened_by: Literal["detection", "label", "alert"] = "detection"
    merged_into: str | None = Field(default=None, exclude_if=lambda found: found is None)
    """Where the state is `merged`: the incident that goes on for it."""
    split_from: str | None = Field(default=None, exclude_if=lambda found: found is None)
    """The incident that this one was part of, until what joined them was withdrawn."""
    services: list[str] = Field(default=[], exclude_if=lambda found: not found)
    """Plain names of the disturbed services, most severe first."""
    suppressed_by: list[str] = Field(default=[], exclude_if=lambda found: not found)
    """Why nobody is paged and nothing is done as it stands, `kind:what`, as `silence:ID`."""
    owner: str | None = Field(default=None, exclude_if=lambda found: found is None)
    """Of the most severe service; null where nobody said who that is, also if others have one."""
    escalation: list[str] = Field(default=[], exclude_if=lambda found: not found)
    """Whom to ask, in this order; of the same service."""
    customer_impact: list[ObjectiveMissed] | None = Field(default=None, exclude_if=lambda found: found is None)
    """Worst first. Null: no objective of these services is known. Empty: no window was seen to miss one."""
    business: list[BusinessMoved] | None = Field(default=None, exclude_if=lambda found: found is None)
    """Least probable first. Null: no business metric of these services is known. Empty: none is out of the ordinary."""


class Cause(Record):
    """What may be the cause. `entity` is the plain service name, `entity_id` the whole."""

    TYPE: ClassVar[str] = "cause"
    entity: str
    entity_id: str
    family: str
    """Fault family: code, network, cpu, memory, latency, error, change, unknown, no_fault, ..."""
    change: str | None = None
    """Id of the change record, where the cause is a change."""


class Evidence(Record):
    """One observation that raises or lowers a hypothesis, with its contribution and a pointer to the record."""

    TYPE: ClassVar[str] = "evidence"
    kind: str
    supports: bool = Field(serialization_alias="for", validation_alias="for")
    weight: float
    """Contribution to the log-odds, as used; never negative for `for`, never positive against."""
    text: str
    pointer: EvidencePointer | None = None

    model_config = {"populate_by_name": True, "serialize_by_alias": True}


class Hypothesis(Record):
    """A candidate cause. `confidence` is null unless calibrated; `score` orders, and is not a probability."""

    TYPE: ClassVar[str] = "hypothesis"
    cause: Cause
    score: float
    confidence: Probability | None = None
    confidence_state: ConfidenceState = "UNCALIBRATED"
    interval: tuple[Probability, Probability] | None = None
    reason: str
    evidence: list[Evidence] = []


class Unknown(Record):
    """A question without an answer. `reason` is PENDING, NOT_ANSWERED, NOT_RECORDED or the code of a failed query."""

    TYPE: ClassVar[str] = "unknown"
    subsystem: str
    query: str
    service: str
    reason: str


class Standing(Record):
    """What the confidence of the first candidate was made of; calibration is fitted on it.

    odds: natural log, against all others. likeness: to confirmed causes, 0 to 1. missing: signals that are silent and
    never were. plain: the odds by weights that were never fitted, None where there are none. lost: share of the calls
    whose spans are lost; unheard: how far services whose metrics are silent matter, in signals that went missing; both
    are left out where they are 0. odds and plain take what the unheard may show as shown.
    """

    TYPE: ClassVar[str] = "standing"
    odds: float
    likeness: Probability = 1.0
    completeness: Probability = 1.0
    missing: int = Field(default=0, ge=0)
    plain: float | None = None
    lost: Probability = Field(default=0.0, exclude_if=lambda share: not share)
    unheard: float = Field(default=0.0, ge=0, exclude_if=lambda share: not share)


class Diagnosis(Record):
    """Ranked hypotheses about one incident, or an abstention with its reason. Later revisions replace earlier."""

    TYPE: ClassVar[str] = "diagnosis"
    id: str
    incident_id: str
    tenant: str = "default"
    revision: int = 0
    as_of_ns: int
    """Watermark at which it was made: everything up to here was known."""
    opened_ns: int
    entities: list[str]
    severity: float
    abstained: str | None = None
    hypotheses: list[Hypothesis] = []
    completeness: Probability = 1.0
    """Of the windows that it rests on, less up to a quarter for what was asked and not answered, less lost spans."""
    versions: dict[str, str] = {}
    """Digests of the artefacts used: ranker weights, calibration map, code."""
    unknown: list[Unknown] = Field(default=[], exclude_if=lambda found: not found)
    """What was asked and is not known; left out where it is empty."""
    standing: Standing | None = Field(default=None, exclude_if=lambda found: found is None)
    """Of the first hypothesis; left out where there is none."""
    suppressed_by: list[str] = Field(default=[], exclude_if=lambda found: not found)
    """That of the incident, as of `as_of_ns`."""


class Inquiry(Record):
    """A read-only question that investigation asks of a subsystem. The same question again is another attempt."""

    TYPE: ClassVar[str] = "inquiry"
    id: str
    incident_id: str
    tenant: str = "default"
    subsystem: str
    query: str
    parameters: dict[str, Json] = {}
    asked_ns: int
    deadline_ns: int
    """Event time; whoever is busy may give up after `deadline_ns - asked_ns` of waiting."""
    attempt: int = Field(default=1, ge=1)
    severity: float = Field(default=0, ge=0)
    """Of the incident: the most severe is asked first."""

    @property
    def request_sha256(self) -> str:
        """What was asked, without when: the answer carries it back."""
        return sha256(canonical({"query": self.query, "tenant": self.tenant, "parameters": self.parameters}))


class Observation(Record):
    """The recorded answer to an inquiry, or a language model's reply.

    As it comes from outside it has no place in event time; the diagnose stage writes it again with `effective_ns`,
    from when on it counts. Replay reads only those.
    """

    TYPE: ClassVar[str] = "observation"
    id: str
    inquiry_id: str
    incident_id: str
    status: Literal["answered", "failed", "timeout", "not_recorded"]
    reason: str = ""
    """A stable code where there is no answer: QUERY_TIMEOUT, NOT_ANSWERED, PROMETHEUS_UNREACHABLE, ..."""
    request_sha256: str
    observed_ns: int
    """By the clock of whoever answered."""
    age_s: float = Field(ge=0)
    """From taking the inquiry to the answer: waiting and running."""
    cost: float = Field(default=0, ge=0)
    """In units of one small read, as the query says."""
    answer: dict[str, Json] = {}
    effective_ns: int | None = None
