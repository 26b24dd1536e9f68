"""Latency of an edge: how long a service takes for the calls of one caller. See `_slower.py`.

A callee that is slow for one caller only (its queries, its pool, its zone) shows in the mean of all callers once that
caller is most of them; on its edge it shows at once. What the network takes on top is `edge_gap`. Opt-in: spans become
these series only where it is asked for (`detection.also`).
"""

from detectors._slower import Slower
from schemas import AnomalyKind, SeriesDef


class EdgeLatency(Slower):
    """Time of the callee by caller and callee, from spans."""

    kind = "edge_latency"
    anomaly: AnomalyKind = "latency"
    is_optional = True

    def accepts(self, series: SeriesDef) -> bool:
        return series.name == "edge.duration" and series.kind == "gauge"


PLUGIN = EdgeLatency
