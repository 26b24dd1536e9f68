"""From anomalies, topology and changes to a table of candidates by kinds of evidence, all between 0 and 1.

One pure function for the live stage and for fitting, so weights mean the same in both. A cell is the square of how
seldom bystanders show as much (`_signs.py`): in log-odds one sign that is seen once in a thousand incidents tells more
than three that are seen in one of ten. Evidence only ever speaks *for* a candidate; with weights that cannot be
negative, faults of a kind never seen did far less harm to accuracy and confidence on public incidents. A slow call is
shared by both ends; over all calls of a service only the common end remains.
"""

import math
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from diagnosis._kinds import FELT, KINDS, NOTICED, RESOURCES, kind_of
from diagnosis._observe import Told
from diagnosis._signs import History, Shown, Signs, signs_of
from schemas import Anomaly, Change, Entity, EvidenceHistory, TopologyEdge
from schemas.core import NS

TOP_SERIES = 3  # so that a service does not win by having many series
BEST_SHARE = 0.6  # of the strongest series, the rest of the mean of three; not tuned
CHANGE_S = 600.0  # from a study of 51 recorded rollouts, not tuned
CHANGE_HORIZON_S = 3600.0
ONSET_SLACK_S = 120.0  # an onset is known to a window only, and the longest is two minutes
EDGE_FRESH_S = 600.0
SHOWN = 3
UNNOTICED = 0.2  # of a busy CPU that nobody notices while others suffer; a choice
NOTICED_AT = 0.1  # evidence of anything else at which it counts whole; a choice
LATE = 0.2  # of a resource that is short only after its effects; a choice
CLEAR = 0.75  # rarity: one in a thousand; a choice
EDGES_FULL = 3.0  # rare edges over the root of all at which evidence of edges is full
NO_HISTORY = EvidenceHistory(data="none", fitted_on=[])


class EvidenceTable(NamedTuple):
    """candidates: services, sorted. matrix: float64 (candidates, kinds), 0 to 1. The rest says whence."""

    candidates: tuple[str, ...]
    kinds: tuple[str, ...]
    matrix: NDArray[np.float64]
    anomalies: dict[tuple[int, int], list[Anomaly]]
    """By cell: those that made it, strongest first."""
    changes: dict[int, Change]
    """By candidate: the newest change shortly before the onset."""
    entity_ids: tuple[str, ...]
    first_ns: dict[int, int]
    onset_ns: int
    asked: dict[tuple[int, int], Told]
    """By cell: what investigation found; its kinds are columns behind the others."""
    like: tuple[tuple[float, str], ...]
    """By candidate: likeness to confirmed causes, 0 to 1, and the fault family of the most similar."""
    signs: Signs


