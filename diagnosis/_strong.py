"""Whether anomalies are an incident: one symptom beyond `open_p`, or the symptoms of one service together.

A gauge looks back itself and has heavy tails, so it tells by the third least probable of windows that do not overlap,
and what is odder counts no more than that one: a spike of a minute with two faint windows beside it opened incidents
that nothing was behind, at whatever `open_p` (docs/detectors.md).
"""

import math
from collections.abc import Iterable
from typing import Protocol

from diagnosis._kinds import GAUGED, SYMPTOMS, beyond, disjoint, ends_of, kind_of
from schemas import Anomaly

TOP_SERIES = 3


class Bar(Protocol):
    """What opens an incident; `_correlate.Settings` is one."""

    @property
    def open_p(self) -> float: ...

    @property
    def open_orders(self) -> float: ...

    @property
    def gauge_windows(self) -> int: ...


def is_strong(anomalies: Iterable[Anomaly], bar: Bar, since_ns: int | None = None) -> bool:
    """Whether these are an incident. since_ns: at least one of the symptoms that tell must end later."""
    by_series: dict[tuple[str, str], list[Anomaly]] = {}
    for anomaly in anomalies:
        kind = kind_of(anomaly)
        if kind in SYMPTOMS and beyond(anomaly) > 0:
            by_series.setdefault((kind, anomaly.series), []).append(anomaly)
    by_service: dict[str, list[float]] = {}
    new: set[str] = set()
    for (kind, _), windows in by_series.items():
        told = disjoint(windows)
        tells = bar.gauge_windows if kind in GAUGED else 1
        if len(told) < tells:
            continue
        is_new = since_ns is None or any(a.end_ns > since_ns for a in told)
        if is_new and told[tells - 1].p_value < bar.open_p:
            return True
        most = beyond(told[tells - 1]) if tells > 1 else math.inf
        for service in ends_of(told[0]):
            by_service.setdefault(service, []).append(sum(min(beyond(a), most) for a in told))
            if is_new:
                new.add(service)
    return any(sum(sorted(by_service[s])[-TOP_SERIES:]) >= bar.open_orders for s in new)
