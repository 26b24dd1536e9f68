"""Alarm budgets: from a training stretch without labels, the surprise at which so many alarms a day are due.

An alarm is an onset: a surprise at the threshold after twenty quiet windows, or a further one that is three times rarer
than all of them, so a long event is one alarm unless it grows. The tail of surprises (-log10 p, or any logarithm of a
departure) is generalised Pareto. It is fitted to the rate of alarms itself, at thresholds that one window in a hundred,
in three hundred and in fifteen hundred would pass, less the faults of the stretch: where noise is hardly left, what
passes are faults, and those pass every nearer threshold, too. Nearer, the quiet windows hide alarms from each other.
That dead time is allowed for (without it the tail of pure noise comes out half again as heavy).

Rates over a threshold, declustered, and the law of their excess: Coles, An Introduction to Statistical Modeling of
Extreme Values, 2001, chapters 4 and 5. Dead time that every event extends: Feller, On probability problems in the
theory of counters, 1948. The online step that holds the rate under drift is the detectors' own
(`detectors/_tail_online.py`).
"""

from collections.abc import Iterable, Mapping

import numpy as np

from schemas import TailFit
from schemas.core import F64, Bool

QUIET = 20
GROWN = 0.5
"""Further surprise within `QUIET` windows that is an alarm of its own: a p three times smaller."""
NEAR, FAR, RARE = 1 / 100, 1 / 300, 1 / 1500
"""Alarms a window between whose thresholds the tail is fitted: the first two give its scale, the last its shape."""
FAINT, FAULTS_MOST = FAR / 30, FAR / 2
"""Where noise is that rare, what passes is taken for faults of the stretch, up to so many a window, and left out."""
SHAPE_MOST = 0.5
ROUNDS = 10
LEAST_ALARMS, LEAST_RATE = 20, 2 * FAR
GRID = 100


class TooShort(ValueError):
    """The stretch holds too few peaks to say anything of a rate."""

    code = "TAIL_TOO_SHORT"


def onsets(surprise: F64, threshold: float, *, quiet: int = QUIET, grown: float = GROWN) -> Bool:
    """Alarms of one series: bool (n,). surprise: float64 (n,), one a window in order, 0 where there is nothing to say.

    >>> onsets(np.array([0.0, 4.0, 4.2, 5.0, 0.0]), 3.0).tolist()
    [False, True, False, True, False]
    """
    recent = _recent(surprise, quiet)
    found: Bool = (surprise >= threshold) & (surprise > 0) & ((recent < threshold) | (surprise > recent + grown))
    return found


def fit_tail(detector: str, stretches: Mapping[str, F64], data: str) -> TailFit:
    """The tail that all these training stretches share, by name of the series, float64 (n,), without labels.

    exceedance_ratio: chance alarms a window at `threshold`. shape is 0 (exponential) to 0.5; scale is that of the
    surprise.
    Raises TooShort where fewer than 20 alarms stand between noise and faults.
    """
    every = np.concatenate([np.zeros(0), *stretches.values()])
    told = np.sort(every[every > 0])
    shares = np.logspace(np.log10(0.25), np.log10(FAINT / 10), GRID) * len(every)
    at = np.unique(told[np.clip(len(told) - shares.astype(int), 0, len(told) - 1)]) if len(told) else np.zeros(0)
    rate = _alarms(stretches.values(), at) / max(len(every), 1)
    if not len(at) or rate.max() * len(every) < LEAST_ALARMS or rate.max() <= LEAST_RATE:
        raise TooShort(
            f"Surprises of {detector}: {round(rate.max(initial=0.0) * len(every))} alarms at most in {len(every)} "
            f"windows of {len(stretches)} series, {max(LEAST_ALARMS, int(LEAST_RATE * len(every)) + 1)} are needed. "
            "Take a longer stretch, or write more of what the detector sees."
        )
    first = int(rate.argmax())
    at, rate = at[first:], _undisturbed(rate[first:])
    near = min(NEAR, float(rate[0]))
    threshold, scale, faults = 0.0, 0.0, 0.0
    for _ in range(ROUNDS):
        calm = np.maximum(rate - faults, 0.0)
        near = min(near, float(calm[0]))
        threshold = _crossing(at, calm, near)
        scale = (_crossing(at, calm, FAR) - threshold) / float(np.log(near / FAR))
        beyond = threshold + scale * float(np.log(near / FAINT))
        faults = min(max(float(np.interp(beyond, at, rate, right=0.0)) - FAINT, 0.0), FAULTS_MOST)
    shape = _shape((_crossing(at, calm, RARE) - threshold) / max(scale, 1e-9), near)
    return TailFit(
        detector=detector, threshold=threshold, shape=shape, scale=max(scale * _stretch(shape, near), 1e-9),
        exceedance_ratio=_disturbed(near), data=data, fitted_on=sorted(stretches),
    )  # fmt: skip


