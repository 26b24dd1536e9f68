"""Is a new version slower than the old one beside it? Three answers, and the third is honest.

Both sides are counted from the same start, after a warm-up, so that cold caches and the hour of the day are on both.
`worse`: the distributions differ (two-sample Kolmogorov-Smirnov on log buckets, p below 1 % shared among all tests),
the 99th percentile is at least a fifth higher, and its lower bound is above that of the old version. `not_worse`: even
the upper bound of its rise is below a fifth. Anything else, and too few requests, is `inconclusive`.
Looks are at fixed ages of the canary and share the 1 %, so looking often finds nothing that is not there.
Source: Kolmogorov-Smirnov with its asymptotic law (conservative on buckets, Noether 1963); bounds of a quantile from
order statistics (David & Nagaraja 2003, section 7.1); Bonferroni.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from schemas.core import F64, I64, NS

Verdict = Literal["worse", "not_worse", "inconclusive"]
Buckets = Mapping[int, int]
"""Bucket of the common grid (base 2, eight a doubling; see `HistogramBlock`) to count."""

LOOKS_S = (120.0, 300.0, 900.0, 1800.0, 3600.0)
"""Ages of the canary, after its warm-up, at which it is judged."""
ZERO, NEGATIVE = -32768, -32767


@dataclass(frozen=True, slots=True)
class CanaryRule:
    """p: of all tests of a change together. rise: of the 99th percentile. least: requests on each side."""

    p: float = 0.01
    rise: float = 0.2
    least: int = 500
    quantile: float = 0.99
    confidence: float = 0.95
    warm_up_s: float = 60.0


@dataclass(frozen=True, slots=True)
class Judged:
    """reason: KS_AND_P99, BOUND_BELOW_RISE, TOO_FEW, NO_BASELINE, NOT_SHOWN. Quantiles in the unit of the series, NaN
    where there is nothing; interval: of the ratio of both.
    """

    verdict: Verdict
    reason: str
    p: float
    baseline: float
    canary: float
    interval: tuple[float, float]
    n: tuple[int, int]


def judge(baseline: Buckets, canary: Buckets, tests: int = 1, rule: CanaryRule | None = None) -> Judged:
    """One look. tests: how many endpoints times looks share `rule.p`; at least 1."""
    rule = rule or CanaryRule()
    n = sum(baseline.values()), sum(canary.values())
    nothing = (float("nan"), float("nan"))
    if not n[0]:
        return Judged("inconclusive", "NO_BASELINE", 1.0, *nothing, nothing, n)
    if min(n) < rule.least:
        return Judged("inconclusive", "TOO_FEW", 1.0, *nothing, nothing, n)
    buckets, counts = _aligned(baseline, canary)
    shares = np.cumsum(counts, axis=1) / np.array(n)[:, None]
    distance = float(np.abs(shares[0] - shares[1]).max())
    from scipy.special import kolmogorov

    p = float(kolmogorov(distance * np.sqrt(n[0] * n[1] / (n[0] + n[1]))))
    old, new = (_quantiles(buckets, counts[i], rule) for i in (0, 1))
    ratio = tuple(_ratio(a, b) for a, b in ((new[1], old[2]), (new[0], old[0]), (new[2], old[1])))
    interval = ratio[0], ratio[2]
    if p < rule.p / max(tests, 1) and ratio[1] >= 1 + rule.rise and ratio[0] > 1:
        return Judged("worse", "KS_AND_P99", p, old[0], new[0], interval, n)
    if ratio[2] < 1 + rule.rise:
        return Judged("not_worse", "BOUND_BELOW_RISE", p, old[0], new[0], interval, n)
    return Judged("inconclusive", "NOT_SHOWN", p, old[0], new[0], interval, n)


def looks(start_ns: int, until_ns: int, rule: CanaryRule | None = None) -> list[int]:
    """When a canary that began at `start_ns` is judged, up to `until_ns`."""
    begin = start_ns + round((rule or CanaryRule()).warm_up_s * NS)
    return [at for age in LOOKS_S if (at := begin + round(age * NS)) <= until_ns]


def _aligned(one: Buckets, other: Buckets) -> tuple[I64, I64]:
    """Buckets in the order of their values, zeros between negative and positive ones; counts int64 (2, n)."""
    buckets = sorted({*one, *other}, key=_value)
    return np.array(buckets, np.int64), np.array([[side.get(b, 0) for b in buckets] for side in (one, other)], np.int64)


def _value(bucket: int) -> float:
    """The upper bound of a bucket."""
    if bucket in (ZERO, NEGATIVE):
        return 0.0 if bucket == ZERO else -1.0
    return float(2.0 ** ((bucket + 1) / 8))


def _quantiles(buckets: I64, counts: I64, rule: CanaryRule) -> tuple[float, float, float]:
    """The quantile, and bounds that hold it with `rule.confidence`, between the bounds of a bucket on a log scale."""
    from scipy.special import bdtrik

    n, tail = int(counts.sum()), (1 - rule.confidence) / 2
    low, high = (np.ceil(bdtrik(p, n, rule.quantile)) for p in (tail, 1 - tail))  # quantiles of the binomial
    ranks = rule.quantile * n, low, high + 1
    cumulated: F64 = np.cumsum(counts).astype(np.float64)
    return tuple(_at(buckets, counts, cumulated, min(max(float(rank), 0.0), float(n))) for rank in ranks)  # type: ignore[return-value]


def _at(buckets: I64, counts: I64, cumulated: F64, rank: float) -> float:
    i = int(np.searchsorted(cumulated, rank, side="left"))
    i = min(i, len(buckets) - 1)
    bucket = int(buckets[i])
    if bucket in (ZERO, NEGATIVE):
        return _value(bucket)
    inside = 1 - (float(cumulated[i]) - rank) / max(float(counts[i]), 1.0)
    return float(2.0 ** ((bucket + min(max(inside, 0.0), 1.0)) / 8))


def _ratio(new: float, old: float) -> float:
    return new / old if old > 0 else float("inf") if new > 0 else 1.0
