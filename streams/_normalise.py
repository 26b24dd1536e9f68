"""Normalise: whatever a source sent becomes frames, histogram, log and span batches, and event time begins here.

The watermark is, over all logs that are not idle, that of the slowest (`_clocks`); a sample too far ahead of the time
its message was received is quarantined and cannot move it. That time has come further is said, and frames are cut, at
most every `linger_ns` by the times at which messages were received: so bulk loads make large frames and few marks, and
a replay makes the same ones. Lateness knows of the new time at once. Idle, clock and final marks always cut, because
nothing may come after them.
"""

import importlib.util
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

import schemas as sc
from schemas.core import Advance, Bool, Event, Message, Output, Tick
from streams import _dead
from streams._admission import Admission
from streams._batches_out import LATE, LIMIT, NOT_FINITE, SKEW, BatchesOut
from streams._clocks import CLOCK, EventTime, SourceClock
from streams._decoded import Decoded, Points, Quick, Source
from streams._errors import SourceError
from streams._framing import Framing
from streams._id_table import I16, IdTable
from streams._intake import TRUST
from streams._ledger import Ledger
from streams._mesh import Mesh
from streams._senders import NOBODY, Senders, Who, proved
from streams._settings import WARM_POINTS, StreamSettings
from streams._state import pack, unpack
from streams._tardy import Tardy

KIND = "tidegate-kind"
SOURCE = "tidegate-source"
_NAME = "normalise"
_SOURCE = f"tidegate/{_NAME}"

__all__ = ["CLOCK", "KIND", "SOURCE", "Normalise", "NormaliseState", "SourceClock"]


@dataclass(slots=True)
class NormaliseState:
    time: EventTime
    framing: Framing
    shards: IdTable = field(default_factory=IdTable)
    """Shard of every series admitted so far."""
    ledger: Ledger = field(default_factory=Ledger)
    senders: Senders = field(default_factory=Senders)
    mesh: Mesh = field(default_factory=Mesh)
    tardy: Tardy = field(default_factory=Tardy)
    said_ns: int = 0
    """Through when time was said to be complete."""
    is_final: bool = False
    cut_ns: int = 0
    """When the message was received at which frames were last cut."""
    memo: tuple[object, I16] = (None, np.zeros(0, np.int16))
    """A decoder's book, and shards by its numbers as far as they were looked up: spares looking again. Not saved."""

    @property
    def clocks(self) -> dict[str, SourceClock]:
        return self.time.clocks

    @property
    def through_ns(self) -> int:
        return self.time.through_ns

    @property
    def waiting(self) -> tuple[int]:
        """How many points wait for their frame."""
        return (self.framing.points,)


