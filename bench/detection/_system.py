"""The one configuration that all sets are measured with: detectors, how their answers join, and when to alarm.

A window's surprise is -log10 of its p. Of several dimensions (a machine) it is the mean of the largest `TOP`: a fault
shows in some dimensions at once, noise in one. An alarm is an onset: a window at the threshold that is more surprising
than every one of the last `QUIET` windows; so a long event is one alarm, unless it grows.

The threshold is one number for all series of a set, from their training parts, without labels. Since p is calibrated,
onsets become ten times rarer with every unit of surprise, so the rate of those between `SURE` and a unit above tells
how many will come by chance at any threshold. Training parts hold real faults, too, and those lie above: counting what
passes a high threshold would count them, counting the band hardly does.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from bench.detection._run import tails
from bench.detection._series import Labelled
from detectors.seasonal_local import SeasonalLocal
from schemas.core import F64

TOP = 5
QUIET = 20
SURE, LEAST = 2.5, 1.5
BUDGET_PER_DAY = 0.1
"""False alarms a series-day that the threshold of every figure is set for."""


def surprises(series: Sequence[Labelled]) -> list[F64]:
    """-log10 p of every window of every series, float64 (n,), 0 where there is nothing to say."""
    return [_joined(-np.log10(p)) for p in tails(SeasonalLocal(), series)]


def _joined(surprise: F64) -> F64:
    if surprise.shape[1] == 1:
        return surprise[:, 0]
    most = min(TOP, surprise.shape[1])
    joined: F64 = np.sort(surprise, axis=1)[:, -most:].mean(axis=1)
    return joined


def alarms(surprise: F64, threshold: float) -> NDArray[np.bool_]:
    """Onsets: bool (n,)."""
    before = np.full(QUIET, -np.inf)
    recent = np.lib.stride_tricks.sliding_window_view(np.concatenate([before, surprise])[:-1], QUIET).max(axis=1)
    return np.asarray((surprise >= threshold) & (surprise > recent) & (surprise > 0))


def threshold_at(series: Sequence[Labelled], scores: Sequence[F64], per_day: float) -> float:
    """The surprise at which `per_day` chance onsets a series-day are due, by the second half of the training parts."""
    onsets, days = 0, 0.0
    for one, score in zip(series, scores, strict=True):
        half = one.first // 2
        found = score[alarms(score, SURE) & (np.arange(len(score)) >= half) & (np.arange(len(score)) < one.first)]
        onsets += int((found < SURE + 1.0).sum())
        days += one.train_days * (one.first - half) / max(one.first, 1)
    rate = max(onsets, 1) / 0.9 / max(days, 1e-9)
    return max(SURE + float(np.log10(rate / per_day)), LEAST)


def plain_threshold(series: Sequence[Labelled], scores: Sequence[F64], per_day: float) -> float:
    """The score that so many onsets a series-day of the same stretches pass, for scores that are no probabilities."""
    peaks, days = [np.zeros(0)], 0.0
    for one, score in zip(series, scores, strict=True):
        half = one.first // 2
        peaks.append(score[half : one.first][alarms(score, 0.0)[half : one.first]])
        days += one.train_days * (one.first - half) / max(one.first, 1)
    ordered = np.sort(np.concatenate(peaks))[::-1]
    allowed = int(per_day * days)
    return float(ordered[allowed]) if allowed < len(ordered) else 0.0
