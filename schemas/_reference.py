"""Reference records: what changed, what calls what, what day it is, what others raised. Versioned, joined as of event
time.
"""

from typing import ClassVar, Literal

from pydantic import Field

from schemas._base import Record

ChangeKind = Literal["deploy", "rollback", "config", "flag", "scale", "infrastructure", "schema", "other"]


class Intent(Record):
    """What a change is for, so that somebody looks whether it came true."""

    TYPE: ClassVar[str] = "intent"
    metric: Literal["error_ratio", "latency"]
    direction: Literal["down", "up"] = "down"
    by_ns: int
    """Event time by which it should show."""
    endpoint: str | None = None
    """None: all endpoints of the service."""
    status: str = ""
    """Of failed requests; empty: all failures."""


class Change(Record):
    """Something was changed on purpose: a deploy, a configuration, a flag, a scale."""

    TYPE: ClassVar[str] = "change"
    id: str
    tenant: str = "default"
    entity_id: str
    service: str
    kind: ChangeKind
    at_ns: int
    title: str
    """What people call it, for example `deploy #4521`."""
    version_from: str | None = None
    version_to: str | None = None
    reference: str | None = None
    """A commit, pull request or ticket."""
    author: str | None = None
    environment: str | None = None
    """Where it was changed, for example `production`, by the sender; None where it does not say."""
    settles_ns: int | None = Field(default=None, exclude_if=lambda found: found is None)
    """Of an action of our own: until then what is seen there may be its doing, and opens no incident."""
    is_synthetic: bool = False
    """True where it was added to a recorded data set that had no change events."""
    intent: Intent | None = Field(default=None, exclude_if=lambda intent: intent is None)
    """What it is for; left out where nobody said."""


class TopologyEdge(Record):
    """`caller` was seen calling `callee`; `last_ns` is the newest observation."""

    TYPE: ClassVar[str] = "edge"
    id: str
    tenant: str = "default"
    caller: str
    callee: str
    source: Literal["spans", "kubernetes", "mesh", "declared"] = "spans"
    first_ns: int
    last_ns: int


class CalendarEntry(Record):
    """A stretch of time that decisions should know of: maintenance, a peak, a freeze, a business event."""

    TYPE: ClassVar[str] = "calendar"
    id: str
    tenant: str = "default"
    kind: Literal["maintenance", "peak", "freeze", "business"]
    title: str
    start_ns: int
    end_ns: int
    services: list[str] = []
    """Empty: all."""


class Alert(Record):
    """What another system raised and addressed to somebody: an alert of a rule, an incident of a pager, a ticket.

    One record a change of state, under one id from firing to resolved. It says what others knew and when, so it may be
    shown beside what Tidegate found, and count as a signal; it is nobody's diagnosis.
    """

    TYPE: ClassVar[str] = "alert"
    id: str
    tenant: str = "default"
    entity_id: str
    service: str
    kind: Literal["alert", "incident", "ticket"] = "alert"
    state: Literal["firing", "acknowledged", "resolved"]
    name: str
    """The rule or the number of the ticket; the same for every occurrence of one rule."""
    title: str
    severity: str = ""
    """As the sender wrote it."""
    at_ns: int
    """Since when it fires, by the sender."""
    said_ns: int
    """When this state was told."""
    until_ns: int | None = None
    """When it ended, None while it goes on."""
    system: str
    """Which system raised it, for example `alertmanager`."""
    reference: str | None = None
    author: str | None = None
    """The person who acknowledged, resolved or filed it."""
    labels: dict[str, str] = {}