class Normalise:
    """The stage. `sources` are the plug-ins by kind; outputs go to partition = shard modulo partitions.

    fast: True to use numba from the first message, False never; None once it pays and where it is installed. The
    answer is the same.
    """

    name = _NAME
    outputs = (
        sc.FRAMES, sc.HISTOGRAMS, sc.LOGS, sc.SPANS, sc.SERIES, sc.CHANGES, sc.TOPOLOGY, sc.CALENDAR, sc.ALERTS,
        sc.DEAD_LETTERS,
    )  # fmt: skip
    ordered = False
    makes_time = True

    def __init__(
        self, sources: Iterable[Source], settings: StreamSettings | None = None, fast: bool | None = None
    ) -> None:
        self._settings = settings or StreamSettings()
        self._by_kind = {source.kind: source for source in sources}
        self._by_topic = {topic: source for source in self._by_kind.values() for topic in source.topics}
        self.inputs = tuple(sorted({*self._by_topic, sc.RAW}))
        self._frame_points = self._settings.frame_points * self._settings.partitions
        self._admission = Admission(self._settings, _SOURCE)
        self._batches = BatchesOut(self._settings.partitions, _NAME)
        self._judge: Any = None
        self._judge_rows: Any = None
        self._arrange: Any = None
        if fast:
            self._judge, self._judge_rows, self._arrange = _kernels()
        has_numba = fast is None and importlib.util.find_spec("numba") is not None
        self._warm_points = WARM_POINTS if has_numba else -1

    def use_kernels(self) -> None:
        """Use numba from now on, here and in the sources that can. Raises ModuleNotFoundError without it."""
        self._judge, self._judge_rows, self._arrange = _kernels()
        for source in self._by_kind.values():
            if isinstance(source, Quick):
                source.use_kernels()

    def initial(self) -> NormaliseState:
        return NormaliseState(EventTime(self._settings.lateness_ns), Framing(self._settings.partitions))

    def step(self, state: NormaliseState, event: Event) -> tuple[NormaliseState, list[Output]]:
        out: list[Output] = []
        if isinstance(event, Tick):
            return state, out
        if event.headers and sc.record_type(event) in ("watermark", "coverage"):
            self._mark(state, event, out)
        else:
            self._message(state, event, out)
            if state.through_ns > state.said_ns and self._has_lingered(state, event):
                self._cut(state, event, False, out)
        return state, out

    # --- messages ---

    def _message(self, state: NormaliseState, message: Message, out: list[Any]) -> None:
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
        log = f"{message.topic}/{message.partition}"
        sender = message.header(SOURCE) or log
        clock = state.time.clock_of(sender, log)
        has_points = len(decoded.points.series) or decoded.histograms.points
        who = state.senders.who(message, sender) if has_points else NOBODY
        span = state.time.open_ns(log), message.received_ns + self._settings.max_skew_ns
        newest = 0
        if len(decoded.points.series):
            newest = self._points(state, clock, decoded, sender, span, who, out)
        if decoded.histograms.points:
            definitions = decoded.definitions
            newest = max(newest, self._batches.histograms(
                decoded.histograms, definitions,
                lambda ids: self._admission.admit(
                    state.shards, clock, ids, definitions, state.framing, state.through_ns, out, state.senders, who
                ),
                span, sender, ledger, out,
            ))  # fmt: skip
        if decoded.logs is not None:
            newest = max(
                newest, self._batches.rows(sc.LOGS, decoded.logs, span, sender, ledger, out, proved(message, sender))
            )
        if decoded.spans is not None:
            newest = max(
                newest, self._batches.rows(sc.SPANS, decoded.spans, span, sender, ledger, out, proved(message, sender))
            )
        for bad in decoded.rejected:
            ledger.add("samples.decoded", bad.samples)
            ledger.add("samples.rejected", bad.samples, bad.reason)
            out.append(_dead.of_samples(
                bad.value, count=bad.samples, reason=bad.reason, what=f"{bad.what} (from {sender})", stage=_NAME,
                source=sender, event_ns=message.received_ns,
            ))  # fmt: skip
        said = tuple((name, value) for name, value in message.headers if name in (SOURCE, TRUST))
        if state.mesh.ends and newest > 0:
            edges = state.mesh.say(decoded.points.series, newest, _NAME)
            out += [replace(edge, headers=(*edge.headers, *said)) for edge in edges]
        for record in decoded.records:
            _record(record, said, out)
        if newest > 0 and not decoded.is_occasional:
            state.time.hear(clock, sender, log, newest)

    def _points(
        self, state: NormaliseState, clock: SourceClock, decoded: Decoded, sender: str, span: tuple[int, int],
        who: Who, out: list[Any],
    ) -> int:  # fmt: skip
        """Newest time taken, 0 if none was."""
        points = decoded.points
        state.ledger.add("samples.decoded", len(points.series))
        state.tardy.came(sender, len(points.series))
        oldest, newest, has_infinite, has_new, shards = self._judged(state, decoded)
        if oldest < span[0] or newest > span[1] or has_infinite:
            for reason in (SKEW, LATE, NOT_FINITE):
                bad = _unfit(points, span, reason)
                if bad.any():
                    points, shards = self._reject(state, points, bad, decoded, sender, reason, out), shards[~bad]
            has_new = bool((shards < 0).any())
        if has_new:
            state.mesh.learn(points.series[shards < 0], decoded.definitions)
            shards = self._admission.admit(
                state.shards, clock, points.series, decoded.definitions, state.framing, state.through_ns, out,
                state.senders, who,
            )  # fmt: skip
            over = shards < 0
            if over.any():
                clock.over += int(over.sum())
                points = self._reject(state, points, over, decoded, sender, LIMIT, out)
                shards = shards[~over]
        if not len(points.series):
            return 0
        framing = state.framing
        self._admission.say_again(state.shards, points.series, decoded.definitions, framing, state.senders, who)
        framing.add(points.series, points.t, points.value, shards)
        if framing.points >= self._frame_points or len(framing.texts) >= self._frame_points:
            out += framing.cut(state.through_ns, self._arrange)
        return newest if len(points.t) == len(decoded.points.t) else int(points.t.max())

    def _judged(self, state: NormaliseState, decoded: Decoded) -> tuple[int, int, bool, bool, I16]:
        """Oldest and newest time, whether a value is infinite, whether a series is new; shard of each or -1."""
        points, rows, table = decoded.points, decoded.rows, state.shards
        if self._judge is None:
            if 0 <= self._warm_points < state.ledger.counts["samples.decoded"]:
                self._judge, self._judge_rows, self._arrange = _kernels()
            shards = table.find(points.series)
            extent = int(points.t.min()), int(points.t.max())
            return *extent, bool(np.isinf(points.value).any()), bool((shards < 0).any()), shards
        shards = np.empty(len(points.series), np.int16)
        if rows is not None and state.memo[0] is decoded.book:
            found = self._judge_rows(rows, points.t, points.value, state.memo[1], shards)
            if not found[3]:
                return *found, shards
        found = self._judge(points.series, points.t, points.value, table.keys, table.values, shards)
        if rows is not None and decoded.book is not None:
            _remember(state, decoded.book, rows, shards)
        return *found, shards

    def _reject(
        self, state: NormaliseState, points: Points, bad: Bool, decoded: Decoded, sender: str, reason: str,
        out: list[Any],
    ) -> Points:  # fmt: skip
        """Keep the bad ones as a dead-letter frame with their definitions; return the others."""
        n = int(bad.sum())
        state.ledger.add("samples.late" if reason == LATE else "samples.rejected", n, reason)
        kept = points.series[bad]
        each, counts = np.unique(kept, return_counts=True)
        definitions = [decoded.definitions[i] for i in each.tolist()]
        if reason == LATE:
            state.tardy.were_late(sender, zip(definitions, counts.tolist(), strict=True))
        frame = sc.encode_frame(kept, points.t[bad], points.value[bad], shards=np.zeros(n, np.int16), defs=definitions)
        first = definitions[0]
        what = f"{n} samples of {sender} cannot be used, the first of '{first.name}' of {first.entity_id}"
        out.append(_dead.of_samples(
            frame, count=n, reason=reason, what=what, stage=_NAME, source=sender, event_ns=int(points.t[bad].min())
        ))  # fmt: skip
        good = ~bad
        return Points(points.series[good], points.t[good], points.value[good])

    # --- time ---

    def _mark(self, state: NormaliseState, message: Message, out: list[Any]) -> None:
        mark = sc.read(message)
        if isinstance(mark, sc.Coverage):
            identity = sc.record_id("coverage", mark.signal, mark.start_ns, mark.end_ns)
            emit = sc.emit("", mark, id=identity, key="coverage", source=_SOURCE, event_ns=mark.start_ns)
            for topic in (sc.FRAMES, sc.HISTOGRAMS):
                out += [replace(emit, topic=topic, partition=p) for p in range(self._settings.partitions)]
        elif isinstance(mark, sc.Watermark):
            is_final = state.time.mark(mark, f"{message.topic}/{message.partition}")
            self._cut(state, message, is_final, out)

    def _has_lingered(self, state: NormaliseState, message: Message) -> bool:
        return not 0 <= message.received_ns - state.cut_ns < self._settings.linger_ns

    def _cut(self, state: NormaliseState, message: Message, is_final: bool, out: list[Any]) -> None:
        """Let go of what waits, and say how far time has come if that is news."""
        out += state.tardy.say(
            state.framing, state.ledger, _NAME, self._settings, state.said_ns, state.through_ns
        )  # fmt: skip
        if not state.framing.is_empty:
            out += state.framing.cut(state.through_ns, self._arrange)
        state.cut_ns = message.received_ns
        if state.through_ns > state.said_ns or (is_final and not state.is_final):
            state.said_ns, state.is_final = state.through_ns, is_final
            out.append(Advance(state.said_ns, final=is_final))

    # --- snapshots ---

    def dump(self, state: NormaliseState) -> bytes:
        arrays, blobs = state.framing.dump()
        ids, shards = state.shards.items()
        document = {
            "time": state.time.dump(), "ledger": state.ledger.dump(), "said_ns": state.said_ns,
            "is_final": state.is_final, "cut_ns": state.cut_ns, "senders": state.senders.dump(),
            "mesh": state.mesh.dump(), "tardy": state.tardy.dump(),
        }  # fmt: skip
        return pack(document, {**arrays, "shard_ids": ids, "shards": shards}, blobs)

    def load(self, data: bytes) -> NormaliseState:
        """Raises SnapshotError."""
        document, arrays, blobs = unpack(data)
        return NormaliseState(
            EventTime.load(self._settings.lateness_ns, document["time"]),
            Framing.load(self._settings.partitions, arrays, blobs),
            IdTable.of(arrays["shard_ids"], arrays["shards"]),
            Ledger.load(document["ledger"]),
            Senders.load(document.get("senders")),
            Mesh.load(document.get("mesh")),
            Tardy.load(document.get("tardy")),
            document["said_ns"],
            document["is_final"],
            document["cut_ns"],
        )


