"""What one pane does to the state: samples to columns, increases, cadence, zeros of event series, silences.

`Plain` defines the answers with numpy; `_panes_fast.Fast` gives the same ones, bit for bit, in compiled loops.
"""

from types import ModuleType
from typing import NamedTuple, Protocol

import numpy as np

from schemas.core import F64, I64, U64, Bool
from streams._settings import PANE_NS
from streams._window_state import WindowState


class Points(NamedTuple):
    """Samples of the pane that begins at `start`, in any order; row int64, t int64 ns, value float64, all (m,)."""

    start: int
    row: I64
    t: I64
    value: F64


class Tally(NamedTuple):
    """How many samples counted, and how many of them belong to series that we derived."""

    processed: int = 0
    processed_derived: int = 0
    duplicate: int = 0
    duplicate_derived: int = 0


class Panes(Protocol):
    """The two ways of doing it. `sums` is the module that blocks may sum with, or None."""

    sums: ModuleType | None

    def find(self, state: WindowState, series: U64) -> I64:
        """Rows int64 of ids, -1 where one has none."""
        ...

    def take(self, state: WindowState, points: Points) -> Tally:
        """Samples into the newest slot of the ring, which is blank, and into cadence and last values; m >= 1."""
        ...

    def fill_zeros(self, state: WindowState, since_ns: int) -> bool:
        """A recorded pane in which an event series was silent counts as zero if the series has spoken since then;
        whether there was any."""
        ...

    def silences(self, state: WindowState, to_ns: int) -> tuple[I64, I64]:
        """Rows whose silence became too long by `to_ns` and was not noted yet, and since when it is, ns; in the order
        of the panes in which it did, then of rows."""
        ...


class Plain:
    """With numpy alone."""

    sums: ModuleType | None = None

    def find(self, state: WindowState, series: U64) -> I64:
        return state.registry.find(series)

    def take(self, state: WindowState, points: Points) -> Tally:
        key = (points.row << 34) | (points.t - points.start)
        order = np.argsort(key, kind="stable")
        key, value = key[order], points.value[order]
        first = np.flatnonzero(np.r_[True, key[1:] != key[:-1]])
        is_derived = state.are_own(state.rows)
        again = again_derived = 0
        if len(first) < len(key):
            repeated = np.ones(len(key), bool)
            repeated[first] = False
            again, again_derived = int(repeated.sum()), int(is_derived[key[repeated] >> 34].sum())
            value, key = np.fmin.reduceat(value, first), key[first]
        row, t = key >> 34, (key & ((1 << 34) - 1)) + points.start
        starts = np.flatnonzero(np.r_[True, row[1:] != row[:-1]])
        owner, sizes = row[starts], np.diff(np.r_[starts, len(row)])
        ends = starts + sizes - 1
        _cadence(state, owner, t[ends], sizes)
        value = _increases(state, row, value, starts, owner, ends)
        ok = ~np.isnan(value)
        seen = np.add.reduceat(ok.astype(np.int32), starts)
        has = seen > 0
        rows = owner[has]
        new = {name: column[state.head] for name, column in state.ring.items()}
        total = np.add.reduceat(np.where(ok, value, 0.0), starts)[has]
        new["count"][rows], new["total"][rows] = seen[has], total
        with np.errstate(over="ignore"):
            new["low"][rows] = np.minimum.reduceat(np.where(ok, value, np.inf), starts)[has]
            new["high"][rows] = np.maximum.reduceat(np.where(ok, value, -np.inf), starts)[has]
            new["last"][rows] = value[ends][has]
            state.cumulated[rows] += np.nan_to_num(total)
        return Tally(len(row), int(is_derived[row].sum()), again, again_derived)

    def fill_zeros(self, state: WindowState, since_ns: int) -> bool:
        silent = state.is_event & (state.ring["count"][state.head] == 0) & (state.shares[-1][state.signal] > 0)
        silent &= state.last_ns >= since_ns
        state.ring["total"][state.head][silent] = 0.0
        return bool(silent.any())

    def silences(self, state: WindowState, to_ns: int) -> tuple[I64, I64]:
        patience = np.maximum(3 * np.where(np.isnan(state.interval_s), np.inf, state.interval_s), 30.0)
        waiting = ~state.is_silent & (state.last_ns > 0) & ~state.is_event & np.isfinite(patience)
        rows = np.flatnonzero(waiting)
        due = state.last_ns[rows] + (patience[rows] * 1e9).astype(np.int64)
        over = due <= to_ns
        return by_pane(rows[over], due[over])


def by_pane(rows: I64, due: I64) -> tuple[I64, I64]:
    """Silences in the order in which closing pane after pane would find them."""
    order = np.lexsort((rows, -(-due // PANE_NS)))
    return rows[order], due[order]


def _increases(state: WindowState, row: I64, value: F64, starts: I64, owner: I64, ends: I64) -> F64:
    """Cumulative values replaced by their increase since the sample before, NaN for the very first one."""
    cumulative: Bool = state.is_cumulative[row]
    if not cumulative.any():
        return value
    before = np.r_[np.nan, value[:-1]]
    before[starts] = state.previous[owner]
    newest = value[ends]
    keep = state.is_cumulative[owner] & ~np.isnan(newest)
    state.previous[owner[keep]] = newest[keep]
    with np.errstate(invalid="ignore"):
        change = value - before
    return np.where(cumulative, np.where(change < 0, value, change), value)


def _cadence(state: WindowState, owner: I64, newest: I64, sizes: I64) -> None:
    known = state.last_ns[owner] > 0
    rows = owner[known]
    step = (newest[known] - state.last_ns[rows]) / sizes[known] / 1e9
    old = state.interval_s[rows]
    moved = old + 0.2 * (np.clip(step, 0.5 * old, 1.25 * old) - old)
    state.interval_s[rows] = np.where(np.isnan(old), step, moved)
    state.last_ns[owner] = np.maximum(state.last_ns[owner], newest)
    state.is_silent[owner] = False
