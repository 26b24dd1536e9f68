"""Seasonal-local residual of counts: the sum over a minute, two-sided. How it works: `_seasonal.py`.

A window of which some samples are missing or some time was not recorded has too small a sum; the sum is made whole
in proportion, and below one half there is no value.
"""

import numpy as np

from detectors._seasonal import Seasonal
from schemas import SeriesDef
from schemas.core import F64, WindowBlock

LEAST = 0.5
SUMS = ("_sum", ".sum")


class SeasonalCount(Seasonal):
    """Things that happened, of the signal metrics, for example requests served or bytes sent."""

    kind = "seasonal_count"

    def accepts(self, series: SeriesDef) -> bool:
        if series.signal != "metrics" or series.kind != "count" or series.is_histogram:
            return False
        if series.name.startswith("telemetry."):  # what came late has a detector of its own
            return False
        return not series.name.endswith(SUMS)  # a sum moves with how many it is the sum of: the mean is judged

    def value(self, block: WindowBlock) -> F64:
        whole = block.completeness * np.nan_to_num(block.recorded)
        return np.where(whole >= LEAST, block.total / np.maximum(whole, LEAST), np.nan)


PLUGIN = SeasonalCount
