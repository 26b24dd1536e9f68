"""What normalise makes of histograms, log lines and spans: batches of what is in time, dead letters of what is not.

Unlike points these are passed on message by message: they come in batches of their own already.
"""

from collections.abc import Callable, Mapping

import numpy as np
import pyarrow as pa

import schemas as sc
from schemas.core import I64, U64, Emit
from streams import _dead
from streams._decoded import HistogramPoints
from streams._histograms import leads
from streams._id_table import I16
from streams._ledger import Ledger
from streams._senders import SENDER

SKEW, LATE, NOT_FINITE, LIMIT = "CLOCK_SKEW", "LATE", "NOT_FINITE", "SERIES_LIMIT"
_COLUMNS = {sc.LOGS: ("t", sc.LOG_FIELDS, "log_lines"), sc.SPANS: ("end", sc.SPAN_FIELDS, "spans")}


class BatchesOut:
    """partitions: of the topics. stage: who says so in dead letters."""

    def __init__(self, partitions: int, stage: str) -> None:
        self._partitions, self._stage = partitions, stage

    def histograms(
        self,
        rows: HistogramPoints,
        definitions: Mapping[int, sc.SeriesDef],
        admit: Callable[[U64], I16],
        span: tuple[int, int],
        sender: str,
        ledger: Ledger,
        out: list[Emit],
    ) -> int:
        """Newest time taken, 0 if none was. span: first time that is not late, last that is not skewed."""
        if not rows.points:
            return 0
        lead = leads(rows.series, rows.t, rows.bucket)
        ledger.add("samples.decoded", int(lead.sum()))
        skewed, late = rows.t > span[1], rows.t < span[0]
        timely = ~(skewed | late)
        shards = np.where(skewed, -2, -3)
        shards[timely] = admit(rows.series[timely])
        for code, reason in ((-3, LATE), (-2, SKEW), (-1, LIMIT)):
            bad = shards == code
            if bad.any():
                n = int(lead[bad].sum())
                ledger.add("samples.late" if reason == LATE else "samples.rejected", n, reason)
                frame = sc.encode_histograms(rows.series[bad], rows.t[bad], rows.bucket[bad], rows.count[bad])
                out.append(_dead.of_samples(
                    frame, count=n, reason=reason, what=f"{n} histogram points of {sender} cannot be used",
                    stage=self._stage, source=sender, event_ns=int(rows.t[bad].min()),
                ))  # fmt: skip
        good = shards >= 0
        for partition in range(self._partitions):
            mine = good & (shards % self._partitions == partition)
            if mine.any():
                defs = [definitions[i] for i in np.unique(rows.series[mine]).tolist()]
                frame = sc.encode_histograms(
                    rows.series[mine], rows.t[mine], rows.bucket[mine], rows.count[mine], defs=defs
                )
                out.append(Emit(sc.HISTOGRAMS, b"", frame, (), int(rows.t[mine].min()), partition))
        return int(rows.t[good].max()) if good.any() else 0

    def rows(
        self, topic: str, batch: pa.RecordBatch | None, span: tuple[int, int], sender: str, ledger: Ledger,
        out: list[Emit], name: str = "",
    ) -> int:  # fmt: skip
        """The same for the log lines or spans of a message. name: proved by who sent it, else empty."""
        if batch is None or not batch.num_rows:
            return 0
        column, fields, what = _COLUMNS[topic]
        ledger.add(f"{what}.decoded", batch.num_rows)
        t = batch.column(column).cast(pa.int64()).to_numpy(zero_copy_only=False)
        for reason in (SKEW, LATE):
            bad = t > span[1] if reason == SKEW else t < span[0]
            n = int(bad.sum())
            if not n:
                continue
            ledger.add(f"{what}.late" if reason == LATE else f"{what}.rejected", n, reason)
            kept = sc.encode_rows(fields, batch.filter(pa.array(bad)).columns)
            out.append(_dead.of_samples(
                kept, count=n, reason=reason, what=f"{n} {what} of {sender} lie outside the time that is open",
                stage=self._stage, source=sender, event_ns=int(t[bad].min()),
            ))  # fmt: skip
            batch, t = batch.filter(pa.array(~bad)), t[~bad]
        if not len(t):
            return 0
        said = ((SENDER, name.encode()),) if name else ()
        if self._partitions == 1:
            out.append(Emit(topic, b"", sc.encode_rows(fields, batch.columns), said, int(t.min()), 0))
            return int(t.max())
        owner = _owners(batch, "trace_id" if topic == sc.SPANS else "service", self._partitions)
        for partition in np.unique(owner).tolist():
            mine = owner == partition
            part = sc.encode_rows(fields, batch.filter(pa.array(mine)).columns)
            out.append(Emit(topic, b"", part, said, int(t[mine].min()), partition))
        return int(t.max())


def _owners(batch: pa.RecordBatch, column: str, partitions: int) -> I64:
    """Partition of each row by a stable hash of one column."""
    encoded = batch.column(column)
    if not pa.types.is_dictionary(encoded.type):
        encoded = encoded.dictionary_encode()
    owners = [sc.shard_of("", str(value), 1 << 20) % partitions for value in encoded.dictionary.to_pylist()]
    picked: I64 = np.asarray(owners, np.int64)[encoded.indices.to_numpy(zero_copy_only=False)]
    return picked
