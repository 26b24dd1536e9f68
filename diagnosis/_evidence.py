"""From anomalies, topology and changes to a table of candidates by kinds of evidence, all between 0 and 1.

One pure function for the live stage and for fitting, so weights mean the same in both. Strengths are logarithms of
surprise: the tenth digit of a p-value tells less than the third. Evidence only ever speaks *for* a candidate; with
weights that cannot be negative, faults of a kind never seen did far less harm to accuracy and confidence on public
incidents. Windows of one series that do not overlap add up: noise is improbable once, a fault again and again. An
edge's gap is shared by both ends; the mean over all edges of a service leaves only the common end.
"""

import math
from collections import defaultdict
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from diagnosis._kinds import KINDS, SYMPTOMS, beyond, disjoint, ends_of, importance, kind_of
from diagnosis._observe import Told
from schemas import Anomaly, Change, Entity, TopologyEdge
from schemas.core import NS

CAP = 60.0  # more tells nothing
TOP_SERIES = 3  # so that a service does not win by having many series
ONSET_S = 60.0
CHANGE_S = 600.0  # from a study of 51 recorded rollouts, not tuned
CHANGE_HORIZON_S = 3600.0
ONSET_SLACK_S = 120.0  # an onset is known to a window only, and the longest is two minutes
EDGE_FRESH_S = 600.0
SHOWN = 3


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


def evidence_matrix(
    anomalies: Iterable[Anomaly],
    topology: Iterable[TopologyEdge],
    changes: Iterable[Change],
    onset_ns: int | None = None,
) -> tuple[tuple[str, ...], tuple[str, ...], NDArray[np.float64]]:
    """Candidates, kinds and the matrix alone, for fitting."""
    table = evidence_table(anomalies, topology, changes, onset_ns)
    return table.candidates, table.kinds, table.matrix


def evidence_table(
    anomalies: Iterable[Anomaly],
    topology: Iterable[TopologyEdge],
    changes: Iterable[Change],
    onset_ns: int | None = None,
    told: Iterable[Told] = (),
) -> EvidenceTable:
    """Candidates are services with evidence or a change shortly before; the order of the inputs does not matter.

    told: findings of investigation; they make nobody a candidate.

    onset_ns: start of trouble, or None for the start of the earliest anomaly. No candidates: an empty table.
    """
    useful = sorted(
        ((kind, a) for a in anomalies if (kind := kind_of(a))), key=lambda pair: (pair[1].p_value, pair[1].id)
    )
    onset = onset_ns if onset_ns is not None else min((a.start_ns for _, a in useful), default=0)
    cells: dict[tuple[str, str], list[Anomaly]] = defaultdict(list)
    gaps: dict[tuple[str, str], list[Anomaly]] = defaultdict(list)
    tenants: dict[str, str] = {}
    for kind, anomaly in useful:
        ends = ends_of(anomaly)
        if kind == "edge_gap":
            gaps[ends[0], ends[-1]].append(anomaly)
        for end in ends:
            cells[end, kind].append(anomaly)
            tenants.setdefault(end, anomaly.tenant)
    recent = _recent(changes, onset) if useful else {}
    for service, change in recent.items():
        tenants.setdefault(service, change.tenant)
    candidates = tuple(sorted(tenants))
    row = {service: i for i, service in enumerate(candidates)}
    column = {kind: j for j, kind in enumerate(KINDS)}
    matrix = np.zeros((len(candidates), len(KINDS)))
    shown: dict[tuple[int, int], list[Anomaly]] = {}
    first: dict[int, int] = {}
    for (service, kind), found in sorted(cells.items()):
        at = row[service], column[kind]
        best = _by_series(found)
        matrix[at] = _compressed(sum(strength for strength, _ in best[:TOP_SERIES]) / TOP_SERIES)
        shown[at] = [anomaly for _, anomaly in best[:SHOWN]]
        start = min(a.start_ns for a in found)
        first[at[0]] = min(first.get(at[0], start), start)
    edges = _edges(topology, onset)
    for service, mean in _gap_means(gaps, edges).items():
        matrix[row[service], column["edge_gap"]] = _compressed(mean)
    felt = [column[kind] for kind in KINDS if kind in SYMPTOMS]
    own = matrix[:, felt].max(axis=1) if len(candidates) else np.zeros(0)
    for i, start in first.items():
        matrix[i, column["onset"]] = own[i] * math.exp(-max(start - onset, 0) / (ONSET_S * NS))
    for service, share in _origins(candidates, own, edges).items():
        matrix[row[service], column["origin"]] = share
    for service, change in recent.items():
        matrix[row[service], column["change"]] = _proximity(change, onset)
    entity_ids = tuple(Entity(tenant=tenants[s], kind="service", service=s, name=s).entity_id for s in candidates)
    by_row = {row[service]: change for service, change in recent.items()}
    kinds, matrix, asked = _with_asked(row, matrix, told)
    return EvidenceTable(candidates, kinds, matrix, shown, by_row, entity_ids, first, onset, asked)


