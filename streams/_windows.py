"""Windows: samples of any order within lateness become closed panes of 10 s and sliding windows of 60 and 120 s.

Samples wait in their pane until the watermark has passed it, then are ordered once by (series, time), so the result
does not depend on the order of arrival; a repeated (series, time) counts once, the smaller value standing. A sample
for a pane that is closed is late: kept as a dead-letter frame, counted. Cumulative counters become increases here,
after sorting; a decrease is a reset (Prometheus: the new value is the increase). Memory: 24 B a waiting sample and
`STATE_BYTES_PER_SERIES` a series (Akidau et al. 2015 for the vocabulary). `_panes.py` says what a pane does to the
state; `_windows_numba.py` does the same in one pass, where numba may be used: the same bits.
"""

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np

import schemas as sc
from schemas.core import F64, I64, U64, Emit, HistogramBlock, WindowBlock
from streams import _dead, _panes
from streams._blocks import RingBlock
from streams._heard import heard, voice_of
from streams._histogram_tails import tails_of
from streams._registry import Registry
from streams._settings import PANE_NS, RING_PANES, WINDOW_PANES, ZERO_FOR_NS
from streams._successors import Said
from streams._window_state import RING, SIGNALS, WindowState


class Windower:
    """Pure core: `add` samples, then `close` what the watermark has passed. `stage` names it in dead letters.

    zero_for_ns: how long the silence of an event series means zero; after that it means nothing.

    `use_kernels` may be called at any time; it changes how fast answers come, never what they are.
    """

    def __init__(self, stage: str, *, zero_for_ns: int = ZERO_FOR_NS) -> None:
        self._stage, self._zero_for_ns = stage, zero_for_ns
        self._panes: _panes.Panes = _panes.Plain()

    def use_kernels(self) -> None:
        """Go on with compiled code. Raises ModuleNotFoundError without numba."""
        from streams._panes_fast import Fast

        self._panes = Fast()

    def add(self, state: WindowState, frame: sc.Frame) -> list[Emit]:
        """Take a frame; returns dead letters of late samples. Samples of unknown series are rejected, counted."""
        state.define(frame.defs)
        out: list[Emit] = []
        series, t = frame.series, frame.t
        value = frame.value + 0.0  # minus zero is zero: which of them is smaller depends on the compiler
        if len(frame.defs):  # the columns lie in the bytes of the message; what waits shall not hold definitions too
            series, t = series.copy(), t.copy()
        if not len(t):
            return out
        first, last = int(t.min()), int(t.max())
        if first < state.through_ns:
            late = t < state.through_ns
            out.append(self._late(state, series[late], t[late], value[late]))
            series, t, value = series[~late], t[~late], value[~late]
            first = state.through_ns
        if len(t) and first // PANE_NS == last // PANE_NS:
            state.pending.setdefault(first // PANE_NS * PANE_NS, []).append((series, t, value))
        elif len(t):
            for start, mine in _by_pane(t):
                state.pending.setdefault(start, []).append((series[mine], t[mine], value[mine]))
        return out

    def close(self, state: WindowState, through_ns: int) -> Iterator[WindowBlock]:
        """Close every pane that ends by `through_ns`, oldest first: for each the 10 s, 60 and 120 s blocks.

        A pane without news (no sample, no silence that means zero) gives only the tumbling windows that hold any;
        a stretch in which nothing waits and no silence means zero is passed over in one stride, with the answers of
        closing its panes one by one. What is not read of a block before one of another pane is asked for is gone.
        """
        start = state.through_ns
        if start == 0:
            start = min(state.pending, default=through_ns)
        while start + PANE_NS <= through_ns:
            if start not in state.pending and not self._speaks(state, start):
                ahead = [pane for pane in state.pending if pane > start]
                first = start
                start = min([through_ns // PANE_NS * PANE_NS, *ahead, *state.covered.starts_after(start, PANE_NS)])
                self._forget(state, first, start)
                self._silences(state, start)
                continue
            state.through_ns = start + PANE_NS
            yield from self._pane(state, start)
            start += PANE_NS
        state.through_ns = max(state.through_ns, through_ns)
        state.told.panes.clear()

    def tell(self, state: WindowState, block: HistogramBlock, histograms: Registry) -> None:
        """Histograms of a pane that `close` closes next; what they say of tails is a series beside their counts."""
        tails = tails_of(block)
        if len(tails.ids):
            state.told.panes[block.start_ns] = tails, lambda one: histograms.definition(histograms.row(one))

    def gaps(self, state: WindowState) -> list[sc.Gap]:
        """Series that should have spoken and did not, found by `close`; each said once until it speaks again, which
        is said as well."""
        found, state.gaps = state.gaps, []
        return found

    def successions(self, state: WindowState) -> list[sc.Succession]:
        """Instances that fell silent and have a successor, found by `close`; their silence is no gap."""
        found, state.successions = state.successions, []
        return found

    def heirs(self, state: WindowState) -> list[tuple[int, int]]:
        """Rows of series that ended with their instance, and the rows that go on in their place, found by `close`.

        Asked for before each block and after the last, the answer comes between the same blocks however time is told.
        """
        found, state.heirs = state.heirs, []
        return found

    def heard(self, state: WindowState, tenant: str, service: str, signal: str) -> int:
        """How many series of a signal of a service are expected to go on, as of the last pane that was closed."""
        return heard(state, {(tenant, service, signal)})[tenant, service, signal]

    def _silences(self, state: WindowState, to_ns: int) -> None:
        """Note the series whose silence became too long before `to_ns`. Depends on panes, not on ticks."""
        rows, due = self._panes.silences(state, to_ns)
        untils = -(-due // PANE_NS) * PANE_NS
        for until in np.unique(untils).tolist():
            mine = rows[untils == until]
            state.is_silent[mine] = True
            gaps, owners = list[sc.Gap](), list[int]()
            definitions = {row: state.registry.definition(row) for row in mine.tolist()}
            others = heard(state, {voice_of(d) for d in definitions.values()})
            for row, d in definitions.items():
                if state.covered.share(d.signal, until - PANE_NS, until) > 0:
                    gaps.append(sc.Gap(
                        series=d.id, entity_id=d.entity_id, since_ns=int(state.last_ns[row]), until_ns=until,
                        expected_interval_ns=int(state.interval_s[row] * 1e9),
                        signal=d.signal, heard=others[voice_of(d)],
                    ))  # fmt: skip
                    owners.append(int(state.successors.owner[row]))
            self._note(state, state.successors.silent(state.voices, mine, gaps, owners, until))

    def _note(self, state: WindowState, said: Said) -> None:
        state.gaps += said.gaps
        for one in said.successions:
            state.successions.append(one.record)
            state.heirs += state.successors.heirs(state.registry, one.gone, one.heir)

    # --- one pane ---

    def _speaks(self, state: WindowState, start: int) -> bool:
        """Whether silence in this pane means zero for some event series, or a window still has panes to slide out."""
        if state.ring["count"].any() or not np.isnan(state.ring["total"]).all():
            return True
        recent = state.is_event & (state.last_ns >= start - self._zero_for_ns)
        codes = np.unique(state.signal[recent]).tolist()
        return any(state.covered.share(SIGNALS[code], start, start + PANE_NS) > 0 for code in codes)

    def _forget(self, state: WindowState, first: int, start: int) -> None:
        """Pass over the panes from `first` to before `start`, in which nothing was seen; what was recorded of them is
        known all the same, once anybody has spoken."""
        for name in RING:
            state.ring[name][:] = np.nan
        state.ring["count"][:] = 0
        if len(state.registry):
            panes = range(max(first, start - RING_PANES * PANE_NS), start, PANE_NS)
            shares = [[state.covered.share(signal, at, at + PANE_NS) for signal in SIGNALS] for at in panes]
            state.shares = np.concatenate([state.shares[len(shares) :], np.array(shares)])
        state.moves += 1

    def _pane(self, state: WindowState, start: int) -> Iterator[WindowBlock]:
        chunks = state.pending.pop(start, [])
        points = self._located(state, start, chunks) if chunks else None
        if not len(state.registry):
            return
        state.shares[:-1] = state.shares[1:]
        state.shares[-1] = [state.covered.share(signal, start, start + PANE_NS) for signal in SIGNALS]
        state.turn()
        tally = self._taken(state, points) if points and len(points.row) else _panes.Tally()
        self._tell(state, "processed", tally.processed, tally.processed_derived)
        self._tell(state, "duplicate", tally.duplicate, tally.duplicate_derived)
        has_news = self._panes.fill_zeros(state, start - self._zero_for_ns) or bool(chunks)
        for panes in WINDOW_PANES:
            ends_here = (start + PANE_NS) % (panes * PANE_NS) == 0
            if has_news or (ends_here and state.ring["count"][state.slots(panes)].any()):
                yield RingBlock(state, start + PANE_NS, panes, self._panes.sums)
        self._silences(state, start + PANE_NS)

    def _taken(self, state: WindowState, points: _panes.Points) -> _panes.Tally:
        """Samples into the newest pane, and what is derived of them: means of sums and counts, errors by status."""
        pairs = state.pairs()
        before = state.before(pairs)
        silent = np.flatnonzero(state.is_silent)
        since_ns = state.last_ns[silent]
        tally = self._panes.take(state, points)
        if len(pairs.mean):
            state.fill_means(pairs, before)
        if state.groups:
            state.add_up()
        if len(state.ladders.target):
            state.fill_percentiles()
        if points.start in state.told.panes:
            state.fill_tails(points.start)
            state.successors.meet(state.registry, points.start)
        self._note(state, state.successors.spoke(state.voices, points.start + PANE_NS))
        again = ~state.is_silent[silent]
        for row, since in zip(silent[again].tolist(), since_ns[again].tolist(), strict=True):
            d = state.registry.definition(row)
            state.gaps.append(sc.Gap(
                series=d.id, entity_id=d.entity_id, since_ns=since, until_ns=points.start + PANE_NS,
                expected_interval_ns=int(state.interval_s[row] * 1e9), signal=d.signal, is_over=True,
            ))  # fmt: skip
        return tally

    def _located(self, state: WindowState, start: int, chunks: list[tuple[U64, I64, F64]]) -> _panes.Points:
        """The samples of a pane with their rows; series that speak first get one, samples of unknown ones go."""
        series, t, value = (np.concatenate([chunk[i] for chunk in chunks]) for i in range(3))
        row = self._panes.find(state, series)
        if len(row) and row.min() < 0:
            state.activate(series[row < 0])
            state.successors.meet(state.registry, start)
            row = self._panes.find(state, series)
            known = row >= 0
            if not known.all():
                self._tell(state, "rejected", int((~known).sum()), 0, "UNKNOWN_SERIES")
                row, t, value = row[known], t[known], value[known]
        return _panes.Points(start, row, t, value)

    # --- book-keeping ---

    def _tell(self, state: WindowState, what: str, n: int, derived: int, reason: str = "") -> None:
        """Samples of senders and samples that we derived are two ledgers."""
        if derived:
            state.ledger.add(f"derived.{what}", derived, reason)
        if n - derived:
            state.ledger.add(f"samples.{what}", n - derived, reason)

    def _late(self, state: WindowState, series: U64, t: I64, value: F64) -> Emit:
        self._tell(state, "late", len(series), int(state.is_derived(series).sum()))
        rows = state.registry.find(np.unique(series))
        defs = [state.registry.definition(row) for row in rows[rows >= 0].tolist()]
        frame = sc.encode_frame(series, t, value, shards=np.zeros(len(t), np.int64), defs=defs)
        what = f"{len(t)} samples came after the watermark had passed them"
        return _dead.of_samples(
            frame, count=len(t), reason="LATE", what=what, stage=self._stage, source=self._stage, event_ns=int(t.min())
        )

    def buffered(self, state: WindowState) -> dict[str, int]:
        """Samples that wait for time to pass them, by ledger."""
        waiting = [series for chunks in state.pending.values() for series, _, _ in chunks]
        n = sum(map(len, waiting))
        ours = int(state.is_derived(np.concatenate(waiting)).sum()) if n and state.has_derived() else 0
        return {"samples": n - ours, "derived": ours}


def _by_pane(t: I64) -> Iterator[tuple[int, Any]]:
    """Start of each pane that holds any of these times (n,), and which; a slice where times come pane after pane."""
    pane = t // PANE_NS
    moves = np.flatnonzero(pane[1:] != pane[:-1]) + 1
    if (pane[1:] >= pane[:-1]).all():
        for first, stop in pairwise([0, *moves.tolist(), len(t)]):
            yield int(pane[first]) * PANE_NS, slice(first, stop)
    else:
        for number in np.unique(pane).tolist():
            yield number * PANE_NS, pane == number
