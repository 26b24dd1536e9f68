"""Seasonal-local residual of gauges: the mean over a minute, two-sided. How it works: `_seasonal.py`."""

from detectors._seasonal import Seasonal
from detectors._tail_online import SHARE
from schemas import SeriesDef
from schemas.core import F64, WindowBlock


class SeasonalLocal(Seasonal):
    """Levels of the signal metrics, for example a CPU usage or a success rate."""

    kind = "seasonal_local"
    continuous = SHARE

    def accepts(self, series: SeriesDef) -> bool:
        return series.signal == "metrics" and series.kind == "gauge" and not series.is_histogram

    def value(self, block: WindowBlock) -> F64:
        return block.mean


PLUGIN = SeasonalLocal
