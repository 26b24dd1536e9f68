"""Whether detectors still report as often as they did: a detector that drifts is itself a fault, and nobody's symptom.

p of a detector is calibrated on the past of each series, so over many series its reports an hour hardly change unless
the world or the detector does. Hours clump (one incident is many reports), so counts are taken as Poisson of their own
dispersion; the ratio of the recent rate to the rate before has an interval from that. Louder or quieter is said only
if the whole interval lies beyond `MATTERS`, so hundreds of series and a noisy day are not enough.

Quasi-Poisson: McCullagh & Nelder, Generalized Linear Models, 1989, section 6.2; the interval is that of the log ratio.
"""

from typing import Literal, NamedTuple

import numpy as np

from schemas.core import I64

MATTERS = 1.5
"""A factor of reports an hour below which no one needs to know."""
LEAST = 10.0
"""Reports that must be due, recently, to say anything."""
WIDTH = 2.58  # 99% of a normal law
LEAST_HOURS = 24
Verdict = Literal["steady", "louder", "quieter", "unknown"]


class Drift(NamedTuple):
    """ratio: of recent reports an hour to those before, with its 99% interval; NaN where it is unknown."""

    verdict: Verdict
    ratio: float
    low: float
    high: float
    before_per_h: float
    recent_per_h: float


def drift(counts: I64, recent: int) -> Drift:
    """Of one detector. counts: int64 (hours,), its reports in each hour, in order. recent: how many hours are judged.

    `unknown` with fewer than a day of hours before, or where fewer than ten reports were due.

    >>> drift(np.array([10] * 48 + [40] * 24), 24).verdict
    'louder'
    """
    if recent < 1:
        raise ValueError(f"{recent} recent hours: at least one is judged.")
    before, now = counts[: max(len(counts) - recent, 0)], counts[max(len(counts) - recent, 0) :]
    rate, here = (float(part.mean()) if len(part) else 0.0 for part in (before, now))
    if len(before) < LEAST_HOURS or rate * len(now) < LEAST:
        return Drift("unknown", np.nan, np.nan, np.nan, rate, here)
    clump = max(float(before.var(ddof=1)) / rate, float(now.var(ddof=1)) / here if len(now) > 1 and here else 1.0, 1.0)
    seen, had = max(float(now.sum()), 0.5), float(before.sum())
    wide = WIDTH * np.sqrt(clump * (1.0 / seen + 1.0 / had))
    ratio = seen / len(now) / rate
    low, high = ratio * np.exp(-wide), ratio * np.exp(wide)
    verdict: Verdict = "louder" if low > MATTERS else "quieter" if high < 1 / MATTERS else "steady"
    return Drift(verdict, ratio, float(low), float(high), rate, here)
