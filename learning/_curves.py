"""How good confidences were, with how sure that is: bins, ECE and Brier score, risk by coverage.

Every number has an interval, because a tenant has dozens of outcomes and not thousands: a bootstrap over outcomes for
ECE and Brier score, Clopper & Pearson (1934) for shares. Risk by coverage: El-Yaniv & Wiener 2010.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from learning._calibrate import Reliability, reliability, risk_coverage

DRAWS = 500
GATE = 0.8


class Share(NamedTuple):
    """value: of right ones among `n`, with its two-sided 95 % interval; all 0 to 1."""

    value: float
    low: float
    high: float
    n: int


class Bin(NamedTuple):
    """said: mean confidence. right: share right."""

    said: float
    right: Share


class Risk(NamedTuple):
    """coverage: share of incidents that are named at all. wrong: share wrong among those. least: lowest confidence."""

    coverage: float
    wrong: Share
    least: float


class Curves(NamedTuple):
    """brier_interval: two-sided 95 %. gate: of those said with at least `GATE`."""

    reliability: Reliability
    brier_interval: tuple[float, float]
    bins: tuple[Bin, ...]
    risks: tuple[Risk, ...]
    gate: Share
    gate_coverage: float


def share_of(right: int, n: int) -> Share:
    """With the exact interval of Clopper and Pearson; nothing is known of none.

    >>> share_of(0, 0)
    Share(value=0.0, low=0.0, high=1.0, n=0)
    """
    from scipy.special import betaincinv

    low = float(betaincinv(right, n - right + 1, 0.025)) if right else 0.0
    high = float(betaincinv(right + 1, n - right, 0.975)) if right < n else 1.0
    return Share(right / n if n else 0.0, low, high, n)


def curves(confidence: Sequence[float], is_right: Sequence[bool]) -> Curves:
    """Raises ValueError without any."""
    told = reliability(confidence, is_right, draws=DRAWS)
    p, y = np.asarray(confidence, np.float64), np.asarray(is_right, np.float64)
    rng = np.random.default_rng(20260101)  # a fixed seed: the same interval every time
    drawn = rng.integers(0, len(p), (DRAWS, len(p)))
    low, high = np.quantile(((p[drawn] - y[drawn]) ** 2).mean(axis=1), [0.025, 0.975])
    bins = tuple(Bin(said, share_of(round(right * n), n)) for said, right, n in told.bins)
    risks = []
    ordered = sorted(confidence, reverse=True)
    for covered, wrong in risk_coverage(confidence, is_right):
        n = round(covered * len(p))
        risks.append(Risk(covered, share_of(round(wrong * n), n), float(ordered[n - 1])))
    passed = p >= GATE
    gate = share_of(int(y[passed].sum()), int(passed.sum()))
    return Curves(told, (float(low), float(high)), bins, tuple(risks), gate, float(passed.mean()))
