"""Saturation: a share of something limited (processor, memory, pool) above nine tenths. See `_bound.py`. Opt-in."""

from detectors._bound import Bound
from detectors._own_tail import gauges
from schemas import SeriesDef

WORDS = ("utilization", "utilisation", "saturation", "usage_ratio", "used_ratio")


class Saturation(Bound):
    """Gauges in unit 1 whose name says that they are a share."""

    kind = "saturation"
    bound = 0.9

    def accepts(self, series: SeriesDef) -> bool:
        name = series.name.lower()
        return gauges(series) and series.unit == "1" and any(word in name for word in WORDS)


PLUGIN = Saturation
