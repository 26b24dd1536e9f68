"""Panes by the compiled loops of `_windows_numba` (needs numba); the same answers as `_panes.Plain`."""

from types import ModuleType

import numpy as np

from schemas.core import I64, U64
from streams import _windows_numba as kernel
from streams._panes import Points, Tally, by_pane
from streams._window_state import DERIVED, WindowState


class Fast:
    """Keeps an open table from ids to rows beside the registry; of one state, made again for another."""

    sums: ModuleType | None = kernel

    def __init__(self) -> None:
        self._state: WindowState | None = None
        self._entered = 0
        self._table = np.zeros(2, np.uint64)

    def find(self, state: WindowState, series: U64) -> I64:
        ids = state.registry.ids()
        if state is not self._state or 4 * len(ids) > len(self._table):
            self._state, self._entered = state, 0
            self._table = np.zeros(2 << max(2 * len(ids), 16).bit_length(), np.uint64)
        if self._entered < len(ids):
            kernel.place(self._table, ids, self._entered)
            self._entered = len(ids)
        return kernel.find(self._table, series)

    def take(self, state: WindowState, points: Points) -> Tally:
        n, head, ring = len(state.registry), state.head, state.ring
        m = len(points.row)
        row, t, value, kept = kernel.in_order(points.row, points.t, points.value, n)
        kernel.take(
            row, t, value, kept, ring["total"][head], ring["low"][head], ring["high"][head], ring["last"][head],
            ring["count"][head], state.cumulated, state.previous, state.interval_s, state.last_ns,
            state.is_cumulative, state.is_silent,
        )  # fmt: skip
        ours = kernel.derived(row, kept, state.signal, state.is_event, *DERIVED)
        again = m - kept
        again_ours = kernel.derived(points.row, m, state.signal, state.is_event, *DERIVED) - ours if again else 0
        return Tally(kept, ours, again, again_ours)

    def fill_zeros(self, state: WindowState, since_ns: int) -> bool:
        total, count = state.ring["total"][state.head], state.ring["count"][state.head]
        return kernel.fill_zeros(total, count, state.is_event, state.signal, state.shares[-1], state.last_ns, since_ns)

    def silences(self, state: WindowState, to_ns: int) -> tuple[I64, I64]:
        rows = kernel.silences(state.interval_s, state.last_ns, state.is_silent, state.is_event, to_ns)
        patience = np.maximum(3 * state.interval_s[rows], 30.0)
        return by_pane(rows, state.last_ns[rows] + (patience * 1e9).astype(np.int64))
