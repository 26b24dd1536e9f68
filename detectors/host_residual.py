"""Host residual: how far all gauges of one entity together depart from what is usual at this hour and was lately.

A fault shows in several dimensions of a host at once, noise in one. Each dimension loses the mean of its hour (a daily
swing is no event), then its level of the last hour; what is left counts in units of a slow scale. A unit is at
least 0.2% of all that the dimension ever ranged over, or one that hardly moves cries at every flicker: on a public set
of machines that floor alone took the best alarm F1 from .40 to .72. The mean over all dimensions but the one that
departed most is the departure of the host, since one alone is no host; p is that of its logarithm in the host's own
history (`_tail_online.py`). The dimensions that departed most carry it, at most three, so an anomaly names them.

Principal components were tried in its place and found less (docs/detectors.md): they spread one dimension's noise over
all. 272 bytes a series. Blind to what one dimension of many does alone: `seasonal_local` looks at that.
"""

from typing import NamedTuple

import numpy as np

from detectors._contract import State
from detectors._local import CLIP, MAD_TO_SIGMA
from detectors._season import SLOTS, clock_of
from detectors._tail_online import CROWDED, initial_tail, is_known, learn_tail, upper
from schemas import AnomalyKind, SeriesDef
from schemas.core import F64, I64, NS, Bool, Scores, WindowBlock

WARMUP = 30.0
HOUR_NS = 3600 * NS
LEVEL_H, SCALE_H, LONG_H = 1.0, 16.7, 167.0
"""Time constants, in hours of windows, whatever their width."""
GAIN_MOST = 0.25
RANGE_SHARE = 0.002  # chosen on two public sets of hosts; 0.001 to 0.005 differ little
RANGE_FADE_H = 1.2e-3  # an hour, so an outlier of last month blinds no more
SPREAD_SHARE = 0.3  # of the mean distance from the slow level: what swings much by itself departs less
CARRIERS = 3
MOST = 1e4


class Departures(NamedTuple):
    """z: float64 (n,), signed, 0 where it cannot be told. usual, level: of each dimension. known: the hour is known."""

    z: F64
    usual: F64
    level: F64
    scale: F64
    known: Bool


class Joined(NamedTuple):
    """group: int64 (n,), number of the entity of each row. size: float64 (groups,), the mean of all but the largest.

    rank: int64 (n,), 0 for the row of a group that departed most.
    """

    group: I64
    size: F64
    rank: I64


