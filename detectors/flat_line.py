"""Flat line: a gauge that used to move and has the same value window after window, as a sensor or exporter that hung.

How often a value stays, once it has stayed, is learned for each series; so long a stay has p of that share to the power
of its length (a geometric law), with one stay more than was seen. What never moves is never a wonder. Said for as long
as it lasts. Opt-in.
"""

import numpy as np

from detectors._contract import State
from detectors._own_tail import gauges
from schemas import AnomalyKind, SeriesDef
from schemas.core import F64, Scores, WindowBlock

KEPT = 0.9995
WARMUP = 30.0
LEAST_RUN = 3.0


class FlatLine:
    """On gauges of the signal metrics; windows of a minute."""

    kind = "flat_line"
    version = "1"
    accepts_by_trait = True
    anomaly: AnomalyKind = "metric"
    window_s = 60
    is_optional = True

    def accepts(self, series: SeriesDef) -> bool:
        return gauges(series)

    def initial(self, n: int) -> State:
        """run: windows without a move until now. stays, chances: how often it stayed in windows that were learned."""
        return {name: np.zeros(n) for name in ("last", "run", "stays", "chances", "windows")}

    def score(self, state: State, block: WindowBlock) -> Scores:
        """expected is NaN: any move would do; residual 0."""
        run = _run(state, block)
        told = np.isfinite(block.mean) & (state["windows"] >= WARMUP) & (run >= LEAST_RUN)
        stay = (state["stays"] + 1.0) / (state["chances"] + 2.0)
        p = np.where(told, np.clip(stay**run, 1e-300, 1.0), 1.0)
        nothing = np.full(len(p), np.nan)
        return Scores(p, nothing, np.where(told, 0.0, np.nan), np.zeros(len(p), np.int8))

    def learn(self, state: State, block: WindowBlock) -> State:
        """A run counts up to ten windows, or what hung for long would be what is usual; unless it never moved."""
        run = _run(state, block)
        seen, windows = np.isfinite(block.mean), state["windows"]
        counts = seen & (windows > 0) & ((run <= 10.0) | (state["stays"] >= state["chances"] - 0.5))
        new = {
            "last": np.where(seen, block.mean, 0.0), "run": run,
            "stays": state["stays"] * np.where(counts, KEPT, 1.0) + np.where(counts & (run > 0), 1.0, 0.0),
            "chances": state["chances"] * np.where(counts, KEPT, 1.0) + np.where(counts, 1.0, 0.0),
            "windows": windows + 1.0,
        }  # fmt: skip
        return {**state, **{name: np.where(seen, column, state[name]) for name, column in new.items()}}


def _run(state: State, block: WindowBlock) -> F64:
    same = np.isfinite(block.mean) & (block.low == block.high) & (block.mean == state["last"]) & (state["windows"] > 0)
    return np.where(same, state["run"] + 1.0, 0.0)


PLUGIN = FlatLine
