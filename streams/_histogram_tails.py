"""The 99th percentile of histograms that come whole: of OpenTelemetry, and native ones of Prometheus.

Beside `_quantiles.py`, which has it from the counters of classic ones. Here the buckets of a pane are at hand already,
on the grid of `_buckets.py`; between the upper end of the bucket that the rank lies in, and that of the next lower one
that holds anything, it is interpolated linearly. The lower ends of coarse buckets are not kept, so where buckets in
between are empty it lies too low; the same way every time. Fewer than a hundred in a pane say nothing.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from schemas import SeriesDef, series_id
from schemas.core import F64, U64, HistogramBlock
from streams._buckets import NEGATIVE
from streams._quantiles import LEAST, QUANTILE


class Tails(NamedTuple):
    """Percentiles of one pane: ids uint64 (h,) of histograms, values float64 (h,)."""

    ids: U64
    value: F64


class Place(NamedTuple):
    """Rows of the percentile of a histogram, and of its count, whose cadence it has."""

    target: int
    number: int


@dataclass(slots=True)
class Told:
    """Percentiles by start of a pane that closes next, and where they lie by id of the histogram; not in a snapshot."""

    panes: dict[int, tuple[Tails, Callable[[int], SeriesDef]]] = field(default_factory=dict)
    places: dict[int, Place] = field(default_factory=dict)


def tails_of(block: HistogramBlock) -> Tails:
    """Of each histogram of which at least a hundred were counted in the pane.

    >>> ids, row, bucket = np.array([7], np.uint64), np.zeros(2, np.int64), np.array([-1, 7], np.int16)
    >>> tails_of(HistogramBlock(0, 10, ids, row, bucket, np.array([90, 110]))).value.round(3).tolist()
    [1.982]
    """
    start = np.flatnonzero(np.diff(block.row, prepend=-1))
    size = np.diff(start, append=len(block.row))
    count = block.count.astype(np.float64)
    done = np.cumsum(count)
    before = np.repeat(done[start] - count[start], size)
    inside = done - before
    whole = inside[start + size - 1]
    rank = QUANTILE * whole
    at = start + np.minimum(np.add.reduceat(inside < np.repeat(rank, size), start), size - 1)
    upper = np.where(block.bucket <= NEGATIVE, 0.0, np.exp2((block.bucket.astype(np.float64) + 1) / 8))
    is_first = at == start
    low = np.where(is_first, 0.0, upper[np.maximum(at - 1, 0)])
    share = (rank - (inside[at] - count[at])) / count[at]
    value = low + (upper[at] - low) * share
    told = whole >= LEAST
    return Tails(block.series[block.row[start[told]]], value[told])


def percentile_of(histogram: SeriesDef, row_of: Callable[[int], int]) -> tuple[SeriesDef, int] | None:
    """The percentile of a histogram and the row of its count; None if no count of it has spoken."""
    for mark in (".", "_"):
        count, p99 = (
            series_id(histogram.tenant, histogram.entity_id, f"{histogram.name}{mark}{end}", histogram.labels)
            for end in ("count", "p99")
        )
        number = row_of(count)
        if number >= 0:
            changes = {
                "id": f"{p99:016x}", "name": f"{histogram.name}{mark}p99", "kind": "gauge", "temporality": "instant",
                "is_histogram": False, "denominator": None,
            }  # fmt: skip
            return histogram.model_copy(update=changes), number
    return None