class HostResidual:
    """Two-sided, on gauges of the signal metrics, joined by entity; a row whose entity is not known stands alone."""

    kind = "host_residual"
    version = "2"
    accepts_by_trait = True
    joins_entities = True
    anomaly: AnomalyKind = "metric"
    window_s = 60
    is_optional = True
    every_s = 60

    def accepts(self, series: SeriesDef) -> bool:
        return series.signal == "metrics" and series.kind == "gauge" and not series.is_histogram

    def initial(self, n: int) -> State:
        names = ("level", "scale", "long", "low", "high", "windows", "day_scale", "is_seasonal", "slow", "spread")
        return {
            **{name: np.zeros(n) for name in names},
            "entity": np.full(n, -1, np.int64),
            "since_ns": np.full(n, -1, np.int64),
            "profile": np.zeros((n, SLOTS), np.float32),
            "profile_learned": np.zeros((n, SLOTS), np.uint8),
            **initial_tail(n),
        }

    def whole(self, state: State, part: Departures) -> Joined:
        """The departure of each entity and the order of its dimensions."""
        return joined(state["entity"], part.z)

    def carries(self, part: Departures, whole: Joined) -> Bool:
        """Which dimensions depart as far as their host does."""
        return np.asarray(np.abs(part.z) >= whole.size[whole.group])

    def score(self, state: State, block: WindowBlock) -> Scores:
        """p in (0, 1] at the dimensions that carry a departure of their entity, 1 elsewhere and without history.

        residual: the value less what is usual at this hour and was lately, unit of the series.
        """
        x = _finite(block.mean)
        part = departures(state, block)
        whole = self.whole(state, part)
        tail = {name: state[name][_first(whole.group, state["tail_seen"])] for name in initial_tail(0)}
        size = _size(whole.size)
        p = np.where(is_known(tail) & (size > tail["tail_at"]), upper(tail, size), 1.0)[whole.group]
        can_tell = np.isfinite(x) & (state["windows"] >= WARMUP)
        carries = can_tell & (whole.rank < CARRIERS) & self.carries(part, whole)
        p = np.where(carries, np.clip(p, 1e-300, 1.0), 1.0)
        expected = np.where(can_tell, part.usual + part.level, np.nan)
        direction = np.where(can_tell, np.sign(part.z), 0).astype(np.int8)
        return Scores(p, expected, np.where(can_tell, x - expected, np.nan), direction)

    def learn(self, state: State, block: WindowBlock) -> State:
        x, clock = _finite(block.mean), clock_of(block)
        seen, windows = np.isfinite(x), state["windows"]
        part = departures(state, block)
        whole = self.whole(state, part)
        rows = _first(whole.group, state["tail_seen"])
        told = np.bincount(whole.group, weights=seen & (windows >= WARMUP), minlength=len(rows)) > 0
        tail = learn_tail({name: state[name][rows] for name in initial_tail(0)}, _size(whole.size), told)
        wrong = tail["crowded"][whole.group] > CROWDED

        residual = np.where(seen, x - part.usual - part.level, 0.0)
        first, own = 1.0 / (windows + 1.0), np.maximum(state["scale"], state["long"])
        free = (windows < WARMUP) | (own <= 1e-6 * _floor(state, x))
        limit = np.where(free, np.inf, CLIP * part.scale)
        held = np.clip(residual, -limit, limit)
        wide = np.abs(held) * MAD_TO_SIGMA
        middle = 0.5 * (state["low"] + state["high"])
        level_gain, scale_gain, long_gain = (_gain(block, hours) for hours in (LEVEL_H, SCALE_H, LONG_H))
        fade = RANGE_FADE_H * (block.end_ns - block.start_ns) / HOUR_NS * (state["high"] - middle)
        start = windows == 0
        swing = np.where(seen & ~start, x - state["slow"], 0.0)
        most = np.where((windows < WARMUP) | wrong | (state["spread"] <= 1e-12), np.inf, CLIP * state["spread"])
        swing = np.clip(swing, -most, most)
        new = {
            "level": part.level + np.where(start, residual, np.maximum(first, level_gain) * held),
            "scale": state["scale"] + np.where(start, 0.0, np.maximum(first, scale_gain) * (wide - state["scale"])),
            "long": state["long"] + np.where(start, 0.0, np.maximum(first, long_gain) * (wide - state["long"])),
            "low": np.where(start, x, np.fmin(x, state["low"] + fade)),
            "high": np.where(start, x, np.fmax(x, state["high"] - fade)),
            "slow": np.where(start, x, state["slow"] + np.maximum(first, long_gain) * swing),
            "spread": state["spread"] + np.maximum(first, long_gain) * (np.abs(swing) * MAD_TO_SIGMA - state["spread"]),
            "windows": windows + 1.0,
            "is_seasonal": np.where(part.known, 1.0, 0.0),
            "since_ns": np.where(state["since_ns"] < 0, block.start_ns, state["since_ns"]),
            "day_scale": _learn_hour(state, x, seen, wrong, clock.slot, clock.profile_gain, clock.long_gain),
        }
        kept = {name: np.where(seen, column, state[name]) for name, column in new.items()}
        return {**state, **kept, **{name: column[whole.group] for name, column in tail.items()}}


