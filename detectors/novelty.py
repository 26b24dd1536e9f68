"""Novelty: a value beyond all that was ever seen of this series, of its last hours, or of its change since yesterday.

The n-th of exchangeable values is the largest or smallest of all with probability 2 / n, whatever their law (records:
Renyi 1962); how far it lies beyond the range makes it rarer, as for Student's t with 6 degrees of freedom. Three ranges
are kept: of the value, of a mean over two hours, and of that hour's mean against the same hour of the day before.
p is three times the smallest (Bonferroni). After a record the range holds it, so it is said once. Blind to what stays
within the range.
"""

import numpy as np

from detectors._contract import State
from schemas import AnomalyKind, SeriesDef
from schemas.core import F64, NS, Scores, WindowBlock

SLOTS = 24
DAY_NS = 86_400 * NS
SLOT_NS = DAY_NS // SLOTS
TRACKS = ("value", "mean", "change")
WARMUP = 288.0
"""Values before anything is said: three days of one minute in fifteen."""
MEAN_NS = DAY_NS // 12  # time constant of the mean, two hours
POWER = 6.0
REACH_MOST = 1e6


class Novelty:
    """Two-sided, on gauges of the signal metrics; one minute in fifteen, to cost little (docs/detectors.md)."""

    kind = "novelty"
    version = "1"
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
            "windows",
            "hour_sum",
            "hour_windows",
            *(f"{t}_{k}" for t in TRACKS for k in ("low", "high", "n")),
        )
        return {
            **{name: np.zeros(n) for name in names},
            "slot": np.full(n, -1, np.int64),
            "yesterday": np.zeros((n, SLOTS), np.float32),
            "filled": np.zeros((n, SLOTS), np.uint8),
        }

    def score(self, state: State, block: WindowBlock) -> Scores:
        """p in (0, 1], 1 within every range or before `warmup` values; residual is x less the nearest end."""
        x = block.mean
        p, inside = np.ones(len(x)), np.ones(len(x))
        for track, value in zip(TRACKS, _values(state, block), strict=True):
            low, high, n = (state[f"{track}_{name}"] for name in ("low", "high", "n"))
            with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
                beyond = np.maximum(value - high, low - value)
                reach = np.minimum(beyond / np.maximum(high - low, 1e-12), REACH_MOST)
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
            state["yesterday"][rows, state["slot"][rows]] = hour[rows]
            state["filled"][rows, state["slot"][rows]] = 1
            new["mean"] = np.where(seen, _mean(state, block), state["mean"])
            new["hour_sum"] = np.where(
                seen, np.where(ends, 0.0, state["hour_sum"]) + np.where(seen, x, 0.0), state["hour_sum"]
            )
        new["hour_windows"] = np.where(seen, np.where(ends, 0.0, state["hour_windows"]) + 1.0, state["hour_windows"])
        new["slot"] = np.where(seen, slot, state["slot"])
        new["windows"] = state["windows"] + seen
        return {**state, **new}


def _mean(state: State, block: WindowBlock) -> F64:
    gain = np.maximum(1.0 / (state["windows"] + 1.0), min((block.end_ns - block.start_ns) / MEAN_NS, 1.0))
    with np.errstate(invalid="ignore", over="ignore"):
        mean: F64 = state["mean"] + gain * (np.clip(block.mean, -1e300, 1e300) - state["mean"])
    return mean


def _values(state: State, block: WindowBlock) -> tuple[F64, F64, F64]:
    """What the three ranges are about; NaN where it is not there."""
    x = np.where(np.isfinite(block.mean), block.mean, np.nan)
    mean = _mean(state, block)
    slot = int(block.start_ns // SLOT_NS) % SLOTS
    with np.errstate(invalid="ignore", over="ignore"):
        change = np.where(state["filled"][:, slot] > 0, mean - state["yesterday"][:, slot].astype(np.float64), np.nan)
    return x, np.where(np.isfinite(x), mean, np.nan), np.where(np.isfinite(x), change, np.nan)


PLUGIN = Novelty
