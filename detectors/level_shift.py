"""Level shift: a gauge left the level of the last hour, and its own history says how rarely it goes that far.

The scale is slow, so a restless minute does not hide the next. p comes from the online tail of the square root of the
departure (`_tail_online.py`). A shift that lasts is the new level after five windows (re-baselining), so it is said
once and not until the hour has forgotten it. Unlike `seasonal_local` it knows no hour of the day: what happens at ten
each morning is a shift at ten each morning.

A two-sided CUSUM (Page 1954) in place of the departure was tried on both public sets of hosts: it adds up the swing of
every day, and found less at more false alarms (docs/detectors.md).
"""

import numpy as np

from detectors._contract import State
from detectors._local import CLIP, MAD_TO_SIGMA
from detectors._tail_online import CROWDED, initial_tail, is_known, learn_tail, upper
from schemas import AnomalyKind, SeriesDef
from schemas.core import F64, NS, Scores, WindowBlock

HOUR_NS = 3600 * NS
SCALE_GAIN, LONG_GAIN = 1 / 1000, 1 / 10_000
WARMUP, GAIN_MOST = 30.0, 0.25
LASTING = 5.0
"""Odd windows in a row after which the level is learned anew."""
FAR_SHARE = 0.3


class LevelShift:
    """Two-sided, on gauges of the signal metrics; one minute in fifteen, to cost little (docs/detectors.md)."""

    kind = "level_shift"
    version = "1"
    accepts_by_trait = True
    anomaly: AnomalyKind = "metric"
    window_s = 60
    is_optional = True
    every_s = 900

    def accepts(self, series: SeriesDef) -> bool:
        return series.signal == "metrics" and series.kind == "gauge" and not series.is_histogram

    def initial(self, n: int) -> State:
        names = ("level", "scale", "long", "far", "windows", "odd")
        return {**{name: np.zeros(n) for name in names}, **initial_tail(n)}

    def score(self, state: State, block: WindowBlock) -> Scores:
        """p two-sided in (0, 1], 1 until ten clusters of departures were seen; residual is x minus the level."""
        x = block.mean
        z, _, size = _statistic(state, x)
        can_tell = np.isfinite(x) & is_known(state) & (state["windows"] >= WARMUP)
        p = np.where(can_tell & (size > state["tail_at"]), upper(state, size), 1.0)
        residual = np.where(can_tell, x - state["level"], np.nan)
        direction = np.where(can_tell, np.sign(np.nan_to_num(z)), 0).astype(np.int8)
        return Scores(np.clip(p, 1e-300, 1.0), np.where(can_tell, state["level"], np.nan), residual, direction)

    def learn(self, state: State, block: WindowBlock) -> State:
        x, width = block.mean, block.end_ns - block.start_ns
        _, least, size = _statistic(state, x)
        seen, windows = np.isfinite(x), state["windows"]
        judged = seen & (windows >= WARMUP)
        state = learn_tail(state, size, judged)
        early, wrong = windows < 10, state["crowded"] > CROWDED
        with np.errstate(invalid="ignore", over="ignore"):
            residual = np.where(seen, x - state["level"], 0.0)
        scale = np.maximum(np.maximum(state["scale"], state["long"]), least)
        limit = np.where(early | wrong | (np.maximum(state["scale"], state["far"]) <= 1e-12), np.inf, CLIP * scale)
        odd = np.where(judged & (size > 2.0 * state["tail_at"]), state["odd"] + 1.0, 0.0)
        anew = judged & (odd >= LASTING)
        held = np.clip(residual, -limit, limit)
        gain = np.maximum(1.0 / (windows + 1.0), min(width / HOUR_NS, GAIN_MOST))
        level = np.where(anew, x, state["level"] + gain * held)
        wide, far = np.abs(held) * MAD_TO_SIGMA, state["far"]
        most = np.where(early | (far <= 1e-12), np.inf, 50.0 * far)
        first = 1.0 / (windows + 1.0)
        new = {
            "level": level,
            "scale": state["scale"] + np.maximum(first, SCALE_GAIN) * (wide - state["scale"]),
            "long": state["long"] + np.maximum(first, LONG_GAIN) * (wide - state["long"]),
            "far": far + np.maximum(first, LONG_GAIN) * (np.minimum(np.abs(residual), most) - far),
            "windows": windows + 1.0,
            "odd": np.where(anew, 0.0, odd),
        }
        return {**state, **{name: np.where(seen, column, state[name]) for name, column in new.items()}}


def _statistic(state: State, x: F64) -> tuple[F64, F64, F64]:
    """z, the smallest scale that is believed, and the square root of |z|, 0 without a value."""
    least = np.maximum(np.maximum(FAR_SHARE * state["far"], 1e-9 * np.abs(state["level"])), 1e-12)
    with np.errstate(invalid="ignore", over="ignore"):
        z = np.clip((x - state["level"]) / np.maximum(np.maximum(state["scale"], state["long"]), least), -1e8, 1e8)
    return z, least, np.sqrt(np.abs(np.nan_to_num(z)))


PLUGIN = LevelShift
