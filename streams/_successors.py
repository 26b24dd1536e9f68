"""Successors: the instance that goes on in the place of one that fell silent, under another name.

A rolling deploy, a restart under a new `service.instance.id`, a pod that was moved: the old name falls silent for good
and a new one of the same service speaks. That is no loss, so the silence of the old one is no gap; what is said instead
is a `Succession`. A replica that dies without a successor makes its gaps as ever.

An instance is succeeded by one of the same service (and of the same Kubernetes owner, by the names of pods) that
    began to speak at most five minutes before or after it fell silent, and spoke later than it did,
    began at least two minutes later than it, because when Tidegate itself starts it hears of all instances at once,
    is not the successor of another.
One that lived for less than two minutes has none: that is a crash loop, whose gaps shall be heard. Each has one; where
several began and it cannot be told which took whose place, all are named, and as many of those that fell silent are
succeeded as began. The others, those that fell silent last, are gaps. A scale-up within five minutes of a crash cannot
be told from a replacement.

Everything is decided when a pane closes, from event time alone. Bounded by the instances among the series that the
windower knows; of one service the newest 64 are remembered.
"""

import json
import re
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from schemas import Gap, SeriesDef, Succession, record_id
from schemas.core import I64, NS, Bool
from streams._entities import pod_owner
from streams._registry import Registry

AROUND_NS = 300 * NS
"""How far apart the end of one and the beginning of the other may be: starting and draining take minutes."""
GROWN_NS = 120 * NS
"""How long an instance has lived at least, and how much older than its successor it is."""
MOST = 64
_TEXT = rb'((?:[^"\\]|\\.)*+)'
_HEAD = re.compile(
    rb'\{"id":"[0-9a-f]{16}","tenant":"T","entity_id":"(\1/instance/(?:[^"\\]|\\.)*+)","service":"T"'.replace(
        b"T", _TEXT
    ),
    re.DOTALL,
)


class Instance(NamedTuple):
    tenant: str
    service: str
    entity_id: str

    @property
    def kind(self) -> tuple[str, str, str]:
        """What its successor has in common with it."""
        name = self.entity_id.removeprefix(f"{self.tenant}/instance/{self.service}/")
        owner = pod_owner(name)
        return self.tenant, self.service, owner if owner != name else ""


class Ended(NamedTuple):
    last_ns: int
    number: int


@dataclass(slots=True)
class Held:
    """Gaps of an instance of which not everything is silent yet, while another may have taken its place."""

    last_ns: int
    gaps: list[Gap]


class Voices(NamedTuple):
    """What the windower knows of its series, all (n,): when each spoke last, and whether it is expected to go on."""

    last_ns: I64
    is_expected: Bool


