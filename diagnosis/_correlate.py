"""Anomalies of one domain become incidents: when one opens, what belongs to it, when two are one, when it is over.

Symptoms of services that have to do with each other (`_related.py`) make one incident; others at the same time make
another. Two become one when something disturbed joins them, and one becomes two when what joined it is withdrawn.

It opens when symptoms are strong: one beyond `open_p`, or those of one service together. Every detector reports below a
p of its own; if nothing is wrong, p over that is uniform, so how many orders of magnitude it lies below adds up over
windows that do not overlap and over the three worst series of a service. A gauge has to show its symptom in three such
windows (`_strong.py`). Causes without symptoms (a busy CPU) open nothing.
The same rule, applied to what is new, keeps it open; weak anomalies join but do not prolong it, or the noise of a
thousand series would never let an incident end.
An incident of services whose last one closed a moment ago stays open twice as long, so that what flaps is one story.
What our own actions may be the cause of opens nothing until it has settled. Everything is bounded and counted.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, NamedTuple

from diagnosis._impact import notice
from diagnosis._kinds import GAUGED, SYMPTOMS, beyond, ends_of, kind_of
from diagnosis._recurring import Habits
from diagnosis._related import Index, Part, Topology, parts
from diagnosis._strong import TOP_SERIES, is_strong
from schemas import Anomaly, Incident, record_id
from schemas.core import NS

State = Literal["open", "closed", "merged"]
LOUDEST = 3
"""Services by which an incident is known again."""
_MACHINES = ("k8s.node.name", "node", "host.name", "host")
"""Labels that name the machine; two services whose machine is disturbed and the same have a cause in common."""
_OF_MACHINE = ("node_", "steal")


@dataclass(frozen=True, slots=True)
class Settings:
    """Times in seconds of event time."""

    open_p: float = 1e-6
    open_orders: float = 5.0
    """What the symptoms of one service must sum up to, in orders of magnitude beyond what is reported at all."""
    gauge_windows: int = 3
    lookback_s: float = 180.0
    """Anomalies so long before the opening belong to it, and are combined for it."""
    quiet_s: float = 300.0
    join_orders: float = 1.0
    """Orders of magnitude from which a service joins others to one incident; fainter ones only belong to it."""
    flap_s: float = 900.0
    """One that opens so soon after the last one of its services stays open twice as long, at most eight times."""
    revise_s: float = 30.0
    deadline_s: float = 30.0
    """Of all questions about an incident, from the first on: what nobody answered in two thirds is asked once more."""
    most_recent: int = 5000
    most_series: int = 5000
    most_windows: int = 20
    """Kept of one series in one incident."""
    most_changes: int = 1000
    most_edges: int = 20_000
    most_entities: int = 50
    most_open: int = 1000
    """Incidents of one group at a time; beyond, what is new opens none and is counted."""
    most_echoed: int = 50
    """Open incidents, oldest first, of which faint symptoms that have to do with none become bystanders."""
    most_closed: int = 100
    suppress_recurring: bool = True
    """What comes at the same hour again and is nobody's business is suppressed, see `_recurring.py`."""
    most_silences: int = 1000


@dataclass(slots=True)
class Open:
    """An open incident. `first` and `kept` are by series and detector; `kept` windows do not overlap."""

    id: str
    opened_ns: int
    strong_ns: int
    first: dict[str, Anomaly] = field(default_factory=dict)
    kept: dict[str, list[Anomaly]] = field(default_factory=dict)
    anomalies: int = 0
    dropped: int = 0
    revision: int = 0
    revised_ns: int = 0
    changed_ns: int | None = None
    """Since when there is something that no revision says."""
    core: set[str] = field(default_factory=set)
    """Services that were disturbed enough to join others."""
    services: set[str] = field(default_factory=set)
    """Every service that an anomaly of it is about."""
    flaps: int = 0
    """How often in a row an incident of its services had just closed."""
    split_from: str | None = None
    ends_ns: int | None = None
    """When nothing was left of it."""
    suppressed_by: list[str] = field(default_factory=list)
    looked_ns: int = 0
    """Up to when it is known which silences hold of it."""
    noticed: dict[str, Anomaly] = field(default_factory=dict)
    """Of each business series of its time the least probable window, whoever it is about."""

    def members(self) -> list[Anomaly]:
        """The first and the kept anomalies of each series, each once, in order of id."""
        kept = (anomaly for windows in self.kept.values() for anomaly in windows)
        return sorted({a.id: a for a in (*self.first.values(), *kept)}.values(), key=by_id)


