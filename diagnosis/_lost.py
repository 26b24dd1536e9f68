"""Spans that are lost: how much of the calls around an incident was not seen, beyond what is usual there.

A request whose caller's span never came says that one was lost, and with it what it would have shown. That is no
symptom; what is concluded is believed less by that share, and the briefing names the services (detector
`span_orphans`).
"""

import math
from collections.abc import Iterable

from diagnosis._kinds import disjoint
from schemas import Anomaly, Unknown

LOST = "gap"
SPANS_LOST = "SPANS_LOST"


def lost_share(members: Iterable[Anomaly]) -> float:
    """Share of the calls of endpoints that miss callers of which a span is lost; 0 to 1, 12 digits.

    A request without its caller's span says that one span was lost, beyond the usual; of a call there are two, and
    the request whose own span is lost says nothing. So of calls whose callers are lost to a share r, (1 - r)^2 are
    whole.
    """
    told = _told(members)
    requests = sum(a.requests for a in told)
    lost = math.fsum(max(a.residual or 0.0, 0.0) for a in told)
    return float(f"{1 - (1 - min(lost / requests, 1.0)) ** 2:.12g}") if requests else 0.0


def lost_of(members: Iterable[Anomaly]) -> list[Unknown]:
    """The services of such endpoints, by name."""
    services = sorted({a.service for a in _told(members)})
    return [Unknown(subsystem="traces", query="span.orphans", service=s, reason=SPANS_LOST) for s in services]


def _told(members: Iterable[Anomaly]) -> list[Anomaly]:
    """Windows that do not overlap, of all series."""
    by_series: dict[str, list[Anomaly]] = {}
    for anomaly in members:
        if anomaly.kind == LOST and anomaly.requests:
            by_series.setdefault(anomaly.series, []).append(anomaly)
    return [a for _, windows in sorted(by_series.items()) for a in disjoint(windows)]
