"""Trend: a gauge that climbs or falls steadily over the last hour, as a leak does, faster than it ever did.

Exponentially weighted regression on time (time constant half an hour): the share of variance that the line explains
must be `LEAST_R2`, and what is judged is the rise over an hour in units of what is left beside the line. Expected is
the line's value an hour before, so the residual is the rise; from it and a limit one reckons when the limit is reached
(`hours_left`). Blind to what climbs at the same hour every day as fast: its own history says so. Opt-in.
"""

import numpy as np

from detectors._contract import State
from detectors._own_tail import gauges, p_of
from detectors._tail_online import initial_tail, learn_tail
from schemas import AnomalyKind, SeriesDef
from schemas.core import F64, NS, Bool, Scores, WindowBlock

GAIN = 1 / 30
HOUR = 60.0
LEAST_R2 = 0.9  # from the description of a leak that this is for; not tuned
WARMUP = 45.0


class Trend:
    """Two-sided, on gauges of the signal metrics; windows of a minute."""

    kind = "trend"
    version = "1"
    accepts_by_trait = True
    anomaly: AnomalyKind = "metric"
    window_s = 60
    is_optional = True

    def accepts(self, series: SeriesDef) -> bool:
        return gauges(series)

    def initial(self, n: int) -> State:
        """`at`: start of the last learned window in minutes; sums are about it and the first value."""
        names = ("at", "first", "w", "t", "tt", "x", "xx", "tx", "windows")
        return {**{name: np.zeros(n) for name in names}, **initial_tail(n)}

    def score(self, state: State, block: WindowBlock) -> Scores:
        """expected is the line an hour ago; residual what it rose since, in the unit of the series."""
        size, explained, rise, line, told = _judged(_with(state, block))
        can_tell = told & np.isfinite(block.mean)
        p = p_of(state, size, can_tell & (explained >= LEAST_R2))
        direction = np.where(can_tell, np.sign(rise), 0).astype(np.int8)
        return Scores(p, np.where(can_tell, line - rise, np.nan), np.where(can_tell, rise, np.nan), direction)

    def learn(self, state: State, block: WindowBlock) -> State:
        new = _with(state, block)
        size, _, _, _, told = _judged(new)
        return learn_tail(new, size, told & np.isfinite(block.mean))


def hours_left(value: float, rise_per_hour: float, limit: float) -> float:
    """Hours until a value that goes on like this reaches the limit; infinite if it does not go there.

    >>> hours_left(80.0, 5.0, 100.0)
    4.0
    """
    way = limit - value
    return way / rise_per_hour if way * rise_per_hour > 0 else float("inf")


def _with(state: State, block: WindowBlock) -> State:
    """The sums with this window in them: decayed, and moved so that its time is zero."""
    seen = np.isfinite(block.mean)
    now = block.start_ns / (60 * NS)
    fresh = state["windows"] == 0
    x = np.clip(np.where(seen, block.mean, 0.0), -1e150, 1e150)
    first = np.where(seen & fresh, x, state["first"])
    step = np.clip(np.where(fresh, 0.0, now - state["at"]), 0.0, 1e4)
    kept, y = np.exp(-GAIN * step), x - first
    w, t, tt = state["w"], state["t"], state["tt"]
    with np.errstate(over="ignore", invalid="ignore"):
        new = {
            "first": first, "w": w * kept + 1.0, "t": (t - step * w) * kept,
            "tt": (tt - 2 * step * t + step * step * w) * kept, "x": state["x"] * kept + y,
            "xx": np.minimum(state["xx"] * kept + y * y, 1e300), "tx": (state["tx"] - step * state["x"]) * kept,
            "windows": state["windows"] + 1.0, "at": np.full(len(x), now),
        }  # fmt: skip
    return {**state, **{name: np.where(seen, column, state[name]) for name, column in new.items()}}


def _judged(state: State) -> tuple[F64, F64, F64, F64, Bool]:
    """Size >= 0, R2, rise over an hour, the line now, and whether enough was seen; all (n,)."""
    w = np.maximum(state["w"], 1e-9)
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        stt = state["tt"] - state["t"] ** 2 / w
        stx = state["tx"] - state["t"] * state["x"] / w
        sxx = state["xx"] - state["x"] ** 2 / w
        slope = np.nan_to_num(np.where(stt > 1e-9, stx / stt, 0.0), posinf=0.0, neginf=0.0)
        explained = np.clip(np.nan_to_num(np.where(sxx > 0, slope * stx / sxx, 0.0)), 0.0, 1.0)
        left = np.sqrt(np.maximum(np.nan_to_num(sxx * (1.0 - explained) / w), 0.0))
        rise = slope * HOUR
        size = np.abs(rise) / np.maximum(left, 1e-9 * np.abs(state["first"]) + 1e-12)
        line = state["first"] + (state["x"] - slope * state["t"]) / w
    told = (state["windows"] >= WARMUP) & np.isfinite(size) & np.isfinite(line)
    size = np.where(told, np.sqrt(np.minimum(np.nan_to_num(size), 1e8)), 0.0)
    return size, explained, np.where(told, rise, 0.0), np.where(told, line, 0.0), told


PLUGIN = Trend