class Closed(NamedTuple):
    """What is remembered of an incident that is over."""

    services: frozenset[str]
    at_ns: int
    flaps: int


@dataclass(slots=True)
class Group:
    """One (tenant, domain). open: oldest first."""

    recent: list[Anomaly] = field(default_factory=list)
    pending: list[Anomaly] = field(default_factory=list)
    check_ns: int | None = None
    open: list[Open] = field(default_factory=list)
    closed: list[Closed] = field(default_factory=list)
    dropped: int = 0
    habits: Habits = field(default_factory=dict)


class Merged(NamedTuple):
    """gone: the incident that is over because `into` goes on for it."""

    gone: Open
    into: Open


@dataclass(frozen=True, slots=True)
class Around:
    """What is known beside the anomalies. changed: services that were changed lately. settling: by service, from when
    until when its symptoms may be the doing of our own actions.
    """

    topology: Topology = field(default_factory=Topology)
    changed: frozenset[str] = frozenset()
    settling: Mapping[str, Sequence[tuple[int, int]]] = field(default_factory=dict)


def by_id(anomaly: Anomaly) -> str:
    return anomaly.id


def arrive(group: Group, anomaly: Anomaly, now_ns: int, settings: Settings) -> None:
    """Note an anomaly; it is judged together with all others of its instant, so their order does not matter."""
    if len(group.pending) < settings.most_recent:
        group.pending.append(anomaly)
    else:
        group.dropped += 1
    group.check_ns = now_ns


def check(group: Group, key: tuple[str, str], settings: Settings, around: Around | None = None) -> list[Merged]:
    """Judge the instant `check_ns`, which is complete: open incidents, let anomalies join open ones, merge and split.

    What is unrelated but too faint to be an incident is a bystander of every open one: it may be the faint end of it.
    Returns the incidents that are over because they became part of another one.
    """
    now = group.check_ns
    if now is None:
        return []
    around = around or Around()
    fresh, group.pending, group.check_ns = sorted(group.pending, key=by_id), [], None
    gone = {a.id for a in fresh if a.status == "withdrawn"}
    amended = {a.id for a in fresh if a.status == "amended"}
    fresh = [a for a in fresh if a.status != "withdrawn"]
    since = now - int(settings.lookback_s * NS)
    replaced = gone | {a.id for a in fresh}
    kept = [a for a in group.recent if a.end_ns > since and a.id not in replaced] + fresh
    group.dropped += max(len(kept) - settings.most_recent, 0)
    group.recent = kept[-settings.most_recent :]
    said_again = gone | amended
    touched = [o for o in group.open if said_again and not said_again.isdisjoint(a.id for a in o.members())]
    for one in touched:
        _withdraw(one, gone, now)
    told = _parts(group.recent, around, settings)
    by_service = _by_service(group.recent) if len(told) > 1 else {}
    merged: list[Merged] = []
    rest: list[Anomaly] = []
    begun: set[str] = set()
    index: Index[Open] = Index()
    for one in group.open:
        index.add(one.id, one, one.services, one.core)
    for part in told:
        mine = _of(part, by_service) if by_service else group.recent
        open_ = _home(group, part, around.topology, index, merged, now)
        if open_ is None:
            if _is_new(group, mine, settings, around):
                open_ = _begin(group, key, part, now, settings, around)
                begun.add(open_.id)
                _join(open_, mine, settings)
                _remember(open_, part, mine)
                index.add(open_.id, open_, open_.services, open_.core)
            else:
                rest += mine
            continue
        new = [a for a in mine if a.id in replaced]
        _join(open_, new, settings)
        _remember(open_, part, new)
        index.add(open_.id, open_, open_.services, open_.core)
        if new:
            open_.changed_ns = open_.changed_ns or now
            if is_strong(mine, settings, min(a.end_ns for a in new) - 1):
                open_.strong_ns = now
    for one in group.open[: settings.most_echoed]:
        new = [a for a in rest if one.id in begun or a.id in replaced]
        _join(one, new, settings)
        if new:
            one.changed_ns = one.changed_ns or now
    for one in touched:
        if one in group.open:
            _split(group, key, one, now, settings, around)
    for one in group.open:
        if notice(one.noticed, group.recent, gone):
            one.changed_ns = one.changed_ns or now
    return merged


