"""From a score to a probability with an interval: applying a `CalibrationMap` that `learning/` fitted.

Two curves, because a ranker is worse at faults that it has never seen and does not know it: one fitted on incidents
whose fault family was among the confirmed ones, one on incidents whose family was left out. The second reads the odds
by weights that were never fitted: where a family was left out, those told right from wrong far better than the fitted
ones. How much a case resembles confirmed causes says where between the two it lies. The interval counts the outcomes
that were said with nearly the same confidence: a Beta posterior with Jeffreys' prior, two-sided 90 %; nothing is said
with more confidence than such outcomes, or less certain ones, were right. What is missing takes from both ends.
Platt 1999; Kull, Silva Filho & Flach 2017; Brown, Cai & DasGupta 2001.
"""

import math
from bisect import bisect_left, bisect_right
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from schemas import CalibrationMap

LOWEST, HIGHEST = 0.02, 0.98  # nothing is certain, least of all with some hundred outcomes
NEIGHBOURS = 30
PER_MISSING = 0.75  # a signal that always spoke and is silent now: a quarter of the confidence
NOVEL_FROM = 0.3  # probability of being new from which it is said
NOVEL_BELOW = 0.5  # a case like no other is named all the same if that was right more often than not


class Standing(NamedTuple):
    """Of the first candidate. odds: natural log, against all others. likeness: to confirmed causes, 0 to 1.

    completeness: seen of due samples, 0 to 1. missing: signals that are silent and never were. plain: the odds by
    weights that were never fitted, or None where there are none. lost: share of calls of which spans are lost.
    unheard: how far services whose metrics are silent matter, in signals that went missing.
    """

    odds: float
    likeness: float = 1.0
    completeness: float = 1.0
    missing: int = 0
    plain: float | None = None
    lost: float = 0.0
    unheard: float = 0.0

    @property
    def unfitted(self) -> float:
        """What is gone by if the fault may be new."""
        return self.odds if self.plain is None else self.plain


def confidence_of(curve: CalibrationMap, standing: Standing) -> tuple[float, tuple[float, float]]:
    """Probability that the first candidate is the cause, and its two-sided 90 % interval; 12 digits.

    Never rises when completeness falls, spans are lost, a signal goes missing, a service falls silent or the case is
    less like any that is confirmed.
    """
    known = knownness(curve, standing.likeness)
    value = as_if_known(curve, standing.odds)
    if known < 1 and curve.novel_parameters:
        value = known * value + (1 - known) * min(value, _on("platt", curve.novel_parameters, standing.unfitted))
    value = min(max(value, LOWEST), HIGHEST)
    low, high = _interval(curve, value)
    value = _as_held(curve, value)
    usual = curve.completeness or 1.0
    kept = min(max(standing.completeness, 0.0) / usual, 1.0) * PER_MISSING ** (
        standing.missing + max(standing.unheard, 0.0)
    )
    kept *= 1 - min(max(standing.lost, 0.0), 1.0)
    return _rounded(value * kept), (_rounded(min(low, value) * kept), _rounded(max(high, value) * kept))


def as_if_known(curve: CalibrationMap, odds: float) -> float:
    """What the curve of known families says of these odds."""
    if len(curve.beta_parameters) != 3:
        return _on(curve.method, curve.parameters, odds)
    below, above, intercept = curve.beta_parameters
    return _sigmoid(below * _log_sigmoid(odds) - above * _log_sigmoid(-odds) + intercept)


def knownness(curve: CalibrationMap, likeness: float) -> float:
    """Probability that the fault is of a family that is confirmed already, by its likeness to confirmed causes."""
    if len(curve.novelty_parameters) != 2:
        return 1.0
    return 1.0 - _on("platt", curve.novelty_parameters, likeness)


def is_novel(curve: CalibrationMap, standing: Standing) -> bool:
    """Whether the case is hardly like any that is confirmed, and what is named in such cases is mostly wrong."""
    is_new = knownness(curve, standing.likeness) <= 1 - NOVEL_FROM
    return is_new and confidence_of(curve, standing)[0] < NOVEL_BELOW


def _on(method: str, parameters: list[float], odds: float) -> float:
    if method == "platt":
        slope, intercept = parameters
        return _sigmoid(slope * odds + intercept)
    half = len(parameters) // 2
    xs, ys = parameters[:half], parameters[half:]
    at = bisect_left(xs, odds)
    if at == 0:
        return ys[0]
    if at == half:
        return ys[-1]
    share = (odds - xs[at - 1]) / (xs[at] - xs[at - 1]) if xs[at] > xs[at - 1] else 1.0
    return ys[at - 1] + share * (ys[at] - ys[at - 1])


def _interval(curve: CalibrationMap, value: float) -> tuple[float, float]:
    """From the outcomes whose confidence was nearest; without outcomes everything is possible."""
    from scipy.special import betaincinv

    if not curve.scored:
        return 0.0, 1.0
    size = min(NEIGHBOURS, max(len(curve.scored) // 2, 1))
    at = (bisect_left(curve.scored, value) + bisect_right(curve.scored, value)) // 2  # the middle of equal ones
    begin = min(max(at - size // 2, 0), len(curve.scored) - size)
    right = sum(curve.right[begin : begin + size])
    a, b = right + 0.5, size - right + 0.5
    return float(betaincinv(a, b, 0.05)), float(betaincinv(a, b, 0.95))


def _as_held(curve: CalibrationMap, value: float) -> float:
    """The confidence, but no more than the share right (Jeffreys' mean) of the outcomes nearest to it, or to any less
    certain one: so that it never falls where the curve rises."""
    if not curve.scored:
        return value
    scored, right = np.array(curve.scored), np.r_[0, np.cumsum(curve.right)]
    said = np.r_[scored[scored < value], value]
    size = min(NEIGHBOURS, max(len(scored) // 2, 1))
    left, after = (np.asarray(np.searchsorted(scored, said, side), np.int64) for side in ("left", "right"))
    held = np.maximum(_share(right, left, size), _share(right, (left + after) // 2, size))
    return float(np.minimum(said, held).max())


def _share(right: NDArray[np.int64], at: NDArray[np.int64], size: int) -> NDArray[np.float64]:
    """right: how many of the first outcomes were. Of `size` outcomes around each place."""
    begin = np.clip(at - size // 2, 0, len(right) - 1 - size)
    return np.asarray((right[begin + size] - right[begin] + 0.5) / (size + 1), np.float64)


def _sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x > -700 else 0.0


def _log_sigmoid(x: float) -> float:
    return -math.log1p(math.exp(-x)) if x > 0 else x - math.log1p(math.exp(x))


def _rounded(value: float) -> float:
    return float(f"{min(max(value, 0.0), 1.0):.12g}")
