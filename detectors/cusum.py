"""Two-sided CUSUM: a gauge that stays a little above, or below, what is usual at this hour, window after window.

Each window adds how far the value departs from the hour of the day (`_season.py`), in units of what that hour scatters
by, less half a unit, and never more than four, so a spike is no shift; the sum never falls below zero. Departures far
too small to be odd by themselves add up. How large a sum is rare differs with how much a series wanders, so p is the
share of its own history (`_tail_online.py`). A shift that is said for a quarter of an hour becomes the new level: its
mean since the sum last was zero is taken off from then on (re-baselining), so it is one train of anomalies and not one
every hour until the profile has forgotten. Taking off the hour matters: without it a CUSUM adds up the swing of every
day (docs/detectors.md). Nothing is said before a day is known. 448 bytes a series. Opt-in.

Sums and allowance: Page, Continuous inspection schemes, 1954; the mean since the last zero as estimate of the new
level: Basseville & Nikiforov, Detection of Abrupt Changes, 1993, section 2.2.
"""

import numpy as np

from detectors._contract import State
from detectors._local import initial_local, learn_local
from detectors._own_tail import gauges, p_of
from detectors._season import LEAST, STEADY, Season, clock_of, initial_season, is_line, learn_season, season
from detectors._tail_online import SHARE, initial_tail, learn_tail
from schemas import AnomalyKind, SeriesDef
from schemas.core import F64, Bool, Scores, WindowBlock

ALLOWANCE, MOST = 0.5, 4.0  # for shifts of one unit; a unit is the spread of the hour. Not tuned
SUM_MOST = 1e3
LASTING = 15.0
"""Windows in a row with a sum far out in its own tail, after which the level is learned anew."""
FAR = 2.0
"""In thresholds of the tail."""
SIDES = ("up", "down")


class Cusum:
    """Two-sided, on gauges of the signal metrics; windows of a minute."""

    kind = "cusum"
    version = "1"
    accepts_by_trait = True
    anomaly: AnomalyKind = "metric"
    window_s = 60
    continuous = SHARE
    is_optional = True

    def accepts(self, series: SeriesDef) -> bool:
        return gauges(series)

    def initial(self, n: int) -> State:
        """`offset`: what was taken off by shifts. Of each side the sum, and total and number of departures in it."""
        names = ("offset", "odd", *(f"{side}{part}" for side in SIDES for part in ("", "_total", "_n")))
        return {**initial_local(n), **initial_season(n), **initial_tail(n), **{name: np.zeros(n) for name in names}}

    def score(self, state: State, block: WindowBlock) -> Scores:
        """residual is the mean departure since the sum of its side was zero, in the unit of the series."""
        part, told, new = _added(state, block)
        size, rises = _size(new)
        p = p_of(state, size, told)
        side = {name: np.where(rises, new[f"up{name}"], new[f"down{name}"]) for name in ("_total", "_n")}
        shift = np.where(told, side["_total"] / np.maximum(side["_n"], 1.0), np.nan)
        direction = np.where(told & (size > 0), np.where(rises, 1, -1), 0).astype(np.int8)
        return Scores(p, np.where(told, part.usual + state["offset"], np.nan), shift, direction)

    def learn(self, state: State, block: WindowBlock) -> State:
        part, told, new = _added(state, block)
        size, rises = _size(new)
        odd = np.where(told & (size > FAR * state["tail_at"]), state["odd"] + 1.0, np.where(told, 0.0, state["odd"]))
        anew = odd >= LASTING
        total, n = (np.where(rises, new[f"up{name}"], new[f"down{name}"]) for name in ("_total", "_n"))
        taught = learn_tail({**state, **new}, size, told)
        value = np.where(np.isfinite(block.mean), block.mean - state["offset"], np.nan)
        taught = learn_local(learn_season(taught, clock_of(block), value, block.start_ns, part), value)
        moved = np.where(anew, total / np.maximum(n, 1.0), 0.0)
        taught["offset"] = state["offset"] + moved
        taught["near"] = np.where(anew, 0.0, taught["near"])
        taught["level"], taught["last"] = taught["level"] - moved, taught["last"] - moved  # as seen from the new level
        taught["odd"] = np.where(anew, 0.0, odd)
        for side in SIDES:
            for name in ("", "_total", "_n"):
                taught[f"{side}{name}"] = np.where(anew, 0.0, taught[f"{side}{name}"])
        return taught

    def moved(self, state: State, shift: F64) -> State:
        """As after a shift that it found by itself."""
        sums = {f"{side}{name}": np.zeros(len(shift)) for side in SIDES for name in ("", "_total", "_n")}
        return {**state, **sums, "offset": state["offset"] + shift, "odd": np.zeros(len(shift))}


def _added(state: State, block: WindowBlock) -> tuple[Season, Bool, State]:
    """The season seen from the shifted level, where something can be told, and both sums with this window in them."""
    with np.errstate(invalid="ignore", over="ignore"):
        value = np.where(np.abs(block.mean) < 1e150, block.mean - state["offset"], np.nan)
    part = season(state, clock_of(block), value)
    told = part.known & (state["steady"] >= STEADY) & np.isfinite(value) & ~is_line(state, value)
    wide = np.maximum(np.maximum(part.spread, LEAST * state["season_scale"]), part.least)
    away = np.where(told, part.residual, 0.0)
    with np.errstate(invalid="ignore", over="ignore"):
        z = np.clip(away / wide, -MOST, MOST)
    new: State = {}
    for side, sign in zip(SIDES, (1.0, -1.0), strict=True):
        grown = np.clip(state[side] + sign * z - ALLOWANCE, 0.0, SUM_MOST)
        rose = grown > 0
        new[side] = np.where(told, grown, state[side])
        new[f"{side}_total"] = np.where(
            told, np.where(rose, state[f"{side}_total"] + away, 0.0), state[f"{side}_total"]
        )
        new[f"{side}_n"] = np.where(told, np.where(rose, state[f"{side}_n"] + 1.0, 0.0), state[f"{side}_n"])
    return part, told, new


def _size(new: State) -> tuple[F64, Bool]:
    """A root of the larger sum, whose tail is nearer to exponential, and whether it is that of the rise."""
    rises: Bool = new["up"] >= new["down"]
    return np.sqrt(np.maximum(new["up"], new["down"])), rises


PLUGIN = Cusum
