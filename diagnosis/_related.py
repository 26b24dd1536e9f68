"""Which disturbed services belong together: by calls, by a machine that they share, by a change that both depend on.

Trouble travels along calls, in their direction or against it. Two services of which one reaches the other within a few
calls may have one cause; two that merely have a caller in common, which is well, have none that we could see. What is
only faintly disturbed belongs to a group but joins no two groups, or the noise of a front page would make one incident
of everything. Of a service without any known call nobody can say that it is unrelated: it belongs to whatever there is.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

T = TypeVar("T")
HOPS = 5  # calls; how far candidates are looked for as well
MOST_SERVICES = 5000  # of one instant, strongest first; the others belong to the strongest part


@dataclass(slots=True)
class Topology:
    """What calls what, by plain names of services; it grows as of event time. `near` is only remembered work."""

    calls: dict[str, set[str]] = field(default_factory=dict)
    callers: dict[str, set[str]] = field(default_factory=dict)
    known: set[str] = field(default_factory=set)
    near: dict[str, frozenset[str]] = field(default_factory=dict)

    def add(self, caller: str, callee: str) -> None:
        if caller == callee or callee in self.calls.get(caller, ()):
            return
        self.calls.setdefault(caller, set()).add(callee)
        self.callers.setdefault(callee, set()).add(caller)
        self.known |= {caller, callee}
        self.near.clear()

    def related(self, service: str) -> frozenset[str]:
        """Itself, everything that it calls, directly or through others, within `HOPS` calls, and what calls it so."""
        found = self.near.get(service)
        if found is None:
            found = self.near[service] = _within(service, self.calls) | _within(service, self.callers)
        return found


def _within(service: str, steps: Mapping[str, set[str]]) -> frozenset[str]:
    seen, border = {service}, {service}
    for _ in range(HOPS):
        border = {other for one in border for other in steps.get(one, ())} - seen
        if not border:
            break
        seen |= border
    return frozenset(seen)


@dataclass(frozen=True, slots=True)
class Part:
    """Services that belong together. core: those that are disturbed enough to join others."""

    core: frozenset[str]
    services: frozenset[str]
    strength: float


def parts(
    strengths: Mapping[str, float], topology: Topology, least: float, joined: Iterable[Sequence[str]] = (),
    changed: Iterable[str] = (),
) -> list[Part]:  # fmt: skip
    """The disturbed services as parts that have nothing to do with each other, strongest first.

    strengths: orders of magnitude of their symptoms together. least: from which on a service joins others.
    joined: services that telemetry itself names together. changed: lately, so that its callers have a cause in common.
    """
    order = sorted(strengths, key=lambda service: (-strengths[service], service))
    order, strangers = order[:MOST_SERVICES], order[MOST_SERVICES:]
    core = [s for s in order if s in topology.known and strengths[s] >= least]
    parent = {service: service for service in core}

    def root(service: str) -> str:
        while parent[service] != service:
            parent[service] = parent[parent[service]]
            service = parent[service]
        return service

    def join(some: Sequence[str]) -> None:
        for other in some[1:]:
            parent[root(other)] = root(some[0])

    for one in core:
        join([one, *(topology.related(one) & parent.keys())])
    for told in (*joined, *([s for s in core if c in topology.calls.get(s, ())] for c in sorted(changed))):
        join([service for service in told if service in parent])
    groups: dict[str, list[str]] = {}
    for service in core:
        groups.setdefault(root(service), []).append(service)
    found = list(groups.values())
    whole = [list(group) for group in found]
    place = {service: i for i, group in enumerate(found) for service in group}
    for service in (s for s in order if s not in parent):
        home = _home(service, place, topology)
        if home is not None:
            whole[home].append(service)
        elif service not in topology.known:
            strangers.append(service)
        else:
            found.append([])
            whole.append([service])
    if strangers:
        if any(found):
            whole[0] += strangers
        else:
            found, whole = [[], *found], [strangers, *whole]
    return [
        Part(frozenset(inner), frozenset(every), sum(strengths[s] for s in every))
        for inner, every in zip(found, whole, strict=True)
    ]


def _home(service: str, place: Mapping[str, int], topology: Topology) -> int | None:
    """The strongest group with which a faint service has to do. place: of each service of a group, its number."""
    if service not in topology.known:
        return None
    return min((place[one] for one in topology.related(service) if one in place), default=None)


class Index(Generic[T]):
    """What is found by the services that it has to do with; in the order in which it was added first."""

    def __init__(self) -> None:
        self._order: dict[str, int] = {}
        self._found: dict[str, T] = {}
        self._services: dict[str, set[str]] = {}
        self._core: dict[str, set[str]] = {}

    def add(self, id: str, one: T, services: Iterable[str], core: Iterable[str]) -> None:
        """Note it, again whenever it got more services."""
        self._order.setdefault(id, len(self._order))
        self._found[id] = one
        for service in services:
            self._services.setdefault(service, set()).add(id)
        for service in core:
            self._core.setdefault(service, set()).add(id)

    def remove(self, id: str) -> None:
        del self._found[id]

    def of(self, services: Iterable[str], core: Iterable[str]) -> list[T]:
        """Those that have one of `services`, or one of `core` in their core."""
        none: set[str] = set()
        found = none.union(*(self._services.get(s, none) for s in services), *(self._core.get(s, none) for s in core))
        return [self._found[id] for id in sorted(found & self._found.keys(), key=self._order.__getitem__)]
