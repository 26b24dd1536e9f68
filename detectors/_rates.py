"""Did a rate change with this change of the system? A ratio of likelihoods that may be looked at whenever one likes.

Unchanged: k of the n requests since the change are negative binomial around what history, this load and the unchanged
cohort let expect. Changed: the same around x times that, x spread over a grid. The mixture of these over the unchanged
law is a martingale while nothing changed, so P(it ever exceeds 1 / p) <= p, however often one looks (Ville 1939;
Robbins 1970: mixture sequential probability ratio test; Grunwald, de Heide & Koolen 2024: e-values). Its inverse is p
here, and as all is counted anew at each look, p rises again when load or the cohort explains what was seen.

The cohort enters as in difference in differences: what rose by m with those that were not changed may have risen by m
here. Every doubt is a variance relative to the mean: how short history was, how much this rate wanders from half hour
to half hour (`drift`), what is not known of m, and load that history has not seen. Counts are divided by their clump
size (over-dispersion within minutes): McCullagh & Nelder 1989, section 4.5.
"""

import math
from typing import NamedTuple

import numpy as np

from schemas.core import F64

UP = np.exp(np.linspace(np.log(1.5), np.log(3000.0), 16))
DOWN = 1.0 / np.exp(np.linspace(np.log(1.4), np.log(30.0), 8))
"""Multiples of what is expected; log-uniform, because nothing is known of how bad a change may be."""
LEAST = 5.0
"""Fewer failed requests are no finding, whatever the ratio."""
COHORT_PRIOR = 5.0
"""Events' worth of belief that the unchanged did not move; chosen, not tuned."""


class Expectation(NamedTuple):
    """Columns float64 (n,). mean: events expected if unchanged, > 0. variance: relative, of that mean. clump: >= 1."""

    mean: F64
    variance: F64
    clump: F64


def p_of(log_ratio: F64) -> F64:
    """What the ratio is worth, whenever one stops to look: float64 (n,) in (0, 1]."""
    return np.asarray(np.exp(-np.clip(log_ratio, 0.0, 690.0)))


def p_of_one(log_ratio: float) -> float:
    """The same of one ratio."""
    return math.exp(-min(max(log_ratio, 0.0), 690.0))


def log_ratio(k: F64, expected: Expectation, grid: F64) -> F64:
    """Changed over unchanged, natural logarithm, (n,). k: events since the change. grid: `UP` or `DOWN`."""
    counted, mean = k / expected.clump, np.maximum(expected.mean, 1e-9) / expected.clump
    shape = 1.0 / np.maximum(expected.variance, 1e-4)
    base = _log_law(counted, mean, shape)
    changed = np.stack([_log_law(counted, mean * x, shape) for x in grid])
    top = changed.max(axis=0)
    return np.asarray(np.log(np.exp(changed - top).mean(axis=0)) + top - base)


def cohort_factor(k: F64, mean: F64) -> tuple[float, float]:
    """How the unchanged moved: m and the relative variance of what is known of it.

    k, mean: events and expected events of each unchanged service. The one that is furthest off is left out where there
    are three or more, or a fault elsewhere would excuse everything.
    """
    if len(k) >= 3:
        keep = np.arange(len(k)) != int(np.argmax(np.abs(k - mean) / np.sqrt(mean + 1.0)))
        k, mean = k[keep], mean[keep]
    known = COHORT_PRIOR + float(k.sum())
    return known / (COHORT_PRIOR + float(mean.sum())), 1.0 / known if len(k) else 0.0


def _log_law(k: F64, mean: F64, shape: F64) -> F64:
    """Log of the negative binomial, without what does not depend on the mean."""
    log: F64 = k * (np.log(mean) - np.log(mean + shape)) - shape * np.log1p(mean / shape)
    return log
