"""What alarms are worth on labelled series: counts a series, then one figure over all of them, with its interval.

An alarm is an onset: one window. It is right within a labelled event or one window beside it, else false. F1 of alarms
counts found events against missed ones and false alarms. F1 at delay 7 (the rule of the KPI-2018 contest): an event
counts all its windows if an alarm came within its first eight, else none; every alarm outside events is a false window.
F1 of events counts floor(log3(windows + 3)) for an event, one for an alarm outside (EasyTSAD, mode log). No figure
takes alarms for right that lie elsewhere, so none is of the point-adjusted kind for which noise scores 0.9.

Intervals are bootstraps over series. The chance level is that of as many alarms at random moments of the same series.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import chi2

from bench.detection._series import Labelled, events
from schemas.core import NS

DELAY = 7
DRAWS = 2000


class Counts(NamedTuple):
    """Of the test part of one series. weight: of its events in the F1 of events."""

    days: float
    events: int
    found: int
    false: int
    windows: int
    windows_in_time: int
    alarmed_outside: int
    weight: float
    weight_found: float
    delay_s: float
    """Summed over found events, from their first window."""


def counts(one: Labelled, alarms: NDArray[np.bool_]) -> Counts:
    """alarms: bool (n,), onsets in all windows of the series; only those of the test part count."""
    y, alarmed = one.y[one.first :], alarms[one.first :]
    near = y.copy()
    found = in_time = n = windows = 0
    weight = weight_found = delay = 0.0
    for begin, end in events(y):
        n, windows = n + 1, windows + end - begin
        near[max(begin - 1, 0) : end + 1] = True
        worth = float(np.floor(np.log(end - begin + 3) / np.log(3)))
        weight += worth
        weight_found += worth * bool(alarmed[begin:end].any())
        in_time += (end - begin) * bool(alarmed[begin : min(end, begin + DELAY + 1)].any())
        hits = np.flatnonzero(alarmed[max(begin - 1, 0) : end + 1])
        if len(hits):
            found += 1
            delay += max(int(hits[0]) - (begin - max(begin - 1, 0)), 0) * one.step_ns / NS
    false = int((alarmed & ~near).sum())
    outside = int((alarmed & ~y).sum())
    return Counts(one.test_days, n, found, false, windows, in_time, outside, weight, weight_found, delay)


def alarm_f1(c: Counts) -> float:
    return _f1(c.found, c.false, c.events)


def f1_delay7(c: Counts) -> float:
    return _f1(c.windows_in_time, c.alarmed_outside, c.windows)


def event_f1_log(c: Counts) -> float:
    return _f1(c.weight_found, c.alarmed_outside, c.weight)


def false_alarms_per_day(c: Counts) -> float:
    return c.false / max(c.days, 1e-9)


def delay_min(c: Counts) -> float | None:
    """Mean over found events; None if none was."""
    return c.delay_s / c.found / 60 if c.found else None


def recall(c: Counts) -> float:
    return c.found / c.events if c.events else 0.0


def _f1(right: float, false: float, there: float) -> float:
    """right of `there` found, besides `false` others."""
    return 2 * right / (right + false + there) if right else 0.0


def together(parts: Sequence[Counts]) -> Counts:
    """The sum over series."""
    return Counts(*(sum(column) for column in zip(*parts, strict=True)))


def interval(parts: Sequence[Counts], figure: Callable[[Counts], float]) -> list[float]:
    """95% of a figure, series drawn again with replacement."""
    table = np.array(parts)
    draws = np.random.default_rng(7).integers(0, len(parts), (DRAWS, len(parts)))
    found = [figure(Counts(*row)) for row in table[draws].sum(axis=1)]
    return [float(bound) for bound in np.nanquantile(found, (0.025, 0.975))]


def at_random(series: Sequence[Labelled], alarms: Sequence[NDArray[np.bool_]]) -> list[Counts]:
    """Counts of as many alarms in each series, at random windows of its test part."""
    rng = np.random.default_rng(11)
    parts = []
    for one, alarmed in zip(series, alarms, strict=True):
        shuffled = alarmed.copy()
        shuffled[one.first :] = rng.permutation(alarmed[one.first :])
        parts.append(counts(one, shuffled))
    return parts


def poisson_interval(n: int) -> list[float]:
    """Exact 95% interval of the mean of a Poisson count n (Garwood 1936)."""
    low = float(chi2.ppf(0.025, 2 * n) / 2) if n else 0.0
    return [low, float(chi2.ppf(0.975, 2 * n + 2) / 2)]
