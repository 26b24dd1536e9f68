"""Tails of classic histograms: the 99th percentile of what was counted since the sample before.

`X_bucket{le="0.5"}` counts what took at most half a second, so each bucket is a counter that grows with the number of
requests, and none of them says whether requests became slower; the mean (`_means.py`) hides a slow hundredth. So where
all buckets of a histogram have spoken the windower adds a gauge `X_p99` (`X.p99`) with the unit of X, interpolated
inside its bucket as `histogram_quantile` does: linearly, from zero in the lowest; in the bucket without an end it is
the last finite bound. A pane says nothing where fewer than a hundred were counted (then the 99th percentile is the
largest), where not all buckets spoke, or where one fell. In a longer window its mean is that of its panes.
Source: Prometheus, "Histograms and summaries", and `histogram_quantile`.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from schemas import SeriesDef, series_id
from schemas.core import F64, I64
from streams._remote_series import unit_of

QUANTILE, LEAST = 0.99, 100.0
MOST = 20_000
"""Histograms; the buckets of further ones are counters and nothing more."""
_ENDS = ("_bucket", ".bucket")


class Bucket(NamedTuple):
    bound: float
    row: int


class Ladders(NamedTuple):
    """Whole histograms, one after the other: rows and upper bounds of their buckets (k,), infinity last; where each
    begins and the row of its percentile, (h,)."""

    row: I64
    bound: F64
    start: I64
    target: I64


def is_bucket(series: SeriesDef) -> bool:
    """Whether it may be a bucket; looks only at what belongs to a trait."""
    return series.kind == "count" and not series.is_histogram and not series.is_event and series.name.endswith(_ENDS)


def bound_of(series: SeriesDef) -> float:
    """The upper bound of a bucket, NaN where it is none.

    >>> bound_of(SeriesDef(id="0" * 16, entity_id="d/service/a", service="a", name="x_bucket", labels={"le": "+Inf"}))
    inf
    """
    try:
        return float(series.labels.get("le", "nan"))
    except ValueError:
        return math.nan


def percentile_of(series: SeriesDef) -> SeriesDef:
    """The series that a bucket belongs to.

    >>> d = SeriesDef(id="0" * 16, entity_id="d/service/a", service="a", name="x_seconds_bucket", labels={"le": "1"})
    >>> percentile_of(d).name, percentile_of(d).unit, percentile_of(d).labels
    ('x_seconds_p99', 's', {})
    """
    base = series.name[: -len("_bucket")]
    name, labels = f"{base}{series.name[len(base)]}p99", {k: v for k, v in series.labels.items() if k != "le"}
    identity = series_id(series.tenant, series.entity_id, name, labels)
    return series.model_copy(
        update={
            "id": f"{identity:016x}", "name": name, "labels": labels, "unit": unit_of(base), "kind": "gauge",
            "temporality": "instant", "denominator": None,
        }
    )  # fmt: skip


@dataclass(slots=True)
class Histograms:
    """Buckets by the id of the percentile that they give."""

    buckets: dict[int, list[Bucket]] = field(default_factory=dict)
    targets: dict[int, int] = field(default_factory=dict)
    """Row of the percentile of those that are whole."""

    def add(self, row: int, series: SeriesDef) -> SeriesDef | None:
        """A bucket has spoken; the percentile, if its histogram is whole with it."""
        bound, percentile = bound_of(series), percentile_of(series)
        identity = int(percentile.id, 16)
        if math.isnan(bound) or (identity not in self.buckets and len(self.buckets) >= MOST):
            return None
        mine = self.buckets.setdefault(identity, [])
        mine.append(Bucket(bound, row))
        mine.sort()
        is_whole = len(mine) > 2 and mine[-1].bound == math.inf
        return percentile if is_whole and identity not in self.targets else None

    def ladders(self) -> Ladders:
        whole = sorted((target, self.buckets[identity]) for identity, target in self.targets.items())
        sizes = [len(buckets) for _, buckets in whole]
        flat = [bucket for _, buckets in whole for bucket in buckets]
        return Ladders(
            np.array([bucket.row for bucket in flat], np.int64), np.array([bucket.bound for bucket in flat]),
            np.cumsum([0, *sizes[:-1]]).astype(np.int64), np.array([target for target, _ in whole], np.int64),
        )  # fmt: skip


NO_LADDERS = Ladders(np.zeros(0, np.int64), np.zeros(0), np.zeros(0, np.int64), np.zeros(0, np.int64))


def percentiles(ladders: Ladders, increase: F64, seen: I64) -> F64:
    """The percentile of each histogram, float64 (h,), NaN where it says nothing. increase, seen (k,): of each bucket.

    >>> one = Ladders(np.arange(3), np.array([1.0, 2.0, np.inf]), np.array([0]), np.array([9]))
    >>> percentiles(one, np.array([90.0, 110.0, 110.0]), np.ones(3, np.int64)).round(3).tolist()
    [1.945]
    """
    start = ladders.start
    size = np.diff(start, append=len(ladders.row))
    last = start + size - 1
    whole = increase[last]
    rank = QUANTILE * whole
    with np.errstate(invalid="ignore", divide="ignore"):
        rises = np.ones(len(increase), np.bool_)
        rises[1:] = increase[1:] >= increase[:-1]
        rises[start] = True
        is_told = np.logical_and.reduceat(rises & (seen > 0), start) & (whole >= LEAST)
        at = start + np.minimum(np.add.reduceat(increase < np.repeat(rank, size), start), size - 1)
        below = np.maximum(at - 1, start)
        is_first = at == start
        upper, low_bound = ladders.bound[at], np.where(is_first, 0.0, ladders.bound[below])
        before = np.where(is_first, 0.0, increase[below])
        share = (rank - before) / (increase[at] - before)
        inside = low_bound + (upper - low_bound) * share
        found = np.where(np.isinf(upper), low_bound, np.where(is_first & (upper <= 0), upper, inside))
    return np.where(is_told, found, np.nan)


def parts_of(name: str, labels: Mapping[str, str]) -> Iterator[tuple[str, dict[str, str]]]:
    """Name and labels of the bucket that each classic histogram of a percentile of this name has, and of the count of
    any; none where it is none."""
    if name.endswith(("_p99", ".p99")):
        yield f"{name[:-3]}bucket", dict(sorted({**labels, "le": "+Inf"}.items()))
        yield f"{name[:-3]}count", dict(labels)
