"""The models that compete for a series: seasonal-naive, a profile of the week, MSTL, exponential smoothing, ARIMA,
Prophet.

Each is fitted on a stretch and then says what to expect at any instant; statsmodels and Prophet are imported only where
they are fitted. Long series are fitted on coarser steps, as nothing that lasts longer than the horizon is lost.
"""

import logging
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from learning._forecast import NAIVE, Base, Event, Grid
from schemas.core import F64, I64, NS

DAY_NS, WEEK_NS = 86_400 * NS, 7 * 86_400 * NS
COARSE_NS = 900 * NS
"""Steps of the stretch that slow models see."""
MOST_POINTS = 2688
"""Of it, the newest: four weeks of quarters of an hour."""
DAYS = 2
"""Days of history that a daily season needs."""


@dataclass(frozen=True, slots=True)
class Lagged:
    """What was a period before, or as many periods as are needed to have been seen."""

    period: int

    def expect(self, values: F64, origins: I64, h: int) -> F64:
        back = self.period * -(-h // self.period)
        at = origins + h - back
        known = (at >= 0) & (at < len(values)) & (at <= origins)
        return np.where(known, values[np.clip(at, 0, len(values) - 1)], np.nan)


@dataclass(frozen=True, slots=True)
class Course:
    """A course that goes on before and after what it was fitted on: values at steps of its own, of which the first
    `tail` came before as well, and the last `tail` come again.

    start: position on the grid of its first value; step: of its values in steps of the grid.
    """

    start: int
    step: float
    course: F64
    tail: int

    def expect(self, values: F64, origins: I64, h: int) -> F64:
        """Linear between its values."""
        at = (origins + h - self.start) / self.step
        n = len(self.course)
        beyond = np.maximum(np.ceil((at - (n - 1)) / self.tail), 0.0) - np.maximum(np.ceil(-at / self.tail), 0.0)
        found: F64 = np.interp(at - beyond * self.tail, np.arange(n), self.course)
        return found


class SeasonalNaive:
    """The same time yesterday, or a week ago where there are two weeks: what every other model has to beat."""

    name = NAIVE
    has_memory = False

    def fit(self, history: Grid, events: Sequence[Event]) -> Base | None:
        n = len(history.values)
        for period_ns, wanted in ((WEEK_NS, 3), (DAY_NS, DAYS)):
            period = period_ns // history.step_ns
            if period >= 1 and n >= wanted * period:
                return Lagged(int(period))
        return Lagged(1) if n >= 2 else None


class LastValue:
    """What is now stays."""

    name = "last_value"
    has_memory = False

    def fit(self, history: Grid, events: Sequence[Event]) -> Base | None:
        return Lagged(1) if len(history.values) >= 2 else None


class Profile:
    """The median of each slot of the day, or of the week where there are three, and what is left over carries on."""

    name = "profile"
    has_memory = True

    def fit(self, history: Grid, events: Sequence[Event]) -> Base | None:
        found = _period(history)
        if found is None:
            return None
        n = len(history.values) // found * found
        rows = history.values[len(history.values) - n :].reshape(-1, found)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # a slot that was never seen
            slots = np.nanmedian(rows, axis=0)
        if not np.isfinite(slots).any():
            return None
        filled = np.where(np.isfinite(slots), slots, np.nanmedian(slots))
        return Course(len(history.values) - found, 1.0, np.r_[filled, filled[:1]], found)


class Mstl:
    """Trend and seasons by repeated LOESS (Bandara et al. 2021, statsmodels); the last season comes again."""

    name = "mstl"
    has_memory = True

    def fit(self, history: Grid, events: Sequence[Event]) -> Base | None:
        from statsmodels.tsa.seasonal import MSTL

        coarse = _coarse(history)
        day = round(DAY_NS / coarse.step_ns)
        periods = [p for p in (day, 7 * day) if p >= 2 and len(coarse.values) >= 2 * p + 1]
        if not periods:
            return None
        found = MSTL(_filled(coarse.values), periods=periods, stl_kwargs={"robust": False}).fit()
        seasons = np.asarray(found.seasonal).reshape(len(coarse.values), -1).sum(axis=1)
        level = float(np.asarray(found.trend)[-1])
        return _course(history, coarse, level + seasons[-periods[-1] :])


class Smoothing:
    """Exponential smoothing with a daily season (Holt & Winters, statsmodels), on hours."""

    name = "exponential_smoothing"
    has_memory = True

    def fit(self, history: Grid, events: Sequence[Event]) -> Base | None:
        from statsmodels.tsa.holtwinters import ExponentialSmoothing

        coarse = _coarse(history, 3600 * NS)
        day = round(DAY_NS / coarse.step_ns)
        if day < 2 or len(coarse.values) < DAYS * day + 1:
            return None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # not converged: it then loses the race
            found = ExponentialSmoothing(
                _filled(coarse.values), seasonal="add", seasonal_periods=day, initialization_method="estimated"
            ).fit()
        return _course(history, coarse, np.asarray(found.forecast(day)), ahead=True)


class Arima:
    """ARIMA(2, 0, 1) of what a profile leaves over (statsmodels), with its parameters fixed afterwards."""

    name = "arima"
    has_memory = False

    def fit(self, history: Grid, events: Sequence[Event]) -> Base | None:
        from statsmodels.tsa.arima.model import ARIMA

        profile = Profile().fit(history, events)
        if profile is None:
            return None
        n = len(history.values)
        left = history.values - profile.expect(history.values, np.arange(n) - 1, 1)
        known = left[np.isfinite(left)][-MOST_POINTS:]
        if len(known) < 100 or not known.std():
            return None
        scale = float(known.std())
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = ARIMA(known / scale, order=(2, 0, 1), trend="n").fit(method_kwargs={"maxiter": 30})
        ar, ma = np.asarray(found.arparams, np.float64), float(np.asarray(found.maparams)[0])
        if not (np.abs(np.roots(np.r_[1.0, -ar])) < 1).all() or abs(ma) >= 1:
            return None
        return _Arma(profile, float(ar[0]), float(ar[1]), ma)


@dataclass(frozen=True, slots=True)
class _Arma:
    """profile + ARMA(2, 1) of what is left over; one pass over the values gives every shock."""

    profile: Base
    a: float
    b: float
    ma: float

    def expect(self, values: F64, origins: I64, h: int) -> F64:
        left = values - self.profile.expect(values, np.arange(len(values)) - 1, 1)
        left = np.where(np.isfinite(left), left, 0.0)
        one = self.a * left + self.b * np.r_[0.0, left[:-1]]  # the next value, but for the shock
        shocks = np.zeros(len(left))
        previous = 0.0
        for i, (now, told) in enumerate(zip(left.tolist(), np.r_[0.0, one[:-1]].tolist(), strict=True)):
            previous = shocks[i] = now - told - self.ma * previous
        nearest = np.clip(origins, 0, len(values) - 1)
        last, ahead = left[nearest], one[nearest] + self.ma * shocks[nearest]
        for _ in range(h - 1):
            last, ahead = ahead, self.a * ahead + self.b * last
        return self.profile.expect(values, origins, h) + np.where(origins >= 0, ahead, 0.0)


class ProphetModel:
    """Prophet (Taylor & Letham 2018) on hours or coarser, with known events as holidays; what is left over carries on.

    ahead_days: how long after its fit it is used; events up to then count.
    """

    name = "prophet"
    has_memory = True
    ahead_days = 14

    def fit(self, history: Grid, events: Sequence[Event]) -> Base | None:
        coarse = _coarse(history, 3600 * NS)
        days = len(coarse.values) * coarse.step_ns / DAY_NS
        if days < DAYS or np.isfinite(coarse.values).sum() < 48:
            return None
        for name in ("prophet", "cmdstanpy", "prophet.plot"):
            logging.getLogger(name).setLevel(logging.CRITICAL)
        import pandas as pd
        from prophet import Prophet

        ahead = round(self.ahead_days * DAY_NS / coarse.step_ns)
        t = coarse.start_ns + coarse.step_ns * np.arange(len(coarse.values) + ahead, dtype=np.int64)
        frame = pd.DataFrame({"ds": pd.to_datetime(t), "y": np.r_[coarse.values, np.full(ahead, np.nan)]})
        model: Any = Prophet(
            daily_seasonality=days >= DAYS, weekly_seasonality=days >= 14, yearly_seasonality=days >= 730,
            uncertainty_samples=0, holidays=_holidays(pd, events, int(t[-1])),
        )  # fmt: skip
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model.fit(frame.iloc[: len(coarse.values)].dropna())
            course = np.asarray(model.predict(frame[["ds"]])["yhat"], np.float64)
        step = coarse.step_ns / history.step_ns
        centre = (coarse.start_ns - history.start_ns) / history.step_ns + (step - 1) / 2
        week = max(round(min(days, 7) * DAY_NS / coarse.step_ns), 1)
        return Course(round(centre), step, course, week)


MODELS = (SeasonalNaive(), LastValue(), Profile(), Mstl(), Smoothing(), Arima(), ProphetModel())
QUICK = (SeasonalNaive(), LastValue(), Profile())
"""Those that need neither statsmodels nor Prophet."""


def _period(history: Grid) -> int | None:
    n = len(history.values)
    for period_ns, wanted in ((WEEK_NS, 3), (DAY_NS, DAYS)):
        period = int(period_ns // history.step_ns)
        if period >= 2 and n >= wanted * period:
            return period
    return None


def _coarse(history: Grid, step_ns: int = COARSE_NS) -> Grid:
    """Means over `step_ns`, the newest `MOST_POINTS`; the grid itself where it is as coarse."""
    if history.step_ns >= step_ns:
        return history.head(len(history.values))._replace(
            start_ns=history.start_ns + max(len(history.values) - MOST_POINTS, 0) * history.step_ns,
            values=history.values[-MOST_POINTS:],
        )
    factor = step_ns // history.step_ns
    n = min(len(history.values) // factor, MOST_POINTS)
    rows = history.values[len(history.values) - n * factor :].reshape(n, factor)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a step that was never seen
        means = np.nanmean(rows, axis=1) if n else np.zeros(0)
    start = history.start_ns + (len(history.values) - n * factor) * history.step_ns
    return Grid(start, int(factor) * history.step_ns, means)


def _filled(values: F64) -> F64:
    """Gaps as straight lines; raises ValueError where nothing was seen."""
    known = np.isfinite(values)
    if not known.any():
        raise ValueError("nothing was seen")
    return np.interp(np.arange(len(values)), np.flatnonzero(known), values[known])


def _course(history: Grid, coarse: Grid, season: F64, *, ahead: bool = False) -> Course:
    """One season as a course: of the last season, or, if `ahead`, of the one that follows."""
    step = coarse.step_ns / history.step_ns
    end = (coarse.start_ns - history.start_ns) / history.step_ns + len(coarse.values) * step
    first = end if ahead else end - len(season) * step
    wrapped = np.r_[season, season[:1]]
    start = first + (step - 1) / 2 - (len(season) * step if ahead else 0)
    return Course(round(start), step, wrapped, len(season))


def _holidays(pd: Any, events: Sequence[Event], until_ns: int) -> Any:
    rows = [
        {"holiday": event.name, "ds": pd.Timestamp(day), "lower_window": 0, "upper_window": 0}
        for event in events
        for day in range(event.start_ns // DAY_NS * DAY_NS, min(event.end_ns, until_ns + 1), DAY_NS)
    ]
    return pd.DataFrame(rows) if rows else None
