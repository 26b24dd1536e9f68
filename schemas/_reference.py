"""Reference records: what changed, what calls what, what day it is. Versioned, joined as of event time."""

from typing import ClassVar, Literal

from schemas._base import Record

ChangeKind = Literal["deploy", "rollback", "config", "flag", "scale", "infrastructure", "schema", "other"]


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
    is_synthetic: bool = False
    """True where it was added to a recorded data set that had no change events."""


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