@dataclass(slots=True)
class Successors:
    """Instances by number, in the order in which they first spoke. `owner` (n,): of each row, -1 for other entities."""

    instances: list[Instance] = field(default_factory=list)
    owner: NDArray[np.int32] = field(default_factory=lambda: np.zeros(0, np.int32))
    born_ns: list[int] = field(default_factory=list)
    """Start of the pane in which each first spoke."""
    fresh: dict[tuple[str, str, str], list[int]] = field(default_factory=dict)
    """Those that took nobody's place yet, by kind, oldest first."""
    ended: dict[tuple[str, str, str], list[Ended]] = field(default_factory=dict)
    """Those that fell silent and have no successor yet."""
    held: dict[int, Held] = field(default_factory=dict)
    _numbers: dict[bytes, int] = field(default_factory=dict)

    def meet(self, registry: Registry, start_ns: int) -> None:
        """Rows that the registry gained: their instances first spoke in the pane that begins at `start_ns`."""
        known = len(self.instances)
        more = [self._number(registry.definition_text(row)) for row in range(len(self.owner), len(registry))]
        if more:
            self.owner = np.concatenate([self.owner, np.array(more, np.int32)])
        for number in range(known, len(self.instances)):
            self.born_ns.append(start_ns)
            _put(self.fresh.setdefault(self.instances[number].kind, []), number)

    def _number(self, text: bytes) -> int:
        found = _HEAD.match(text) if b"/instance/" in text else None
        if found is None:
            return -1
        number = self._numbers.setdefault(found[2], len(self.instances))
        if number == len(self.instances):
            tenant, entity, service = (json.loads(b'"%b"' % found[at]) for at in (1, 2, 3))
            self.instances.append(Instance(tenant, service, entity))
        return number

    def of(self, rows: I64) -> set[int]:
        """Instances of these rows."""
        return {number for number in self.owner[rows].tolist() if number >= 0}

    def silent(self, listen: Callable[[], Voices], rows: I64, gaps: list[Gap], owners: list[int], at_ns: int) -> "Said":
        """Series (rows) fell silent; gaps, and the instance of each: which of them are to be said, and successions."""
        touched = self.of(rows) | self.held.keys()
        if not touched:
            return Said(gaps, [])
        voices = listen()
        expected = self.of(np.flatnonzero(voices.is_expected))
        ended = sorted(touched - expected)
        newest = self._newest(voices, touched)
        for number in ended:
            kind = self.instances[number].kind
            _drop(self.fresh, kind, number)
            _put(self.ended.setdefault(kind, []), Ended(newest[number], number))
        said = Said(list[Gap](), self._pair({self.instances[number].kind for number in ended}, voices, at_ns))
        gone = {one.record.entity_id for one in said.successions}
        for gap, number in zip(gaps, owners, strict=True):
            if number in expected and self._candidates(number, newest[number]):
                self.held.setdefault(number, Held(newest[number], [])).gaps.append(gap)
            elif gap.entity_id not in gone:
                said.gaps.append(gap)
        for number in ended:
            if number in self.held and self.instances[number].entity_id in gone:
                del self.held[number]
            elif number in self.held:
                said.gaps.extend(self._let_go(number, at_ns))
        return said

    def spoke(self, listen: Callable[[], Voices], at_ns: int) -> "Said":
        """Samples came: who was held speaks again, or a successor of one that is gone has begun."""
        said = Said([], [])
        watched = self.held.keys() | {one.number for ended in self.ended.values() for one in ended}
        if not watched:
            return said
        voices = listen()
        newest = self._newest(voices, watched)
        for number in sorted(number for number, held in self.held.items() if newest[number] > held.last_ns):
            said.gaps.extend(self._let_go(number, at_ns))
        for kind, ended in list(self.ended.items()):
            left = [one for one in ended if newest[one.number] == one.last_ns and at_ns - one.last_ns < 2 * AROUND_NS]
            self.ended[kind] = left
            if not left:
                del self.ended[kind]
        said.successions.extend(self._pair(set(self.ended), voices, at_ns))
        return said

    def heirs(self, registry: Registry, gone: int, heir: int) -> list[tuple[int, int]]:
        """Rows of series of the one, and of those of the other that differ in nothing but the instance."""
        of = [
            {self._but_the_instance(registry.definition(row), number): row
             for row in np.flatnonzero(self.owner == number).tolist()} for number in (gone, heir)
        ]  # fmt: skip
        return [(row, of[1][what]) for what, row in of[0].items() if what in of[1]]

    def _but_the_instance(self, series: SeriesDef, number: int) -> str:
        instance = self.instances[number]
        name = instance.entity_id.removeprefix(f"{instance.tenant}/instance/{instance.service}/")
        labels = sorted((label, "" if value == name else value) for label, value in series.labels.items())
        return json.dumps([series.name, series.unit, series.signal, series.kind, series.temporality, labels])

    def _let_go(self, number: int, at_ns: int) -> list[Gap]:
        return [gap.model_copy(update={"until_ns": at_ns}) for gap in self.held.pop(number).gaps]

    def _candidates(self, number: int, last_ns: int) -> list[int]:
        """Who may have taken the place of an instance that spoke last at this time, oldest first."""
        born = self.born_ns
        if last_ns - born[number] < GROWN_NS:
            return []
        return [
            one for one in self.fresh.get(self.instances[number].kind, ())
            if born[one] - born[number] >= GROWN_NS and abs(born[one] - last_ns) <= AROUND_NS
        ]  # fmt: skip

    def _pair(self, kinds: set[tuple[str, str, str]], voices: Voices, at_ns: int) -> "list[Succeeded]":
        """Give those that ended their successors, the longest silent first."""
        found = []
        for kind in sorted(kinds & self.ended.keys() & self.fresh.keys()):
            ended = sorted(self.ended[kind], key=lambda one: (one.last_ns, self.instances[one.number].entity_id))
            began = {one: self._candidates(one.number, one.last_ns) for one in ended}
            newest = self._newest(voices, {number for numbers in began.values() for number in numbers})
            choices = {one: [n for n in numbers if newest[n] > one.last_ns] for one, numbers in began.items()}
            taken = set[int]()
            for one, choice in choices.items():
                free = [number for number in choice if number not in taken]
                if free:
                    taken.add(free[0])
                    self.ended[kind].remove(one)
                    found.append(Succeeded(self._succession(one, choice, at_ns), one.number, free[0]))
            for number in taken:
                _drop(self.fresh, kind, number)
            if not self.ended[kind]:
                del self.ended[kind]
        return found

    def _succession(self, gone: Ended, choice: list[int], at_ns: int) -> Succession:
        was = self.instances[gone.number]
        return Succession(
            id=record_id("succession", was.entity_id, gone.last_ns), tenant=was.tenant, service=was.service,
            entity_id=was.entity_id, aliases=sorted(self.instances[number].entity_id for number in choice),
            last_ns=gone.last_ns, began_ns=min(self.born_ns[number] for number in choice), at_ns=at_ns,
        )  # fmt: skip

    def _newest(self, voices: Voices, numbers: Collection[int]) -> dict[int, int]:
        """When each of these instances spoke last."""
        if not numbers:
            return {}
        rows = np.flatnonzero(np.isin(self.owner, np.fromiter(numbers, np.int32, len(numbers))))
        found = np.zeros(len(self.instances), np.int64)
        np.maximum.at(found, self.owner[rows], voices.last_ns[rows])
        return {number: int(found[number]) for number in numbers}

    def part(self, registry: Registry) -> "Successors":
        """What is known of the instances of some of the series, whose registry this is."""
        found = Successors()
        found.meet(registry, 0)
        names = {instance: number for number, instance in enumerate(self.instances)}
        old = [names[instance] for instance in found.instances]
        new = {was: number for number, was in enumerate(old)}
        found.born_ns = [self.born_ns[number] for number in old]
        kept = {kind: [new[number] for number in numbers if number in new] for kind, numbers in self.fresh.items()}
        found.fresh = {kind: numbers for kind, numbers in kept.items() if numbers}
        for kind, ended in self.ended.items():
            if mine := [Ended(one.last_ns, new[one.number]) for one in ended if one.number in new]:
                found.ended[kind] = mine
        found.held = {new[number]: Held(one.last_ns, [*one.gaps]) for number, one in self.held.items() if number in new}
        return found

    def dump(self) -> dict[str, Any]:
        return {
            "born_ns": self.born_ns, "fresh": [list(numbers) for _, numbers in sorted(self.fresh.items())],
            "ended": [[*one] for _, ended in sorted(self.ended.items()) for one in ended],
            "held": [[n, one.last_ns, [gap.model_dump() for gap in one.gaps]] for n, one in sorted(self.held.items())],
        }  # fmt: skip

    @classmethod
    def load(cls, registry: Registry, kept: dict[str, Any] | None) -> "Successors":
        """None: of a snapshot of an earlier version, in which nobody had begun lately."""
        found = cls()
        found.meet(registry, 0)
        found.fresh = {}
        if kept is not None:
            found.born_ns = list(kept["born_ns"])
            for numbers in kept["fresh"]:
                found.fresh[found.instances[numbers[0]].kind] = list(numbers)
            for last_ns, number in kept["ended"]:
                found.ended.setdefault(found.instances[number].kind, []).append(Ended(last_ns, number))
            found.held = {n: Held(last, [Gap.model_validate(gap) for gap in gaps]) for n, last, gaps in kept["held"]}
        return found


class Succeeded(NamedTuple):
    """heir: the one of the aliases that nobody else is the predecessor of; both are numbers of instances."""

    record: Succession
    gone: int
    heir: int


class Said(NamedTuple):
    gaps: list[Gap]
    successions: list[Succeeded]


def _put(known: list[Any], one: Any) -> None:
    known.append(one)
    del known[:-MOST]


def _drop(known: dict[tuple[str, str, str], list[int]], kind: tuple[str, str, str], number: int) -> None:
    if number in (numbers := known.get(kind, [])):
        numbers.remove(number)
        if not numbers:
            del known[kind]