def _record(record: sc.Record, said: tuple[tuple[str, bytes], ...], out: list[Any]) -> None:
    """Changes, calendar entries and edges that a source brought, each on its topic; `said`: who brought it."""
    if isinstance(record, sc.Change):
        topic, key, at_ns = sc.CHANGES, record.entity_id, record.at_ns
    elif isinstance(record, sc.CalendarEntry):
        topic, key, at_ns = sc.CALENDAR, record.id, record.start_ns
    elif isinstance(record, sc.TopologyEdge):
        topic, key, at_ns = sc.TOPOLOGY, record.id, record.first_ns
    elif isinstance(record, sc.Alert):
        topic, key, at_ns = sc.ALERTS, record.id, record.said_ns
    elif isinstance(record, sc.Silence):
        topic, key, at_ns = sc.CALENDAR, record.id, record.said_ns
    else:
        return
    id = record.id
    if isinstance(record, sc.Alert):
        id = sc.record_id("alert", record.id, record.state, at_ns)
    elif isinstance(record, sc.Silence):
        id = sc.record_id("silence", record.id, at_ns)
    emit = sc.emit(topic, record, id=id, key=key, source=_SOURCE, event_ns=at_ns)
    out.append(replace(emit, headers=(*emit.headers, *said)))


def _unfit(points: Points, span: tuple[int, int], reason: str) -> Bool:
    if reason == NOT_FINITE:
        return np.isinf(points.value)
    return points.t > span[1] if reason == SKEW else points.t < span[0]


def _remember(state: NormaliseState, book: object, rows: NDArray[np.int32], shards: I16) -> None:
    known = state.memo[1] if state.memo[0] is book else np.full(1024, -1, np.int16)
    last = int(rows.max())
    if last >= len(known):
        known = np.concatenate([known, np.full(last, -1, np.int16)])
    known[rows] = shards
    state.memo = book, known


def _kernels() -> tuple[Any, Any, Any]:
    from streams._framing_numba import arrange  # here, because they need numba
    from streams._normalise_numba import judge, judge_rows

    return judge, judge_rows, arrange
