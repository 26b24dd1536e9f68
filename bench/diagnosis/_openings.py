"""Whether faint incidents can be told from fault-free minutes: a service alone, and neighbours on call paths together.

Of each incident of Nezha the strongest of both, in orders of magnitude beyond what is reported at all, in the five
minutes from the fault on and in the hour before it. That hour holds all fault-free minutes of which lines and calls
were recorded. A bar that opens what is faint must lie above what these minutes show. Gauges are left out: of them only
the third window counts, and they open none of the incidents in question.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from bench.diagnosis._sets import Incident
from diagnosis import Settings
from diagnosis._kinds import GAUGED, SYMPTOMS, beyond, disjoint, ends_of, kind_of
from diagnosis._strong import TOP_SERIES
from schemas import Anomaly, TopologyEdge
from schemas.core import NS

LEAST_SERVICES = 3
"""That are disturbed by an order of magnitude each, for a group."""
BEFORE_S, DURING_S = 3600, 300


class Loud(NamedTuple):
    """Orders of magnitude of the loudest service, and of the loudest group."""

    alone: float
    together: float


def openings(incidents: Sequence[Incident]) -> dict[str, Any]:
    """How many faults lie below the bar, and how many of these below their own fault-free minutes."""
    bar = Settings().open_orders
    rows = [(_loudest(one, 0, DURING_S), _loudest(one, -BEFORE_S, 0)) for one in incidents]
    faint = [(now, before) for now, before in rows if now.alone < bar]
    together = sorted(now.together for now, _ in faint)
    healthy = sorted(before.together for _, before in rows)
    return {
        "n": len(rows), "faint": len(faint),
        "faint_not_above_their_fault_free_minutes_alone": sum(now.alone <= before.alone for now, before in faint),
        "faint_not_above_their_fault_free_minutes_together": sum(n.together <= b.together for n, b in faint),
        "faint_together": [together[0], together[len(together) // 2], together[-1]] if together else [],
        "fault_free_together": [healthy[0], healthy[len(healthy) // 2], healthy[-1]] if healthy else [],
        "fault_free_alone_least": min(before.alone for _, before in rows),
    }  # fmt: skip


def _loudest(one: Incident, since_s: int, until_s: int) -> Loud:
    """The loudest of both over all ends of windows of the stretch, each with the three minutes before."""
    since, until = one.at_ns + since_s * NS, one.at_ns + until_s * NS
    inside = [a for a in one.everything if since < a.end_ns <= until]
    best = Loud(0.0, 0.0)
    for at in sorted({a.end_ns for a in inside}):
        orders = _orders(a for a in inside if at - int(Settings().lookback_s * NS) < a.end_ns <= at)
        if orders:
            best = Loud(max(best.alone, *orders.values()), max(best.together, _together(orders, one.edges)))
    return Loud(round(best.alone, 1), round(best.together, 1))


def _orders(anomalies: Iterable[Anomaly]) -> dict[str, float]:
    """By service, as `diagnosis/_strong.py` sums them."""
    by_series: dict[str, list[Anomaly]] = defaultdict(list)
    for anomaly in anomalies:
        if (kind := kind_of(anomaly)) in SYMPTOMS and kind not in GAUGED and beyond(anomaly) > 0:
            by_series[f"{kind} {anomaly.series}"].append(anomaly)
    found: dict[str, list[float]] = defaultdict(list)
    for windows in by_series.values():
        told = disjoint(windows)
        for service in ends_of(told[0]):
            found[service].append(sum(beyond(a) for a in told))
    return {service: sum(sorted(values)[-TOP_SERIES:]) for service, values in found.items()}


def _together(orders: dict[str, float], edges: Iterable[TopologyEdge]) -> float:
    """Of a service with all that it calls or that call it, the most; 0 where fewer than three are disturbed."""
    near: dict[str, set[str]] = defaultdict(set)
    for edge in edges:
        caller, callee = edge.caller.split("/")[2], edge.callee.split("/")[2]
        near[caller].add(callee)
        near[callee].add(caller)
    groups = ([orders[s] for s in {service, *near[service]} if orders.get(s, 0.0) >= 1.0] for service in orders)
    return max((sum(group) for group in groups if len(group) >= LEAST_SERVICES), default=0.0)
