"""The one configuration that all sets are measured with: detectors, how their answers join, and when to alarm.

A window's surprise is -log10 of its p. A service indicator is judged by `seasonal_local`, a machine by `host_residual`:
there the surprise is the logarithm of the departure of all its dimensions together, because departures compare between
machines better than what is rare for each (training parts of some hold many faults). Files without a training part
(NAB) are judged by `novelty`, with a share of `seasonal_local`, which has had too few days there. Whether a machine is
abnormal *now* is another question than when it became so: the area under precision and recall is that of the seasonal
departures of all dimensions. No detector has a parameter that differs between sets.

Alarms, and the threshold for a budget of them from training parts without labels, are those of the product
(`learning/_tails.py`). An indicator may cry falsely once in ten days, a machine, which stands for dozens of series,
five times. Where a figure counts labelled windows against alarms (F1 at delay 7), an event missed costs hundreds of
alarms, so there the budget is that of the contract, one a day. These three numbers are the whole choice.
"""

from collections.abc import Callable, Sequence

import numpy as np

from bench.detection._run import Host, hosts, tails
from bench.detection._series import Labelled
from detectors.novelty import Novelty
from detectors.seasonal_local import SeasonalLocal
from learning import TooShort, fit_tail, onsets, surprise_for
from schemas.core import F64, NS, Bool

MOST, JOINED_POWER = 6.0, 3.0
SEASONAL_SHARE = 0.3
NOVEL_QUIET = 100
"""Windows for which a record silences lesser ones: a range is left and reached again for hours."""
LEARNING = 0.25
"""Share of a training part that only teaches the detectors; the rest teaches the tail."""
INDICATOR_PER_DAY, MACHINE_PER_DAY = 0.1, 0.5
WINDOWS_PER_DAY = 1.0
"""False alarms a series-day that the threshold of a figure is set for; the last is for figures that count windows."""
LEAST_SIZE = 1e-3
DAY_NS = 86_400 * NS


def surprises(series: Sequence[Labelled]) -> list[F64]:
    """How surprising every window of every indicator is, float64 (n,), 0 where there is nothing to say."""
    return [-np.log10(p[:, 0]) for p in tails(SeasonalLocal(), series)]


def surprises_of_hosts(series: Sequence[Labelled]) -> tuple[list[F64], list[Host]]:
    """Of machines: decades above `LEAST_SIZE`, float64 (n,), and what the detector said of each."""
    found = hosts(series)
    return [np.log10(np.maximum(one.size, LEAST_SIZE) / LEAST_SIZE) for one in found], found


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


def alarms(surprise: F64, threshold: float) -> Bool:
    """Onsets: bool (n,)."""
    return onsets(surprise, threshold)


def thresholds(series: Sequence[Labelled], scores: Sequence[F64]) -> Callable[[float], float]:
    """From false alarms a series-day to the surprise at which so many are due, by the training parts.

    Where those are too short or too quiet for a tail, the surprise that so many onsets of theirs pass.
    """
    stretches = {one.name: score[_taught(one) : one.first] for one, score in zip(series, scores, strict=True)}
    days = sum(len(stretch) * one.step_ns / DAY_NS for one, stretch in zip(series, stretches.values(), strict=True))
    windows = sum(len(stretch) for stretch in stretches.values())
    try:
        fit = fit_tail("bench", stretches, "training parts")
    except TooShort:
        return lambda per_day: plain_threshold(series, scores, per_day)
    return lambda per_day: surprise_for(fit, per_day * days / windows)


def plain_threshold(series: Sequence[Labelled], scores: Sequence[F64], per_day: float) -> float:
    """The score that so many onsets a series-day of the same stretches pass, for scores that are no probabilities."""
    peaks, days = [np.zeros(0)], 0.0
    for one, score in zip(series, scores, strict=True):
        train = score[_taught(one) : one.first]
        peaks.append(train[onsets(train, 0.0, grown=0.0)])
        days += one.train_days * len(train) / max(one.first, 1)
    ordered = np.sort(np.concatenate(peaks))[::-1]
    allowed = int(per_day * days)
    return float(ordered[allowed]) if allowed < len(ordered) else 0.0


def _taught(one: Labelled) -> int:
    return int(LEARNING * one.first)