def evidence_table(
    anomalies: Iterable[Anomaly],
    topology: Iterable[TopologyEdge],
    changes: Iterable[Change],
    onset_ns: int | None = None,
    told: Iterable[Told] = (),
    *,
    history: History | None = None,
    signs: Signs | None = None,
) -> EvidenceTable:
    """Candidates are services with evidence or a change shortly before; the order of the inputs does not matter.

    onset_ns: start of trouble, or None for the start of the earliest anomaly. No candidates: an empty table.
    told: findings of investigation; they make nobody a candidate. history: of past incidents, or none yet. signs: of
    these anomalies, where the caller has them already.
    """
    anomalies = list(anomalies)
    history = history or History(NO_HISTORY)
    found = signs_of(anomalies) if signs is None else signs
    onset = onset_ns if onset_ns is not None else _onset(anomalies)
    tenants = _tenants(found)
    recent = _recent(changes, onset) if found else {}
    for service, change in recent.items():
        tenants.setdefault(service, change.tenant)
    candidates = tuple(sorted(tenants))
    row = {service: i for i, service in enumerate(candidates)}
    column = {kind: j for j, kind in enumerate(KINDS)}
    matrix = np.zeros((len(candidates), len(KINDS)))
    shown: dict[tuple[int, int], list[Anomaly]] = {}
    patterns: dict[str, dict[str, float]] = {}
    first: dict[int, int] = {}
    edges = _edges(topology, onset)
    degree = _degrees(edges)
    rare = {at: [(history.rarity(one), one) for one in series] for at, series in sorted(found.items())}
    felt_ns = _felt_ns(rare)
    for (service, kind), series in rare.items():
        at = row[service], column[kind]
        ranked = sorted(series, key=lambda pair: (-pair[0], pair[1].sign))
        pattern = patterns.setdefault(service, {})
        for rarity, one in ranked:
            key = one.sign.pattern_key
            pattern[key] = max(pattern.get(key, 0.0), rarity)
        squares = sorted((rarity * rarity * _in_time(kind, one, felt_ns) for rarity, one in ranked), reverse=True)
        if kind == "edge_gap":
            calls = max(degree.get(service, 0), len(squares))
            matrix[at] = min(math.fsum(squares) / math.sqrt(calls + 1) / EDGES_FULL, 1.0)
        else:
            matrix[at] = BEST_SHARE * squares[0] + (1 - BEST_SHARE) * math.fsum(squares[:TOP_SERIES]) / TOP_SERIES
        shown[at] = [one.anomalies[0] for _, one in ranked[:SHOWN]]
        start = min(a.start_ns for _, one in series for a in one.anomalies)
        first[at[0]] = min(first.get(at[0], start), start)
    own = matrix[:, [column[kind] for kind in FELT]].max(axis=1) if len(candidates) else np.zeros(0)
    for service, share in _origins(candidates, own, edges).items():
        matrix[row[service], column["origin"]] = share
    noticed = matrix[:, [column[kind] for kind in NOTICED]].max(axis=1) if len(candidates) else np.zeros(0)
    matrix[:, column["metric_cpu"]] *= _noticed(row, noticed, edges)
    like = tuple(history.likeness(patterns.get(service, {})) for service in candidates)
    for i, (likeness, _) in enumerate(like):
        matrix[i, column["pattern"]] = likeness * likeness
    for service, change in recent.items():
        matrix[row[service], column["change"]] = _proximity(change, onset)
    entity_ids = tuple(Entity(tenant=tenants[s], kind="service", service=s, name=s).entity_id for s in candidates)
    by_row = {row[service]: change for service, change in recent.items()}
    kinds, matrix, asked = _with_asked(row, matrix, told)
    return EvidenceTable(candidates, kinds, matrix, shown, by_row, entity_ids, first, onset, asked, like, found)


def _felt_ns(rare: Mapping[tuple[str, str], list[tuple[float, Shown]]]) -> float | None:
    """When half of the clear symptoms had begun; None where no symptom is clear. One that began by chance before the
    others moves it little."""
    starts = [
        min(anomaly.start_ns for anomaly in one.anomalies)
        for (_, kind), series in rare.items() if kind in FELT
        for rarity, one in series if rarity >= CLEAR
    ]  # fmt: skip
    return float(np.median(starts)) if starts else None


def _in_time(kind: str, shown: Shown, felt_ns: float | None) -> float:
    """`LATE` of a resource that was short only when symptoms had begun a whole window of its own before, else 1.

    A cause comes before its effects. What becomes busy after them serves retries, restarts or nothing of all this.
    """
    if felt_ns is None or kind not in RESOURCES:
        return 1.0
    first = min(shown.anomalies, key=lambda a: (a.start_ns, a.end_ns))
    return LATE if first.start_ns - felt_ns > first.end_ns - first.start_ns else 1.0


def _onset(anomalies: Iterable[Anomaly]) -> int:
    """Start of the earliest anomaly that is of use; 0 if there is none."""
    return min((a.start_ns for a in anomalies if kind_of(a)), default=0)


def _tenants(signs: Signs) -> dict[str, str]:
    tenants: dict[str, str] = {}
    for (service, _), series in sorted(signs.items()):
        tenants.setdefault(service, _first(series).tenant)
    return tenants


def _first(series: list[Shown]) -> Anomaly:
    return series[0].anomalies[0]