def close(group: Group, open_: Open, at_ns: int, settings: Settings) -> None:
    """It is over: what it was about opens no other one."""
    group.open.remove(open_)
    group.recent = [a for a in group.recent if open_.services.isdisjoint(ends_of(a))]
    group.closed.append(Closed(frozenset(loudest(open_)[:LOUDEST]), at_ns, open_.flaps))
    group.closed = group.closed[-settings.most_closed :]


def due_ns(open_: Open, settings: Settings) -> int:
    """When it closes if nothing new comes."""
    if open_.ends_ns is not None:
        return open_.ends_ns
    return open_.strong_ns + (_ns(settings.quiet_s) << min(open_.flaps, 3))


def _by_service(anomalies: Sequence[Anomaly]) -> dict[str, list[tuple[int, Anomaly]]]:
    """With their place, so that what is about two services can be put in order again."""
    found: dict[str, list[tuple[int, Anomaly]]] = {}
    for place, anomaly in enumerate(anomalies):
        for service in ends_of(anomaly):
            found.setdefault(service, []).append((place, anomaly))
    return found


def _of(part: Part, by_service: Mapping[str, list[tuple[int, Anomaly]]]) -> list[Anomaly]:
    found = [pair for service in part.services for pair in by_service.get(service, ())]
    found.sort(key=lambda pair: pair[0])
    return [a for i, (place, a) in enumerate(found) if not i or found[i - 1][0] != place]


def _parts(anomalies: Sequence[Anomaly], around: Around, settings: Settings) -> list[Part]:
    """The services that anomalies are about, in parts that have nothing to do with each other."""
    topology = around.topology
    about = {service for anomaly in anomalies for service in ends_of(anomaly)}
    if about.isdisjoint(topology.known):  # nobody can tell them apart
        return [Part(frozenset(), frozenset(about), 0.0)] if about else []
    by_service: dict[str, list[float]] = {}
    machines: dict[str, set[str]] = {}
    joined: list[Sequence[str]] = []
    loud: set[str] = set()
    for anomaly in anomalies:
        kind, ends = kind_of(anomaly), ends_of(anomaly)
        is_gauge = kind in GAUGED
        counts = beyond(anomaly) if kind in SYMPTOMS and not is_gauge else 0.0
        if is_gauge and anomaly.p_value < settings.open_p:
            loud.add(anomaly.service)
        for service in ends:
            by_service.setdefault(service, []).append(counts)
        if len(ends) > 1:
            joined.append(ends)
        if any(word in anomaly.name for word in _OF_MACHINE):
            for machine in (anomaly.labels[label] for label in _MACHINES if anomaly.labels.get(label)):
                machines.setdefault(machine, set()).add(anomaly.service)
    joined += [sorted(services) for _, services in sorted(machines.items())]
    strengths = {service: math.fsum(sorted(found)[-TOP_SERIES:]) for service, found in by_service.items()}
    strengths |= {s: max(strengths[s], settings.join_orders) for s in sorted(loud)}
    return parts(strengths, topology, settings.join_orders, joined, around.changed)


