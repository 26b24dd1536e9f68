"""Novelty: beyond all that was ever seen of a series: its value, its last hours, how restless it is, how it changed.

The n-th of exchangeable values is the largest or smallest of all with probability 2 / n, whatever their law (records:
Renyi 1962); how far it lies beyond the range makes it rarer, as for Student's t with 6 degrees of freedom. Five ranges
are kept: of the value, of a mean over two hours, of that mean against the same hour of the day before and of the week
before, and of the spread over six hours, where only more is a record, and how far beyond does not count. p is five
times the smallest (Bonferroni). After a record the range holds it, so it is said once. 1,024 bytes a series, most for
the hours of a week. Blind to what stays within the range.
"""

import numpy as np

from detectors._contract import State
from schemas import AnomalyKind, SeriesDef
from schemas.core import F64, NS, Scores, WindowBlock

SLOTS, DAY_SLOTS = 168, 24
DAY_NS = 86_400 * NS
SLOT_NS = DAY_NS // DAY_SLOTS
TRACKS = ("value", "mean", "change", "week", "spread")
RISING = "spread"
"""Calm is no news, and how far a record lies beyond the last says little of a spread."""
WARMUP = 288.0
"""Values before anything is said: three days of one minute in fifteen."""
MEAN_NS = DAY_NS // 12  # time constant of the mean, two hours
SPREAD_NS = DAY_NS // 4  # and of the spread
SPREAD_LEAST = 1e-3  # of the range: what a flat line has
SETTLED = 30.0  # windows before a spread is one
POWER = 6.0
REACH_MOST = 1e6


class Novelty:
    """Two-sided, on gauges of the signal metrics; one minute in fifteen, to cost little (docs/detectors.md)."""

    kind = "novelty"
    version = "2"
    accepts_by_trait = True
    anomaly: AnomalyKind = "metric"
    window_s = 60
    is_optional = True
    every_s = 900

    def __init__(self, warmup: float = WARMUP) -> None:
        self.warmup = warmup

    def accepts(self, series: SeriesDef) -> bool:
        return series.signal == "metrics" and series.kind == "gauge" and not series.is_histogram

    def initial(self, n: int) -> State:
        names = (
            "mean",
            "middle",
            "variance",
            "windows",
            "hour_sum",
            "hour_windows",
            *(f"{t}_{k}" for t in TRACKS for k in ("low", "high", "n")),
        )
        return {
            **{name: np.zeros(n) for name in names},
            "slot": np.full(n, -1, np.int64),
            "last_ns": np.full(n, -1, np.int64),
            "hours": np.zeros((n, SLOTS), np.float32),
            "filled": np.zeros((n, SLOTS), np.uint8),
        }

    def score(self, state: State, block: WindowBlock) -> Scores:
        """p in (0, 1], 1 within every range or before `warmup` values; residual is x less the nearest end."""
        x = block.mean
        p, inside = np.ones(len(x)), np.ones(len(x))
        for track, value in zip(TRACKS, _values(state, block), strict=True):
            low, high, n = (state[f"{track}_{name}"] for name in ("low", "high", "n"))
            with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
                beyond = value - high if track == RISING else np.maximum(value - high, low - value)
                reach = np.minimum(beyond / np.maximum(high - low, 1e-12), REACH_MOST) * (track != RISING)
                rare = 2.0 / (n + 1.0) * (1.0 + 2.0 * np.maximum(reach, 0.0)) ** -POWER
            is_record = np.isfinite(value) & (n >= self.warmup) & (beyond > 0)
            p = np.where(is_record, np.minimum(p, len(TRACKS) * rare), p)
            inside = np.where(is_record, 0.0, inside)
        can_tell = np.isfinite(x) & (state["windows"] >= self.warmup)
        p = np.where(can_tell & (inside == 0), np.clip(p, 1e-300, 1.0), 1.0)
        nearest = np.clip(x, state["value_low"], state["value_high"])
        residual = np.where(can_tell, x - nearest, np.nan)
        direction = np.where(can_tell, np.sign(np.nan_to_num(residual)), 0).astype(np.int8)
        return Scores(p, np.where(can_tell, nearest, np.nan), residual, direction)

    def learn(self, state: State, block: WindowBlock) -> State:
        x = block.mean
        seen = np.isfinite(x)
        new: State = {}
        for track, value in zip(TRACKS, _values(state, block), strict=True):
            low, high, n = (state[f"{track}_{name}"] for name in ("low", "high", "n"))
            there = np.isfinite(value)
            new[f"{track}_low"] = np.where(there, np.where(n == 0, value, np.fmin(low, value)), low)
            new[f"{track}_high"] = np.where(there, np.where(n == 0, value, np.fmax(high, value)), high)
            new[f"{track}_n"] = n + there
        slot = int(block.start_ns // SLOT_NS) % SLOTS
        ends = seen & (state["slot"] >= 0) & (state["slot"] != slot)
        rows = np.flatnonzero(ends)
        with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
            hour = np.clip(state["hour_sum"] / state["hour_windows"], -3e38, 3e38)
            state["hours"][rows, state["slot"][rows]] = hour[rows]
            state["filled"][rows, state["slot"][rows]] = 1
            for name, column in _means(state, block).items():
                new[name] = np.where(seen, column, state[name])
            new["hour_sum"] = np.where(
                seen, np.where(ends, 0.0, state["hour_sum"]) + np.where(seen, x, 0.0), state["hour_sum"]
            )
        new["hour_windows"] = np.where(seen, np.where(ends, 0.0, state["hour_windows"]) + 1.0, state["hour_windows"])
        new["slot"] = np.where(seen, slot, state["slot"])
        new["windows"] = state["windows"] + seen
        new["last_ns"] = np.where(seen, block.start_ns, state["last_ns"])
        return {**state, **new}


def _means(state: State, block: WindowBlock) -> State:
    """mean over two hours, middle and variance over six, with this window; a window stands for all since the last."""
    width = block.end_ns - block.start_ns
    since = np.where(state["last_ns"] >= 0, np.maximum(block.start_ns - state["last_ns"], width), width)
    first, x = 1.0 / (state["windows"] + 1.0), np.clip(block.mean, -1e150, 1e150)
    quick, slow = (np.minimum(np.maximum(first, since / span), 1.0) for span in (MEAN_NS, SPREAD_NS))
    with np.errstate(invalid="ignore", over="ignore"):
        middle = state["middle"] + slow * (x - state["middle"])
        return {
            "mean": state["mean"] + quick * (x - state["mean"]),
            "middle": middle,
            "variance": state["variance"] + slow * ((x - middle) ** 2 - state["variance"]),
        }


def _values(state: State, block: WindowBlock) -> tuple[F64, ...]:
    """What the ranges of `TRACKS` are about; NaN where it is not there."""
    x = np.where(np.isfinite(block.mean), block.mean, np.nan)
    part, slot = _means(state, block), int(block.start_ns // SLOT_NS) % SLOTS
    yesterday, last_week = (
        np.where(state["filled"][:, at] > 0, state["hours"][:, at].astype(np.float64), np.nan)
        for at in ((slot - DAY_SLOTS) % SLOTS, slot)
    )
    with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
        least = SPREAD_LEAST * (state["value_high"] - state["value_low"])
        spread = np.where(state["windows"] >= SETTLED, np.sqrt(part["variance"]) + least, np.nan)
        found = (x, part["mean"], part["mean"] - yesterday, part["mean"] - last_week, spread)
    return tuple(np.where(np.isfinite(x), value, np.nan) for value in found)


PLUGIN = Novelty
