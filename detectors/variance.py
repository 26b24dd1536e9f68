"""Variance: a gauge that swings more, or less, than it used to, though its level may be as ever.

The logarithm of the ratio of a short (ten minutes) and a long (a day) mean of squared steps from minute to minute.
Steps, because a level shift is one large step and not restlessness: each counts at most `MOST` times the long mean.
p comes from the series' own tail (`_own_tail.py`). Blind to slow swings. Opt-in.
"""

import numpy as np

from detectors._contract import State
from detectors._own_tail import gauges, p_of
from detectors._tail_online import SHARE, initial_tail, learn_tail
from schemas import AnomalyKind, SeriesDef
from schemas.core import F64, Bool, Scores, WindowBlock

SHORT, LONG = 1 / 10, 1 / 1440
MOST = 25.0
WARMUP = 60.0


class Variance:
    """Two-sided, on gauges of the signal metrics; windows of a minute."""

    kind = "variance"
    version = "1"
    accepts_by_trait = True
    anomaly: AnomalyKind = "metric"
    window_s = 60
    continuous = SHARE
    is_optional = True

    def accepts(self, series: SeriesDef) -> bool:
        return gauges(series)

    def initial(self, n: int) -> State:
        return {**{name: np.zeros(n) for name in ("last", "short", "long", "windows")}, **initial_tail(n)}

    def score(self, state: State, block: WindowBlock) -> Scores:
        """expected and residual are roots of mean squared steps, in the unit of the series."""
        new = _with(state, block)
        ratio, told = _ratio(new)
        told &= np.isfinite(block.mean)
        usual, now = np.sqrt(new["long"]), np.sqrt(new["short"])
        direction = np.where(told, np.sign(ratio), 0).astype(np.int8)
        p = p_of(state, np.abs(ratio), told)
        return Scores(p, np.where(told, usual, np.nan), np.where(told, now - usual, np.nan), direction)

    def learn(self, state: State, block: WindowBlock) -> State:
        new = _with(state, block)
        ratio, told = _ratio(new)
        return learn_tail(new, np.abs(ratio), told & np.isfinite(block.mean))


def _with(state: State, block: WindowBlock) -> State:
    seen, windows = np.isfinite(block.mean), state["windows"]
    x = np.clip(np.where(seen, block.mean, 0.0), -1e100, 1e100)
    step = np.where(windows > 0, (x - state["last"]) ** 2, 0.0)
    early = windows < 10
    held = np.where(early, step, np.minimum(step, MOST * state["long"]))
    gain_short, gain_long = np.maximum(SHORT, 1 / np.maximum(windows, 1)), np.maximum(LONG, 1 / np.maximum(windows, 1))
    new = {
        "last": x,
        "short": state["short"] + gain_short * (held - state["short"]),
        "long": state["long"] + gain_long * (held - state["long"]),
        "windows": windows + 1.0,
    }
    return {**state, **{name: np.where(seen, column, state[name]) for name, column in new.items()}}


def _ratio(state: State) -> tuple[F64, Bool]:
    told = (state["windows"] >= WARMUP) & (state["long"] > 1e-200)
    ratio = np.log(np.maximum(state["short"], 1e-300) / np.maximum(state["long"], 1e-300))
    return np.where(told, np.clip(ratio, -20.0, 20.0), 0.0), told


PLUGIN = Variance
