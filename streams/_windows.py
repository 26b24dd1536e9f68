"""Windows: samples of any order within lateness become closed panes of 10 s and sliding windows of 60 and 120 s.

Samples wait in their pane until the watermark has passed it, then are sorted once by (series, time), so the result
does not depend on the order of arrival; a repeated (series, time) counts once, the smaller value standing. A sample
for a pane that is closed is late: kept as a dead-letter frame, counted. Cumulative counters become increases here,
after sorting; a decrease is a reset (Prometheus: the new value is the increase). Memory: 24 B a waiting sample and
`STATE_BYTES_PER_SERIES` a series (Akidau et al. 2015 for the vocabulary).
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

import schemas as sc
from schemas.core import F64, I64, U64, Emit, WindowBlock
from streams import _dead
from streams._settings import PANE_NS, WINDOW_PANES
from streams._window_state import RING, SIGNALS, WindowState


class Windower:
    """Pure core: `add` samples, then `close` what the watermark has passed. `stage` names it in dead letters."""

    def __init__(self, stage: str) -> None:
        self._stage = stage

    def add(self, state: WindowState, frame: sc.Frame) -> list[Emit]:
        """Take a frame; returns dead letters of late samples. Samples of unknown series are rejected, counted."""
        state.define(frame.defs)
        out: list[Emit] = []
        series, t, value = frame.series, frame.t, frame.value
        late = t < state.through_ns
        if late.any():
            out.append(self._late(state, series[late], t[late], value[late]))
            series, t, value = series[~late], t[~late], value[~late]
        if len(series):
            first, last = int(t.min()) // PANE_NS, int(t.max()) // PANE_NS
            if first == last:
                state.pending.setdefault(first * PANE_NS, []).append((series, t, value))
            else:
                pane = t // PANE_NS
                for number in np.unique(pane).tolist():
                    mine = pane == number
                    state.pending.setdefault(number * PANE_NS, []).append((series[mine], t[mine], value[mine]))
        return out

    def close(self, state: WindowState, through_ns: int) -> Iterator[WindowBlock]:
        """Close every pane that ends by `through_ns`, oldest first: for each the 10 s, 60 and 120 s blocks.

        A pane without news (no sample, no silence that means zero) gives only the tumbling windows that hold any;
        stretches in which nothing waits and nothing was recorded are passed over without blocks.
        """
        start = state.through_ns
        if start == 0:
            start = min(state.pending, default=through_ns)
        while start + PANE_NS <= through_ns:
            if start not in state.pending and not self._speaks(state, start):
                ahead = [pane for pane in state.pending if pane > start]
                start = min([through_ns, *ahead, *state.covered.starts_after(start, PANE_NS)])
                self._forget(state)
                self._silences(state, start)
                continue
            state.through_ns = start + PANE_NS
            if start in state.pending:
                state.activate(np.concatenate([series for series, _, _ in state.pending[start]]))
            if len(state.registry):
                yield from self._pane(state, start)
                self._silences(state, start + PANE_NS)
            start += PANE_NS
        state.through_ns = max(state.through_ns, through_ns)

    def gaps(self, state: WindowState) -> list[sc.Gap]:
        """Series that should have spoken and did not, found by `close`; each said once until it speaks again."""
        found, state.gaps = state.gaps, []
        return found

    def _silences(self, state: WindowState, to_ns: int) -> None:
        """Note the series whose silence became too long before `to_ns`. Depends on panes, not on ticks."""
        patience = np.maximum(3 * np.nan_to_num(state.interval_s, nan=np.inf), 30.0)
        waiting = ~state.is_silent & (state.last_ns > 0) & ~state.is_event & np.isfinite(patience)
        rows = np.flatnonzero(waiting)
        due = state.last_ns[rows] + (patience[rows] * 1e9).astype(np.int64)
        over = due <= to_ns
        for row, at in zip(rows[over].tolist(), due[over].tolist(), strict=True):
            state.is_silent[row] = True
            until = -(-at // PANE_NS) * PANE_NS
            d = state.registry.definitions[row]
            if state.covered.share(d.signal, until - PANE_NS, until) > 0:
                state.gaps.append(sc.Gap(
                    series=d.id, entity_id=d.entity_id, since_ns=int(state.last_ns[row]), until_ns=until,
                    expected_interval_ns=int(state.interval_s[row] * 1e9),
                ))  # fmt: skip

    # --- one pane ---

    def _speaks(self, state: WindowState, start: int) -> bool:
        """Whether silence in this pane means zero for some event series, or a window still has panes to slide out."""
        for code in np.unique(state.signal[state.is_event]).tolist():
            if state.covered.share(SIGNALS[code], start, start + PANE_NS) > 0:
                return True
        return bool(state.ring["count"].any())

    def _forget(self, state: WindowState) -> None:
        for name in RING:
            state.ring[name][:] = np.nan
        state.ring["count"][:] = 0
        state.shares[:] = 0

    def _pane(self, state: WindowState, start: int) -> Iterator[WindowBlock]:
        n = len(state.registry)
        new = {name: np.full(n, np.nan) for name in RING}
        new["count"] = np.zeros(n, np.int32)
        chunks = state.pending.pop(start, [])
        if chunks:
            self._aggregate(state, start, chunks, new)
        state.shares[:-1] = state.shares[1:]
        state.shares[-1] = [state.covered.share(signal, start, start + PANE_NS) for signal in SIGNALS]
        zero = state.is_event & (new["count"] == 0) & (state.shares[-1][state.signal] > 0)
        new["total"][zero] = 0.0
        state.cumulated += np.nan_to_num(new["total"])
        for name, column in new.items():
            state.ring[name][:-1] = state.ring[name][1:]
            state.ring[name][-1] = column
        ids, rows = state.registry.ids(), np.arange(n)
        has_news = bool(chunks) or bool(zero.any())
        for panes in WINDOW_PANES:
            ends_here = (start + PANE_NS) % (panes * PANE_NS) == 0
            if has_news or (ends_here and state.ring["count"][-panes:].any()):
                yield self._block(state, ids, rows, start - (panes - 1) * PANE_NS, panes)

    def _aggregate(self, state: WindowState, start: int, chunks: list[Any], new: dict[str, Any]) -> None:
        series, t, value = (np.concatenate([chunk[i] for chunk in chunks]) for i in range(3))
        row = state.registry.find(series)
        known = row >= 0
        if not known.all():
            self._count(state, "rejected", series[~known], "UNKNOWN_SERIES")
            row, t, value = row[known], t[known], value[known]
            if not len(row):
                return
        ids = state.registry.ids()
        key = (row << 34) | (t - start)
        order = np.argsort(key, kind="stable")
        key, value = key[order], value[order]
        first = np.flatnonzero(np.r_[True, key[1:] != key[:-1]])
        if len(first) < len(key):
            repeated = np.ones(len(key), bool)
            repeated[first] = False
            self._count(state, "duplicate", ids[key[repeated] >> 34])
            value, key = np.fmin.reduceat(value, first), key[first]
        row, t = key >> 34, (key & ((1 << 34) - 1)) + start
        self._count(state, "processed", ids[row])
        starts = np.flatnonzero(np.r_[True, row[1:] != row[:-1]])
        owner, sizes = row[starts], np.diff(np.r_[starts, len(row)])
        ends = starts + sizes - 1
        self._cadence(state, owner, t[ends], sizes)
        value = self._increases(state, row, value, starts, owner, ends)
        ok = ~np.isnan(value)
        filled = np.where(ok, value, 0.0)
        seen = np.add.reduceat(ok.astype(np.int32), starts)
        has = seen > 0
        rows = owner[has]
        new["count"][rows] = seen[has]
        new["total"][rows] = np.add.reduceat(filled, starts)[has]
        new["low"][rows] = np.minimum.reduceat(np.where(ok, value, np.inf), starts)[has]
        new["high"][rows] = np.maximum.reduceat(np.where(ok, value, -np.inf), starts)[has]
        new["last"][rows] = value[ends][has]

    def _increases(self, state: WindowState, row: I64, value: F64, starts: I64, owner: I64, ends: I64) -> F64:
        """Cumulative values replaced by their increase since the sample before, NaN for the very first one."""
        cumulative = state.is_cumulative[row]
        if not cumulative.any():
            return value
        before = np.r_[np.nan, value[:-1]]
        before[starts] = state.previous[owner]
        marks = state.is_cumulative[owner]
        newest = value[ends]
        keep = marks & ~np.isnan(newest)
        state.previous[owner[keep]] = newest[keep]
        change = value - before
        increase = np.where(change < 0, value, change)
        return np.where(cumulative, increase, value)

    def _cadence(self, state: WindowState, owner: I64, newest: I64, sizes: I64) -> None:
        known = state.last_ns[owner] > 0
        rows = owner[known]
        step = (newest[known] - state.last_ns[rows]) / sizes[known] / 1e9
        old = state.interval_s[rows]
        moved = old + 0.2 * (np.clip(step, 0.5 * old, 1.25 * old) - old)
        state.interval_s[rows] = np.where(np.isnan(old), step, moved)
        state.last_ns[owner] = np.maximum(state.last_ns[owner], newest)
        state.is_silent[owner] = False

    def _block(self, state: WindowState, ids: U64, rows: I64, start: int, panes: int) -> WindowBlock:
        ring = {name: column[-panes:] for name, column in state.ring.items()}
        count = ring["count"].sum(0, dtype=np.int64)
        blank = np.isnan(ring["total"]).all(0)
        if panes == 1:
            total, low, high, last = (ring[name][0].astype(np.float64) for name in RING)
        else:
            total = np.where(blank, np.nan, np.nansum(ring["total"], 0))
            low = np.fmin.reduce(ring["low"], 0).astype(np.float64)
            high = np.fmax.reduce(ring["high"], 0).astype(np.float64)
            last = ring["last"][0].astype(np.float64)
            for k in range(1, panes):
                last = np.where(np.isnan(ring["last"][k]), last, ring["last"][k])
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = np.where(count > 0, total / np.maximum(count, 1), np.nan)
            span = panes * PANE_NS / 1e9
            expected = np.where(state.interval_s <= span, np.floor(span / state.interval_s + 1e-6), np.nan)
        whole = state.denominator
        weight = np.where(whole >= 0, total[whole], np.nan)
        before = np.where(whole >= 0, state.cumulated[whole], np.nan) - np.nan_to_num(weight)
        end = start + panes * PANE_NS
        return WindowBlock(
            start_ns=start, end_ns=end, series=ids, rows=rows, total=total, mean=mean, low=low, high=high, last=last,
            count=count, expected=expected, weight=weight, recorded=state.shares[-panes:].mean(0)[state.signal],
            weight_before=before,
            is_tumbling=end % (panes * PANE_NS) == 0,
        )  # fmt: skip

    # --- book-keeping ---

    def _count(self, state: WindowState, what: str, series: U64, reason: str = "") -> None:
        """Samples of senders and samples that we derived are two ledgers."""
        ours = int(state.is_derived(series).sum())
        if ours:
            state.ledger.add(f"derived.{what}", ours, reason)
        if len(series) - ours:
            state.ledger.add(f"samples.{what}", len(series) - ours, reason)

    def _late(self, state: WindowState, series: U64, t: I64, value: F64) -> Emit:
        self._count(state, "late", series)
        ids = np.unique(series).tolist()
        defs = [state.registry.definitions[state.registry.rows[i]] for i in ids if i in state.registry.rows]
        frame = sc.encode_frame(series, t, value, shards=np.zeros(len(t), np.int64), defs=defs)
        what = f"{len(t)} samples came after the watermark had passed them"
        return _dead.of_samples(
            frame, count=len(t), reason="LATE", what=what, stage=self._stage, source=self._stage, event_ns=int(t.min())
        )

    def buffered(self, state: WindowState) -> dict[str, int]:
        """Samples that wait for time to pass them, by ledger."""
        found = {"samples": 0, "derived": 0}
        for chunks in state.pending.values():
            for series, _, _ in chunks:
                ours = int(state.is_derived(series).sum())
                found["derived"] += ours
                found["samples"] += len(series) - ours
        return found
