"""From a score to a probability with an interval: applying a `CalibrationMap` that `learning/` fitted.

Two curves, because a ranker is worse at faults that it has never seen and does not know it: one fitted on incidents
whose fault family was among the confirmed ones, one on incidents whose family was left out. The second reads the odds
by weights that were never fitted: where a family was left out, those told right from wrong far better than the fitted
ones. How much a case resembles confirmed causes says where between the two it lies. The interval counts the outcomes
that were said with nearly the same confidence: a Beta posterior with Jeffreys' prior, two-sided 90 %. What is missing
takes from both ends.
Platt 1999; Brown, Cai & DasGupta 2001.
"""

import math
from bisect import bisect_left, bisect_right
from typing import NamedTuple

from schemas import CalibrationMap

LOWEST, HIGHEST = 0.02, 0.98  # nothing is certain, least of all with some hundred outcomes
NEIGHBOURS = 30
PER_MISSING = 0.75  # a signal that always spoke and is silent now: a quarter of the confidence
NOVEL_FROM = 0.3  # probability of being new from which it is said
NOVEL_BELOW = 0.5  # a case like no other is named all the same if that was right more often than not


class Standing(NamedTuple):
    """Of the first candidate. odds: natural log, against all others. likeness: to confirmed causes, 0 to 1.

    completeness: seen of due samples, 0 to 1. missing: signals that are silent and never were. plain: the odds by
    weights that were never fitted, or None where there are none.
    """

    odds: float
    likeness: float = 1.0
    completeness: float = 1.0
    missing: int = 0
    plain: float | None = None

    @property
    def unfitted(self) -> float:
        """What is gone by if the fault may be new."""
        return self.odds if self.plain is None else self.plain


def confidence_of(curve: CalibrationMap, standing: Standing) -> tuple[float, tuple[float, float]]:
    """Probability that the first candidate is the cause, and its two-sided 90 % interval; 12 digits.

    Never rises when completeness falls, a signal goes missing or the case is less like any that is confirmed.
    """
    known = knownness(curve, standing.likeness)
    value = _on(curve.method, curve.parameters, standing.odds)
    if known < 1 and curve.novel_parameters:
        value = known * value + (1 - known) * min(value, _on("platt", curve.novel_parameters, standing.unfitted))
    value = min(max(value, LOWEST), HIGHEST)
    low, high = _interval(curve, value)
    usual = curve.completeness or 1.0
    kept = min(max(standing.completeness, 0.0) / usual, 1.0) * PER_MISSING**standing.missing
    return _rounded(value * kept), (_rounded(min(low, value) * kept), _rounded(max(high, value) * kept))


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
        x = slope * odds + intercept
        return 1 / (1 + math.exp(-x)) if x > -700 else 0.0
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


def _rounded(value: float) -> float:
    return float(f"{min(max(value, 0.0), 1.0):.12g}")