def surprise(anomaly: Anomaly) -> float:
    """What an anomaly tells: orders of magnitude below the p at which its kind is reported.

    Of lines all orders count: theirs are small counts, hardly ever improbable at all.
    """
    return -math.log10(anomaly.p_value) if anomaly.kind.startswith("template_") else beyond(anomaly)


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


def together(windows: list[Anomaly]) -> float:
    """Surprise of one series over its windows, strongest first; a window that overlaps a counted one adds nothing."""
    return min(sum(importance(a) * surprise(a) for a in disjoint(windows)), CAP)


def service_of(entity_id: str) -> str:
    """The service in an entity id (`tenant/kind/service...`), or the text itself if it is a plain name.

    >>> service_of("shop/service/cart"), service_of("shop/instance/cart/cart-7"), service_of("cart")
    ('cart', 'cart', 'cart')
    """
    parts = entity_id.split("/")
    return parts[2] if len(parts) >= 3 else entity_id


def _compressed(surprises: float) -> float:
    return math.log1p(surprises) / math.log1p(CAP)


def _by_series(found: list[Anomaly]) -> list[tuple[float, Anomaly]]:
    """The surprise of each series with its strongest anomaly, strongest series first."""
    windows: dict[str, list[Anomaly]] = defaultdict(list)
    for anomaly in found:
        windows[anomaly.series].append(anomaly)
    strengths = [(together(those), those[0]) for those in windows.values()]
    return sorted(strengths, key=lambda pair: (-pair[0], pair[1].id))


def _edges(topology: Iterable[TopologyEdge], onset: int) -> set[tuple[str, str]]:
    """Calls seen around the onset; those that ended long before are no longer edges."""
    fresh = onset - int(EDGE_FRESH_S * NS)
    pairs = {(service_of(e.caller), service_of(e.callee)) for e in topology if e.last_ns >= fresh}
    return {pair for pair in pairs if pair[0] != pair[1]}


def _gap_means(gaps: dict[tuple[str, str], list[Anomaly]], edges: set[tuple[str, str]]) -> dict[str, float]:
    """Mean surprise over all edges of each service that has an anomalous one; quiet edges count as zero.

    One quiet edge is added to all, or a service with a single edge would win by that.
    """
    known = edges | set(gaps)
    totals: dict[str, list[float]] = defaultdict(list)
    for edge in sorted(known):
        strength = together(gaps[edge]) if edge in gaps else 0.0
        for end in edge:
            if end:
                totals[end].append(strength)
    return {service: sum(values) / (len(values) + 1) for service, values in totals.items() if any(values)}


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


def _recent(changes: Iterable[Change], onset: int) -> dict[str, Change]:
    """The newest change of each service that came before the onset, at most an hour."""
    low, high = onset - int(CHANGE_HORIZON_S * NS), onset + int(ONSET_SLACK_S * NS)
    found = sorted((c for c in changes if low <= c.at_ns <= high), key=lambda c: (c.at_ns, c.id))
    return {change.service: change for change in found}


def _proximity(change: Change, onset: int) -> float:
    return math.exp(-max(onset - change.at_ns, 0) / (CHANGE_S * NS))
