"""Season, local level and tail in one compiled loop (needs numba): what `_seasonal` computes, to the last bit.

Every operation stands in the order in which numpy does it in `_season`, `_tail_online` and `_local`; see
`_local_numba.py` for the rules. Each row is read and written once.
"""

from typing import Any

import numpy as np

from detectors import _local_numba as local
from detectors._contract import State
from detectors._local import CLIP, MAD_TO_SIGMA
from detectors._local_numba import F32, U8, _inlined, _jit, _max, _min
from detectors._season import (
    F32_MOST,
    FAR_SHARE,
    LEAST,
    LEVEL_LEAST,
    NEAR_GAIN,
    NEAR_SCALE_GAIN,
    STEADY,
    STRAIGHT,
    Clock,
)
from detectors._tail_online import (
    CROWDED,
    CROWDED_GAIN,
    CROWDED_STEP,
    EARLY,
    GAIN,
    LEAST_AT,
    PEAK_GAIN,
    PEAK_MOST,
    PEAKS,
    QUIET,
    SHARE,
)
from schemas.core import F64, I64

SEASON = (
    "profile", "profile_spread", "profile_learned", "since_ns", "season_scale", "near",
    "near_scale", "near_long", "far", "steady",
)  # fmt: skip
LINE = ("last", "moved", "straight")
TAIL = ("tail_at", "tail_mean", "tail_peaks", "tail_seen", "quiet", "peak", "crowded")
LOCAL = ("level", "scale", "top", "windows")


def _columns(state: State, names: tuple[str, ...]) -> tuple[Any, ...]:
    return tuple(state[name] for name in names)


def may_matter(x: F64, state: State, clock: Clock, cut: float, excesses: float, level_share: float, warmup: int) -> I64:
    """`Seasonal.may_matter`."""
    given = (x, *_columns(state, (*LOCAL, *SEASON, "tail_at", "tail_mean", "tail_peaks")))
    place = (clock.left, clock.right, clock.share, clock.enough, clock.known_since_ns)
    found: I64 = _may_matter(*given, *place, cut, excesses, level_share, warmup)  # type: ignore[call-arg]
    return found


def learn(x: F64, state: State, clock: Clock, start_ns: int, level_share: float, growth: float) -> None:
    """`Seasonal.learn`, in place."""
    given = (x, *_columns(state, ("level", "windows", *SEASON, *LINE, *TAIL)))
    place = (clock.slot, clock.left, clock.right, clock.share, clock.enough, clock.known_since_ns)
    gains = (clock.profile_gain, clock.scale_gain, clock.long_gain, clock.far_gain)
    _learn_season(*given, *place, *gains, start_ns)  # type: ignore[call-arg]
    local.learn_local(x, *_columns(state, LOCAL), 0.0, level_share, growth)  # type: ignore[call-arg]


@_inlined
def _clip(value: float, low: float, high: float) -> float:
    return _min(_max(value, low), high)


@_inlined
def _known(learned: U8, since_ns: I64, r: int, left: int, right: int, enough: float, known_since_ns: int) -> bool:
    since = since_ns[r]
    return bool(since >= 0 and since <= known_since_ns and learned[r, left] > enough and learned[r, right] > enough)


@_inlined
def _usual(profile: F32, r: int, left: int, right: int, share: float) -> float:
    return np.float64(profile[r, left]) * (1.0 - share) + np.float64(profile[r, right]) * share


@_inlined
def _least(far: float, usual: float) -> float:
    return _max(_max(FAR_SHARE * far, LEVEL_LEAST * abs(usual)), 1e-12)


@_inlined
def _both(
    residual: float, spread: float, season_scale: float, near: float, near_scale: float, near_long: float, least: float
) -> float:
    """`_season.season`: z of one row."""
    a = _clip(residual / _max(_max(spread, LEAST * season_scale), least), -1e12, 1e12)
    b = _clip((residual - near) / _max(_max(near_scale, LEAST * near_long), least), -1e12, 1e12)
    product = a * b
    if product > 0:
        return float(np.sign(a) * np.sqrt(abs(product)))
    return product if np.isnan(product) else 0.0


@_jit
def _may_matter(
    x: F64, level: F64, scale: F64, top: F64, windows: F64, profile: F32, spread: F32, learned: U8, since_ns: I64,
    season_scale: F64, near: F64, near_scale: F64, near_long: F64, far: F64, steady: F64, tail_at: F64, tail_mean: F64,
    tail_peaks: F64, left: int, right: int, share: float, enough: float, known_since_ns: int, cut: float,
    excesses: float, level_share: float, warmup: int,
) -> I64:  # fmt: skip
    out = np.empty(len(x), np.int64)
    n = 0
    for r in range(len(x)):
        if windows[r] < warmup or not np.isfinite(x[r]):
            continue
        if steady[r] >= STEADY and _known(learned, since_ns, r, left, right, enough, known_since_ns):
            usual = _usual(profile, r, left, right, share)
            wide = _usual(spread, r, left, right, share)
            least = _least(far[r], usual)
            size = abs(_both(x[r] - usual, wide, season_scale[r], near[r], near_scale[r], near_long[r], least))
            if tail_peaks[r] >= PEAKS:
                close = size - tail_at[r] < excesses * tail_mean[r]
            else:
                close = size < cut
        else:
            z, _ = local._z(x[r], level[r], scale[r], top[r], windows[r], 0.0, level_share)
            close = abs(z) < cut
        if not close:
            out[n] = r
            n += 1
    return out[:n].copy()


