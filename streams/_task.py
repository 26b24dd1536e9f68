"""A task: one stage, or one shard of it, with its state, its time, what it has seen. Pure; every transport drives it.

Time: the watermark of the inputs is the smallest that any of the expected writers has said in any of the partitions;
writers that declared themselves idle do not count as long as somebody speaks. When it moves, an ordered stage first
gets the records that time has passed, sorted by (event time, id), then every stage gets a `Tick`. So what a stage
answers depends on event time alone, not on how fast anybody was, nor on how many messages came at once.

Delivered twice: after a crash a task goes on from its snapshot and writes again what it had written beyond it. A writer
therefore numbers its telemetry batches by output partition (`SEQ`; the number is part of its snapshot, and what it
writes is a function of its input, so the same number names the same batch), and a reader drops a number that it has
passed. Other records have deterministic ids; one older than what its writer has declared complete was delivered before.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import schemas as sc
from schemas.core import Advance, Emit, Message, Output, Stage, Tick
from streams import _dead
from streams._state import pack, unpack

FROM, SEQ = "tidegate-from", "tidegate-seq"
"""Headers: which task wrote a record (`stage@instance`), and its number among those that it wrote to the partition."""
_BATCHES = frozenset({"frame", "histogram", "logs", "spans"})
Place = tuple[str, int]
"""Topic and partition."""


def writer_of(stage: str, instance: str) -> str:
    """How a task is named in headers and marks."""
    return f"{stage}@{instance}"


def is_counted(stage: Stage[Any], topic: sc.Topic) -> bool:
    """Whether what a stage writes to a topic carries numbers, by which readers drop what comes twice."""
    return topic.content in _BATCHES or (stage.makes_time and topic.content != "dead")


@dataclass(slots=True)
class Task:
    """One stage with what it expects to hear. `writers`: by (topic, partition) the tasks that write there.

    partitions: of the partitioned topics, for what it writes. is_numbered: outputs carry `FROM` and `SEQ`; not needed
    where the transport never delivers twice.
    """

    stage: Stage[Any]
    writers: Mapping[Place, frozenset[str]]
    partitions: int
    state: Any
    instance: str = ""
    is_numbered: bool = False
    through_ns: int = 0
    is_final: bool = False
    is_idle: bool = False
    """Said to be idle by `idle`, until the next message."""
    marks: dict[tuple[str, int, str], sc.Watermark] = field(default_factory=dict)
    held: list[tuple[int, str, Message]] = field(default_factory=list)
    numbers: dict[Place, int] = field(default_factory=dict)
    """Next number to give, by output partition."""
    seen: dict[tuple[str, int, str], int] = field(default_factory=dict)
    """Next number to come, by input partition and writer."""
    counts: dict[str, int] = field(default_factory=dict)
    """`refused/CODE`: records that the stage could not take; `redelivered`: batches and records that came twice;
    `missing`: batches that should have come and did not."""
    _has_news: bool = False

    @classmethod
    def start(
        cls, stage: Stage[Any], writers: Mapping[Place, frozenset[str]], partitions: int, *, instance: str = "",
        is_numbered: bool = False,
    ) -> "Task":  # fmt: skip
        return cls(stage, writers, partitions, stage.initial(), instance, is_numbered)

    @property
    def name(self) -> str:
        return writer_of(self.stage.name, self.instance)

    @property
    def refused(self) -> dict[str, int]:
        """Records that the stage could not take, by code; each became a dead letter."""
        return {what[8:]: n for what, n in self.counts.items() if what.startswith("refused/")}

    def take(self, messages: Iterable[Message]) -> list[Emit]:
        """Hand messages over in their order, then move time once; returns what is to be written, marks last."""
        out: list[Emit] = []
        advance: Advance | None = None
        for message in messages:
            if self.is_idle and self.through_ns and self.stage.makes_time and sc.record_type(message) != "watermark":
                self.is_idle = False
                out += self.marks_of(Advance(self.through_ns))  # before anything new: readers wait for us again
            advance = self._take(message, out) or advance
        if not self.stage.makes_time:
            advance = self._time(out)
        if advance is not None:
            self.through_ns, self.is_final = max(advance.through_ns, self.through_ns), advance.final
            out += self.marks_of(advance)
        return out

    def _take(self, message: Message, out: list[Emit]) -> Advance | None:
        if self._is_redelivered(message):
            self._count("redelivered")
            return None
        if self.stage.makes_time:
            return self._step(message, out)
        if sc.record_type(message) == "watermark":
            mark = sc.read(message)
            assert isinstance(mark, sc.Watermark)
            key = (message.topic, message.partition, writer_of(mark.stage, mark.instance))
            known = self.marks.get(key)
            if known is None or _replaces(mark, known):
                self.marks[key] = mark
                self._has_news = True
        elif self.stage.ordered:
            self.held.append((message.event_ns, _identity(message), message))
        else:
            self._step(message, out)
        return None

    def _is_redelivered(self, message: Message) -> bool:
        writer = message.header(FROM)
        if not writer:
            return False
        key = (message.topic, message.partition, writer)
        number = message.header(SEQ)
        if number:
            expected, found = self.seen.get(key, 0), int(number)
            if found < expected:
                return True
            if found > expected:
                self._count("missing", found - expected)
            self.seen[key] = found + 1
            return False
        if not self.stage.ordered or sc.record_type(message) in ("watermark", "coverage"):
            return False
        mark = self.marks.get(key)
        return mark is not None and not mark.idle and message.event_ns < mark.through_ns

    def _time(self, out: list[Emit]) -> Advance | None:
        if not self._has_news:
            return None
        self._has_news = False
        through, final = self.watermark()
        if through <= self.through_ns and not (final and not self.is_final):
            return None
        if self.stage.ordered:
            due = sorted((h for h in self.held if h[0] < through or final), key=lambda h: h[:2])
            self.held = [h for h in self.held if not (h[0] < through or final)]
            previous = ""
            for _, identity, message in due:
                if identity != previous:  # delivered twice: the same id stands once
                    self._step(message, out)
                previous = identity
        through = max(through, self.through_ns)
        self._step(Tick(through, final), out)
        return Advance(through, final=final)

    def watermark(self) -> tuple[int, bool]:
        """Through which time all inputs are complete, and whether all have ended; (0, False) while one is silent.

        Idle writers count only if all are. Whoever reads does not become idle itself: its time goes on by their clock.
        """
        speaking: list[sc.Watermark] = []
        silent: list[sc.Watermark] = []
        for (topic, partition), writers in self.writers.items():
            for writer in writers:
                mark = self.marks.get((topic, partition, writer))
                if mark is None:
                    return 0, False
                (silent if mark.idle else speaking).append(mark)
        found = speaking or [mark for mark in silent if mark.through_ns]
        still = [
            mark.through_ns for mark in found if not mark.final
        ]  # after a final one nothing comes: it limits nobody
        if still:
            return min(still), False
        return max((mark.through_ns for mark in found), default=0), bool(found)

    def idle(self, through_ns: int) -> list[Emit]:
        """Marks by which a task that makes time says that nothing comes in: it holds nobody up until the next message.

        through_ns: what the clock says, 0 if nothing ever came. Its own time, by which lateness is judged, stays.
        """
        self.is_idle = True
        return self.marks_of(Advance(through_ns, idle=True))

    def _step(self, event: Message | Tick, out: list[Emit]) -> Advance | None:
        outputs: list[Output]
        by = (FROM, self.name.encode())
        try:
            self.state, outputs = self.stage.step(self.state, event)
        except Exception as error:  # a stage leaves its state as it was and gives a code; anything else is our bug
            code = getattr(error, "code", None)
            if not isinstance(event, Message) or not isinstance(code, str):
                raise
            self._count(f"refused/{code}")
            outputs = [_dead.of_message(event, reason=code, what=str(error), stage=self.stage.name)]
        advance = None
        for output in outputs:
            if isinstance(output, Advance):
                advance = output
            else:
                out.append(self._placed(output, by))
        return advance

    def _placed(self, emit: Emit, by: tuple[str, bytes]) -> Emit:
        topic = sc.TOPICS[emit.topic]
        partition = emit.partition % self.partitions if topic.partitioned else 0
        if self.is_numbered:
            if is_counted(self.stage, topic):
                place = emit.topic, partition
                number = self.numbers.get(place, 0)
                self.numbers[place] = number + 1
                headers = (*emit.headers, by, (SEQ, b"%d" % number))
            else:
                headers = (*emit.headers, by)
        elif partition == emit.partition:
            return emit
        else:
            headers = emit.headers
        return Emit(emit.topic, emit.key, emit.value, headers, emit.event_ns, partition)

    def marks_of(self, advance: Advance) -> list[Emit]:
        """One mark for each partition of each output topic."""
        name, at = self.stage.name, advance.through_ns
        mark = sc.Watermark(stage=name, instance=self.instance, through_ns=at, idle=advance.idle, final=advance.final)
        identity = sc.record_id("watermark", name, self.instance, at, str(advance.idle), str(advance.final))
        one = sc.emit("", mark, id=identity, key=self.name, source=f"tidegate/{name}", event_ns=at)
        return [
            Emit(topic, one.key, one.value, one.headers, at, partition)
            for topic in self.stage.outputs
            if topic != sc.DEAD_LETTERS
            for partition in range(self.partitions if sc.TOPICS[topic].partitioned else 1)
        ]

    def _count(self, what: str, n: int = 1) -> None:
        self.counts[what] = self.counts.get(what, 0) + n

    # --- snapshots ---

    def snapshot(self, **more: Any) -> bytes:
        """Everything needed to go on; `more` is what the transport must know, as JSON."""
        document = {
            "stage": self.stage.name, "instance": self.instance, "through_ns": self.through_ns,
            "is_final": self.is_final, "is_idle": self.is_idle, "counts": self.counts,
            "numbers": [[t, p, n] for (t, p), n in sorted(self.numbers.items())],
            "seen": [[t, p, w, n] for (t, p, w), n in sorted(self.seen.items())],
            "marks": [[t, p, w, m.model_dump()] for (t, p, w), m in sorted(self.marks.items())],
            "held": [_dump(message) for _, _, message in self.held],
            "more": more,
        }  # fmt: skip
        return pack(document, blobs={"state": self.stage.dump(self.state)})

    def restore(self, data: bytes) -> dict[str, Any]:
        """Go on from a snapshot of the same task; returns what the transport had put in. Raises SnapshotError."""
        document, _, blobs = unpack(data)
        self.state = self.stage.load(blobs["state"])
        self.through_ns, self.is_final = document["through_ns"], document["is_final"]
        self.is_idle, self.counts = document["is_idle"], document["counts"]
        self.numbers = {(t, p): n for t, p, n in document["numbers"]}
        self.seen = {(t, p, w): n for t, p, w, n in document["seen"]}
        self.marks = {(t, p, w): sc.Watermark(**m) for t, p, w, m in document["marks"]}
        messages = [_load(entry) for entry in document["held"]]
        self.held = [(message.event_ns, _identity(message), message) for message in messages]
        more: dict[str, Any] = document["more"]
        return more


def _replaces(mark: sc.Watermark, known: sc.Watermark) -> bool:
    """Whether a mark says more than the one before. Whoever has ended is not merely silent; whoever speaks is back."""
    if known.final and mark.idle:
        return False
    return mark.through_ns >= known.through_ns or (known.idle and not mark.idle)


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
