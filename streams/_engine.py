"""The engine: drives stages over a log, live or replayed, and is all that knows of watermarks.

It is generic over `schemas.core.Stage`; which stages there are is decided by `tidegate/`. Each stage reads its topics
in the log's order. The watermark of its inputs is the smallest that any writer of any of its input topics has said in
that topic; when it moves, an ordered stage first gets the records that time has passed, sorted by (event time, id),
then every stage gets a `Tick`. So what a stage answers depends on event time alone, not on how fast anybody was.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import schemas as sc
from schemas.core import Advance, Emit, Message, Output, Stage, Tick
from streams import _dead
from streams._log import Log
from streams._state import pack, unpack

SOURCES = "outside"
"""The writer of raw topics: gateways, importers, recordings."""


@dataclass(slots=True)
class Runner:
    """One stage with its place in the log. `writers`: the stages that write each of its input topics."""

    stage: Stage[Any]
    writers: Mapping[str, tuple[str, ...]]
    partitions: int
    state: Any
    after: int = 0
    """Sequence of the last record read."""
    through_ns: int = 0
    is_final: bool = False
    produced: int = 0
    """Records appended so far; what the log already holds beyond this is not written again."""
    marks: dict[tuple[str, int, str], sc.Watermark] = field(default_factory=dict)
    held: list[tuple[int, str, Message]] = field(default_factory=list)
    refused: dict[str, int] = field(default_factory=dict)
    """Records that the stage could not take, by code; each became a dead letter."""

    @classmethod
    def start(cls, stage: Stage[Any], writers: Mapping[str, tuple[str, ...]], partitions: int) -> "Runner":
        return cls(stage, writers, partitions, stage.initial())

    def poll(self, log: Log, limit: int = 256) -> int:
        """Read up to `limit` records, step the stage, append what it says. Returns how many records were read."""
        batch = log.read(self.stage.inputs, self.after, limit)
        for stored in batch:
            self._take(log, stored.message)
            self.after = stored.sequence
        return len(batch)

    def _take(self, log: Log, message: Message) -> None:
        if self.stage.makes_time:
            self._step(log, message)
            return
        if sc.record_type(message) == "watermark":
            mark = sc.read(message)
            assert isinstance(mark, sc.Watermark)
            self.marks[message.topic, message.partition, mark.stage] = mark
            self._time(log)
        elif self.stage.ordered:
            self.held.append((message.event_ns, _identity(message), message))
        else:
            self._step(log, message)

    def _time(self, log: Log) -> None:
        through, final = self.watermark()
        if through <= self.through_ns and not (final and not self.is_final):
            return
        if self.stage.ordered:
            due = sorted((h for h in self.held if h[0] < through or final), key=lambda h: h[:2])
            self.held = [h for h in self.held if not (h[0] < through or final)]
            previous = ""
            for _, identity, message in due:
                if identity != previous:  # delivered twice: the same id stands once
                    self._step(log, message)
                previous = identity
        self.through_ns, self.is_final = max(through, self.through_ns), final
        self._step(log, Tick(self.through_ns, final))

    def watermark(self) -> tuple[int, bool]:
        """Through which time all inputs are complete, and whether all have ended; (0, False) while one is silent."""
        through, final = [], []
        for topic in self.stage.inputs:
            count = self.partitions if sc.TOPICS[topic].partitioned else 1
            for partition in range(count):
                for writer in self.writers.get(topic, ()):
                    mark = self.marks.get((topic, partition, writer))
                    if mark is None:
                        return 0, False
                    through.append(mark.through_ns)
                    final.append(mark.final)
        return (min(through), all(final)) if through else (0, False)

    def _step(self, log: Log, event: Message | Tick) -> None:
        outputs: list[Output]
        try:
            self.state, outputs = self.stage.step(self.state, event)
        except Exception as error:  # a stage leaves its state as it was and gives a code; anything else is our bug
            code = getattr(error, "code", None)
            if not isinstance(event, Message) or not isinstance(code, str):
                raise
            self.refused[code] = self.refused.get(code, 0) + 1
            outputs = [_dead.of_message(event, reason=code, what=str(error), stage=self.stage.name)]
        if isinstance(event, Tick) and not self.stage.makes_time:
            outputs = [*outputs, Advance(event.through_ns, final=event.final)]
        emits: list[Emit] = []
        for output in outputs:
            emits += self._watermarks(output) if isinstance(output, Advance) else [self._placed(output)]
        already = log.written(self.stage.name) - self.produced
        self.produced += len(emits)
        if already < len(emits):
            log.append(emits[max(already, 0) :], writer=self.stage.name)

    def _placed(self, emit: Emit) -> Emit:
        count = self.partitions if sc.TOPICS[emit.topic].partitioned else 1
        if emit.partition < count:
            return emit
        return Emit(emit.topic, emit.key, emit.value, emit.headers, emit.event_ns, emit.partition % count)

    def _watermarks(self, advance: Advance) -> list[Emit]:
        name = self.stage.name
        mark = sc.Watermark(stage=name, through_ns=advance.through_ns, idle=advance.idle, final=advance.final)
        identity = sc.record_id("watermark", name, advance.through_ns, str(advance.final))
        source, at = f"tidegate/{name}", advance.through_ns
        out = []
        for topic in self.stage.outputs:
            if topic == sc.DEAD_LETTERS:
                continue
            one = sc.emit(topic, mark, id=identity, key=name, source=source, event_ns=at)
            count = self.partitions if sc.TOPICS[topic].partitioned else 1
            out += [Emit(topic, one.key, one.value, one.headers, at, partition) for partition in range(count)]
        return out

    def snapshot(self) -> bytes:
        """Everything needed to go on: state, place, marks, held records."""
        document = {
            "stage": self.stage.name, "after": self.after, "through_ns": self.through_ns, "is_final": self.is_final,
            "produced": self.produced, "refused": self.refused,
            "marks": [[t, p, w, m.model_dump()] for (t, p, w), m in sorted(self.marks.items())],
            "held": [_dump(message) for _, _, message in self.held],
        }  # fmt: skip
        return pack(document, blobs={"state": self.stage.dump(self.state)})

    def restore(self, data: bytes) -> None:
        """Go on from a snapshot of the same stage. Raises SnapshotError."""
        document, _, blobs = unpack(data)
        self.state = self.stage.load(blobs["state"])
        self.after, self.through_ns = document["after"], document["through_ns"]
        self.is_final, self.produced = document["is_final"], document["produced"]
        self.refused = document["refused"]
        self.marks = {(t, p, w): sc.Watermark(**m) for t, p, w, m in document["marks"]}
        messages = [_load(entry) for entry in document["held"]]
        self.held = [(message.event_ns, _identity(message), message) for message in messages]


class Engine:
    """All stages of one process over one log.

    outside: writers of topics that do not run here, for a replay that begins behind the first stage.
    """

    def __init__(
        self, log: Log, stages: Sequence[Stage[Any]], *, partitions: int = 1,
        outside: Mapping[str, tuple[str, ...]] | None = None,
    ) -> None:  # fmt: skip
        self.log = log
        writers: dict[str, tuple[str, ...]] = dict(outside or {})
        for stage in stages:
            for topic in stage.outputs:
                writers[topic] = (*writers.get(topic, ()), stage.name)
        self.runners = [Runner.start(stage, writers, partitions) for stage in stages]

    def run(self, limit: int = 256) -> int:
        """Drive every stage until none finds anything new; returns how many records were read."""
        total = 0
        while True:
            moved = sum(runner.poll(self.log, limit) for runner in self.runners)
            if not moved:
                return total
            total += moved

    @property
    def through_ns(self) -> int:
        """Event time that the last stage has reached."""
        return min((runner.through_ns for runner in self.runners if not runner.stage.makes_time), default=0)


def _identity(message: Message) -> str:
    """What names a record: its CloudEvents id, else its bytes."""
    return message.header("ce_id") or hashlib.sha256(message.value).hexdigest()


def _dump(message: Message) -> list[Any]:
    headers = [[name, value.hex()] for name, value in message.headers]
    fields = message._asdict() | {"key": message.key.hex(), "value": message.value.hex(), "headers": headers}
    return list(fields.values())


def _load(entry: list[Any]) -> Message:
    topic, partition, offset, key, value, headers, event_ns, received_ns = entry
    pairs = tuple((name, bytes.fromhex(text)) for name, text in headers)
    return Message(topic, partition, offset, bytes.fromhex(key), bytes.fromhex(value), pairs, event_ns, received_ns)