@_jit
def _learn_season(
    x: F64, level: F64, windows: F64, profile: F32, spread: F32, learned: U8, since_ns: I64, season_scale: F64,
    near: F64, near_scale: F64, near_long: F64, far: F64, steady: F64, last: F64, moved: F64, straight: F64,
    tail_at: F64, tail_mean: F64, tail_peaks: F64, tail_seen: F64, quiet: F64, peak: F64, crowded: F64, slot: int,
    left: int, right: int, share: float, enough: float, known_since_ns: int, profile_gain: float, scale_gain: float,
    long_gain: float, far_gain: float, start_ns: int,
) -> None:  # fmt: skip
    for r in range(len(x)):
        v = x[r]
        if not np.isfinite(v):
            continue
        step = v - last[r]
        bent = not (step != 0 and abs(step - moved[r]) <= STRAIGHT * abs(step))
        line = not bent and straight[r] >= 2
        straight[r] = 0.0 if bent else _min(straight[r] + 1.0, 3.0)
        last[r] = v
        if np.isfinite(step):
            moved[r] = step
        if line:
            continue
        known = _known(learned, since_ns, r, left, right, enough, known_since_ns)
        usual = _usual(profile, r, left, right, share)
        least = _least(far[r], usual)
        off, count_known, own = v - usual, steady[r], season_scale[r]
        if known and count_known >= STEADY:
            wide = _usual(spread, r, left, right, share)
            size = abs(_both(off, wide, own, near[r], near_scale[r], near_long[r], least))
            _learn_tail(tail_at, tail_mean, tail_peaks, tail_seen, quiet, peak, crowded, r, size)
        mean, wide = np.float64(profile[r, slot]), np.float64(spread[r, slot])
        count = np.float64(learned[r, slot])
        widest, wrong = _max(wide, own), crowded[r] > CROWDED
        limit = np.inf if count < 3 or wrong or widest <= 1e-12 else CLIP * _max(widest, least)
        clipped = _clip(v - mean, -limit, limit)
        gain = _max(1.0 / (count + 1.0), profile_gain)
        profile[r, slot] = _clip(mean + gain * clipped, -F32_MOST, F32_MOST)
        if count >= 1:
            spread[r, slot] = _min(wide + gain * (abs(clipped) * MAD_TO_SIGMA - wide), F32_MOST)
        learned[r, slot] = np.uint8(_min(count + 1.0, 255.0))
        most = np.inf if far[r] <= 1e-12 else 50.0 * far[r]
        away = abs(v - level[r])
        far[r] = far[r] + _max(1.0 / (windows[r] + 1.0), far_gain) * (_min(away, most) - far[r])
        if known:
            first = 1.0 / (count_known + 1.0)
            bound = np.inf if count_known < 10 or wrong or own <= 1e-12 else CLIP * _max(own, least)
            season_scale[r] = own + _max(first, scale_gain) * (_min(abs(off), bound) * MAD_TO_SIGMA - own)
            tight, long = near_scale[r], near_long[r]
            close = _max(_max(tight, LEAST * long), least)
            bound = np.inf if count_known < 10 or wrong or _max(tight, long) <= 1e-12 else CLIP * close
            held = _clip(off - near[r], -bound, bound)
            size = abs(held) * MAD_TO_SIGMA
            near[r] = near[r] + _max(first, NEAR_GAIN) * held
            near_scale[r] = tight + _max(first, NEAR_SCALE_GAIN) * (size - tight)
            near_long[r] = long + _max(first, long_gain) * (size - long)
            steady[r] = count_known + 1.0
        if since_ns[r] < 0:
            since_ns[r] = start_ns


@_inlined
def _learn_tail(
    tail_at: F64, tail_mean: F64, tail_peaks: F64, tail_seen: F64, quiet: F64, peak: F64, crowded: F64, r: int,
    size: float,
) -> None:  # fmt: skip
    """`_tail_online.learn_tail` of one row that was seen."""
    at, mean = tail_at[r], tail_mean[r]
    excess = _min(size, 1e4) - at
    n = tail_seen[r] + 1.0
    crowded[r] = crowded[r] + CROWDED_GAIN * ((1.0 if excess > 0 else 0.0) - crowded[r])
    step = _max(GAIN, 1.0 / (n + EARLY)) * mean * 10.0
    if crowded[r] > CROWDED:
        step = _max(step, CROWDED_STEP * mean)
    tail_seen[r] = n
    if excess > 0:
        tail_at[r] = _max(at + step * (1.0 - SHARE), LEAST_AT)
        peak[r] = excess if quiet[r] > QUIET else _max(peak[r], excess)
        quiet[r] = 0.0
        return
    tail_at[r] = _max(at - step * SHARE, LEAST_AT)
    quiet[r] = _min(quiet[r] + 1.0, 1e9)
    if quiet[r] == QUIET and peak[r] > 0:
        wider = mean + _max(1.0 / (tail_peaks[r] + 4.0), PEAK_GAIN) * (_min(peak[r], PEAK_MOST * mean) - mean)
        tail_mean[r] = _max(wider, 1e-3 + 0.05 * tail_at[r])
        tail_peaks[r] = tail_peaks[r] + 1.0
        peak[r] = 0.0