def _with_asked(
    row: dict[str, int], matrix: NDArray[np.float64], told: Iterable[Told]
) -> tuple[tuple[str, ...], NDArray[np.float64], dict[tuple[int, int], Told]]:
    """A column for each kind that was found; of several findings the strongest counts."""
    found = sorted((t for t in told if t.service in row and t.strength > 0), key=lambda t: (t.strength, t.text))
    more = tuple(sorted({t.kind for t in found}))
    if not more:
        return KINDS, matrix, {}
    wide = np.hstack([matrix, np.zeros((len(matrix), len(more)))])
    asked = {(row[t.service], len(KINDS) + more.index(t.kind)): t for t in found}
    for cell, finding in asked.items():
        wide[cell] = finding.strength
    return (*KINDS, *more), wide, asked


def service_of(entity_id: str) -> str:
    """The service in an entity id (`tenant/kind/service...`), or the text itself if it is a plain name.

    >>> service_of("shop/service/cart"), service_of("shop/instance/cart/cart-7"), service_of("cart")
    ('cart', 'cart', 'cart')
    """
    parts = entity_id.split("/")
    return parts[2] if len(parts) >= 3 else entity_id


def _edges(topology: Iterable[TopologyEdge], onset: int) -> set[tuple[str, str]]:
    """Calls seen around the onset; those that ended long before are no longer edges."""
    fresh = onset - int(EDGE_FRESH_S * NS)
    pairs = {(service_of(e.caller), service_of(e.callee)) for e in topology if e.last_ns >= fresh}
    return {pair for pair in pairs if pair[0] != pair[1]}


def _degrees(edges: set[tuple[str, str]]) -> dict[str, int]:
    """Calls of each service, in and out; quiet ones count, or a service with a single call would win by that."""
    found: dict[str, int] = {}
    for edge in edges:
        for end in edge:
            found[end] = found.get(end, 0) + 1
    return found


def _origins(candidates: tuple[str, ...], own: NDArray[np.float64], edges: set[tuple[str, str]]) -> dict[str, float]:
    """Deepest anomalous: a caller is anomalous too, and no callee is even half as much. As strong as its evidence."""
    strength = {service: float(own[i]) for i, service in enumerate(candidates)}
    out = {}
    for service, mine in strength.items():
        callers = max((strength.get(a, 0.0) for a, b in edges if b == service), default=0.0)
        callees = max((strength.get(b, 0.0) for a, b in edges if a == service), default=0.0)
        if mine > 0 and callers > 0 and callees < mine / 2:
            out[service] = mine
    return out


def _noticed(row: Mapping[str, int], own: NDArray[np.float64], edges: set[tuple[str, str]]) -> NDArray[np.float64]:
    """By candidate: how much of a busy CPU counts, `UNNOTICED` to 1.

    Work that is starved is noticed at once, by the service itself or by all that call it: in calls or logs. A CPU that
    is busy without that, while others show symptoms, is a coincidence; among dozens of services there is always one.
    Memory is no such thing: a leak is noticed late. Where nobody notices anything, all counts.
    """
    if not own.any():
        return np.ones(len(own))
    callers: dict[int, list[float]] = {}
    for caller, callee in edges:
        if callee in row:
            callers.setdefault(row[callee], []).append(float(own[row[caller]]) if caller in row else 0.0)
    by_all = np.array([min(callers.get(i, [0.0])) for i in range(len(own))])
    share = np.minimum(np.maximum(own, by_all) / NOTICED_AT, 1.0)
    return np.asarray(UNNOTICED + (1 - UNNOTICED) * share, np.float64)


def _recent(changes: Iterable[Change], onset: int) -> dict[str, Change]:
    """The newest change of each service that came before the onset, at most an hour."""
    low, high = onset - int(CHANGE_HORIZON_S * NS), onset + int(ONSET_SLACK_S * NS)
    found = sorted((c for c in changes if low <= c.at_ns <= high), key=lambda c: (c.at_ns, c.id))
    return {change.service: change for change in found}


def _proximity(change: Change, onset: int) -> float:
    return math.exp(-max(onset - change.at_ns, 0) / (CHANGE_S * NS))
