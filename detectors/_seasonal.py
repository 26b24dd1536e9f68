"""Seasonal-local residual of a metric: improbable for this hour of the day *and* after the last half hour.

The geometric mean of both departures was the best of all simple detectors on every event-level measure of two public
sets of operational series; alone, the seasonal one fires on every level shift and the local one on every morning
(`_season.py`). Until a day is known the local one stands alone (`_local.py`). Once ten clusters of departures were
seen, p is the share of this series' own history that departed as far (`_tail_online.py`): the same p then means the
same for every series, which one threshold for all of them needs. 404 bytes a series. Blind to slow drift.
"""

from typing import TYPE_CHECKING

import numpy as np

from detectors._contract import State
from detectors._local import GROWTH, LEVEL_SHARE, departure, initial_local, learn_local
from detectors._season import STEADY, clock_of, initial_season, is_line, learn_season, season
from detectors._tail_online import SHARE, initial_tail, is_known, learn_tail, upper
from detectors._tails import cut_of, small_sample_floor, upper_t4
from schemas import AnomalyKind
from schemas.core import F64, I64, Scores, WindowBlock

if TYPE_CHECKING:
    from types import ModuleType

WARMUP = 5


class Seasonal:
    """Two-sided. A subclass says which series it accepts and what the value of a window is."""

    kind: str
    version = "3"
    accepts_by_trait = True
    anomaly: AnomalyKind = "metric"
    window_s = 60
    _kernel: "ModuleType | None" = None

    def use_kernels(self) -> None:
        from detectors import _season_numba

        self._kernel = _season_numba

    def value(self, block: WindowBlock) -> F64:
        """What is judged: float64 (n,), NaN where the window has no value."""
        raise NotImplementedError

    def initial(self, n: int) -> State:
        return {**initial_local(n), **initial_season(n), **initial_tail(n)}

    def score(self, state: State, block: WindowBlock) -> Scores:
        """p two-sided in (0, 1], 1 with less than 5 learned windows, without a value, or on an interpolated line.

        A series that never moved tells nothing of its scale: its first move has p of at least 1 / (windows + 2).
        """
        x, windows = self.value(block), state["windows"]
        near, part = departure(state, x), season(state, clock_of(block), x)
        ready = part.known & (state["steady"] >= STEADY)
        size = np.where(np.isfinite(x), np.abs(np.where(ready, part.z, near.z)), 0.0)
        p = np.maximum(2.0 * upper_t4(size), small_sample_floor(windows))
        p = np.where(near.flat, np.maximum(p, 1.0 / (windows + 2.0)), p)
        own = np.where(size > state["tail_at"], upper(state, size), np.maximum(p, SHARE))
        p = np.where(ready & is_known(state), own, p)
        can_tell = np.isfinite(x) & (windows >= WARMUP)
        p = np.where(can_tell & ~(part.known & is_line(state, x)), np.clip(p, 1e-300, 1.0), 1.0)
        expected = np.where(ready, part.usual + state["near"], near.level)
        residual = np.where(can_tell, x - expected, np.nan)
        direction = np.where(can_tell, np.sign(np.nan_to_num(residual)), 0).astype(np.int8)
        return Scores(p, np.where(can_tell, expected, np.nan), residual, direction)

    def may_matter(self, state: State, block: WindowBlock, p: float) -> I64:
        """Rows so far from their level, or their season, that the tail beyond is below p."""
        x, cut, clock = self.value(block), cut_of(_two_sided, p), clock_of(block)
        # Beyond the threshold so many mean excesses are less probable than p; below it p is at least SHARE.
        excesses = float(np.log(SHARE / p)) - 1e-6 if p <= SHARE else -np.inf
        if self._kernel is not None:
            found: I64 = self._kernel.may_matter(x, state, clock, cut, excesses, LEVEL_SHARE, WARMUP)
            return found
        near, part = departure(state, x), season(state, clock, x)
        ready = part.known & (state["steady"] >= STEADY)
        size = np.abs(np.where(ready, part.z, near.z))
        with np.errstate(invalid="ignore", over="ignore"):
            close = np.where(
                ready & is_known(state), (size - state["tail_at"]) < excesses * state["tail_mean"], size < cut
            )
        return np.flatnonzero(np.isfinite(x) & (state["windows"] >= WARMUP) & ~close)

    def learn(self, state: State, block: WindowBlock) -> State:
        x, clock = self.value(block), clock_of(block)
        if self._kernel is not None:
            self._kernel.learn(x, state, clock, block.start_ns, LEVEL_SHARE, GROWTH)
            return state
        part = season(state, clock, x)
        judged = part.known & (state["steady"] >= STEADY) & np.isfinite(x) & ~is_line(state, x)
        state = learn_tail(state, np.abs(part.z), judged)
        return learn_local(learn_season(state, clock, x, block.start_ns, part), x)

    def moved(self, state: State, shift: F64) -> State:
        """Profile and level, and what a straight line is seen by."""
        profile = np.where(state["profile_learned"] > 0, state["profile"] + shift[:, None], state["profile"])
        near_by = {name: state[name] + shift for name in ("level", "last")}
        return {**state, **near_by, "profile": profile.astype(np.float32)}

    def inherited(self, old: State, own: State, block: WindowBlock) -> State:
        """Moved by how far the own level lies from what the other's day expects now: its level is of half an hour."""
        part = season(old, clock_of(block), own["level"])
        ready = part.known & (old["steady"] >= STEADY)
        return self.moved(old, np.where(ready, part.residual - old["near"], own["level"] - old["level"]))


def _two_sided(z: F64) -> F64:
    return 2.0 * upper_t4(z)