def _home(
    group: Group, part: Part, topology: Topology, index: Index[Open], merged: list[Merged], now_ns: int
) -> Open | None:  # fmt: skip
    """The open incident that a part belongs to; several become one, the oldest, if the part joins them."""
    hits = index.of(part.core or part.services, _near(part.core, topology))
    if not hits and not part.core:
        hits = index.of((), _near(part.services, topology))[:1]
    if not hits and group.open:
        is_known = bool(part.core) or not part.services.isdisjoint(topology.known)
        strangers = [o for o in group.open if not o.core] if is_known else group.open
        hits = list(strangers[:1])
    if not hits:
        return None
    for other in hits[1:] if part.core else ():
        _merge(group, hits[0], other, now_ns)
        index.remove(other.id)
        merged.append(Merged(other, hits[0]))
    return hits[0]


def _near(services: Iterable[str], topology: Topology) -> set[str]:
    return {other for service in services for other in topology.related(service)}


def _merge(group: Group, into: Open, gone: Open, now_ns: int) -> None:
    for key, first in gone.first.items():
        known = into.first.get(key)
        if known is None or (first.start_ns, first.id) < (known.start_ns, known.id):
            into.first[key] = first
    for key, kept in gone.kept.items():
        into.kept.setdefault(key, []).extend(kept)
    into.anomalies, into.dropped = into.anomalies + gone.anomalies, into.dropped + gone.dropped
    into.core |= gone.core
    into.services |= gone.services
    notice(into.noticed, gone.noticed.values())
    into.strong_ns = max(into.strong_ns, gone.strong_ns)
    into.flaps = max(into.flaps, gone.flaps)
    into.changed_ns = into.changed_ns or now_ns
    group.open.remove(gone)


def _is_new(group: Group, mine: Sequence[Anomaly], settings: Settings, around: Around) -> bool:
    """Whether the symptoms of a part are an incident of their own, and not our own doing.

    Beside one that is open already many faint symptoms are rather its echo; it takes one that is clear by itself.
    """
    clear = replace(settings, open_orders=math.inf) if group.open else settings
    mine = [a for a in mine if a.is_discovery is not False]
    if not is_strong([a for a in mine if not _is_settling(a, around)] if around.settling else mine, clear):
        return False
    if len(group.open) >= settings.most_open:
        group.dropped += len(mine)
        return False
    return True


def _begin(
    group: Group, key: tuple[str, str], part: Part, now_ns: int, settings: Settings, around: Around
) -> Open:  # fmt: skip
    is_first = not any(open_.opened_ns == now_ns for open_ in group.open)
    identity = record_id("incident", *key, now_ns, *(() if is_first else (min(part.services),)))
    lately = now_ns - _ns(settings.flap_s)
    before = [
        one.flaps + 1 for one in group.closed if one.at_ns > lately and not part.services.isdisjoint(one.services)
    ]
    open_ = Open(
        identity, opened_ns=now_ns, strong_ns=now_ns, changed_ns=now_ns, looked_ns=now_ns,
        revised_ns=now_ns - _ns(settings.revise_s), flaps=max(before, default=0),
        core=set(part.core or part.services & around.topology.known),
    )  # fmt: skip
    group.open.append(open_)
    return open_


def _is_settling(anomaly: Anomaly, around: Around) -> bool:
    spans = [around.settling.get(service, ()) for service in ends_of(anomaly)]
    return all(any(begin <= anomaly.end_ns <= end for begin, end in some) for some in spans)


def _remember(open_: Open, part: Part, anomalies: Iterable[Anomaly]) -> None:
    open_.core |= part.core
    open_.services.update(service for anomaly in anomalies for service in ends_of(anomaly))


def _split(group: Group, key: tuple[str, str], open_: Open, now_ns: int, settings: Settings, around: Around) -> None:
    """After something was withdrawn or amended: what no longer hangs together is apart, and nothing ends at once."""
    members = open_.members()
    by_service = _by_service(members)
    found = _parts(members, around, settings)
    open_.core = set(found[0].core) if found else set()
    for part in found[1:]:
        mine = _of(part, by_service)
        if part.core and _is_new(group, mine, settings, around):
            other = _begin(group, key, part, now_ns, settings, around)
            other.split_from = open_.id
            _join(other, mine, settings)
            _remember(other, part, mine)
            _withdraw(open_, {a.id for a in mine}, now_ns)
            open_.services -= part.services
        else:
            open_.core |= part.core
    if not is_strong(open_.members(), settings):
        open_.ends_ns = now_ns


