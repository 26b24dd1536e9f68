"""How rare a departure is in this series' own history: its tail, learned while it goes by, so that p means the same.

Series differ in their tails far more than in their scales: for one five standard deviations come every hour, for the
next never. Above a threshold that one departure in twenty passes, the excess is taken as exponential. Its mean comes
from the *peaks* of clusters: departures with less than 20 quiet windows between them are one event, counted once, or a
single long fault would make the tail heavy for days. A peak counts at most five times the mean, so the faults that are
looked for hardly widen the tail that finds them. If most windows of half a day lie beyond the threshold, it is the
threshold that is wrong, and it moves fast.

Generalised Pareto with shape 0 over declustered peaks: Coles, An Introduction to Statistical Modeling of Extreme
Values, 2001, chapters 4 and 5. Following a quantile by constant steps: Robbins & Monro 1951.
"""

import numpy as np

from detectors._contract import State
from schemas.core import F64, Bool

SHARE = 0.05
"""Departures beyond the threshold."""
QUIET = 20.0
PEAK_MOST = 5.0
GAIN, EARLY = 1 / 5000, 19.0
PEAK_GAIN = 1 / 500
CROWDED, CROWDED_GAIN, CROWDED_STEP = 0.5, 1 / 720, 0.3
LEAST_AT = 0.3
PEAKS = 10.0
"""Peaks that make the tail known."""


def initial_tail(n: int) -> State:
    """56 bytes a series. tail_at: the threshold. tail_mean: mean excess. quiet: windows since the last one beyond."""
    return {
        "tail_at": np.full(n, 1.0), "tail_mean": np.full(n, 0.5), "tail_peaks": np.zeros(n), "tail_seen": np.zeros(n),
        "quiet": np.full(n, 1e9), "peak": np.zeros(n), "crowded": np.full(n, SHARE),
    }  # fmt: skip


def is_known(state: State) -> Bool:
    """Whether enough peaks were seen to say anything."""
    return state["tail_peaks"] >= PEAKS


def upper(state: State, size: F64) -> F64:
    """P of a departure of this size float64 (n,) >= 0 or more: at least SHARE up to the threshold, then exponential."""
    with np.errstate(invalid="ignore", over="ignore", under="ignore"):
        beyond = (size - state["tail_at"]) / state["tail_mean"]
        return SHARE * np.exp(-np.maximum(beyond, 0.0))


def learn_tail(state: State, size: F64, seen: Bool) -> State:
    """Take the departures of one tumbling window; rows that are not `seen` stay as they are."""
    size = np.where(seen, np.minimum(size, 1e4), 0.0)
    at, mean, peaks = state["tail_at"], state["tail_mean"], state["tail_peaks"]
    excess = size - at
    beyond = excess > 0
    n = state["tail_seen"] + 1.0
    crowded = state["crowded"] + CROWDED_GAIN * (np.where(beyond, 1.0, 0.0) - state["crowded"])
    step = np.maximum(GAIN, 1.0 / (n + EARLY)) * mean * 10.0
    step = np.where(crowded > CROWDED, np.maximum(step, CROWDED_STEP * mean), step)
    moved = np.maximum(np.where(beyond, at + step * (1.0 - SHARE), at - step * SHARE), LEAST_AT)
    peak = np.where(beyond, np.where(state["quiet"] > QUIET, excess, np.maximum(state["peak"], excess)), state["peak"])
    quiet = np.where(beyond, 0.0, np.minimum(state["quiet"] + 1.0, 1e9))
    closes = ~beyond & (quiet == QUIET) & (peak > 0)
    weight = np.maximum(1.0 / (peaks + 4.0), PEAK_GAIN)
    wider = mean + weight * (np.minimum(peak, PEAK_MOST * mean) - mean)
    wider = np.maximum(wider, 1e-3 + 0.05 * moved)
    return {
        **state,
        "tail_at": np.where(seen, moved, at),
        "tail_mean": np.where(seen & closes, wider, mean),
        "tail_peaks": np.where(seen & closes, peaks + 1.0, peaks),
        "tail_seen": np.where(seen, n, state["tail_seen"]),
        "quiet": np.where(seen, quiet, state["quiet"]),
        "peak": np.where(seen, np.where(closes, 0.0, peak), state["peak"]),
        "crowded": np.where(seen, crowded, state["crowded"]),
    }
