"""What is usual at this hour of the day, and how far beside it a series has been lately: departures from both.

The profile holds the mean and the spread of each hour and is read between the middles of two hours, so nothing jumps at
the full hour. `near` follows what is left over for half an hour. A value is odd if it departs from the profile *and*
from what the leftovers were lately: the geometric mean of both departures, nothing if their signs differ. Steps are
clipped (Huber), so a fault does not become usual within a day; unless most windows of half a day are odd (`crowded` of
`_tail_online.py`): then it is the scale that is wrong, and steps are free until it fits.

A value on the straight line through the last three windows, that moves, was interpolated by whoever sent it: it tells
nothing, and nothing is learned from it, or the scale would shrink to nothing where data were missing.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from detectors._contract import State
from detectors._local import CLIP, MAD_TO_SIGMA
from detectors._tail_online import CROWDED
from schemas.core import F64, NS, Bool, WindowBlock

SLOTS = 24
DAY_NS = 86_400 * NS
SLOT_NS = DAY_NS // SLOTS
ENOUGH = 30
"""Windows of an hour that make it known, or half of those that an hour has."""
STEADY = 30.0
"""Known windows before `near` counts."""
DAYS_KEPT = 5  # of the profile; with fewer a weekend changes it, with more it misses what changed for good
NEAR_GAIN, NEAR_SCALE_GAIN = 1 / 30, 1 / 300
LEAST = 0.5  # a scale is at least this share of its own long-run value: what is calm now was not always
FAR_SHARE = 0.1  # and this share of the mean distance from the level, unclipped: for series that are mostly zero
FAR_DAYS = 14  # of that distance; with 3 a calm week made every value of such a series odd (docs/detectors.md)
LEVEL_LEAST = 0.01  # and this share of what is usual
STRAIGHT = 1e-4  # a second difference below this share of the first is a straight line
F32_MOST = 3e38


@dataclass(frozen=True, slots=True)
class Clock:
    """Where a window lies in the day. It is learned into `slot`, and read between `left` and `right`."""

    slot: int
    left: int
    right: int
    share: float
    """Of `right`."""
    enough: float
    known_since_ns: int
    profile_gain: float
    scale_gain: float
    long_gain: float
    far_gain: float


def clock_of(block: WindowBlock) -> Clock:
    """Gains follow from how many windows an hour has, so that an hour of memory is one for every width."""
    width = block.end_ns - block.start_ns
    each = max(SLOT_NS / width, 1.0)
    middle = ((block.start_ns + width // 2) % DAY_NS) / SLOT_NS - 0.5
    left = int(np.floor(middle))
    return Clock(
        slot=int(block.start_ns // SLOT_NS) % SLOTS, left=left % SLOTS, right=(left + 1) % SLOTS, share=middle - left,
        enough=min(float(ENOUGH), each / 2.0), known_since_ns=block.start_ns - DAY_NS,
        profile_gain=1.0 / (DAYS_KEPT * each), scale_gain=1.0 / (2 * SLOTS * each), long_gain=1.0 / (3 * SLOTS * each),
        far_gain=1.0 / (FAR_DAYS * SLOTS * each),
    )  # fmt: skip


class Season(NamedTuple):
    """known: bool (n,), a day was seen and both hours are known. usual, residual: float64 (n,), unit of the series.

    z: departure from profile and lately, 0 where their signs differ. least: the smallest scale that is believed.
    """

    known: Bool
    usual: F64
    residual: F64
    spread: F64
    least: F64
    z: F64


def initial_season(n: int) -> State:
    """304 bytes a series."""
    flat = ("season_scale", "near", "near_scale", "near_long", "far", "steady", "last", "moved", "straight")
    return {
        "profile": np.zeros((n, SLOTS), np.float32),
        "profile_spread": np.zeros((n, SLOTS), np.float32),
        "profile_learned": np.zeros((n, SLOTS), np.uint8),
        "since_ns": np.full(n, -1, np.int64),
        **{name: np.zeros(n) for name in flat},
    }


def season(state: State, clock: Clock, x: F64) -> Season:
    """How x float64 (n,) departs; rows with NaN have NaN."""
    left, right, share = clock.left, clock.right, clock.share
    profile, spreads, learned = state["profile"], state["profile_spread"], state["profile_learned"]
    since = state["since_ns"]
    known = (since >= 0) & (since <= clock.known_since_ns)
    known &= (learned[:, left] > clock.enough) & (learned[:, right] > clock.enough)
    usual = profile[:, left].astype(np.float64) * (1.0 - share) + profile[:, right].astype(np.float64) * share
    spread = spreads[:, left].astype(np.float64) * (1.0 - share) + spreads[:, right].astype(np.float64) * share
    least = np.maximum(np.maximum(FAR_SHARE * state["far"], LEVEL_LEAST * np.abs(usual)), 1e-12)
    wide = np.maximum(np.maximum(spread, LEAST * state["season_scale"]), least)
    close = np.maximum(np.maximum(state["near_scale"], LEAST * state["near_long"]), least)
    with np.errstate(invalid="ignore", over="ignore"):
        residual = x - usual
        a = np.clip(residual / wide, -1e12, 1e12)
        b = np.clip((residual - state["near"]) / close, -1e12, 1e12)
        product = a * b
        z = np.where(product > 0, np.sign(a) * np.sqrt(np.abs(product)), np.where(np.isnan(product), product, 0.0))
    return Season(known, usual, residual, spread, least, z)


def is_line(state: State, x: F64) -> Bool:
    """Whether x is the fourth window of a straight line that moves."""
    with np.errstate(invalid="ignore", over="ignore"):
        step = x - state["last"]
        bend = np.abs(step - state["moved"])
        found: Bool = (step != 0) & (bend <= STRAIGHT * np.abs(step)) & (state["straight"] >= 2)
    return found


def learn_season(state: State, clock: Clock, x: F64, start_ns: int, part: Season) -> State:
    """Take x into profile, spreads and `near`; rows with NaN, and those on a straight line, learn nothing.

    `part` is what `season` said of x. Reads `level` and `windows` of the local state as they were before, and `crowded`
    of the tail as it is after.
    """
    with np.errstate(invalid="ignore", over="ignore"):
        finite = np.isfinite(x)
        line = is_line(state, x)
        step = x - state["last"]
        bend = np.abs(step - state["moved"])
        straight = np.where(
            (step != 0) & (bend <= STRAIGHT * np.abs(step)), np.minimum(state["straight"] + 1.0, 3.0), 0.0
        )
        seen = finite & ~line
        slot = clock.slot
        mean = state["profile"][:, slot].astype(np.float64)
        wide = state["profile_spread"][:, slot].astype(np.float64)
        count = state["profile_learned"][:, slot].astype(np.float64)
        scale = np.maximum(np.maximum(wide, state["season_scale"]), part.least)
        wrong = state["crowded"] > CROWDED
        free = (count < 3) | wrong | (np.maximum(wide, state["season_scale"]) <= 1e-12)
        limit = np.where(free, np.inf, CLIP * scale)
        residual = np.where(seen, x - mean, 0.0)
        clipped = np.minimum(np.maximum(residual, -limit), limit)
        gain = np.maximum(1.0 / (count + 1.0), clock.profile_gain)
        fresh = np.minimum(np.maximum(mean + gain * clipped, -F32_MOST), F32_MOST)
        moved = np.minimum(wide + gain * (np.abs(clipped) * MAD_TO_SIGMA - wide), F32_MOST)
        state["profile"][:, slot] = np.where(seen, fresh, mean)
        state["profile_spread"][:, slot] = np.where(seen & (count >= 1), moved, wide)
        state["profile_learned"][:, slot] = np.where(seen, np.minimum(count + 1.0, 255.0), count)

        away = np.where(seen, np.abs(x - state["level"]), 0.0)
        far, windows = state["far"], state["windows"]
        most = np.where(far <= 1e-12, np.inf, 50.0 * far)
        far_gain = np.maximum(1.0 / (windows + 1.0), clock.far_gain)
        known = part.known & seen
        steady = state["steady"]
        off = np.where(known, part.residual, 0.0)
        own = np.maximum(state["season_scale"], part.least)
        bound = np.where((steady < 10) | wrong | (state["season_scale"] <= 1e-12), np.inf, CLIP * own)
        size = np.minimum(np.abs(off), bound) * MAD_TO_SIGMA
        season_scale = state["season_scale"]
        season_scale = season_scale + np.maximum(1.0 / (steady + 1.0), clock.scale_gain) * (size - season_scale)
        near, tight, long = state["near"], state["near_scale"], state["near_long"]
        gap = np.where(known, off - near, 0.0)
        close = np.maximum(np.maximum(tight, LEAST * long), part.least)
        bound = np.where((steady < 10) | wrong | (np.maximum(tight, long) <= 1e-12), np.inf, CLIP * close)
        held = np.minimum(np.maximum(gap, -bound), bound)
        size = np.abs(held) * MAD_TO_SIGMA
        first = 1.0 / (steady + 1.0)
        nearer = near + np.maximum(first, NEAR_GAIN) * held
        tighter = tight + np.maximum(first, NEAR_SCALE_GAIN) * (size - tight)
        longer = long + np.maximum(first, clock.long_gain) * (size - long)
        return {
            **state,
            "far": np.where(seen, far + far_gain * (np.minimum(away, most) - far), far),
            "season_scale": np.where(known, season_scale, state["season_scale"]),
            "near": np.where(known, nearer, near),
            "near_scale": np.where(known, tighter, tight),
            "near_long": np.where(known, longer, long),
            "steady": steady + known,
            "since_ns": np.where(seen & (state["since_ns"] < 0), start_ns, state["since_ns"]),
            "moved": np.where(finite & np.isfinite(step), step, state["moved"]),
            "straight": np.where(finite, straight, state["straight"]),
            "last": np.where(finite, x, state["last"]),
        }
