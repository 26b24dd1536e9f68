"""Anomalies of one domain become one incident: when to open it, what belongs to it, when it is over.

It opens when symptoms are strong: one beyond `open_p`, or those of one service together. Every detector reports below a
p of its own; if nothing is wrong, p over that is uniform, so how many orders of magnitude it lies below adds up over
windows that do not overlap and over the three worst series of a service. A gauge has to show its symptom in three such
windows, for its tails are heavy and each sample looks back itself. Causes without symptoms (a busy CPU) open nothing.
The same rule, applied to what is new, keeps it open; weak anomalies join but do not prolong it, or the noise of a
thousand series would never let an incident end.
Everything is bounded and counted.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field

from diagnosis._kinds import GAUGED, SYMPTOMS, beyond, disjoint, ends_of, kind_of
from schemas import Anomaly, Incident, record_id
from schemas.core import NS

TOP_SERIES = 3


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
    revise_s: float = 30.0
    deadline_s: float = 60.0
    """What is not answered by then is asked once more."""
    most_recent: int = 2000
    most_series: int = 5000
    most_windows: int = 20
    """Kept of one series in one incident."""
    most_changes: int = 1000
    most_edges: int = 20_000
    most_entities: int = 50


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

    def members(self) -> list[Anomaly]:
        """The first and the kept anomalies of each series, each once, in order of id."""
        kept = (anomaly for windows in self.kept.values() for anomaly in windows)
        return sorted({a.id: a for a in (*self.first.values(), *kept)}.values(), key=by_id)


@dataclass(slots=True)
class Group:
    """One (tenant, domain)."""

    recent: list[Anomaly] = field(default_factory=list)
    pending: list[Anomaly] = field(default_factory=list)
    check_ns: int | None = None
    open: Open | None = None
    dropped: int = 0


def by_id(anomaly: Anomaly) -> str:
    return anomaly.id


def arrive(group: Group, anomaly: Anomaly, now_ns: int, settings: Settings) -> None:
    """Note an anomaly; it is judged together with all others of its instant, so their order does not matter."""
    if len(group.pending) < settings.most_recent:
        group.pending.append(anomaly)
    else:
        group.dropped += 1
    group.check_ns = now_ns


def check(group: Group, key: tuple[str, str], settings: Settings) -> None:
    """Judge the instant `check_ns`, which is complete: open an incident, or let the anomalies join the open one."""
    now = group.check_ns
    if now is None:
        return
    fresh, group.pending, group.check_ns = sorted(group.pending, key=by_id), [], None
    gone = {a.id for a in fresh if a.status == "withdrawn"}
    fresh = [a for a in fresh if a.status != "withdrawn"]
    since = now - int(settings.lookback_s * NS)
    replaced = gone | {a.id for a in fresh}
    kept = [a for a in group.recent if a.end_ns > since and a.id not in replaced] + fresh
    group.dropped += max(len(kept) - settings.most_recent, 0)
    group.recent = kept[-settings.most_recent :]
    if group.open is not None:
        if gone:
            _withdraw(group.open, gone)
        _join(group.open, fresh, settings)
        if fresh or gone:
            group.open.changed_ns = group.open.changed_ns or now
        if fresh and is_strong(group.recent, settings, min(a.end_ns for a in fresh) - 1):
            group.open.strong_ns = now
    elif is_strong(group.recent, settings):
        identity = record_id("incident", *key, now)
        group.open = Open(
            identity, opened_ns=now, strong_ns=now, changed_ns=now, revised_ns=now - _ns(settings.revise_s)
        )
        _join(group.open, group.recent, settings)


def is_strong(anomalies: Iterable[Anomaly], settings: Settings, since_ns: int | None = None) -> bool:
    """Whether these are an incident: one symptom beyond `open_p`, or the symptoms of one service together.

    since_ns: at least one of the symptoms that tell must end later.
    """
    by_series: dict[tuple[str, str], list[Anomaly]] = {}
    for anomaly in anomalies:
        kind = kind_of(anomaly)
        if kind in SYMPTOMS and beyond(anomaly) > 0:
            by_series.setdefault((kind, anomaly.series), []).append(anomaly)
    by_service: dict[str, list[float]] = {}
    new: set[str] = set()
    for (kind, _), windows in by_series.items():
        told = disjoint(windows)
        if kind in GAUGED and len(told) < settings.gauge_windows:
            continue
        is_new = since_ns is None or any(a.end_ns > since_ns for a in told)
        if is_new and told[0].p_value < settings.open_p:
            return True
        for service in ends_of(told[0]):
            by_service.setdefault(service, []).append(sum(beyond(a) for a in told))
            if is_new:
                new.add(service)
    return any(sum(sorted(by_service[s])[-TOP_SERIES:]) >= settings.open_orders for s in new)


def incident_of(key: tuple[str, str], open_: Open, at_ns: int, settings: Settings, *, closed: bool) -> Incident:
    """The record of an incident as it stands. Gauges and causes without symptoms do not make it more severe."""
    entities: dict[str, float] = {}
    services: dict[str, float] = {}
    for anomaly in open_.members():
        kind = kind_of(anomaly)
        if kind is None:
            continue
        strength = min(-math.log10(anomaly.p_value), 16.0)
        entities[anomaly.entity_id] = max(entities.get(anomaly.entity_id, 0.0), strength)
        if kind in SYMPTOMS and kind not in GAUGED:
            services[anomaly.service] = max(services.get(anomaly.service, 0.0), strength)
    order = sorted(services, key=lambda service: (-services[service], service))
    others = f" and {len(order) - 1} more" if len(order) > 1 else ""
    return Incident(
        id=open_.id,
        tenant=key[0],
        domain=key[1],
        revision=open_.revision,
        state="closed" if closed else "open",
        opened_ns=open_.opened_ns,
        updated_ns=at_ns,
        closed_ns=at_ns if closed else None,
        entities=sorted(entities, key=lambda entity: (-entities[entity], entity))[: settings.most_entities],
        severity=float(f"{math.fsum(services.values()):.12g}"),
        title=f"Anomalies in {order[0]}{others}" if order else "Anomalies withdrawn",
        anomalies=open_.anomalies,
    )


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


def _withdraw(open_: Open, gone: set[str]) -> None:
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
