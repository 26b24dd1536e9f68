"""What the two deriving stages share: panes of rows, and points of derived series with their definitions."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

import schemas as sc
from schemas.core import F64, I64, Emit
from streams import _dead
from streams._ledger import Ledger
from streams._senders import Writers
from streams._settings import PANE_NS


def series(service: str, tenant: str, name: str, labels: dict[str, str], **traits: Any) -> sc.SeriesDef:
    """The definition of a derived series; it belongs to the service entity."""
    entity = sc.Entity(tenant=tenant, kind="service", service=service, name=service).entity_id
    identity = sc.series_id(tenant, entity, name, labels)
    return sc.SeriesDef(
        id=f"{identity:016x}", tenant=tenant, entity_id=entity, service=service, name=name, labels=labels, **traits
    )


def announced(definitions: list[sc.SeriesDef], stage: str, event_ns: int) -> list[Emit]:
    """Records that tell of series not seen before: who begins to read later finds them in the topic of series."""
    return [
        sc.emit(sc.SERIES, d, id=d.id, key=d.id, source=f"tidegate/{stage}", event_ns=event_ns) for d in definitions
    ]


@dataclass(slots=True)
class PointsOut:
    """Points of one pane by partition, with definitions that were not sent before."""

    shards: int
    partitions: int
    writers: Writers = field(default_factory=Writers)
    rows: list[tuple[int, int, float, int]] = field(default_factory=list)
    fresh: dict[int, list[sc.SeriesDef]] = field(default_factory=dict)

    def add(self, known: set[str], definition: sc.SeriesDef, t_ns: int, value: float) -> None:
        """`known` holds the ids already sent, with their senders; it is part of the stage's state."""
        shard = sc.shard_of(definition.tenant, definition.service, self.shards)
        sender = self.writers.of(definition.tenant, definition.service, *_caller(definition))
        said = f"{definition.id} {sender}".rstrip()
        if said not in known:
            known.add(said)
            named = definition.model_copy(update={"sender": sender}) if sender else definition
            self.fresh.setdefault(shard % self.partitions, []).append(named)
        self.rows.append((int(definition.id, 16), t_ns, value, shard))

    def frames(self, ledger: Ledger, stage: str) -> list[Emit]:
        """One frame a partition, and a record for each new series; the samples are counted as derived."""
        if not self.rows:
            return []
        ids = np.array([row[0] for row in self.rows], np.uint64)
        t = np.array([row[1] for row in self.rows], np.int64)
        value = np.array([row[2] for row in self.rows])
        shard = np.array([row[3] for row in self.rows], np.int64)
        ledger.add("derived.decoded", len(ids))
        out = []
        for partition in np.unique(shard % self.partitions).tolist():
            mine = shard % self.partitions == partition
            defs = self.fresh.get(partition, [])
            frame = sc.encode_frame(ids[mine], t[mine], value[mine], shards=shard[mine], defs=defs)
            out.append(Emit(sc.FRAMES, b"", frame, (), int(t[mine].min()), partition))
            out += announced(defs, stage, int(t[mine].min()))
        return out


def _caller(definition: sc.SeriesDef) -> tuple[str, ...]:
    """The other service whose spans it was made of, where there is one."""
    caller = definition.labels.get("caller", "")
    return (caller,) if caller else ()


@dataclass(slots=True)
class Panes:
    """Record batches waiting by pane of their event time; rows for a closed pane are late."""

    column: str
    fields: dict[str, pa.DataType]
    through_ns: int = 0
    pending: dict[int, list[pa.RecordBatch]] = field(default_factory=dict)

    def add(self, batch: pa.RecordBatch, ledger: Ledger, what: str, stage: str) -> list[Emit]:
        """Take rows in; returns the dead letter of late ones."""
        t: I64 = batch.column(self.column).cast(pa.int64()).to_numpy(zero_copy_only=False)
        out: list[Emit] = []
        late = t < self.through_ns
        if late.any():
            n = int(late.sum())
            ledger.add(f"{what}.late", n)
            value = sc.encode_rows(self.fields, batch.filter(pa.array(late)).columns)
            sentence = f"{n} {what} came after the watermark had passed them"
            out.append(_dead.of_samples(
                value, count=n, reason="LATE", what=sentence, stage=stage, source=stage, event_ns=int(t[late].min())
            ))  # fmt: skip
            batch, t = batch.filter(pa.array(~late)), t[~late]
        pane = t // PANE_NS * PANE_NS
        for start in np.unique(pane).tolist():
            mine = pane == start
            self.pending.setdefault(start, []).append(batch if mine.all() else batch.filter(pa.array(mine)))
        return out

    def close(self, through_ns: int) -> list[tuple[int, pa.Table]]:
        """Panes that end by `through_ns`, oldest first, in no particular row order."""
        starts = sorted(start for start in self.pending if start + PANE_NS <= through_ns)
        self.through_ns = max(self.through_ns, through_ns)
        return [(start, pa.Table.from_batches(self.pending.pop(start)).unify_dictionaries()) for start in starts]

    def dump(self) -> dict[str, bytes]:
        return {str(start): self._bytes(found) for start, found in sorted(self.pending.items())}

    def _bytes(self, found: list[pa.RecordBatch]) -> bytes:
        whole = pa.Table.from_batches(found).unify_dictionaries().combine_chunks()
        return sc.encode_rows(self.fields, whole.to_batches()[0].columns)

    def restore(self, through_ns: int, blobs: dict[str, bytes]) -> None:
        self.through_ns = through_ns
        self.pending = {int(start): [sc.decode_rows(blob, self.fields)] for start, blob in blobs.items()}


def duration_buckets(seconds: F64) -> NDArray[np.int16]:
    """Scale-3 buckets int16 (n,) of durations in s; zero and below go to the zero bucket, see `HistogramBlock`."""
    with np.errstate(divide="ignore"):
        exact = np.ceil(8 * np.log2(np.maximum(seconds, 0))) - 1
    return np.where(seconds > 0, np.clip(exact, -32766, 32767), -32768).astype(np.int16)
