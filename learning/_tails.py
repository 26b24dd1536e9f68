"""Alarm budgets: from a training stretch without labels, the surprise at which so many alarms a day are due.

An alarm is an onset: a surprise at the threshold after twenty quiet windows, or a further one that is three times rarer
than all of them, so a long event is one alarm unless it grows. The tail of surprises (-log10 p, or any logarithm of a
departure) is taken as exponential. It is fitted to the rate of alarms itself, between thresholds that one window in a
hundred and one in three hundred would pass: training stretches hold real faults, and further out those are most of what
there is; nearer the quiet windows hide alarms from each other. That dead time is allowed for (without it the tail of
pure noise comes out half again as heavy).

Rates over a threshold, declustered: Coles, An Introduction to Statistical Modeling of Extreme Values, 2001, chapters 4
and 5. Dead time that every event extends: Feller, On probability problems in the theory of counters, 1948. The online
step that holds the rate under drift is the detectors' own (`detectors/_tail_online.py`).
"""

from collections.abc import Iterable, Mapping

import numpy as np

from schemas import TailFit
from schemas.core import F64, Bool

QUIET = 20
GROWN = 0.5
"""Further surprise within `QUIET` windows that is an alarm of its own: a p three times smaller."""
NEAR, FAR = 1 / 100, 1 / 300
"""Alarms a window between whose thresholds the tail is fitted."""
FAINT, FAULTS_MOST = FAR / 10, FAR / 2
"""Where noise is that rare, what passes is taken for faults of the stretch, up to so many a window, and left out."""
ROUNDS = 10
LEAST_ALARMS, LEAST_RATE = 20, 2 * FAR
GRID = 50


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

    exceedance_ratio: chance alarms a window at `threshold`. shape is 0 (exponential); scale is that of the surprise.
    Raises TooShort where fewer than 20 alarms stand between noise and faults.
    """
    every = np.concatenate([np.zeros(0), *stretches.values()])
    told = np.sort(every[every > 0])
    shares = np.logspace(np.log10(0.25), np.log10(FAR / 10), GRID) * len(every)
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
    return TailFit(
        detector=detector, threshold=threshold, shape=0.0, scale=max(scale, 1e-9), exceedance_ratio=near, data=data,
        fitted_on=sorted(stretches),
    )  # fmt: skip


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


def _crossing(at: F64, rate: F64, wanted: float) -> float:
    """The largest threshold that this rate still passes, between points of the grid by the logarithm of the rate."""
    last = int(np.flatnonzero(rate >= wanted)[-1])
    if last + 1 == len(at):
        return float(at[last])
    here, there = np.log(rate[last]), np.log(max(rate[last + 1], 1e-12))
    return float(at[last] + (here - np.log(wanted)) / max(here - there, 1e-12) * (at[last + 1] - at[last]))


def alarms_due(fit: TailFit, surprise: float) -> float:
    """Chance alarms a window at this threshold; at most those at the fit's own."""
    return fit.exceedance_ratio * float(np.exp(-max(surprise - fit.threshold, 0.0) / fit.scale))


def surprise_for(fit: TailFit, per_window: float) -> float:
    """The threshold at which so many alarms a window are due; never below the fit's own, which more cannot reach.

    Raises ValueError if `per_window` is not above 0.
    """
    if not per_window > 0:
        raise ValueError(f"a budget of {per_window:g} alarms a window: it must be above 0.")
    return fit.threshold + fit.scale * max(float(np.log(fit.exceedance_ratio / per_window)), 0.0)
