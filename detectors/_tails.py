"""Tail probabilities that are never too small: a heavy-tailed Student t and the beta-binomial.

Operational series have outliers; a normal tail would call each of them a wonder. Student's t with 4 degrees of freedom
has a closed form that is exact to the last digits of tiny tails: with s = t / sqrt(4 + t^2) the upper tail is
(1 - s)^2 (2 + s) / 4. The beta-binomial is the predictive law of k of n when the share itself was only estimated.
"""

from collections.abc import Callable
from functools import lru_cache

import numpy as np

from schemas.core import F64

TERMS = 400
"""Terms of a beta-binomial tail that are summed; the rest is bounded by a geometric series."""
SMALLEST = 1e-300


def upper_t4(t: F64) -> F64:
    """P(T > t) of Student's t with 4 degrees of freedom; t float64 (n,), NaN gives NaN.

    >>> [float(round(v, 4)) for v in upper_t4(np.array([0.0, 2.7764]))]
    [0.5, 0.025]
    """
    square = 4.0 + t * t
    s = t / np.sqrt(square)
    rest = np.where(t > 0, 4.0 / (square * (1.0 + np.abs(s))), 1.0 - s)
    return np.asarray(0.25 * rest * rest * (2.0 + s))


def upper_t6(t: F64) -> F64:
    """P(T > t) with 6 degrees of freedom: lighter, for logarithms. Exact to about 1e-16, so not for tinier tails."""
    cosine = 6.0 / (6.0 + t * t)
    s = t / np.sqrt(6.0 + t * t)
    return np.asarray(np.clip(0.5 - 0.5 * s * (1.0 + cosine / 2.0 + 3.0 * cosine * cosine / 8.0), 1e-16, 1.0))


@lru_cache(256)
def cut_of(tail: Callable[[F64], F64], p: float) -> float:
    """A z below which `tail`, a decreasing function, is not below p: what lies nearer need not be asked.

    A millionth smaller than it might be, because a tail is computed with an error.
    """
    low, high = -1e12, 1e12
    for _ in range(200):
        middle = (low + high) / 2
        if tail(np.array([middle]))[0] > p:
            low = middle
        else:
            high = middle
    return low - 1e-6 * abs(low)


def small_sample_floor(windows: F64) -> F64:
    """The smallest p that so many learned windows can support: (windows + 1)^-5.

    A t tail with known scale knows nothing of how few windows gave that scale. The power 5 lets 30 windows reach
    4e-8 and 5 windows 1e-4, about what a normal sample of that size could tell at best; chosen, not tuned.
    """
    return np.asarray((windows + 1.0) ** -5.0)


def upper_beta_binomial(k: F64, n: F64, a: F64, b: F64) -> F64:
    """P(K >= k) for K beta-binomial(n, a, b), or a bound above it; all float64 (m,), n >= 0, a, b > 0.

    Where k lies within two standard deviations above its mean the answer is Cantelli's bound, which is larger than
    the truth and cheap; beyond it the sum is exact (k and n need not be whole: gamma functions interpolate).
    p = 1 where k is not above the mean.
    """
    p = np.ones(len(k))
    total = a + b
    mean = n * a / total
    variance = mean * (b / total) * (total + n) / (total + 1.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        z = np.where((k > mean) & (n > 0), (k - mean) / np.sqrt(np.maximum(variance, 1e-300)), 0.0)
    near = (z > 0) & (z < 2.0)
    p[near] = 1.0 / (1.0 + z[near] ** 2)
    far = np.flatnonzero(z >= 2.0)
    for start in range(0, len(far), 512):
        chosen = far[start : start + 512]
        p[chosen] = np.minimum(_sum_tail(k[chosen], n[chosen], a[chosen], b[chosen]), 1.0 / (1.0 + z[chosen] ** 2))
    return np.clip(p, SMALLEST, 1.0)


def _sum_tail(k: F64, n: F64, a: F64, b: F64) -> F64:
    """The sum of the probabilities of k, k + 1, ... n, vectorised; one row of terms for each entry."""
    from scipy.special import betaln, gammaln

    rest = np.maximum(n - k, 0.0)
    ways = gammaln(n + 1) - gammaln(k + 1) - gammaln(rest + 1)
    first = np.exp(ways + betaln(k + a, rest + b) - betaln(a, b))
    terms = int(min(TERMS, np.ceil(np.max(n - k)) + 1))
    if terms <= 1:
        return np.asarray(first)
    at = k[:, None] + np.arange(terms - 1)[None, :]
    left = np.maximum(n[:, None] - at, 0.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = left * (at + a[:, None]) / ((at + 1.0) * np.maximum(left - 1.0 + b[:, None], 1e-12))
    ratio = np.where(left >= 1.0, ratio, 0.0)
    steps = np.cumprod(ratio, axis=1)
    last = np.minimum(ratio[:, -1], 0.999)
    tail = 1.0 + steps.sum(axis=1) + steps[:, -1] * last / (1.0 - last)
    return np.asarray(first * tail)
