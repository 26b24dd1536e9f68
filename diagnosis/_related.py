"""Which disturbed services belong together: by calls, by a machine that they share, by a change that both depend on.

Trouble travels along calls, in their direction or against it. Two services of which one reaches the other within a few
calls may have one cause; two that merely have a caller in common, which is well, have none that we could see. What is
only faintly disturbed belongs to a group but joins no two groups, or the noise of a front page would make one incident
of everything. Of a service without any known call nobody can say that it is unrelated: it belongs to whatever there is.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

HOPS = 5  # calls; how far candidates are looked for as well
MOST_SERVICES = 300  # of one instant, strongest first; the others belong to the strongest part


@dataclass(slots=True)
class Topology:
    """What calls what, by plain names of services; it grows as of event time. `reach` is only remembered work."""

    calls: dict[str, set[str]] = field(default_factory=dict)
    known: set[str] = field(default_factory=set)
    reach: dict[str, frozenset[str]] = field(default_factory=dict)

    def add(self, caller: str, callee: str) -> None:
        if caller == callee or callee in self.calls.get(caller, ()):
            return
        self.calls.setdefault(caller, set()).add(callee)
        self.known |= {caller, callee}
        self.reach.clear()

    def reached(self, service: str) -> frozenset[str]:
        """Everything that is called by it, directly or through others, within `HOPS` calls."""
        found = self.reach.get(service)
        if found is None:
            seen, border = {service}, {service}
            for _ in range(HOPS):
                border = {callee for one in border for callee in self.calls.get(one, ())} - seen
                if not border:
                    break
                seen |= border
            found = self.reach[service] = frozenset(seen)
        return found

    def are_related(self, one: str, other: str) -> bool:
        return one == other or other in self.reached(one) or one in self.reached(other)


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

    for i, one in enumerate(core):
        for other in core[i + 1 :]:
            if root(one) != root(other) and topology.are_related(one, other):
                join([one, other])
    for told in (*joined, *([s for s in core if c in topology.calls.get(s, ())] for c in sorted(changed))):
        join([service for service in told if service in parent])
    groups: dict[str, list[str]] = {}
    for service in core:
        groups.setdefault(root(service), []).append(service)
    found = list(groups.values())
    whole = [list(group) for group in found]
    for service in (s for s in order if s not in parent):
        home = _home(service, found, topology)
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


def _home(service: str, groups: Sequence[Sequence[str]], topology: Topology) -> int | None:
    """The strongest group with which a faint service has to do."""
    if service not in topology.known:
        return None
    return next((i for i, group in enumerate(groups) if any(topology.are_related(service, one) for one in group)), None)