def incident_of(
    key: tuple[str, str], open_: Open, at_ns: int, settings: Settings, *, state: State = "open",
    merged_into: str | None = None,
) -> Incident:  # fmt: skip
    """The record of an incident as it stands. Causes without symptoms do not make it more severe."""
    entities: dict[str, float] = {}
    for anomaly in open_.members():
        if kind_of(anomaly) is not None:
            entities[anomaly.entity_id] = max(entities.get(anomaly.entity_id, 0.0), _surprise(anomaly))
    services = _symptoms(open_)
    order = loudest(open_)
    others = f" and {len(order) - 1} more" if len(order) > 1 else ""
    return Incident(
        id=open_.id,
        tenant=key[0],
        domain=key[1],
        revision=open_.revision,
        state=state,
        opened_ns=open_.opened_ns,
        updated_ns=at_ns,
        closed_ns=None if state == "open" else at_ns,
        merged_into=merged_into,
        entities=sorted(entities, key=lambda entity: (-entities[entity], entity))[: settings.most_entities],
        severity=float(f"{math.fsum(services.values()):.12g}"),
        title=f"Anomalies in {order[0]}{others}" if order else "Anomalies withdrawn",
        anomalies=open_.anomalies,
        split_from=open_.split_from,
        services=order[: settings.most_entities],
        suppressed_by=open_.suppressed_by,
    )


def _surprise(anomaly: Anomaly) -> float:
    return min(-math.log10(anomaly.p_value), 16.0)


def _symptoms(open_: Open) -> dict[str, float]:
    """The strongest surprise of each service of it that has symptoms; bystanders are none.

    Gauges have heavy tails, so they count only where nothing else tells of the incident.
    """
    told = [(a, kind) for a in open_.members() if (kind := kind_of(a)) in SYMPTOMS and a.service in open_.services]
    firm = [a for a, kind in told if kind not in GAUGED]
    services: dict[str, float] = {}
    for anomaly in firm or [a for a, _ in told]:
        services[anomaly.service] = max(services.get(anomaly.service, 0.0), _surprise(anomaly))
    return services


def loudest(open_: Open) -> list[str]:
    """Its services with symptoms, most severe first."""
    services = _symptoms(open_)
    return sorted(services, key=lambda service: (-services[service], service))


def _join(open_: Open, fresh: list[Anomaly], settings: Settings) -> None:
    for anomaly in fresh:
        key = f"{anomaly.series} {anomaly.detector}"
        if key not in open_.kept and len(open_.kept) >= settings.most_series:
            open_.dropped += 1
            continue
        open_.anomalies += 1
        first = open_.first.get(key)
        if first is None or first.id == anomaly.id or (anomaly.start_ns, anomaly.id) < (first.start_ns, first.id):
            open_.first[key] = anomaly
        _keep(open_.kept.setdefault(key, []), anomaly, settings.most_windows)


def _withdraw(open_: Open, gone: set[str], now_ns: int) -> None:
    if not gone.isdisjoint(a.id for a in open_.members()):
        open_.changed_ns = open_.changed_ns or now_ns
    open_.first = {key: a for key, a in open_.first.items() if a.id not in gone}
    open_.kept = {key: rest for key, kept in open_.kept.items() if (rest := [a for a in kept if a.id not in gone])}


def _keep(kept: list[Anomaly], anomaly: Anomaly, most: int) -> None:
    """Of windows that overlap the least probable stays; of too many the most probable goes."""
    kept[:] = [a for a in kept if a.id != anomaly.id]
    rivals = [a for a in kept if a.start_ns < anomaly.end_ns and anomaly.start_ns < a.end_ns]
    if all((anomaly.p_value, anomaly.id) < (a.p_value, a.id) for a in rivals):
        kept[:] = [a for a in kept if a not in rivals] + [anomaly]
    if len(kept) > most:
        kept.remove(max(kept, key=lambda a: (a.p_value, a.id)))


def _ns(seconds: float) -> int:
    return int(seconds * NS)
