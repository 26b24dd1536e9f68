"""The one configuration that all sets are measured with: detectors, how their answers join, and when to alarm.

A window's surprise is -log10 of its p. A service indicator is judged by `seasonal_local`, a machine by `host_residual`:
there the surprise is the logarithm of the departure of all its dimensions together, because departures compare between
machines better than what is rare for each (training parts of some hold many faults). Where the hour explains most of
what a machine does, a share of how improbable its dimensions are together in their own seasons is added; where it does
not, as on machines that jobs move more than users, it would only blur that. Files without a training part (NAB) are
judged by `novelty`, with shares of `seasonal_local`, `level_shift` and `flat_line`, which have had too few days there.
Whether a machine is abnormal *now* is another question than when it became so: the area under precision and recall is
that of the seasonal departures of all dimensions. No detector has a parameter that differs between sets.

Alarms, and the threshold for a budget of them from training parts without labels, are those of the product
(`learning/_tails.py`). An indicator may cry falsely once in ten days, a machine, which stands for dozens of series,
seven times. Where a figure counts labelled windows against alarms (F1 at delay 7), an event missed costs hundreds of
alarms, so there the budget is that of the contract, one a day. These three numbers are the whole choice.
"""

from collections.abc import Callable, Sequence

import numpy as np

from bench.detection._run import Host, hosts, tails
from bench.detection._series import Labelled
from detectors.flat_line import FlatLine
from detectors.level_shift import LevelShift
from detectors.novelty import Novelty
from detectors.seasonal_local import SeasonalLocal
from learning import TooShort, fit_tail, onsets, surprise_for
from schemas.core import F64, NS, Bool

MOST, JOINED_POWER = 6.0, 3.0
SHARES = ((SeasonalLocal, 0.3), (LevelShift, 0.2), (FlatLine, 0.2))
"""What others add to how new a window is: with three days of history a level or a season is no more than a hint."""
NOVEL_QUIET = 100
"""Windows for which a record silences lesser ones: a range is left and reached again for hours."""
LEARNING = 0.5
"""Share of a training part that only teaches the detectors, which are restless at first; the rest teaches the tail."""
INDICATOR_PER_DAY, MACHINE_PER_DAY = 0.1, 0.7
WINDOWS_PER_DAY = 1.0
"""False alarms a series-day that the threshold of a figure is set for; the last is for figures that count windows."""
LEAST_SIZE = 1e-3
TOGETHER, MOSTLY = 0.2, 0.5
"""Of the logarithm of how improbable the dimensions are together, where the hour explains more than this share."""
AT_ONCE = 4096
HOUR_NS, HOURS = 3600 * NS, 24
DAY_NS = 86_400 * NS


def surprises(series: Sequence[Labelled]) -> list[F64]:
    """How surprising every window of every indicator is, float64 (n,), 0 where there is nothing to say."""
    return [-np.log10(p[:, 0]) for p in tails(SeasonalLocal(), series)]


def surprises_of_hosts(series: Sequence[Labelled]) -> tuple[list[F64], list[Host]]:
    """Of machines: decades above `LEAST_SIZE`, float64 (n,), and what the detector said of each."""
    found = hosts(series)
    seasonal = [at for at, one in enumerate(series) if hour_explains(one) > MOSTLY]
    odd = dict(zip(seasonal, tails(SeasonalLocal(), [series[at] for at in seasonal], worth_p=1.0), strict=True))
    sizes = [np.log10(np.maximum(one.size, LEAST_SIZE) / LEAST_SIZE) for one in found]
    return [
        size + TOGETHER * np.log1p(together(odd[at])) if at in odd else size for at, size in enumerate(sizes)
    ], found


def hour_explains(one: Labelled) -> float:
    """Which share of a machine's usual distance from its mean its hours take away, averaged over dimensions that move.

    Means of each hour in the first half of the training part, tried on its second half; medians, so faults count
    little. Nothing of the test part and no label is seen.
    """
    half, hour = one.first // 2, one.t_ns[: one.first] // HOUR_NS % HOURS
    taught, tried = hour[:half], hour[half:]
    shares = []
    for x in one.x[: one.first].T:
        low, high = np.nanquantile(x, (0.01, 0.99))
        x = np.clip(x, low, high)
        mean = float(np.nanmean(x[:half]))
        usual = np.array([x[:half][taught == at].mean() if (taught == at).any() else mean for at in range(HOURS)])
        away = float(np.nanmedian(np.abs(x[half:] - mean)))
        if away > 1e-9 * max(abs(mean), 1e-9):
            shares.append(max(0.0, 1.0 - float(np.nanmedian(np.abs(x[half:] - usual[tried]))) / away))
    return float(np.mean(shares)) if shares else 0.0


def together(p: F64) -> F64:
    """How improbable the dimensions of a machine are together, float64 (n,), in orders of magnitude; p (n, dimensions).

    For each k up to half of them: that at least k are as odd as the kth is, if they were independent. The least
    probable k counts, so one dimension far out tells as well as most of them a little. Berk & Jones, Goodness-of-fit
    test statistics that dominate the Kolmogorov statistics, 1979.

    >>> [float(round(v, 1)) for v in together(np.array([[1e-6, 0.5, 0.5, 0.5], [0.02, 0.02, 0.5, 0.5]]))]
    [5.4, 2.6]
    """
    from scipy.special import betainc

    dimensions = p.shape[1]
    k = np.arange(1.0, max(dimensions // 2, 1) + 1)[None]
    found = np.zeros(len(p))
    for at in range(0, len(p), AT_ONCE):
        odd = np.sort(p[at : at + AT_ONCE], axis=1)[:, : k.shape[1]]
        found[at : at + AT_ONCE] = -np.log10(np.maximum(betainc(k, dimensions - k + 1.0, odd).min(axis=1), 1e-300))
    return found


def abnormal(series: Sequence[Labelled]) -> list[F64]:
    """How far every window of every machine is from what is usual now, float64 (n,)."""
    return [joined(-np.log10(p)) for p in tails(SeasonalLocal(), series, worth_p=1.0)]


def novel(series: Sequence[Labelled]) -> list[F64]:
    """How new every window of every series is, float64 (n,)."""
    found = [-np.log10(p[:, 0]) for p in tails(Novelty(), series)]
    for detector, share in SHARES:
        found = [one - share * np.log10(p[:, 0]) for one, p in zip(found, tails(detector(), series), strict=True)]
    return found


def novel_alarms(surprise: F64, least: float) -> F64:
    """Onsets from `least` on with how surprising they are, float64 (n,), 0 elsewhere.

    What a series has said n times before is n + 1 times less rare than it says: log10(n + 1) less, where n onsets
    before were as surprising. With so little history a detector cannot know how restless a series is, but that tells.
    """
    found = onsets(surprise, least, quiet=NOVEL_QUIET) * surprise
    at = np.flatnonzero(found)
    often = (found[at][:, None] <= found[at][None, :]) & (at[:, None] > at[None, :])
    worth = np.zeros(len(surprise))
    worth[at] = np.maximum(found[at] - np.log10(1.0 + often.sum(axis=1)), 0.0)
    return worth


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
