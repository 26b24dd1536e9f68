"""Windows of latency histograms: sparse base-2 exponential buckets that merge by adding counts.

Data points wait for the watermark like samples; a repeated (series, time) counts once. Cumulative histograms become
increases against the data point before; a smaller count in any bucket is a reset.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

import schemas as sc
from schemas.core import I64, U64, Bool, Emit, HistogramBlock
from streams import _dead
from streams._ledger import Ledger
from streams._registry import Registry
from streams._settings import PANE_NS
from streams._state import pack, unpack

_MOST_COUNT = float(1 << 62)
"""A sender may claim absurd counts; sums stay within int64."""
_Columns = tuple[U64, I64, Any, I64]


@dataclass(slots=True)
class HistogramState:
    """`previous`: last cumulative counts by series row, bucket to count."""

    registry: Registry = field(default_factory=Registry)
    ledger: Ledger = field(default_factory=Ledger)
    through_ns: int = 0
    pending: dict[int, list[_Columns]] = field(default_factory=dict)
    previous: dict[int, dict[int, int]] = field(default_factory=dict)

    def dump(self) -> bytes:
        arrays = {
            f"pending/{start}/{i}": np.concatenate([chunk[i] for chunk in chunks])
            for start, chunks in self.pending.items()
            for i in range(4)
        }
        document = {
            "ledger": self.ledger.dump(), "through_ns": self.through_ns,
            "pending": sorted(self.pending),
            "previous": {str(row): sorted(buckets.items()) for row, buckets in sorted(self.previous.items())},
        }  # fmt: skip
        return pack(document, arrays, {"registry": self.registry.dump()})

    @classmethod
    def load(cls, data: bytes) -> "HistogramState":
        document, arrays, blobs = unpack(data)
        state = cls(Registry.load(blobs.get("registry")), Ledger.load(document["ledger"]), document["through_ns"])
        state.previous = {int(row): dict(map(tuple, buckets)) for row, buckets in document["previous"].items()}
        for start in document["pending"]:
            ids, t, bucket, count = (arrays[f"pending/{start}/{i}"] for i in range(4))
            state.pending[start] = [(ids, t, bucket, count)]
        return state


class HistogramWindower:
    """Pure core beside `Windower`, with the same rules of time."""

    def __init__(self, stage: str) -> None:
        self._stage = stage

    def add(self, state: HistogramState, frame: sc.HistogramFrame) -> list[Emit]:
        """Take a frame; returns the dead letters of late data points."""
        state.registry.add_new(frame.defs)
        columns: tuple[Any, ...] = (frame.series, frame.t, frame.bucket, frame.count)
        out: list[Emit] = []
        late = frame.t < state.through_ns
        if late.any():
            bad = tuple(column[late] for column in columns)
            lead = leads(bad[0], bad[1], bad[2])
            n = int(lead.sum())
            self._count(state, "late", state.registry.find(bad[0][lead]))
            value = sc.encode_histograms(bad[0], bad[1], bad[2], bad[3], defs=[])
            what = f"{n} histogram points came after the watermark had passed them"
            out.append(_dead.of_samples(
                value, count=n, reason="LATE", what=what, stage=self._stage, source=self._stage,
                event_ns=int(bad[1].min()),
            ))  # fmt: skip
            columns = tuple(column[~late] for column in columns)
        pane = columns[1] // PANE_NS * PANE_NS
        for start in np.unique(pane).tolist():
            mine = pane == start
            ids, t, bucket, count = (column[mine] for column in columns)
            state.pending.setdefault(start, []).append((ids, t, bucket, count))
        return out

    def close(self, state: HistogramState, through_ns: int) -> Iterator[HistogramBlock]:
        """Close every pane that ends by `through_ns`, oldest first; panes without data points give no block."""
        for start in sorted(pane for pane in state.pending if pane + PANE_NS <= through_ns):
            block = self._pane(state, start, state.pending.pop(start))
            if len(block.count):
                yield block
        state.through_ns = max(state.through_ns, through_ns)

    def _pane(self, state: HistogramState, start: int, chunks: list[_Columns]) -> HistogramBlock:
        series, t, bucket, count = (np.concatenate([chunk[i] for chunk in chunks]) for i in range(4))
        row = state.registry.find(series)
        known = row >= 0
        if not known.all():
            n = int(leads(series[~known], t[~known], bucket[~known]).sum())
            state.ledger.add("samples.rejected", n, "UNKNOWN_SERIES")
            row, t, bucket, count = row[known], t[known], bucket[known], count[known]
        order = np.lexsort((count, bucket, t, row))
        row, t, bucket, count = row[order], t[order], bucket[order].astype(np.int64), count[order]
        new = np.ones(len(row), bool)
        new[1:] = (row[1:] != row[:-1]) | (t[1:] != t[:-1]) | (bucket[1:] != bucket[:-1])
        lead = leads(row.astype(np.uint64), t, bucket)
        self._count(state, "duplicate", row[lead & ~new])
        self._count(state, "processed", row[lead & new])
        row, t, bucket, count = row[new], t[new], bucket[new], count[new]
        count = self._increases(state, row, t, bucket, count)
        keep = count > 0
        row, bucket, count = row[keep], bucket[keep], count[keep]
        key = row * 65536 + (bucket + 32768)
        unique, inverse = np.unique(key, return_inverse=True)
        sums = np.bincount(inverse, weights=count.astype(np.float64), minlength=len(unique))
        total = np.minimum(sums, _MOST_COUNT).astype(np.int64)
        return HistogramBlock(
            start, start + PANE_NS, state.registry.ids(), unique // 65536,
            (unique % 65536 - 32768).astype(np.int16), total,
        )  # fmt: skip

    def _increases(self, state: HistogramState, row: I64, t: I64, bucket: I64, count: I64) -> I64:
        out = count.copy()
        rows = np.unique(row)
        cumulative = rows[state.registry.ask(rows, lambda d: d.temporality == "cumulative").astype(bool)].tolist()
        for r in cumulative:
            mine = np.flatnonzero(row == r)
            for moment in np.unique(t[mine]).tolist():
                at = mine[t[mine] == moment]
                now = dict(zip(bucket[at].tolist(), count[at].tolist(), strict=True))
                before = state.previous.get(r)
                state.previous[r] = now
                if before is None:
                    out[at] = 0
                elif all(now.get(b, 0) >= n for b, n in before.items()):
                    out[at] = [n - before.get(b, 0) for b, n in now.items()]
        return out

    def _count(self, state: HistogramState, what: str, rows: I64) -> None:
        derived = _derived(state, rows)
        for ledger, n in (("derived", derived), ("samples", len(rows) - derived)):
            if n:
                state.ledger.add(f"{ledger}.{what}", n)

    def buffered(self, state: HistogramState) -> dict[str, int]:
        """Data points that wait, by ledger."""
        found = {"samples": 0, "derived": 0}
        for chunks in state.pending.values():
            for chunk in chunks:
                ids = chunk[0][leads(chunk[0], chunk[1], chunk[2])]
                derived = _derived(state, state.registry.find(ids))
                found["derived"] += derived
                found["samples"] += len(ids) - derived
        return found


def _derived(state: HistogramState, rows: I64) -> int:
    """How many of these rows (-1: unknown) are of series that we derived ourselves."""
    known = rows[rows >= 0]
    return int(state.registry.ask(known, lambda d: d.signal in ("logs", "traces")).sum()) if len(known) else 0


def leads(series: U64, t: I64, bucket: Any) -> Bool:
    """Mask (m,) of the rows that count a data point: those with the lowest bucket of their (series, t).

    One rule for every stage, so the ledgers balance whatever a sender repeats or splits.
    """
    if not len(series):
        return np.zeros(0, bool)
    order = np.lexsort((bucket, t, series))
    new = np.r_[True, (series[order][1:] != series[order][:-1]) | (t[order][1:] != t[order][:-1])]
    group = np.cumsum(new) - 1
    lowest = bucket[order][new][group]
    mask = np.zeros(len(series), bool)
    mask[order] = bucket[order] == lowest
    return mask