def departures(state: State, block: WindowBlock) -> Departures:
    """How each dimension departs from its hour and its last hour, in units of its scale; at most 1e4."""
    x, clock = _finite(block.mean), clock_of(block)
    learned, profile = state["profile_learned"], state["profile"]
    left, right, share = clock.left, clock.right, clock.share
    known = (state["since_ns"] >= 0) & (state["since_ns"] <= clock.known_since_ns)
    known &= (learned[:, left] > clock.enough) & (learned[:, right] > clock.enough)
    both = profile[:, left].astype(np.float64) * (1.0 - share) + profile[:, right].astype(np.float64) * share
    level = state["level"] + (state["is_seasonal"] - known) * both  # the level goes on where the season begins
    usual = np.where(known, both, 0.0)
    scale = np.maximum(np.maximum(state["scale"], state["long"]), _floor(state, x))
    with np.errstate(invalid="ignore", over="ignore"):
        z = np.clip((x - usual - level) / scale, -MOST, MOST)
    can_tell = np.isfinite(x) & (state["windows"] >= WARMUP)
    return Departures(np.where(can_tell, z, 0.0), usual, level, scale, known)


def _gain(block: WindowBlock, hours: float) -> float:
    """The share of a window in a level that forgets within so many hours."""
    return min((block.end_ns - block.start_ns) / (hours * HOUR_NS), GAIN_MOST)


def joined(entity: I64, z: F64) -> Joined:
    """The departure of each entity from those of its dimensions; rows of entity -1 are one each."""
    alone = -1 - np.arange(len(z), dtype=np.int64)
    _, group = np.unique(np.where(entity < 0, alone, entity), return_inverse=True)
    order = np.lexsort((-np.abs(z), group))
    counts = np.bincount(group)
    rank = np.empty(len(z), np.int64)
    rank[order] = np.arange(len(z)) - np.repeat(np.cumsum(counts) - counts, counts)
    counted = np.where((rank > 0) | (counts[group] == 1), np.abs(z), 0.0)
    return Joined(group, np.bincount(group, weights=counted) / np.maximum(counts - 1, 1), rank)


def _learn_hour(state: State, x: F64, seen: Bool, wrong: Bool, slot: int, gain_least: float, long_gain: float) -> F64:
    """Take x into the mean of its hour, in place, and return the new scale of what lies beside it."""
    mean, count = state["profile"][:, slot].astype(np.float64), state["profile_learned"][:, slot].astype(np.float64)
    scale, windows = state["day_scale"], state["windows"]
    off = np.where(seen, x - mean, 0.0)
    limit = np.where((count < 3) | wrong | (scale <= 1e-12), np.inf, CLIP * scale)
    held = np.clip(off, -limit, limit)
    fresh = mean + np.maximum(1.0 / (count + 1.0), gain_least) * held
    state["profile"][:, slot] = np.where(seen, np.clip(fresh, -3e38, 3e38), mean)
    state["profile_learned"][:, slot] = np.where(seen, np.minimum(count + 1.0, 255.0), count)
    gain = np.maximum(1.0 / (windows + 1.0), long_gain)
    return np.where(count > 0, scale + gain * (np.abs(held) * MAD_TO_SIGMA - scale), scale)


def _floor(state: State, x: F64) -> F64:
    """The smallest scale that is believed, from the range of all that was seen, x included."""
    reach = np.fmax(state["high"], x) - np.fmin(state["low"], x)
    least = np.maximum(RANGE_SHARE * reach, SPREAD_SHARE * state["spread"])
    return np.maximum(np.maximum(least, 1e-9 * np.abs(np.nan_to_num(x))), 1e-12)


def _first(group: I64, seen: F64) -> I64:
    """The row of each group that has seen most: the history of an entity is that of its oldest dimension."""
    order = np.lexsort((-seen, group))
    return np.asarray(order[np.searchsorted(group[order], np.arange(int(group.max(initial=-1)) + 1))], np.int64)


def _size(size: F64) -> F64:
    """A logarithm: its tail is exponential, that of the departure is heavier."""
    return np.asarray(np.log1p(size))


def _finite(x: F64) -> F64:
    return np.where(np.abs(x) < 1e150, x, np.nan)


PLUGIN = HostResidual
