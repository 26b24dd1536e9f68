"""A statistic and its tail in the series' own history: what trend and variance share.

How large a slope or a burst of restlessness is rare differs from series to series more than any law says, so p is the
share of its own past windows that went as far (`_tail_online.py`), and 1 until ten clusters of them were seen.
"""

import numpy as np

from detectors._contract import State
from detectors._tail_online import is_known, upper
from schemas import SeriesDef
from schemas.core import F64, Bool


def gauges(series: SeriesDef) -> bool:
    """Gauges of the signal metrics."""
    return series.signal == "metrics" and series.kind == "gauge" and not series.is_histogram


def p_of(state: State, size: F64, told: Bool) -> F64:
    """p in (0, 1]; 1 below the threshold of the tail, where it is not known, and where nothing is told."""
    p = np.where(told & is_known(state) & (size > state["tail_at"]), upper(state, size), 1.0)
    return np.clip(p, 1e-300, 1.0)