def _excess(shape: float, ratio: float) -> float:
    """How far out the rate is `ratio` times lower, in scales."""
    return float(np.log(ratio)) if shape < 1e-6 else (ratio**shape - 1.0) / shape


def _stretch(shape: float, near: float) -> float:
    """The scale of this shape for that of an exponential tail through the same two points."""
    return float(np.log(near / FAR)) / _excess(shape, near / FAR)


def _shape(reach: float, near: float) -> float:
    """The shape with which the rate is `RARE` this far out, in exponential scales between `near` and `FAR`."""
    low, high = 0.0, SHAPE_MOST
    for _ in range(40):
        middle = (low + high) / 2
        if _excess(middle, near / RARE) * _stretch(middle, near) < reach:
            low = middle
        else:
            high = middle
    return low if low > 1e-6 else 0.0


def _recent(surprise: F64, quiet: int) -> F64:
    """The largest of the `quiet` windows before each."""
    if not len(surprise):
        return np.zeros(0)
    before = np.concatenate([np.full(quiet, -np.inf), surprise])[:-1]
    return np.asarray(np.lib.stride_tricks.sliding_window_view(before, quiet).max(axis=1))


def _alarms(stretches: Iterable[F64], at: F64) -> F64:
    """How many windows are `onsets` at each of these thresholds: a window is one from what it must exceed to itself."""
    least, most = [np.zeros(0)], [np.zeros(0)]
    for surprise in stretches:
        recent = _recent(surprise, QUIET)
        bound = np.where(surprise > recent + GROWN, 0.0, np.maximum(recent, 0.0))
        is_alarm = surprise > bound
        least.append(bound[is_alarm])
        most.append(surprise[is_alarm])
    began, ended = (np.searchsorted(np.sort(np.concatenate(ends)), at) for ends in (least, most))
    return np.asarray(began - ended, np.float64)


def _undisturbed(rate: F64) -> F64:
    """The rate of events of which these alarms are seen, if each one hides those of the `QUIET` windows behind it.

    rate = events * exp(-events * QUIET), solved for its smaller root; at most 1 / QUIET.
    """
    events = rate.copy()
    for _ in range(100):
        events = np.minimum(rate * np.exp(events * QUIET), 1.0 / QUIET)
    return events


def _disturbed(events: float) -> float:
    """Alarms that are seen of so many events a window: the inverse of `_undisturbed`."""
    return events * float(np.exp(-events * QUIET))


def _crossing(at: F64, rate: F64, wanted: float) -> float:
    """The largest threshold that this rate still passes, between points of the grid by the logarithm of the rate."""
    last = int(np.flatnonzero(rate >= wanted)[-1])
    if last + 1 == len(at):
        return float(at[last])
    here, there = np.log(rate[last]), np.log(max(rate[last + 1], 1e-12))
    return float(at[last] + (here - np.log(wanted)) / max(here - there, 1e-12) * (at[last + 1] - at[last]))


def alarms_due(fit: TailFit, surprise: float) -> float:
    """Chance alarms a window at this threshold; at most those at the fit's own."""
    out = max(surprise - fit.threshold, 0.0) / fit.scale
    rarer = np.exp(-out) if fit.shape < 1e-6 else (1.0 + fit.shape * out) ** (-1.0 / fit.shape)
    return _disturbed(_events(fit) * float(rarer))


def surprise_for(fit: TailFit, per_window: float) -> float:
    """The threshold at which so many alarms a window are due; never below the fit's own, which more cannot reach.

    Raises ValueError if `per_window` is not above 0.
    """
    if not per_window > 0:
        raise ValueError(f"a budget of {per_window:g} alarms a window: it must be above 0.")
    events = float(_undisturbed(np.array([min(per_window, 1.0)]))[0])
    return fit.threshold + fit.scale * _excess(fit.shape, max(_events(fit) / events, 1.0))


def _events(fit: TailFit) -> float:
    return float(_undisturbed(np.array([fit.exceedance_ratio]))[0])
