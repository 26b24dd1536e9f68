"""Edge gap: what a call costs beyond the work of the callee, that is the network, queues and pools. See `_slower.py`.

The caller's duration minus the callee's, which neither service's own latency shows.
"""

from detectors._slower import Slower
from schemas import AnomalyKind, SeriesDef


class EdgeGap(Slower):
    kind = "edge_gap"
    anomaly: AnomalyKind = "edge_gap"
    emit_p = 0.005
    """Weaker than usual: a delay shows on all edges of a service, on each perhaps faintly."""

    def accepts(self, series: SeriesDef) -> bool:
        return series.name == "edge.gap" and series.kind == "gauge"


PLUGIN = EdgeGap
