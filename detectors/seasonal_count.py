"""Seasonal-local residual of counts: the sum over a minute, two-sided. How it works: `_seasonal.py`.

A window of which some samples are missing or some time was not recorded has too small a sum; the sum is made whole
in proportion, and below one half there is no value.
"""

import numpy as np

from detectors._seasonal import Seasonal
from schemas import SeriesDef
from schemas.core import F64, WindowBlock

LEAST = 0.5


class SeasonalCount(Seasonal):
    """Things that happened, of the signal metrics, for example requests served or bytes sent."""

    kind = "seasonal_count"

    def accepts(self, series: SeriesDef) -> bool:
        return series.signal == "metrics" and series.kind == "count" and not series.is_histogram

    def value(self, block: WindowBlock) -> F64:
        whole = block.completeness * np.nan_to_num(block.recorded)
        return np.where(whole >= LEAST, block.total / np.maximum(whole, LEAST), np.nan)


PLUGIN = SeasonalCount
