"""Volume under the precision-recall surface of one series (VUS-PR): how well a score ranks, without a threshold.

Labels are widened on both sides by half a buffer with weights that fall off; the area under precision and recall is
averaged over buffers from 0 to 100 windows. Recall also counts which share of the events was met at all. Scores are
taken as they are: smearing a score over its neighbours doubles this figure and nothing else, so nothing is smeared.
Paparrizos et al., VLDB 2022; the details are those of the code of TSB-AD (250 thresholds, windows from the top).
"""

import numpy as np
from numpy.typing import NDArray

from bench.detection._series import events
from schemas.core import F64

WINDOW, THRESHOLDS = 100, 250


def vus_pr(y: NDArray[np.bool_], score: F64, window: int = WINDOW) -> float:
    """y bool (n,), score float64 (n,) where higher is more abnormal. 0 for a series without labelled windows.

    >>> y = np.zeros(1000, bool); y[500:520] = True
    >>> vus_pr(y, y.astype(float), window=0)
    1.0
    """
    stretches = list(events(y))
    if not stretches:
        return 0.0
    order = np.argsort(-score, kind="stable")
    ordered = score[order]
    cuts = np.linspace(0, len(score) - 1, THRESHOLDS).astype(int)
    # All windows that score at least as much as the one at the cut are taken.
    taken = np.searchsorted(-ordered, -ordered[cuts], side="right")
    rank = np.empty(len(score), np.int64)
    rank[order] = np.arange(len(score))
    inside = np.concatenate([[0], np.cumsum(y[order])])
    areas = []
    for buffer in range(window + 1):
        weight, widened = _widened(y, stretches, buffer)
        outside = np.concatenate([[0.0], np.cumsum(np.where(y, 0.0, weight)[order])])
        first = np.sort([rank[begin:end].min() for begin, end in widened])
        met = np.searchsorted(first, taken, side="left") / len(first)
        right = inside[taken] + outside[taken]
        there = (2 * y.sum() + outside[taken]) / 2
        recall = np.minimum(right / there, 1.0) * met
        areas.append(float(np.dot(np.diff(np.concatenate([[0.0], recall])), right / taken)))
    return float(np.mean(areas))


def _widened(y: NDArray[np.bool_], stretches: list[tuple[int, int]], buffer: int) -> tuple[F64, list[tuple[int, int]]]:
    """Weights 0 to 1 with slopes beside the events, and the stretches where they are above 0."""
    weight = y.astype(np.float64)
    for begin, end in stretches:
        after = np.arange(end, min(end + buffer // 2, len(y)))
        weight[after] += np.sqrt(1 - (after - end + 1) / max(buffer, 1))
        before = np.arange(max(begin - buffer // 2, 0), begin)
        weight[before] += np.sqrt(1 - (begin - before) / max(buffer, 1))
    weight = np.minimum(weight, 1.0)
    return weight, list(events(weight > 0))
