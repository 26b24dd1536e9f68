"""Blocks whose columns are computed from the ring of panes when first asked, and only for the rows that are asked.

Every pane gives three windows of all series, of which detectors read a column or two of some rows. A block lives until
the ring moves on, that is until the next block of another pane is asked for; then what was not read is gone. Sums are
made pane after pane, oldest first, whether by numpy or by the kernels of `_windows_numba`: the same bits.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from schemas.core import F64, I64, WindowBlock
from streams._settings import PANE_NS
from streams._window_state import WindowState

if TYPE_CHECKING:
    from types import ModuleType


T = TypeVar("T")
FEW = 4096
"""Series; up to here a column of all costs hardly more than that of one."""


class BlockGone(RuntimeError):
    """A column was asked of a block after the ring had moved on: a bug of the reader, which must not go on."""


class RingBlock(WindowBlock):
    """A `WindowBlock` over the newest `panes` of a state; `index` chooses rows, None stands for all."""

    __slots__ = ("_columns", "_fast", "_index", "_moves", "_panes", "_state", "_whole")
    _columns: dict[str, Any]
    _fast: "ModuleType | None"
    _index: I64 | None
    _moves: int
    _panes: int
    _state: WindowState
    _whole: "RingBlock | None"

    def __init__(
        self, state: WindowState, end_ns: int, panes: int, fast: "ModuleType | None", index: I64 | None = None
    ) -> None:
        put = object.__setattr__  # it is frozen
        put(self, "start_ns", end_ns - panes * PANE_NS)
        put(self, "end_ns", end_ns)
        put(self, "is_tumbling", end_ns % (panes * PANE_NS) == 0)
        put(self, "series", _chosen(state.registry.ids(), index))
        put(self, "rows", _chosen(state.rows, index))
        put(self, "_state", state)
        put(self, "_panes", panes)
        put(self, "_fast", fast)
        put(self, "_index", index)
        put(self, "_moves", state.moves)
        put(self, "_columns", {})
        put(self, "_whole", None)

    def take(self, index: NDArray[Any]) -> WindowBlock:
        """The same window for a selection of rows (positions or mask)."""
        at = np.flatnonzero(index) if index.dtype == np.bool_ else index
        part = RingBlock(
            self._state, self.end_ns, self._panes, self._fast, at if self._index is None else self._index[at]
        )
        object.__setattr__(part, "_moves", self._moves)
        object.__setattr__(part, "_whole", self if self._index is None else self._whole)
        return part

    def _column(self, name: str, compute: Callable[["RingBlock"], T]) -> T:
        """A column, computed at most once; of a few series all rows at once, because others will ask for theirs."""
        if name not in self._columns:
            if self._moves != self._state.moves:
                raise BlockGone(f"column '{name}' of the window that ends at {self.end_ns} was read too late")
            whole = self._whole
            if whole is not None and (name in whole._columns or len(self._state.rows) <= FEW):
                all_rows: Any = whole._column(name, compute)
                self._columns[name] = all_rows[self._index]
            else:
                self._columns[name] = compute(self)
        found: T = self._columns[name]
        return found

    def _newest(self, name: str) -> Any:
        """Panes of a ring column, oldest first, for the rows of this block."""
        for slot in self._state.slots(self._panes).tolist():
            yield _chosen(self._state.ring[name][slot], self._index)

    def _of_rows(self, column: NDArray[Any]) -> Any:
        return _chosen(column, self._index)

    @property
    def total(self) -> F64:
        return self._column("total", _total)

    @property
    def mean(self) -> F64:
        return self._column("mean", _mean)

    @property
    def low(self) -> F64:
        return self._column("low", lambda b: _fold(np.fmin, b._newest("low")).astype(np.float64))

    @property
    def high(self) -> F64:
        return self._column("high", lambda b: _fold(np.fmax, b._newest("high")).astype(np.float64))

    @property
    def last(self) -> F64:
        return self._column("last", lambda b: _fold(_later, b._newest("last")).astype(np.float64))

    @property
    def count(self) -> I64:
        return self._column("count", lambda b: _fold(np.add, b._newest("count")).astype(np.int64))

    @property
    def expected(self) -> F64:
        return self._column("expected", _expected)

    @property
    def weight(self) -> F64:
        return self._column("weight", _weight)

    @property
    def recorded(self) -> F64:
        return self._column("recorded", _recorded)

    @property
    def weight_before(self) -> F64:
        return self._column("weight_before", _weight_before)


def _chosen(column: NDArray[Any], index: I64 | None) -> Any:
    return column if index is None else column[index]


def _fold(join: Callable[[Any, Any], Any], panes: Any) -> Any:
    found = next(panes)
    for pane in panes:
        found = join(found, pane)
    return found


def _later(old: Any, new: Any) -> Any:
    return np.where(np.isnan(new), old, new)


def _total(block: RingBlock) -> F64:
    return _totals(block, block._index)


def _totals(block: RingBlock, rows: I64 | None) -> F64:
    """Totals of rows of the state, all if None."""
    state, slots = block._state, block._state.slots(block._panes)
    if block._fast is not None and rows is None:
        found: F64 = block._fast.totals(state.ring["total"], slots)
        return found
    n = len(state.rows) if rows is None else len(rows)
    total, is_blank = np.zeros(n), np.ones(n, np.bool_)
    for slot in slots.tolist():
        pane = _chosen(state.ring["total"][slot], rows)
        blank = np.isnan(pane)
        with np.errstate(invalid="ignore", over="ignore"):  # infinities of both signs give NaN
            total += np.where(blank, 0.0, pane)
        is_blank &= blank
    return np.where(is_blank, np.nan, total)


def _mean(block: RingBlock) -> F64:
    if block._fast is not None and block._index is None:
        ring = block._state.ring
        found: F64 = block._fast.means(ring["total"], ring["count"], block._state.slots(block._panes))
    else:
        count = block.count
        with np.errstate(invalid="ignore", divide="ignore"):
            found = np.where(count > 0, block.total / np.maximum(count, 1), np.nan)
    at = np.flatnonzero(block._of_rows(block._state.numerator) >= 0)
    if len(at):
        found[at] = _by_count(block, block.rows[at])
    return found


def _by_count(block: RingBlock, rows: I64) -> F64:
    """Means of sums and counts (`_means`): what was added up by how many it were, over the panes that say both."""
    state, total, number = block._state, np.zeros(len(rows)), np.zeros(len(rows))
    for slot in state.slots(block._panes).tolist():
        pane = state.ring["total"][slot]
        is_told = ~np.isnan(pane[rows])
        total += np.where(is_told, pane[rows], 0.0)
        number += np.where(is_told, pane[state.denominator[rows]], 0.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(number > 0, total / number, np.nan)


def _expected(block: RingBlock) -> F64:
    interval_s, span = block._of_rows(block._state.interval_s), block._panes * PANE_NS / 1e9
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(interval_s <= span, np.floor(span / interval_s + 1e-6), np.nan)


def _weight(block: RingBlock) -> F64:
    whole = block._of_rows(block._state.denominator)
    return np.where(whole >= 0, _totals(block, whole.astype(np.int64)), np.nan)


def _weight_before(block: RingBlock) -> F64:
    whole = block._of_rows(block._state.denominator)
    return np.where(whole >= 0, block._state.cumulated[whole], np.nan) - np.nan_to_num(block.weight)


def _recorded(block: RingBlock) -> F64:
    state = block._state
    recorded: F64 = state.shares[-block._panes :].mean(0)[block._of_rows(state.signal)]
    return recorded
