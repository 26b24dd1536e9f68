"""Seasonal-local residual of a metric: improbable for this hour of the day *and* after the last half hour.

The geometric mean of both departures was the best of all simple detectors on every event-level measure of two public
sets of operational series; alone, the seasonal one fires on every level shift and the local one on every morning.
Until a day is known the local one stands alone. 216 bytes a series, profile included, so no series needs to be
admitted to a profile of its own. Blind to slow drift.
"""

from typing import TYPE_CHECKING

import numpy as np

from detectors._contract import State
from detectors._local import GROWTH, LEVEL_SHARE, MAD_TO_SIGMA, Departure, departure, initial_local, learn_local
from detectors._tails import cut_of, small_sample_floor, upper_t4
from schemas import AnomalyKind
from schemas.core import F64, I64, NS, Bool, Scores, WindowBlock

if TYPE_CHECKING:
    from types import ModuleType

SLOTS = 24
DAY_NS = 86_400 * NS
WARMUP = 5
ENOUGH = 30
"""Windows of an hour of the day that make it known."""
PROFILE_GAIN = 1 / 120
SEASON_GAIN = 1 / 256


class Seasonal:
    """Two-sided. A subclass says which series it accepts and what the value of a window is."""

    kind: str
    version = "1"
    accepts_by_trait = True
    anomaly: AnomalyKind = "metric"
    window_s = 60
    _kernel: "ModuleType | None" = None

    def use_kernels(self) -> None:
        from detectors import _local_numba

        self._kernel = _local_numba

    def value(self, block: WindowBlock) -> F64:
        """What is judged: float64 (n,), NaN where the window has no value."""
        raise NotImplementedError

    def initial(self, n: int) -> State:
        return {
            **initial_local(n),
            "profile": np.zeros((n, SLOTS), np.float32),
            "learned": np.zeros((n, SLOTS), np.uint8),
            "season_scale": np.zeros(n),
            "since_ns": np.full(n, -1, np.int64),
        }

    def score(self, state: State, block: WindowBlock) -> Scores:
        """p two-sided in (0, 1], 1 with less than 5 learned windows, or without a value.

        A series that never moved tells nothing of its scale: its first move has p of at least 1 / (windows + 2).
        """
        x = self.value(block)
        near = departure(state, x)
        z, expected = self._with_season(state, block, x, near)
        windows = state["windows"]
        p = np.maximum(2.0 * upper_t4(np.abs(z)), small_sample_floor(windows))
        p = np.where(near.flat, np.maximum(p, 1.0 / (windows + 2.0)), p)
        can_tell = np.isfinite(x) & (windows >= WARMUP)
        p = np.where(can_tell, np.clip(p, 1e-300, 1.0), 1.0)
        residual = np.where(can_tell, x - expected, np.nan)
        direction = np.where(can_tell, np.sign(np.nan_to_num(residual)), 0).astype(np.int8)
        return Scores(p, np.where(can_tell, expected, np.nan), residual, direction)

    def may_matter(self, state: State, block: WindowBlock, p: float) -> I64:
        """Rows so far from their level, or their season, that the tail beyond is below p."""
        x, cut, known_since_ns = self.value(block), cut_of(_two_sided, p), block.start_ns - DAY_NS
        if self._kernel is not None:
            found: I64 = self._kernel.departed_in_season(
                x, state["level"], state["scale"], state["top"], state["windows"], LEVEL_SHARE, state["profile"],
                state["learned"], state["season_scale"], state["since_ns"], _slot(block), known_since_ns, ENOUGH,
                WARMUP, cut,
            )  # fmt: skip
            return found
        z, _ = self._with_season(state, block, x, departure(state, x))
        with np.errstate(invalid="ignore"):
            return np.flatnonzero(np.isfinite(x) & (state["windows"] >= WARMUP) & ~(np.abs(z) < cut))

    def _with_season(self, state: State, block: WindowBlock, x: F64, near: Departure) -> tuple[F64, F64]:
        """z and expectation: of the level alone, or with the season where a day of it is known."""
        slot, z = _slot(block), near.z
        has_day: Bool = (state["since_ns"] >= 0) & (block.start_ns - state["since_ns"] >= DAY_NS)
        has_day &= state["learned"][:, slot] > ENOUGH
        if not has_day.any():
            return z, near.level
        usual = state["profile"][:, slot].astype(np.float64)
        scale = np.maximum(np.maximum(state["season_scale"], 0.1 * np.abs(usual)), 1e-12)
        with np.errstate(invalid="ignore", over="ignore"):
            far = np.clip((x - usual) / scale, -1e12, 1e12)
            both = np.where(far * z > 0, np.sign(z) * np.sqrt(np.abs(far * z)), 0.0)
        return np.where(has_day, both, z), np.where(has_day, (usual + near.level) / 2.0, near.level)

    def learn(self, state: State, block: WindowBlock) -> State:
        x = self.value(block)
        if self._kernel is not None:
            self._kernel.learn_season(
                x, state["profile"], state["learned"], state["season_scale"], state["since_ns"], _slot(block),
                block.start_ns, PROFILE_GAIN, SEASON_GAIN,
            )  # fmt: skip
            local = (state["level"], state["scale"], state["top"], state["windows"])
            self._kernel.learn_local(x, *local, 0.0, LEVEL_SHARE, GROWTH)
            return state
        seen = np.isfinite(x)
        slot = _slot(block)
        usual = state["profile"][:, slot].astype(np.float64)
        count = state["learned"][:, slot].astype(np.float64)
        residual = np.where(seen, x - usual, 0.0)
        scale = np.maximum(state["season_scale"], 0.1 * np.abs(usual))
        limit = np.where((count < 3) | (scale <= 1e-12), np.inf, 3.0 * scale)
        clipped = np.clip(residual, -limit, limit)
        gain = np.where(count > 0, np.maximum(1.0 / (count + 1.0), PROFILE_GAIN), 1.0)
        state["profile"][:, slot] = np.where(seen, usual + gain * clipped, usual)
        state["learned"][:, slot] = np.where(seen, np.minimum(count + 1, 255), count)
        spread = state["season_scale"]
        known = seen & (count >= 3)
        state["season_scale"] = np.where(
            known, spread + SEASON_GAIN * (np.abs(clipped) * MAD_TO_SIGMA - spread), spread
        )
        first = seen & (spread == 0) & known
        state["season_scale"] = np.where(first, np.abs(clipped) * MAD_TO_SIGMA, state["season_scale"])
        state["since_ns"] = np.where(seen & (state["since_ns"] < 0), block.start_ns, state["since_ns"])
        return learn_local(state, x)


def _two_sided(z: F64) -> F64:
    return 2.0 * upper_t4(z)


def _slot(block: WindowBlock) -> int:
    return int(block.start_ns // (DAY_NS // SLOTS)) % SLOTS
