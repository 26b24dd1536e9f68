"""Panes and windows in compiled loops (needs numba): the answers of `_panes.Plain` and `_blocks`, to the last bit.

So sums are made in numpy's order: within a pane `np.add.reduceat` (the first value plus the pairwise sum of the
rest), over panes one after the other. No fastmath, no fused multiply-add. Rows are independent of each other, so
samples are only brought in order (a counting sort by row, then by time) where a row has several in one pane.
"""

import numpy as np
from numpy.typing import NDArray

from schemas.core import F64, I64, U64, Bool
from streams._jit import jit

I32 = NDArray[np.int32]
F32 = NDArray[np.float32]
I8 = NDArray[np.int8]
_MOST = float(np.finfo(np.float64).max)
_LEAST_PATIENCE_NS = 30_000_000_000
_CHUNK = 1024
"""Rows whose sums stay in the nearest cache."""


@jit
def place(table: U64, ids: U64, first: int) -> None:
    """Enter rows `first`, first + 1, ... of `ids` in an open table: pairs (id, row + 1), a power of two of them."""
    mask = np.uint64(len(table) // 2 - 1)
    for row in range(first, len(ids)):
        at = (ids[row] ^ (ids[row] >> np.uint64(32))) & mask
        while table[(at << np.uint64(1)) | np.uint64(1)] > 0:
            at = (at + np.uint64(1)) & mask
        table[at << np.uint64(1)] = ids[row]
        table[(at << np.uint64(1)) | np.uint64(1)] = row + 1


@jit
def find(table: U64, series: U64) -> I64:
    """Rows (m,) of ids, -1 where one is not in the table."""
    mask, one = np.uint64(len(table) // 2 - 1), np.uint64(1)
    out = np.empty(len(series), np.int64)
    for i in range(len(series)):
        wanted = series[i]
        at = (wanted ^ (wanted >> np.uint64(32))) & mask
        while table[at << one] != wanted and table[(at << one) | one] > 0:
            at = (at + one) & mask
        out[i] = np.int64(table[(at << one) | one]) - 1
    return out


@jit
def in_order(row: I64, t: I64, value: F64, n: int) -> tuple[I64, I64, F64, int]:
    """Samples by (row, time), of equal ones the first with the smallest value kept, and how many those are.

    Where no row comes twice they stay as they are.
    """
    m = len(row)
    starts = np.zeros(n + 1, np.int64)
    several = False
    for i in range(m):
        starts[row[i] + 1] += 1
        several |= starts[row[i] + 1] > 1
    if not several:
        return row, t, value, m
    for r in range(n):
        starts[r + 1] += starts[r]
    order, ends = np.empty(m, np.int64), starts[:n].copy()
    for i in range(m):
        at = ends[row[i]]
        ends[row[i]] += 1
        while at > starts[row[i]] and t[order[at - 1]] > t[i]:
            order[at] = order[at - 1]
            at -= 1
        order[at] = i
    row_, t_, value_ = np.empty(m, np.int64), np.empty(m, np.int64), np.empty(m, np.float64)
    kept = 0
    for j in range(m):
        i = order[j]
        if kept > 0 and row_[kept - 1] == row[i] and t_[kept - 1] == t[i]:
            value_[kept - 1] = np.fmin(value_[kept - 1], value[i])
            continue
        row_[kept], t_[kept], value_[kept] = row[i], t[i], value[i]
        kept += 1
    return row_, t_, value_, kept


@jit
def _leaf(value: F64, at: int, n: int) -> float:
    """numpy's sum of n <= 128 values from a position on, a NaN counting as zero."""
    if n < 8:
        total = -0.0
        for i in range(at, at + n):
            total += 0.0 if np.isnan(value[i]) else value[i]
        return total
    part = np.zeros(8)
    for k in range(8):
        part[k] = 0.0 if np.isnan(value[at + k]) else value[at + k]
    i = 8
    while i < n - n % 8:
        for k in range(8):
            part[k] += 0.0 if np.isnan(value[at + i + k]) else value[at + i + k]
        i += 8
    total = ((part[0] + part[1]) + (part[2] + part[3])) + ((part[4] + part[5]) + (part[6] + part[7]))
    while i < n:
        total += 0.0 if np.isnan(value[at + i]) else value[at + i]
        i += 1
    return float(total)


@jit
def _pairwise(value: F64, at: int, n: int) -> float:
    """numpy's pairwise sum: halves of halves down to leaves. The recursion has its own stack, so it can be cached."""
    if n <= 128:
        return _leaf(value, at, n)
    starts, sizes, lefts = np.zeros(64, np.int64), np.zeros(64, np.int64), np.zeros(64)
    is_right = np.zeros(64, np.bool_)
    starts[0], sizes[0], top = at, n, 0
    while True:
        if sizes[top] > 128:
            half = sizes[top] // 2
            starts[top + 1], sizes[top + 1], is_right[top] = starts[top], half - half % 8, False
            top += 1
            continue
        found = _leaf(value, starts[top], sizes[top])
        top -= 1
        while top >= 0 and is_right[top]:
            found = lefts[top] + found
            top -= 1
        if top < 0:
            return found
        lefts[top], is_right[top] = found, True
        half = sizes[top] // 2
        done = half - half % 8
        starts[top + 1], sizes[top + 1] = starts[top] + done, sizes[top] - done
        top += 1


@jit
def _summary(value: F64, at: int, n: int) -> tuple[int, float, float, float]:
    """Of n values from a position on: how many are no NaN, their sum as `np.add.reduceat` has it, smallest, largest."""
    seen, smallest, largest = 0, np.inf, -np.inf
    for i in range(at, at + n):
        if not np.isnan(value[i]):
            seen += 1
            smallest, largest = min(smallest, value[i]), max(largest, value[i])
    first = 0.0 if np.isnan(value[at]) else value[at]
    return seen, first + _pairwise(value, at + 1, n - 1), smallest, largest


@jit
def take(
    row: I64, t: I64, value: F64, kept: int, total: F64, low: F32, high: F32, last: F32, count: I32, cumulated: F64,
    previous: F64, interval_s: F64, last_ns: I64, is_cumulative: Bool, is_silent: Bool,
) -> None:  # fmt: skip
    """Samples, those of a row together and in order of time, into the columns of one pane and of the state."""
    increase = np.empty(1)
    a = 0
    while a < kept:
        r = row[a]
        b = a + 1
        while b < kept and row[b] == r:
            b += 1
        size, newest = b - a, t[b - 1]
        if last_ns[r] > 0:
            step = np.float64(newest - last_ns[r]) / np.float64(size) / 1e9
            old = interval_s[r]
            if np.isnan(old):
                interval_s[r] = step
            else:
                interval_s[r] = old + 0.2 * (min(max(step, 0.5 * old), 1.25 * old) - old)
        last_ns[r] = max(last_ns[r], newest)
        is_silent[r] = False
        if size == 1:
            x = value[a]
            if is_cumulative[r]:
                change = x - previous[r]
                if not np.isnan(x):
                    previous[r] = x
                x = x if change < 0 else change
            if not np.isnan(x):
                total[r], count[r], low[r], high[r], last[r] = x, 1, x, x, x
                cumulated[r] += min(max(x, -_MOST), _MOST)
            a = b
            continue
        if is_cumulative[r]:
            if len(increase) < size:
                increase = np.empty(size)
            before = previous[r]
            for k in range(size):
                now = value[a + k]
                change = now - before
                increase[k] = now if change < 0 else change
                before = now
            if not np.isnan(value[b - 1]):
                previous[r] = value[b - 1]
            n, whole, smallest, largest = _summary(increase, 0, size)
            newest_value = increase[size - 1]
        else:
            n, whole, smallest, largest = _summary(value, a, size)
            newest_value = value[b - 1]
        if n > 0:
            total[r], count[r], low[r], high[r], last[r] = whole, n, smallest, largest, newest_value
            cumulated[r] += 0.0 if np.isnan(whole) else min(max(whole, -_MOST), _MOST)
        a = b


@jit
def derived(row: I64, kept: int, signal: I8, is_event: Bool, first: int, second: int) -> int:
    """How many of the first `kept` rows are of events or have one of these two signals: what we derived ourselves."""
    found = 0
    for i in range(kept):
        r = row[i]
        found += is_event[r] or signal[r] == first or signal[r] == second
    return found


@jit
def fill_zeros(
    total: F64, count: I32, is_event: Bool, signal: I8, shares: F64, last_ns: I64, since_ns: int
) -> bool:  # fmt: skip
    any_zero = False
    for r in range(len(total)):
        if is_event[r] and count[r] == 0 and shares[signal[r]] > 0 and last_ns[r] >= since_ns:
            total[r] = 0.0
            any_zero = True
    return any_zero


@jit
def silences(interval_s: F64, last_ns: I64, is_silent: Bool, is_event: Bool, to_ns: int) -> I64:
    """Rows that have been silent for too long; see `_panes.Plain.silences`."""
    found = np.empty(0, np.int64)
    n = 0
    for r in range(len(interval_s)):
        if to_ns - last_ns[r] < _LEAST_PATIENCE_NS or last_ns[r] <= 0 or is_silent[r] or is_event[r]:
            continue
        patience = max(3 * interval_s[r], 30.0)
        if np.isfinite(interval_s[r]) and np.isfinite(patience) and last_ns[r] + np.int64(patience * 1e9) <= to_ns:
            if n == len(found):
                more = np.empty(2 * n + 8, np.int64)
                more[:n] = found
                found = more
            found[n] = r
            n += 1
    return found[:n]


@jit
def totals(ring: F64, slots: I64) -> F64:
    """Sum (n,) of the panes in these slots, in their order, a blank pane counting nothing; NaN where all are blank."""
    n = ring.shape[1]
    out, seen = np.empty(n), np.empty(_CHUNK, np.int64)
    for start in range(0, n, _CHUNK):
        size = min(_CHUNK, n - start)
        mine = out[start : start + size]
        mine[:] = 0.0
        seen[:size] = 0
        for k in range(len(slots)):
            pane = ring[slots[k], start : start + size]
            for i in range(size):
                x = pane[i]
                mine[i] += x if x == x else 0.0
                seen[i] += x == x
        for i in range(size):
            if seen[i] == 0:
                mine[i] = np.nan
    return out


@jit
def means(ring: F64, counts: I32, slots: I64) -> F64:
    """Total over samples (n,) of the panes in these slots, NaN where there is none."""
    n = ring.shape[1]
    out, seen = np.empty(n), np.empty(_CHUNK, np.int64)
    for start in range(0, n, _CHUNK):
        size = min(_CHUNK, n - start)
        mine = out[start : start + size]
        mine[:] = 0.0
        seen[:size] = 0
        for k in range(len(slots)):
            pane, count = ring[slots[k], start : start + size], counts[slots[k], start : start + size]
            for i in range(size):
                x = pane[i]
                mine[i] += x if x == x else 0.0
                seen[i] += count[i]
        for i in range(size):
            mine[i] = mine[i] / seen[i] if seen[i] > 0 else np.nan
    return out
