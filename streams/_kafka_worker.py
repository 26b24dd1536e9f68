"""A shard processor: runs the tasks of one stage that this process owns, on Kafka.

Two consumers: a member of the group, which only learns which tasks are ours, and a reader that is assigned their input
partitions by hand, from the offsets in the snapshots. So it is one and the same whether the group is cooperative or
managed by the broker (KIP-848), and a task may read partitions of several topics.

What survives a `kill -9`: outputs are flushed before a snapshot is written, the snapshot before its manifest, that
before offsets are committed. What was written beyond the last snapshot is written again, with the same numbers and ids,
and dropped by its readers (`_task`). Kafka transactions are not used.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from confluent_kafka import OFFSET_BEGINNING, OFFSET_END, KafkaError, KafkaException, Message, TopicPartition

import schemas as sc
from schemas.core import NS, Emit, Stage
from schemas.core import Message as Record
from streams import _dead
from streams._errors import TransportError
from streams._kafka_align import BACKLOG, LEAD_NS, ahead, reached
from streams._kafka_client import consumer, producer
from streams._kafka_errors import is_passing, kafka_error
from streams._kafka_messages import headers_of, to_message
from streams._kafka_restore import check_rebuild, packed, restore
from streams._kafka_settings import KafkaSettings
from streams._kafka_snapshots import Manifests, save
from streams._live_time import LiveTime, sender_of
from streams._plan import StagePlan
from streams._snapshots import SnapshotStore
from streams._task import Place, Task

_BATCH = 500
_FLUSH_S = 120.0
Said = Callable[..., None]
"""Takes a log event: past tense, facts as fields."""


@dataclass(slots=True)
class Running:
    """A task that this process owns. offsets: next to read of each input. heard: when senders spoke, wall time ns."""

    task: Task
    offsets: dict[Place, int]
    live: LiveTime
    number: int = 0
    """Of the next snapshot."""
    is_changed: bool = False
    snapshot_ns: int = 0
    heard: dict[str, int] = field(default_factory=dict)
    marked: dict[str, int] = field(default_factory=dict)
    """When the raw topic was told that a sender is silent, wall time ns."""
    clock_ns: int = 0
    """Event time that readers were told while all senders are silent."""
    at_end: set[Place] = field(default_factory=set)
    """Inputs of which nothing was left when last asked."""
    paused: set[Place] = field(default_factory=set)
    """Inputs that wait for slower ones."""
    ends: dict[Place, int] = field(default_factory=dict)
    """Next offset that the broker will give, as last heard."""

    @property
    def lag(self) -> int:
        """Records of its inputs that were not read yet, as far as known."""
        return sum(max(self.ends.get(place, 0) - offset, 0) for place, offset in self.offsets.items())


class KafkaWorker:
    """One thread calls `poll` again and again, and `close` at the end.

    shaped_by: digest of versions and settings that shape answers. idle_after_ns: silence of a sender after which nobody
    waits for it. lead_ns: how far an input may be ahead of another with a backlog. still_after_ns: how long the clock
    goes on when all are silent. say: told of state changes.
    Raises TransportError, SnapshotError.
    """

    def __init__(
        self, settings: KafkaSettings, plan: StagePlan, stage: Stage[Any], store: SnapshotStore, *, code: str,
        shaped_by: str, idle_after_ns: int = 30 * NS, still_after_ns: int = 3600 * NS, snapshot_every_ns: int = 30 * NS,
        lead_ns: int = LEAD_NS, is_rebuilt: bool = False, now_ns: Callable[[], int] = time.time_ns,
        say: Said = lambda event, **facts: None,
    ) -> None:  # fmt: skip
        self._settings, self._plan, self.stage, self._store = settings, plan, stage, store
        self._code, self._shaped_by, self._is_rebuilt = code, shaped_by, is_rebuilt
        self._idle_after_ns, self._still_after_ns = idle_after_ns, still_after_ns
        self._snapshot_every_ns, self._now_ns, self._say = snapshot_every_ns, now_ns, say
        self._lead_ns, self._unaligned = lead_ns, 0
        self.running: dict[str, Running] = {}
        """By instance."""
        self._owner: dict[Place, Running] = {}
        self._names = {settings.real(topic): topic for topic in {*plan.tokens, *(t for t, _ in _all(plan))}}
        self._real = {topic: settings.real(topic) for topic in sc.TOPICS}
        self._manifests = Manifests(settings)
        self._failure: TransportError | None = None
        self._has_left = False
        self.letters: Counter[tuple[str, str]] = Counter()
        """Dead letters written, by reason and source."""
        self.producer = producer(settings, delivery_report_only_error=True, queue_buffering_max_kbytes=8192)
        self._reader = consumer(settings)
        self._member = consumer(settings, group=f"{settings.prefix}.{stage.name}")
        tokens = [settings.real(topic) for topic in plan.tokens]
        self._member.subscribe(tokens, on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._lost)

    # --- work ---

    def poll(self, timeout_s: float = 0.1) -> int:
        """Read what came, step the tasks, write what they say; returns how many records were read."""
        self._look_for_members()
        found: dict[Place, list[Message]] = {}
        ended: dict[Place, int] = {}
        n = 0
        for message in self._reader.consume(_BATCH, timeout_s):
            error = message.error()
            place = (self._names.get(message.topic() or "", ""), message.partition() or 0)
            if error is None:
                found.setdefault(place, []).append(message)
                ended.pop(place, None)
            elif error.code() == KafkaError._PARTITION_EOF:
                ended[place] = message.offset() or 0
            else:
                self._trouble(place, error)
        batches: dict[str, list[Record]] = {}
        now = self._now_ns()
        for place, messages in found.items():
            owner = self._owner.get(place)
            if owner is None:
                continue
            fresh = [m for m in messages if (m.offset() or 0) >= owner.offsets[place]]
            if fresh:
                batches.setdefault(owner.task.instance, []).extend(to_message(m, place[0]) for m in fresh)
                owner.offsets[place] = (fresh[-1].offset() or 0) + 1
                owner.at_end.discard(place)
                n += len(fresh)
        for place, offset in ended.items():
            self._ended(place, offset)
        for instance, records in batches.items():
            owner = self.running[instance]
            if self.stage.makes_time:
                owner.heard.update((sender, now) for sender in map(sender_of, records) if sender)
            self._step(owner, records)
        self._align(n)
        if self.stage.makes_time:
            for owner in self.running.values():
                self._watch(owner, now)
        due = [r for r in self.running.values() if r.is_changed and now - r.snapshot_ns >= self._snapshot_every_ns]
        if due:
            self.snapshot(due)
        self.producer.poll(0)
        if self._failure is not None:
            raise self._failure
        return n

    def _step(self, owner: Running, records: list[Record]) -> None:
        """A stage that listens for answers places them where they arrive, which no replay of its inputs would repeat:
        its state is kept before anybody hears of it (ADR 8)."""
        stage: Any = self.stage
        listens = getattr(stage, "is_listening", lambda state: False)
        was = listens(owner.task.state)
        emits = owner.task.take(records)
        owner.is_changed = True
        if was or listens(owner.task.state) or any(e.topic in getattr(stage, "journal", ()) for e in emits):
            self.snapshot([owner], outbox=emits)
        else:
            self._write(emits)

    def _write(self, emits: Iterable[Emit]) -> None:
        for emit in emits:
            if emit.topic == sc.DEAD_LETTERS:
                _dead.count(self.letters, emit)
            while True:
                try:
                    self.producer.produce(
                        self._real[emit.topic], emit.value, emit.key, partition=emit.partition,
                        headers=headers_of(emit), on_delivery=self._delivered,
                    )  # fmt: skip
                    break
                except BufferError:  # the broker is slower than we are: wait for it, keep nothing more
                    self.producer.poll(0.1)
                except KafkaException as error:
                    raise kafka_error(
                        error.args[0], self._settings, doing="write to", topic=self._real[emit.topic]
                    ) from error  # fmt: skip

    def _delivered(self, error: KafkaError | None, message: Message) -> None:
        if error is not None:
            self._failure = kafka_error(error, self._settings, doing="write to", topic=message.topic() or "")

    # --- who reads on, and who waits ---

    def _align(self, n: int) -> None:
        """Pause inputs that are far ahead of others with a backlog, resume those that are not any more."""
        self._unaligned += n
        before = {place: owner for owner in self.running.values() for place in owner.paused}
        if self._unaligned < BACKLOG and not before:
            return
        self._unaligned = 0
        found = [{place: (at, owner) for place, at in reached(owner.task, owner.offsets).items()}
                 for owner in self.running.values()]  # fmt: skip
        if self.stage.makes_time:  # each task has one input, and the others wait for its time
            found = [{place: one for inputs in found for place, one in inputs.items()}]
        wanted: dict[Place, Running] = {}
        for inputs in found:
            times = {place: at for place, (at, _) in inputs.items()}
            if times and max(times.values()) > min(times.values()) + self._lead_ns:
                backlog = [place for place, (_, owner) in inputs.items() if self._has_backlog(owner, place)]
                wanted |= {place: inputs[place][1] for place in ahead(times, backlog, self._lead_ns)}
        self._resume(before.keys() - wanted.keys(), before)
        if fresh := wanted.keys() - before.keys():
            for place in fresh:
                wanted[place].paused.add(place)
                wanted[place].at_end.discard(place)  # what comes meanwhile is not heard of
            self._reader.pause(self._partitions(fresh))

    def _has_backlog(self, owner: Running, place: Place) -> bool:
        if place in owner.at_end:
            return False
        (where,) = self._partitions([place])
        _, end = self._reader.get_watermark_offsets(where, cached=True)
        return end < 0 or end - owner.offsets[place] > BACKLOG  # below 0: nothing came from there yet

    def _resume(self, places: Iterable[Place], owners: Mapping[Place, Running]) -> None:
        if ours := list(places):
            for place in ours:
                owners[place].paused.discard(place)
            self._reader.resume(self._partitions(ours))

    def _partitions(self, places: Iterable[Place]) -> list[TopicPartition]:
        return [TopicPartition(self._settings.real(topic), n) for topic, n in places]

    # --- silence, where time is made ---

    def _watch(self, owner: Running, now: int) -> None:
        """Senders of which nothing came although all was read are idle; if all are, readers get the clock's time."""
        task = owner.task
        if len(owner.at_end) < len(owner.offsets) or owner.paused or task.is_final:
            return
        clocks = task.state.clocks
        marks = [
            mark for mark in owner.live.idle(clocks, owner.heard, now)
            if owner.marked.get(name := mark.key.decode(), -1) < max(owner.heard.get(name, 0), owner.live.started_ns)
        ]  # fmt: skip
        if marks:
            self._say("source fell silent", task=task.name, sources=[mark.key.decode() for mark in marks])
            self._fall_silent(owner, marks, now)
        through = owner.live.clock_ns(clocks, owner.heard, now)
        never_spoke = not any(clock.newest_ns for clock in clocks.values())
        if never_spoke and not task.is_idle and now - owner.live.started_ns >= self._idle_after_ns:
            self._write(task.idle(0))
        elif through > owner.clock_ns:
            owner.clock_ns = through
            self._write(task.idle(through))

    def _fall_silent(self, owner: Running, marks: list[Emit], now: int) -> None:
        """Marks stand in the raw topic before they have any effect, so that a replay obeys them.

        In a partition of the raw topic they take their place among what its senders say, and count when they are read
        back. A foreign topic is not ours to write to: there they count by the clock, so what they cut off must be part
        of a snapshot before anybody sees it, and the raw topic holds a copy.
        """
        own = [partition for topic, partition in owner.offsets if topic == sc.RAW]
        self._write(replace(mark, partition=own[0] if own else 0) for mark in marks)
        owner.marked.update((mark.key.decode(), now) for mark in marks)
        if not own:
            self.snapshot([owner], outbox=owner.task.take(_record(mark, now) for mark in marks))

    # --- snapshots ---

    def snapshot(self, owners: Iterable[Running], *, is_clean: bool = False, outbox: Iterable[Emit] = ()) -> None:
        """Flush, write snapshots, then their manifests, then commit. outbox: written after, and again on a restart."""
        owners, outbox = list(owners), list(outbox)
        self._flush()
        for owner in owners:
            task = owner.task
            places = {f"{topic}/{partition}": offset for (topic, partition), offset in sorted(owner.offsets.items())}
            manifest = save(
                self._store, task, number=owner.number, code=self._code, shaped_by=self._shaped_by,
                is_clean=is_clean and not outbox, layout=self._plan.partitions, offsets=places,
                outbox=[packed(emit) for emit in outbox],
            )  # fmt: skip
            self._write([manifest])
            owner.number += 1
            owner.is_changed, owner.snapshot_ns = bool(outbox), self._now_ns()
        self._flush()
        self._commit(owners)
        for owner in owners:
            self._store.forget(owner.task.name, owner.number)
        self._write(outbox)

    def _commit(self, owners: Iterable[Running]) -> None:
        """For those who watch the lag; where we go on is in the snapshots."""
        offsets = [
            TopicPartition(self._settings.real(topic), partition, offset)
            for owner in owners
            for (topic, partition), offset in owner.offsets.items()
        ]
        try:
            if offsets:
                self._member.commit(offsets=offsets, asynchronous=True)
        except KafkaException as error:
            self._say("offsets were not committed", stage=self.stage.name, reason=error.args[0].str())

    def _flush(self) -> None:
        left = self.producer.flush(_FLUSH_S)
        if self._failure is not None:
            raise self._failure
        if left:
            raise TransportError(
                f"{left} records could not be written within {_FLUSH_S:.0f} s", where=self._settings.brokers,
                code="KAFKA_UNREACHABLE", todo="Check the brokers; the process goes on from its last snapshot",
            )  # fmt: skip

    # --- membership ---

    def _look_for_members(self) -> None:
        message = self._member.poll(0)
        if message is None:
            return
        error = message.error()
        if error is None or error.code() == KafkaError._PARTITION_EOF:
            return
        if not is_passing(error):
            topic, group = message.topic() or "", f"{self._settings.prefix}.{self.stage.name}"
            raise kafka_error(error, self._settings, doing="read" if topic else "join", topic=topic, group=group)
        self._say("kafka was in trouble", stage=self.stage.name, place="group", reason=error.str())

    def _assigned(self, member: Any, partitions: list[TopicPartition]) -> None:
        if self._has_left:  # what was on its way to us when we left, the client hands over while it closes
            return
        for partition in partitions:
            partition.offset = OFFSET_END
        member.incremental_assign(partitions)
        member.pause(partitions)
        tokens = [(self._settings.table(p.topic), p.partition) for p in partitions]
        ours = [self._plan.tasks[token] for token in tokens if token in self._plan.tasks]
        manifests = self._manifests.of(self.stage.name) if ours else {}
        for instance, inputs in ours:
            if instance not in self.running:
                self._begin(instance, inputs, manifests.get(instance, []))

    def _begin(self, instance: str, inputs: tuple[Place, ...], manifests: list[sc.SnapshotManifest]) -> None:
        task = Task.start(
            self.stage, {place: self._plan.writers[place] for place in inputs if place in self._plan.writers},
            self._plan.partitions, instance=instance, is_numbered=True,
        )  # fmt: skip
        now = self._now_ns()
        owner = Running(
            task, dict.fromkeys(inputs, 0),
            LiveTime(now, idle_after_ns=self._idle_after_ns, still_after_ns=self._still_after_ns), snapshot_ns=now,
        )  # fmt: skip
        if self._is_rebuilt:
            check_rebuild(task, manifests, {place: self._low(place) for place in inputs} if manifests else {})
        restored = restore(
            task, [] if self._is_rebuilt else manifests, self._store, shaped_by=self._shaped_by,
            layout=self._plan.partitions,
            unusable=lambda manifest, error: self._say(
                "snapshot unusable", task=task.name, number=manifest.number, reason=error.code
            ),
        )  # fmt: skip
        owner.number = max((manifest.number for manifest in manifests), default=-1) + 1
        owner.offsets.update(restored.offsets)
        self.running[instance] = owner
        self._owner.update(dict.fromkeys(inputs, owner))
        self._reader.incremental_assign([
            TopicPartition(self._settings.real(topic), partition, owner.offsets[topic, partition]
                           or OFFSET_BEGINNING)
            for topic, partition in inputs
        ])  # fmt: skip
        self._write(restored.outbox)
        self._say("task started", task=task.name, through_ns=task.through_ns, snapshot=owner.number - 1)

    def _revoked(self, member: Any, partitions: list[TopicPartition]) -> None:
        self._end(partitions, is_lost=False)
        member.incremental_unassign(partitions)

    def _lost(self, member: Any, partitions: list[TopicPartition]) -> None:
        self._end(partitions, is_lost=True)
        member.incremental_unassign(partitions)

    def _end(self, partitions: list[TopicPartition], *, is_lost: bool) -> None:
        tokens = [(self._settings.table(p.topic), p.partition) for p in partitions]
        instances = [self._plan.tasks[token][0] for token in tokens if token in self._plan.tasks]
        ended = [self.running[instance] for instance in instances if instance in self.running]
        if not is_lost and ended:
            self.snapshot(ended, is_clean=True)
        for owner in ended:
            del self.running[owner.task.instance]
            gone = [place for place, other in self._owner.items() if other is owner]
            self._resume(list(owner.paused), self._owner)  # a pause outlives the assignment in which it was said
            for place in gone:
                del self._owner[place]
            self._reader.incremental_unassign([
                TopicPartition(self._settings.real(topic), partition) for topic, partition in gone
            ])  # fmt: skip
            self._say("task stopped", task=owner.task.name, is_lost=is_lost)

    def close(self) -> None:
        """Snapshot everything, leave the group."""
        if self.running:
            self.snapshot(list(self.running.values()), is_clean=True)
        self.abandon()

    def abandon(self) -> None:
        """Leave without a snapshot, as after a failure: the next start goes on from the last one. Twice is once."""
        if self._has_left:
            return
        self._has_left = True
        self.running.clear()
        self._owner.clear()
        self._reader.close()
        self._member.close()

    # --- troubles ---

    def _ended(self, place: Place, offset: int) -> None:
        owner = self._owner.get(place)
        if owner is not None:
            owner.ends[place] = max(offset, owner.ends.get(place, 0))
            owner.at_end.add(place)  # though the offset may be higher than ours: transactions leave holes

    def _trouble(self, place: Place, error: KafkaError) -> None:
        if error.code() == KafkaError._AUTO_OFFSET_RESET:
            self._skip(place)
        elif is_passing(error):
            self._say("kafka was in trouble", stage=self.stage.name, place=f"{place[0]}/{place[1]}", reason=error.str())
        else:
            topic = self._settings.real(place[0]) if place[0] else ""
            raise kafka_error(error, self._settings, doing="read", topic=topic)

    def _skip(self, place: Place) -> None:
        """The offset where we were is gone: go on with the oldest that is left, and say how much is lost."""
        owner = self._owner[place]
        real = TopicPartition(self._settings.real(place[0]), place[1])
        low = self._low(place)
        lost = low - owner.offsets[place]
        owner.task.counts["lost_to_retention"] = owner.task.counts.get("lost_to_retention", 0) + max(lost, 0)
        self._say("records were lost to retention", task=owner.task.name, place=f"{place[0]}/{place[1]}", lost=lost)
        owner.offsets[place] = low
        self._reader.seek(TopicPartition(real.topic, real.partition, low))

    def _low(self, place: Place) -> int:
        """The oldest offset that a partition still holds."""
        real = TopicPartition(self._settings.real(place[0]), place[1])
        try:
            low: int = self._reader.get_watermark_offsets(real, timeout=self._settings.timeout_s)[0]
        except KafkaException as error:
            raise kafka_error(error.args[0], self._settings, doing="read", topic=real.topic) from error
        return low


def _all(plan: StagePlan) -> set[Place]:
    return {place for _, inputs in plan.tasks.values() for place in inputs}


def _record(emit: Emit, now: int) -> Record:
    return Record(emit.topic, 0, 0, emit.key, emit.value, emit.headers, emit.event_ns, now)
