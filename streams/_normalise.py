"""Normalise: whatever a source sent becomes frames, histogram, log and span batches, and event time begins here.

The watermark is, over all sources that are not idle, the smallest newest event time minus the allowed lateness
(bounded out-of-orderness; Akidau et al. 2015). A source is idle only when the log says so, never because a reader's
clock did; a sample too far ahead of the time its message was received is quarantined and cannot move the watermark.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pyarrow as pa

import schemas as sc
from schemas.core import I64, U64, Advance, Bool, Emit, Event, Message, Output, Tick
from streams import _dead
from streams._decoded import Decoded, Points, Source
from streams._errors import SourceError
from streams._histograms import leads
from streams._ledger import Ledger
from streams._settings import PANE_NS, StreamSettings
from streams._state import pack, unpack

KIND = "tidegate-kind"
SOURCE = "tidegate-source"
CLOCK = "clock"
"""The sender of `source:clock` marks: it moves time only while no other source does."""
_NAME = "normalise"
SKEW, LATE, NOT_FINITE, LIMIT = "CLOCK_SKEW", "LATE", "NOT_FINITE", "SERIES_LIMIT"
_TOPICS = {sc.Change: sc.CHANGES, sc.CalendarEntry: sc.CALENDAR, sc.TopologyEdge: sc.TOPOLOGY}


@dataclass(slots=True)
class SourceClock:
    """What is known of one sender: newest event time, whether it is idle or ended, how many series it brought."""

    newest_ns: int
    log: str
    is_idle: bool = False
    is_final: bool = False
    series: int = 0


@dataclass(slots=True)
class NormaliseState:
    clocks: dict[str, SourceClock] = field(default_factory=dict)
    shard: dict[int, int] = field(default_factory=dict)
    """Shard of every series admitted so far."""
    through_ns: int = 0
    is_final: bool = False
    ledger: Ledger = field(default_factory=Ledger)
    points: list[list[tuple[U64, I64, Any, I64]]] = field(default_factory=list)
    """Points waiting for their frame, by partition."""
    definitions: list[list[sc.SeriesDef]] = field(default_factory=list)
    waiting: list[int] = field(default_factory=list)


class Normalise:
    """The stage. `sources` are the plug-ins by kind; outputs go to partition = shard modulo partitions."""

    name = _NAME
    outputs = (
        sc.FRAMES, sc.HISTOGRAMS, sc.LOGS, sc.SPANS, sc.SERIES, sc.CHANGES, sc.TOPOLOGY, sc.CALENDAR, sc.DEAD_LETTERS,
    )  # fmt: skip
    ordered = False
    makes_time = True

    def __init__(self, sources: Iterable[Source], settings: StreamSettings | None = None) -> None:
        self._settings = settings or StreamSettings()
        self._by_kind = {source.kind: source for source in sources}
        self._by_topic = {topic: source for source in self._by_kind.values() for topic in source.topics}
        self.inputs = tuple(sorted({*self._by_topic, sc.RAW}))

    def initial(self) -> NormaliseState:
        n = self._settings.partitions
        return NormaliseState(points=[[] for _ in range(n)], definitions=[[] for _ in range(n)], waiting=[0] * n)

    def step(self, state: NormaliseState, event: Event) -> tuple[NormaliseState, list[Output]]:
        if isinstance(event, Tick):
            return state, []
        out: list[Output] = []
        kind = sc.record_type(event)
        if kind in ("watermark", "coverage"):
            self._mark(state, event, out)
        else:
            self._message(state, event, out)
        self._advance(state, out)
        return state, out

    # --- messages ---

    def _message(self, state: NormaliseState, message: Message, out: list[Output]) -> None:
        ledger = state.ledger
        ledger.add("messages.admitted")
        source = self._by_kind.get(message.header(KIND)) or self._by_topic.get(message.topic)
        try:
            if source is None:
                raise SourceError(
                    f"no source reads kind '{message.header(KIND)}' of topic {message.topic}", code="SOURCE_UNKNOWN",
                    todo=f"Known kinds: {', '.join(sorted(self._by_kind))}",
                )  # fmt: skip
            decoded = source.decode(message)
        except SourceError as error:
            ledger.add("messages.dead_lettered", reason=error.code)
            out.append(_dead.of_message(message, reason=error.code, what=str(error), stage=_NAME))
            return
        ledger.add("messages.decoded")
        sender = message.header(SOURCE) or f"{message.topic}/{message.partition}"
        clock = state.clocks.get(sender)
        if clock is None:
            clock = state.clocks[sender] = SourceClock(0, f"{message.topic}/{message.partition}")
        limit = message.received_ns + self._settings.max_skew_ns
        newest = [
            self._points(state, clock, decoded, sender, limit, out),
            self._histograms(state, clock, decoded, sender, limit, out),
        ]
        newest += [
            self._rows(state, decoded.logs, sc.LOGS, "t", sc.LOG_FIELDS, "log_lines", limit, sender, out),
            self._rows(state, decoded.spans, sc.SPANS, "end", sc.SPAN_FIELDS, "spans", limit, sender, out),
        ]
        for record in decoded.records:
            self._record(record, out)
        if max(newest) > 0:
            clock.newest_ns = max(clock.newest_ns, *newest)
            clock.is_idle = clock.is_final = False

    def _points(
        self, state: NormaliseState, clock: SourceClock, decoded: Decoded, sender: str, limit: int, out: list[Output]
    ) -> int:
        points = decoded.points
        if not len(points.series):
            return 0
        state.ledger.add("samples.decoded", len(points.series))
        for reason in (SKEW, LATE, NOT_FINITE):
            bad = np.isinf(points.value) if reason == NOT_FINITE else self._out_of_time(state, points.t, limit, reason)
            if bad.any():
                points = self._reject(state, points, bad, decoded, sender, reason, out)
        shards = self._admit(state, clock, points.series, decoded.definitions, out)
        over = shards < 0
        if over.any():
            points, shards = self._reject(state, points, over, decoded, sender, LIMIT, out), shards[~over]
        if not len(points.series):
            return 0
        n = self._settings.partitions
        for partition in range(n):
            mine = slice(None) if n == 1 else shards % n == partition
            chunk = (points.series[mine], points.t[mine], points.value[mine], shards[mine])
            if len(chunk[0]):
                state.points[partition].append(chunk)
                state.waiting[partition] += len(chunk[0])
                if state.waiting[partition] >= self._settings.frame_points:
                    out.append(self._frame(state, partition))
        return int(points.t.max())

    def _reject(
        self,
        state: NormaliseState,
        points: Points,
        bad: Bool,
        decoded: Decoded,
        sender: str,
        reason: str,
        out: list[Output],
    ) -> Points:
        """Keep the bad ones as a dead-letter frame with their definitions; return the others."""
        n = int(bad.sum())
        state.ledger.add("samples.late" if reason == LATE else "samples.rejected", n, reason)
        kept = points.series[bad]
        definitions = [decoded.definitions[int(i)] for i in np.unique(kept)]
        frame = sc.encode_frame(kept, points.t[bad], points.value[bad], shards=np.zeros(n, np.int64), defs=definitions)
        first = definitions[0]
        what = f"{n} samples of {sender} cannot be used, the first of '{first.name}' of {first.entity_id}"
        out.append(_dead.of_samples(
            frame, count=n, reason=reason, what=what, stage=_NAME, source=sender, event_ns=int(points.t[bad].min())
        ))  # fmt: skip
        good = ~bad
        return Points(points.series[good], points.t[good], points.value[good])

    def _admit(
        self,
        state: NormaliseState,
        clock: SourceClock,
        series: U64,
        definitions: Mapping[int, sc.SeriesDef],
        out: list[Output],
    ) -> I64:
        """Shard int64 (n,) of each point; -1 where the series is new and a limit is reached."""
        shard, settings = state.shard, self._settings
        unique, inverse = np.unique(series, return_inverse=True)
        shards = np.fromiter((shard.get(i, -1) for i in unique.tolist()), np.int64, len(unique))
        for position in np.flatnonzero(shards < 0).tolist():
            if len(shard) >= settings.max_series or clock.series >= settings.max_series_per_source:
                continue
            identity = int(unique[position])
            definition = definitions[identity]
            shards[position] = shard[identity] = sc.shard_of(definition.tenant, definition.service, settings.shards)
            clock.series += 1
            state.definitions[int(shards[position]) % settings.partitions].append(definition)
            out.append(
                sc.emit(
                    sc.SERIES,
                    definition,
                    id=definition.id,
                    key=definition.id,
                    source=f"tidegate/{_NAME}",
                    event_ns=state.through_ns,
                )
            )
        return shards[inverse]

    def _histograms(
        self, state: NormaliseState, clock: SourceClock, decoded: Decoded, sender: str, limit: int, out: list[Output]
    ) -> int:
        rows = decoded.histograms
        if not rows.points:
            return 0
        lead = leads(rows.series, rows.t, rows.bucket)
        state.ledger.add("samples.decoded", int(lead.sum()))
        skewed, late = (self._out_of_time(state, rows.t, limit, reason) for reason in (SKEW, LATE))
        timely = ~(skewed | late)
        shards = np.where(skewed, -2, -3)
        shards[timely] = self._admit(state, clock, rows.series[timely], decoded.definitions, out)
        for code, reason in ((-3, LATE), (-2, SKEW), (-1, LIMIT)):
            bad = shards == code
            if bad.any():
                n = int(lead[bad].sum())
                state.ledger.add("samples.late" if reason == LATE else "samples.rejected", n, reason)
                frame = sc.encode_histograms(rows.series[bad], rows.t[bad], rows.bucket[bad], rows.count[bad], defs=[])
                out.append(_dead.of_samples(
                    frame, count=n, reason=reason, what=f"{n} histogram points of {sender} cannot be used", stage=_NAME,
                    source=sender, event_ns=int(rows.t[bad].min()),
                ))  # fmt: skip
        good = shards >= 0
        for partition in range(self._settings.partitions):
            mine = good & (shards % self._settings.partitions == partition)
            if mine.any():
                ids = np.unique(rows.series[mine])
                frame = sc.encode_histograms(
                    rows.series[mine], rows.t[mine], rows.bucket[mine], rows.count[mine],
                    defs=[decoded.definitions[int(i)] for i in ids],
                )  # fmt: skip
                out.append(Emit(sc.HISTOGRAMS, b"", frame, (), int(rows.t[mine].min()), partition))
        return int(rows.t[good].max()) if good.any() else 0

    def _rows(
        self, state: NormaliseState, batch: pa.RecordBatch | None, topic: str, column: str,
        fields: dict[str, pa.DataType], what: str, limit: int, sender: str, out: list[Output],
    ) -> int:  # fmt: skip
        if batch is None or not batch.num_rows:
            return 0
        state.ledger.add(f"{what}.decoded", batch.num_rows)
        t = batch.column(column).cast(pa.int64()).to_numpy(zero_copy_only=False)
        for reason in (SKEW, LATE):
            bad = self._out_of_time(state, t, limit, reason)
            n = int(bad.sum())
            if not n:
                continue
            state.ledger.add(f"{what}.late" if reason == LATE else f"{what}.rejected", n, reason)
            kept = sc.encode_rows(fields, batch.filter(pa.array(bad)).columns)
            out.append(_dead.of_samples(
                kept, count=n, reason=reason, what=f"{n} {what} of {sender} lie outside the time that is open",
                stage=_NAME, source=sender, event_ns=int(t[bad].min()),
            ))  # fmt: skip
            batch, t = batch.filter(pa.array(~bad)), t[~bad]
        if not len(t):
            return 0
        n = self._settings.partitions
        if n == 1:
            out.append(Emit(topic, b"", sc.encode_rows(fields, batch.columns), (), int(t.min()), 0))
        else:
            owner = _owners(batch, "trace_id" if topic == sc.SPANS else "service", n)
            for partition in np.unique(owner).tolist():
                part = batch.filter(pa.array(owner == partition))
                out.append(
                    Emit(
                        topic,
                        b"",
                        sc.encode_rows(fields, part.columns),
                        (),
                        int(t[owner == partition].min()),
                        partition,
                    )
                )
        return int(t.max())

    def _out_of_time(self, state: NormaliseState, t: I64, limit: int, reason: str) -> Bool:
        """Which times lie too far ahead, or behind what was said to be complete.

        Lateness is decided here, where the watermark is made, and nowhere depends on how fast later stages were.
        """
        return t > limit if reason == SKEW else t < state.through_ns

    def _record(self, record: sc.Record, out: list[Output]) -> None:
        topic = _TOPICS.get(type(record))
        if isinstance(record, sc.Change) and topic:
            out.append(
                sc.emit(
                    topic, record, id=record.id, key=record.entity_id, source=f"tidegate/{_NAME}", event_ns=record.at_ns
                )
            )
        elif isinstance(record, sc.CalendarEntry) and topic:
            out.append(
                sc.emit(
                    topic, record, id=record.id, key=record.id, source=f"tidegate/{_NAME}", event_ns=record.start_ns
                )
            )
        elif isinstance(record, sc.TopologyEdge) and topic:
            out.append(
                sc.emit(
                    topic, record, id=record.id, key=record.id, source=f"tidegate/{_NAME}", event_ns=record.first_ns
                )
            )

    # --- time ---

    def _mark(self, state: NormaliseState, message: Message, out: list[Output]) -> None:
        mark = sc.read(message)
        if isinstance(mark, sc.Coverage):
            for topic in (sc.FRAMES, sc.HISTOGRAMS):
                for partition in range(self._settings.partitions):
                    emit = sc.emit(
                        topic,
                        mark,
                        id=sc.record_id("coverage", mark.signal, mark.start_ns, mark.end_ns),
                        key="coverage",
                        source=f"tidegate/{_NAME}",
                        event_ns=mark.start_ns,
                    )
                    out.append(replace(emit, partition=partition))
            return
        assert isinstance(mark, sc.Watermark)
        log = f"{message.topic}/{message.partition}"
        for sender, clock in state.clocks.items():
            if mark.final and clock.log == log:
                clock.is_final = clock.is_idle = True
            elif mark.stage == f"source:{sender}":
                clock.newest_ns = max(clock.newest_ns, mark.through_ns)
                clock.is_idle = mark.idle
        if mark.stage == f"source:{CLOCK}":
            clock = state.clocks.setdefault(CLOCK, SourceClock(0, log))
            clock.newest_ns = max(clock.newest_ns, mark.through_ns)

    def _advance(self, state: NormaliseState, out: list[Output]) -> None:
        clocks = list(state.clocks.values())
        speaking = (clock for name, clock in state.clocks.items() if name != CLOCK and not clock.is_idle)
        active = [clock.newest_ns for clock in speaking if clock.newest_ns]
        if not active and CLOCK in state.clocks:
            active = [state.clocks[CLOCK].newest_ns]
        if clocks and all(clock.is_final for clock in clocks):
            newest = max(clock.newest_ns for clock in clocks)
            through, final = max(state.through_ns, (newest // PANE_NS + 1) * PANE_NS), True
        elif active:
            through, final = (min(active) - self._settings.lateness_ns) // PANE_NS * PANE_NS, False
        else:
            return
        if through > state.through_ns or (final and not state.is_final):
            for partition in range(self._settings.partitions):
                if state.waiting[partition] or state.definitions[partition]:
                    out.append(self._frame(state, partition))
            state.through_ns, state.is_final = max(through, state.through_ns), final
            out.append(Advance(state.through_ns, final=final))

    def _frame(self, state: NormaliseState, partition: int) -> Emit:
        chunks = state.points[partition]
        columns: list[Any] = [np.concatenate([c[i] for c in chunks]) if chunks else np.zeros(0) for i in range(4)]
        series, t, value, shards = columns[0].astype(np.uint64), columns[1].astype(np.int64), columns[2], columns[3]
        frame = sc.encode_frame(series, t, value, shards=shards, defs=state.definitions[partition])
        state.points[partition], state.definitions[partition], state.waiting[partition] = [], [], 0
        return Emit(sc.FRAMES, b"", frame, (), int(t.min()) if len(t) else state.through_ns, partition)

    # --- snapshots ---

    def dump(self, state: NormaliseState) -> bytes:
        arrays: dict[str, Any] = {
            f"{partition}/{column}": np.concatenate([chunk[column] for chunk in chunks])
            for partition, chunks in enumerate(state.points)
            if chunks
            for column in range(4)
        }
        arrays["shard_ids"] = np.fromiter(state.shard.keys(), np.uint64, len(state.shard))
        arrays["shards"] = np.fromiter(state.shard.values(), np.int64, len(state.shard))
        document = {
            "clocks": {k: [c.newest_ns, c.log, c.is_idle, c.is_final, c.series] for k, c in state.clocks.items()},
            "through_ns": state.through_ns,
            "is_final": state.is_final,
            "ledger": state.ledger.dump(),
            "definitions": [[d.model_dump(mode="json") for d in ds] for ds in state.definitions],
        }
        return pack(document, arrays)

    def load(self, data: bytes) -> NormaliseState:
        document, arrays, _ = unpack(data)
        state = self.initial()
        state.clocks = {k: SourceClock(*v) for k, v in document["clocks"].items()}
        state.shard = dict(zip(arrays["shard_ids"].tolist(), arrays["shards"].tolist(), strict=True))
        state.through_ns, state.is_final = document["through_ns"], document["is_final"]
        state.ledger = Ledger.load(document["ledger"])
        state.definitions = [[sc.SeriesDef.model_validate(d) for d in ds] for ds in document["definitions"]]
        for partition in range(self._settings.partitions):
            if f"{partition}/0" in arrays:
                chunk = tuple(arrays[f"{partition}/{column}"] for column in range(4))
                state.points[partition] = [chunk]  # type: ignore[list-item]
                state.waiting[partition] = len(chunk[0])
        return state


def _owners(batch: pa.RecordBatch, column: str, partitions: int) -> I64:
    """Partition of each row by a stable hash of one column."""
    encoded = batch.column(column)
    if not pa.types.is_dictionary(encoded.type):
        encoded = encoded.dictionary_encode()
    owners = [sc.shard_of("", str(value), 1 << 20) % partitions for value in encoded.dictionary.to_pylist()]
    picked: I64 = np.asarray(owners, np.int64)[encoded.indices.to_numpy(zero_copy_only=False)]
    return picked
