"""Latency of endpoints and self time of services that rose. See `_slower.py`. Blind to tails: it sees means only."""

from detectors._slower import Slower
from schemas import AnomalyKind, SeriesDef


class Latency(Slower):
    kind = "latency"
    anomaly: AnomalyKind = "latency"

    def accepts(self, series: SeriesDef) -> bool:
        return series.name in ("span.duration.mean", "span.self_time") and series.kind == "gauge"


PLUGIN = Latency
