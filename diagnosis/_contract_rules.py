"""The contract of a hard rule: what operators know of one kind of fault, as evidence for or against a cause.

A rule sees what the ranker sees and nothing else. It is bounded: what it says is worth at most `MOST` in log-odds, so
no rule decides alone, and one that was fooled can be outvoted.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from diagnosis._signs import Signs
from schemas import Anomaly, Change, EvidencePointer

MOST = 1.5
"""In natural log-odds: a factor of four and a half. At twice as much the rules did harm where faults were known."""


class Said(NamedTuple):
    """What a rule says of a service. strength: -1 (against) to 1 (for). because: the anomaly that it points to."""

    service: str
    strength: float
    text: str
    because: Anomaly | None = None


class Judgement(NamedTuple):
    """The same for the ranker, with its weight in log-odds."""

    rule: str
    service: str
    family: str
    weight: float
    text: str
    pointer: EvidencePointer | None


@dataclass(frozen=True, slots=True)
class Scene:
    """Everything a rule may look at.

    anomalies: of the incident, by service, least probable first; a call counts for both ends. calls: (caller, callee).
    changes: by service, the newest that came shortly before the onset. services: that have any evidence, sorted.
    """

    anomalies: Mapping[str, tuple[Anomaly, ...]]
    calls: frozenset[tuple[str, str]]
    changes: Mapping[str, Change]
    services: tuple[str, ...]
    onset_ns: int
    signs: Signs

    def callees(self, service: str) -> tuple[str, ...]:
        return tuple(sorted(b for a, b in self.calls if a == service))

    def callers(self, service: str) -> tuple[str, ...]:
        return tuple(sorted(a for a, b in self.calls if b == service))


class Rule(Protocol):
    """A plug-in in `diagnosis/rules/`; its module says `PLUGIN = TheClass`, which is called without arguments.

    kind: its name. family: the fault family that it speaks for. about: one sentence for people.
    """

    kind: str
    family: str
    about: str

    def judge(self, scene: Scene) -> list[Said]:
        """At most one word for each service; a pure function."""
        ...
