"""Durations that rose: the logarithm of a duration against its robust local level, one-sided up.

In logarithms a doubling is a doubling for every endpoint. One millisecond is added first, so that gaps at or below
zero (clocks differ) stay harmless. The scale is at least a quarter (a factor of 1.28).
"""

from typing import TYPE_CHECKING

import numpy as np

from detectors._contract import State
from detectors._local import departure, initial_local, learn_local
from detectors._tails import cut_of, small_sample_floor, upper_t6
from schemas.core import F64, I64, Scores, WindowBlock

if TYPE_CHECKING:
    from types import ModuleType

WARMUP = 3
LEAST_SCALE = 0.25
UNIT_S = 0.001


class Slower:
    """A subclass says which series it accepts; durations in seconds, the mean of a 10 s window."""

    version = "1"
    accepts_by_trait = True
    window_s = 10
    _kernel: "ModuleType | None" = None

    def use_kernels(self) -> None:
        from detectors import _local_numba

        self._kernel = _local_numba

    def initial(self, n: int) -> State:
        return initial_local(n)

    def score(self, state: State, block: WindowBlock) -> Scores:
        """p = 1 without a value or with fewer than 3 learned windows; expected and residual in seconds."""
        x = _log(block.mean)
        z = departure(state, x, least=LEAST_SCALE, level_share=0.0).z
        can_tell = np.isfinite(x) & (state["windows"] >= WARMUP)
        p = np.maximum(upper_t6(np.nan_to_num(z)), small_sample_floor(state["windows"]))
        expected = np.where(can_tell, np.expm1(state["level"]) * UNIT_S, np.nan)
        residual = np.where(can_tell, block.mean - expected, np.nan)
        direction = np.where(can_tell & (np.nan_to_num(z) > 0), 1, 0).astype(np.int8)
        return Scores(np.where(can_tell, np.clip(p, 1e-300, 1.0), 1.0), expected, residual, direction)

    def may_matter(self, state: State, block: WindowBlock, p: float) -> I64:
        """Rows so far above their level that the tail beyond is below p."""
        x, cut = _log(block.mean), cut_of(upper_t6, p)
        if self._kernel is not None:
            local = (state["level"], state["scale"], state["top"], state["windows"])
            found: I64 = self._kernel.departed(x, *local, LEAST_SCALE, 0.0, WARMUP, cut)
            return found
        z = departure(state, x, least=LEAST_SCALE, level_share=0.0).z
        with np.errstate(invalid="ignore"):
            return np.flatnonzero(np.isfinite(x) & (state["windows"] >= WARMUP) & ~(z < cut))

    def learn(self, state: State, block: WindowBlock) -> State:
        if self._kernel is not None:
            local = (state["level"], state["scale"], state["top"], state["windows"])
            self._kernel.learn_local(_log(block.mean), *local, LEAST_SCALE, 0.0, 0.0)
            return state
        return learn_local(state, _log(block.mean), least=LEAST_SCALE, level_share=0.0, growth=0.0)

    def moved(self, state: State, shift: F64) -> State:
        return {**state, "level": _log(np.expm1(state["level"]) * UNIT_S + shift)}


def _log(duration_s: F64) -> F64:
    with np.errstate(invalid="ignore"):
        return np.log1p(np.maximum(duration_s, 0.0) / UNIT_S)
