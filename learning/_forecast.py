"""Forecasts some minutes ahead: which model a series deserves, and how wide its interval must be to be kept.

A model gives what is expected at each instant from what it was fitted on (its *base*); what the series does beside
that for the moment carries on and dies away: y(t+h) = base(t+h) + phi (y(t) - base(t)), phi by least squares on the
training part. Models compete by rolling pinball loss on the last part of the training stretch, each with conformal
intervals of its own; one that does not beat seasonal-naive there by more than a standard error is not used. Intervals
are quantiles of the last errors at the same horizon whose level follows the misses (adaptive conformal inference,
Gibbs & Candes 2021), so that they are kept under drift.
Pure: values on a grid in, numbers out. Fitting may be slow; whoever calls does it beside the stream.
"""

from bisect import bisect_left, insort
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import NamedTuple, Protocol

import numpy as np

from schemas.core import F64, I64, NS

ALPHA = 0.10
"""What may lie outside of an interval; half of it on each side."""
RATE = 0.01  # of the level's steps, by Gibbs & Candes; not tuned
MEMORY = 500
"""Errors that an interval is made of."""
LEAST_ERRORS = 40
VALIDATED = 0.3
"""Share of the training part, its end, on which models compete."""
NAIVE = "seasonal_naive"


class Grid(NamedTuple):
    """Values at start + i step; NaN where nothing was seen."""

    start_ns: int
    step_ns: int
    values: F64

    def times(self) -> I64:
        return self.start_ns + self.step_ns * np.arange(len(self.values), dtype=np.int64)

    def head(self, n: int) -> "Grid":
        return self._replace(values=self.values[:n])


class Event(NamedTuple):
    """A stretch in which the series behaves otherwise, as a holiday or a sale. name: shared by events of a kind."""

    name: str
    start_ns: int
    end_ns: int


class Base(Protocol):
    """A model, fitted. It may look at the values of the grid before `origin`, and only there."""

    def expect(self, values: F64, origins: I64, h: int) -> F64:
        """What is expected h steps after each origin, float64 of their shape; NaN where it does not know."""
        ...


class Model(Protocol):
    """A kind of model. has_memory: whether what is left over carries on."""

    name: str
    has_memory: bool

    def fit(self, history: Grid, events: Sequence[Event]) -> Base | None:
        """None where the history is too short or does not fit. May be slow; may raise, which counts as None."""
        ...


def on_grid(t: I64, v: F64, step_ns: int) -> Grid:
    """Means of each step from the first to the last; NaN for steps without a value. t int64, ns, any order; n >= 1."""
    start = int(t.min()) // step_ns * step_ns
    index = (t - start) // step_ns
    known = np.isfinite(v)
    count = np.bincount(index[known], minlength=int(index.max()) + 1)
    total = np.bincount(index[known], weights=v[known], minlength=len(count))
    with np.errstate(invalid="ignore", divide="ignore"):
        return Grid(start, step_ns, np.where(count > 0, total / count, np.nan))


@dataclass(frozen=True, slots=True)
class Fitted:
    """A model for one horizon: base and what is left over of it. names: of the model."""

    name: str
    base: Base
    phi: float
    h: int

    def predict(self, values: F64, origins: I64) -> F64:
        """The middle of what is expected h steps after each origin; NaN where the base does not know."""
        ahead = self.base.expect(values, origins, self.h)
        if self.phi == 0:
            return ahead
        left = values[origins] - self.base.expect(values, origins - self.h, self.h)
        return ahead + self.phi * np.where(np.isfinite(left), left, 0.0)


def fitted(model: Model, history: Grid, events: Sequence[Event], h: int) -> Fitted | None:
    """The model with its memory; None where it cannot be fitted."""
    base = model.fit(history, events)
    if base is None:
        return None
    values, phi = history.values, 0.0
    if model.has_memory:
        at = np.arange(h, len(values) - h, dtype=np.int64)
        left = values - np.r_[np.full(h, np.nan), base.expect(values, np.arange(len(values) - h), h)]
        now, then = left[at], left[at + h]
        known = np.isfinite(now) & np.isfinite(then)
        if known.sum() >= LEAST_ERRORS:
            cap = 4.0 * 1.4826 * float(np.median(np.abs(now[known]))) or np.inf
            now, then = np.clip(now[known], -cap, cap), np.clip(then[known], -cap, cap)
            spread = float(now @ now)
            phi = min(max(float(now @ then) / spread, 0.0), 1.0) if spread > 0 else 0.0
    return Fitted(model.name, base, phi, h)


class Interval:
    """An adaptive conformal interval around forecasts of one horizon; state of at most `MEMORY` errors."""

    def __init__(self, errors: F64, alpha: float = ALPHA) -> None:
        """errors: observed minus forecast, oldest first, of a stretch that the model was not fitted on."""
        self._recent = deque(errors[np.isfinite(errors)][-MEMORY:].tolist())
        self._sorted = sorted(self._recent)
        self._alpha = alpha
        self.levels = [alpha / 2, 1 - alpha / 2]

    def around(self, forecast: float) -> tuple[float, float]:
        """Lower and upper end; infinite before there are `LEAST_ERRORS` errors."""
        if len(self._sorted) < LEAST_ERRORS:
            return -np.inf, np.inf
        low, high = (self._quantile(min(max(level, 0.0), 1.0)) for level in self.levels)
        return forecast + min(low, high), forecast + max(low, high)

    def observe(self, forecast: float, observed: float) -> None:
        """Take what came; a gap teaches nothing."""
        if not (isfinite(forecast) and isfinite(observed)):
            return
        low, high = self.around(forecast)
        if len(self._sorted) >= LEAST_ERRORS:
            self.levels[0] += RATE * (self._alpha / 2 - (observed < low))
            self.levels[1] -= RATE * (self._alpha / 2 - (observed > high))
        self._recent.append(observed - forecast)
        insort(self._sorted, observed - forecast)
        if len(self._recent) > MEMORY:
            del self._sorted[bisect_left(self._sorted, self._recent.popleft())]

    def _quantile(self, level: float) -> float:
        """Linear between order statistics, as numpy has it."""
        at = level * (len(self._sorted) - 1)
        below = int(at)
        above = min(below + 1, len(self._sorted) - 1)
        found: float = self._sorted[below] + (at - below) * (self._sorted[above] - self._sorted[below])
        return found


