"""Rate of an edge: how often one service calls another, against the hour of the day. How it works: `_seasonal.py`.

A caller that goes elsewhere, or a retry storm, shows on its edge while the sum over all callers looks as ever. Opt-in:
edges are many, and the traffic of whole services is judged anyway.
"""

from detectors.seasonal_count import SeasonalCount
from schemas import SeriesDef


class EdgeRate(SeasonalCount):
    """Requests by caller and callee, from spans."""

    kind = "edge_rate"
    is_optional = True

    def accepts(self, series: SeriesDef) -> bool:
        return series.name == "edge.requests" and series.kind == "count"


PLUGIN = EdgeRate
