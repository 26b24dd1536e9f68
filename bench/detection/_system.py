"""The one configuration that all sets are measured with: detectors, how their answers join, and when to alarm.

A window's surprise is -log10 of its p. A service indicator is judged by `seasonal_local`, a machine by `level_shift` of
its dimensions: the cubic mean of their surprises, each at most `MOST`, because a fault shows in some dimensions at once
and noise in one. Files without a training part (NAB) are judged by `novelty`, with a share of `seasonal_local`, which
has had too few days there. Whether a machine is abnormal *now* is another question than when it became so: the area
under precision and recall is that of the seasonal departures, joined in the same way. No detector has a parameter that
differs between sets.

An alarm is an onset: a window at the threshold that is more surprising than every one of the last `QUIET` windows; so
a long event is one alarm, unless it grows.

The threshold is one number for all series of a set, from their training parts, without labels. Since p is calibrated,
onsets become ten times rarer with every unit of surprise, so the rate of those between `SURE` and a unit above tells
how many will come by chance at any threshold. Training parts hold real faults, too, and those lie above: counting what
passes a high threshold would count them, counting the band hardly does. A machine's joined surprise is no probability;
its threshold is the one that `COINCIDENCE` of the budget passes when every dimension of the training part is turned by
a time of its own: then dimensions are odd together by chance alone.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from bench.detection._run import tails
from bench.detection._series import Labelled
from detectors.level_shift import LevelShift
from detectors.novelty import Novelty
from detectors.seasonal_local import SeasonalLocal
from schemas.core import F64

MOST, JOINED_POWER = 6.0, 3.0
QUIET = 20
SEASONAL_SHARE = 0.3
COINCIDENCE, TURNS = 0.3, 6
SURE, LEAST = 2.5, 1.5
BUDGET_PER_DAY = 0.1
"""False alarms a series-day that the threshold of every figure is set for."""


def surprises(series: Sequence[Labelled]) -> list[F64]:
    """How surprising every window of every series is, float64 (n,), 0 where there is nothing to say."""
    if series[0].x.shape[1] > 1:
        return [joined(dimensions) for dimensions in surprises_of_dimensions(series)]
    return [-np.log10(p[:, 0]) for p in tails(SeasonalLocal(), series)]


def surprises_of_dimensions(series: Sequence[Labelled]) -> list[F64]:
    """Of machines: float64 (n, dimensions)."""
    return [-np.log10(p) for p in tails(LevelShift(), series)]


def abnormal(series: Sequence[Labelled]) -> list[F64]:
    """How far every window of every machine is from what is usual now, float64 (n,)."""
    return [joined(-np.log10(p)) for p in tails(SeasonalLocal(), series, worth_p=1.0)]


def novel(series: Sequence[Labelled]) -> list[F64]:
    """How new every window of every series is, float64 (n,)."""
    new, seasonal = tails(Novelty(), series), tails(SeasonalLocal(), series)
    return [-np.log10(a[:, 0]) - SEASONAL_SHARE * np.log10(b[:, 0]) for a, b in zip(new, seasonal, strict=True)]


def joined(surprise: F64) -> F64:
    """One number for all dimensions (n, dimensions) of a machine."""
    mean: F64 = (np.minimum(surprise, MOST) ** JOINED_POWER).mean(axis=1) ** (1.0 / JOINED_POWER)
    return mean


def coincidence_at(series: Sequence[Labelled], dimensions: Sequence[F64], per_day: float) -> float:
    """The joined surprise of which `COINCIDENCE` of `per_day` onsets a machine-day come by chance coincidence alone."""
    rng, peaks, days = np.random.default_rng(13), [np.zeros(0)], 0.0
    for one, surprise in zip(series, dimensions, strict=True):
        train = surprise[one.first // 4 : one.first]
        for _ in range(TURNS):
            turned = np.stack([np.roll(column, rng.integers(0, len(column))) for column in train.T], axis=1)
            score = joined(turned)
            peaks.append(score[alarms(score, 0.0)])
            days += one.train_days * len(train) / max(one.first, 1)
    ordered = np.sort(np.concatenate(peaks))[::-1]
    allowed = int(COINCIDENCE * per_day * days)
    return float(ordered[allowed]) if allowed < len(ordered) else 0.0


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
