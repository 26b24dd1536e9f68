"""Histogram data points to the one bucket grid of Tidegate: base 2, scale 3, eight buckets a doubling.

One grid, so histograms of all senders add up, over instances and over time. Bucket b holds (2^(b/8), 2^((b+1)/8)];
-32768 holds zeros, -32767 negative values. What a sender did not say is not invented: a coarse bucket goes whole
into one bucket, always the same one, so that differences of cumulative counts stay true.
Source: OpenTelemetry data model, exponential histograms (perfect subsetting: downscaling is a shift).
"""

import math
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Final

SCALE = 3
ZERO = -32768
NEGATIVE = -32767
LOWEST, HIGHEST = -32766, 32767
COUNT_MAX = 2**63 - 1
COARSEST_SCALE = -11  # at -11 one bucket spans all of float64; anything coarser means nothing

Buckets = dict[int, int]
"""bucket -> count, all counts > 0, clamped to 2^63 - 1."""


def bucket_of(value: float) -> int:
    """The bucket that holds a value; exact at the bucket bounds. Value may be anything but NaN.

    >>> bucket_of(1.0), bucket_of(1.01), bucket_of(2.0), bucket_of(0.0), bucket_of(-3.0)
    (-1, 0, 7, -32768, -32767)
    """
    if value <= 0:
        return ZERO if value == 0 else NEGATIVE
    if math.isinf(value):
        return HIGHEST
    fraction, exponent = math.frexp(value)  # value = fraction * 2^exponent, fraction in [0.5, 1)
    inside = bisect_left(_BOUNDS, fraction)
    return (exponent - 1) * 8 + inside - 1


def explicit_buckets(counts: Sequence[int], bounds: Sequence[float]) -> Buckets:
    """Counts between explicit bounds: each goes to the bucket that holds its upper bound.

    The bucket above the last bound has no upper bound: its count goes one bucket above the one of the last bound (of
    the value 1 if no bound is positive). A bucket that ends at 0 counts as zeros, below 0 as negative.
    counts (n + 1,) >= 0; bounds (n,) strictly increasing. Both empty is a histogram without buckets.
    Raises ValueError if they do not fit together.
    """
    if not counts and not bounds:
        return {}
    if len(counts) != len(bounds) + 1:
        raise ValueError(f"{len(counts)} bucket counts do not fit {len(bounds)} bounds, one more count is needed")
    if any(math.isnan(b) for b in bounds) or any(a >= b for a, b in pairwise(bounds)):
        raise ValueError("the bounds are not strictly increasing")
    finite = [bound for bound in bounds if 0 < bound < math.inf]
    above = bucket_of(finite[-1] if finite else 1.0) + 1
    uppers = [above if bound == math.inf else bucket_of(bound) for bound in bounds]
    return _merged(zip([*uppers, above], counts, strict=True))


def exponential_buckets(
    *, scale: int, zero: int, positive: Sequence[int], offset: int, negative: Sequence[int]
) -> Buckets:
    """Counts of an exponential histogram: finer scales are merged exactly, of coarser ones the middle bucket is taken.

    positive: counts of the buckets offset, offset + 1, ...; negative: counts, positions do not matter.
    Raises ValueError below scale -11, where one bucket would span everything.
    """
    if scale < COARSEST_SCALE:
        raise ValueError(f"scale {scale} is coarser than float64 is wide")
    if scale >= SCALE:
        shift = scale - SCALE
        cells = [((offset + i) >> shift, count) for i, count in enumerate(positive) if count]
    else:
        spread = SCALE - scale
        half = 1 << (spread - 1)
        cells = [(((offset + i) << spread) + half, count) for i, count in enumerate(positive) if count]
    clamped = [(min(max(bucket, LOWEST), HIGHEST), count) for bucket, count in cells]
    return _merged([(ZERO, zero), (NEGATIVE, sum(negative)), *clamped])


def _merged(cells: Iterable[tuple[int, int]]) -> Buckets:
    merged: Buckets = {}
    for bucket, count in cells:
        if count:
            merged[bucket] = min(merged.get(bucket, 0) + count, COUNT_MAX)
    return merged


_BOUNDS: Final[tuple[float, ...]] = tuple(2.0 ** ((k - 8) / 8) for k in range(8))
"""Lower bounds of the eight buckets of [0.5, 1], nearest float64; shared with every power of two above and below."""
