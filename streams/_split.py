"""Moving shards: the part of a state that belongs to some of its series, when partitions grow.

A task of partition p has the series of the shards s with s mod P = p. With k times as many partitions these go to the
tasks p, p + P, p + 2P and so on, each of which begins with its part. What is counted stays with the first part, so
ledgers add up as before; coverage and recorded shares belong to all.
"""

from collections.abc import Callable

import numpy as np
import pyarrow as pa

from schemas import SeriesDef, SeriesDefs
from schemas.core import I64
from streams._derive_logs import LogState
from streams._histograms import HistogramState
from streams._ledger import Ledger
from streams._registry import Registry
from streams._window_state import _COLUMNS, WindowState

Wanted = Callable[[SeriesDef], bool]


def rows_of(registry: Registry, wanted: Wanted) -> I64:
    """Rows of the wanted series, ascending."""
    return np.array([row for row in range(len(registry)) if wanted(registry.definition(row))], np.int64)


def _registry(registry: Registry, rows: I64) -> Registry:
    part = Registry()
    part.add_new(SeriesDefs([registry.definition(row).to_bytes() for row in rows.tolist()]))
    return part


def part_of_windows(state: WindowState, wanted: Wanted, *, is_first: bool) -> WindowState:
    """The part with the wanted series; the given state stays as it is."""
    rows = rows_of(state.registry, wanted)
    part = WindowState(
        registry=_registry(state.registry, rows), covered=state.covered,
        ledger=Ledger.load(state.ledger.dump()) if is_first else Ledger(), through_ns=state.through_ns,
        shares=state.shares.copy(),
    )  # fmt: skip
    place = np.full(len(state.registry) + 1, -1, np.int64)  # the last one is for rows that say "none"
    place[rows] = np.arange(len(rows))
    for name in _COLUMNS:
        setattr(part, name, getattr(state, name)[rows])
    part.denominator = place[part.denominator].astype(np.int32)
    part.numerator = place[part.numerator].astype(np.int32)
    part.ring = {name: column[:, rows] for name, column in state.ring.items()}
    part.head, part.rows = state.head, np.arange(len(rows))
    part.unresolved = [int(place[row]) for row in state.unresolved if place[row] >= 0]
    part.seek_counts()
    part.seek_groups()
    part.successors = state.successors.part(part.registry)
    texts = [state.registry.text(kept) for kept in state.waiting.values()]
    part.define(SeriesDefs([text for text in texts if wanted(SeriesDef.from_bytes(text))]))
    known = {*state.registry.ids().tolist(), *state.waiting}
    mine = {*part.registry.ids().tolist(), *part.waiting}
    for start, chunks in state.pending.items():
        ids, t, value = (np.concatenate([chunk[i] for chunk in chunks]) for i in range(3))
        keep = np.array([i in mine or (is_first and i not in known) for i in ids.tolist()], bool)
        if keep.any():
            part.pending[start] = [(ids[keep], t[keep], value[keep])]
    return part


def part_of_histograms(state: HistogramState, wanted: Wanted, *, is_first: bool) -> HistogramState:
    """The part with the wanted series; the given state stays as it is."""
    rows = rows_of(state.registry, wanted)
    part = HistogramState(
        _registry(state.registry, rows), Ledger.load(state.ledger.dump()) if is_first else Ledger(), state.through_ns
    )
    part.previous = {new: dict(state.previous[old]) for new, old in enumerate(rows.tolist()) if old in state.previous}
    known, mine = set(state.registry.ids().tolist()), set(part.registry.ids().tolist())
    for start, chunks in state.pending.items():
        columns = [np.concatenate([chunk[i] for chunk in chunks]) for i in range(4)]
        keep = np.array([i in mine or (is_first and i not in known) for i in columns[0].tolist()], bool)
        if keep.any():
            ids, t, bucket, count = (column[keep] for column in columns)
            part.pending[start] = [(ids, t, bucket, count)]
    return part


def part_of_logs(state: LogState, wanted: Callable[[str], bool], *, is_first: bool) -> LogState:
    """The part with the wanted services; what was announced before need not be announced again by any part."""
    part = LogState(ledger=Ledger.load(state.ledger.dump()) if is_first else Ledger(), known=set(state.known))
    part.panes.through_ns = state.panes.through_ns

    def mine(owner: str) -> bool:
        return wanted(owner.partition("\x1f")[2])

    part.miners = {owner: miner for owner, miner in state.miners.items() if mine(owner)}
    part.keys = {owner: set(keys) for owner, keys in state.keys.items() if mine(owner)}
    part.writers.names = {owner: list(names) for owner, names in state.writers.names.items() if mine(owner)}
    for start, batches in state.panes.pending.items():
        for batch in batches:
            services = batch.column("service").cast(pa.string()).to_pylist()
            kept = batch.filter(pa.array([wanted(str(service)) for service in services]))
            if kept.num_rows:
                part.panes.pending.setdefault(start, []).append(kept)
    return part