class Rolled(NamedTuple):
    """Forecasts for the positions `at`, each from h steps before, with intervals made of what was known then."""

    at: I64
    middle: F64
    low: F64
    high: F64

    def loss(self, values: F64, alpha: float = ALPHA) -> F64:
        """Mean pinball loss of both ends and the middle at each position; NaN where anything is missing."""
        ends = ((self.low, alpha / 2), (self.middle, 0.5), (self.high, 1 - alpha / 2))
        mean: F64 = np.mean([pinball(values[self.at], end, level) for end, level in ends], axis=0)
        return mean


def pinball(observed: F64, forecast: F64, level: float) -> F64:
    """Loss of a quantile forecast (Koenker & Bassett 1978); infinite ends count as NaN.

    >>> pinball(np.array([3.0, 1.0]), np.array([2.0, 2.0]), 0.9).round(3).tolist()
    [0.9, 0.1]
    """
    miss = observed - np.where(np.isfinite(forecast), forecast, np.nan)
    loss: F64 = np.maximum(level * miss, (level - 1) * miss)
    return loss


def roll(model: Fitted, values: F64, first: int, errors: F64, stride: int = 1) -> Rolled:
    """Forecast every `stride`-th position from `first` on as if it had not come yet.

    errors: of the model before `first`, which its intervals begin with. An interval for position p rests on errors of
    positions up to p - h, because later ones were not known when it was made.
    """
    at = np.arange(first, len(values), stride, dtype=np.int64)
    middle = model.predict(values, at - model.h)
    interval, low, high = Interval(errors), np.empty(len(at)), np.empty(len(at))
    known = 0
    for i, position in enumerate(at.tolist()):
        while known < i and at[known] <= position - model.h:
            interval.observe(float(middle[known]), float(values[at[known]]))
            known += 1
        low[i], high[i] = interval.around(float(middle[i]))
    return Rolled(at, middle, low, high)


@dataclass(frozen=True, slots=True)
class Chosen:
    """The model that a series deserves. errors: of the validated stretch. losses: by model, on it."""

    model: Fitted
    errors: F64
    losses: Mapping[str, float]


def choose(models: Sequence[Model], history: Grid, events: Sequence[Event], h: int) -> Chosen | None:
    """The model with the least pinball loss on the end of the history; seasonal-naive unless it is beaten clearly.

    Losses are compared pairwise, and their difference must be more than one standard error, with blocks of h errors
    as one because forecasts of h steps overlap. The winner is fitted again on everything. None where not even
    seasonal-naive can be fitted.
    """
    cut = round(len(history.values) * (1 - VALIDATED))
    found: dict[str, tuple[Fitted, F64]] = {}
    for model in models:
        one = _safely(model, history.head(cut), events, h)
        if one is None:
            continue
        middle = one.predict(history.values, np.arange(h, len(history.values) - h, dtype=np.int64))
        errors = np.full(len(history.values), np.nan)
        errors[2 * h :] = history.values[2 * h :] - middle
        start = errors[:cut][np.isfinite(errors[:cut])]
        rolled = roll(one, history.values, cut, start)
        if np.isfinite(rolled.loss(history.values)).sum() >= LEAST_ERRORS:
            found[model.name] = one, rolled.loss(history.values)
    if NAIVE not in found:
        return None
    losses = {name: float(np.nanmean(loss)) for name, (_, loss) in found.items()}
    order = sorted(losses, key=lambda name: (losses[name], name))
    winner = next((name for name in order if name == NAIVE or _beats(found[name][1], found[NAIVE][1], h)), NAIVE)
    by_name = {model.name: model for model in models}
    again = _safely(by_name[winner], history, events, h) or found[winner][0]
    middle = found[winner][0].predict(history.values, np.arange(cut - h, len(history.values) - h, dtype=np.int64))
    return Chosen(again, history.values[cut:] - middle, losses)


def _safely(model: Model, history: Grid, events: Sequence[Event], h: int) -> Fitted | None:
    """A model that cannot be fitted is out of the race and nothing more: libraries raise all kinds of errors here."""
    try:
        return fitted(model, history, events, h)
    except (ValueError, ArithmeticError, RuntimeError, IndexError, np.linalg.LinAlgError):
        return None


def _beats(mine: F64, naive: F64, h: int) -> bool:
    difference = naive - mine
    difference = difference[np.isfinite(difference)]
    blocks = [float(block.mean()) for block in np.array_split(difference, max(len(difference) // max(h, 1), 1))]
    if len(blocks) < 2:
        return False
    return bool(np.mean(blocks) > np.std(blocks, ddof=1) / np.sqrt(len(blocks)))


def horizon(step_ns: int, seconds: float) -> int:
    """Steps that make up so many seconds, at least one."""
    return max(round(seconds * NS / step_ns), 1)
