"""Kafka read as recorded history: no group, nothing committed, from here to there, in one order, in bounded memory.

The end is what each partition held at the start. Event time is found by binary search over what lies at an offset, not
by the broker's index of timestamps: what was played from a recording was produced long after it happened, and Kafka's
timestamps say only when. A look at an offset takes the newest of some consecutive records, so that a task that catches
up with old records does not mislead as long as another writes beside it.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Self

from confluent_kafka import Consumer, IsolationLevel, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import OffsetSpec  # type: ignore[attr-defined]

import schemas as sc
from schemas.core import Message
from streams._errors import TransportError
from streams._kafka_client import admin, consumer
from streams._kafka_errors import LOST, is_passing, kafka_error
from streams._kafka_messages import to_message
from streams._kafka_settings import KafkaSettings
from streams._merge import Merge
from streams._stretch import MARGIN_NS, Stretch, is_mark
from streams._task import Place

CAP_BYTES = 64 << 20
_BATCH = 500
_LOOK = 32  # records a look takes at an offset
_LOOK_BYTES = 65536
_POLL_S = 0.2
_WAKE_S = 3.0
_FIRST, _NEXT = OffsetSpec.earliest(), OffsetSpec.latest()  # type: ignore[no-untyped-call]


class Extent(NamedTuple):
    """Offsets that a partition holds: from `low` up to, not including, `end`."""

    low: int
    end: int


class KafkaHistory:
    """The topics of one deployment, to be read again. Use as a context manager.

    cap_bytes: of everything that is buffered while partitions are merged, half here, a quarter in the client and a
    quarter on the way. patience_s: how long the broker may be silent. Raises TransportError: TOPIC_MISSING,
    KAFKA_SILENT, OFFSET_LOST and those of `_kafka_errors`.
    """

    def __init__(self, settings: KafkaSettings, *, cap_bytes: int = CAP_BYTES, patience_s: float = 60.0) -> None:
        self._settings, self._cap_bytes, self._patience_s = settings, cap_bytes, patience_s
        self._admin = admin(settings)
        self.peak_bytes = 0
        """Most that was ever buffered here by `messages`."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the connections."""
        self._admin.poll(0)

    def partitions(self) -> dict[str, int]:
        """The topics of the table that exist, and how many partitions each has."""
        try:
            found = self._admin.list_topics(timeout=self._settings.timeout_s).topics
        except KafkaException as error:
            raise kafka_error(error.args[0], self._settings) from error
        named = {self._settings.table(name): topic for name, topic in found.items()}
        return {name: len(topic.partitions) for name, topic in sorted(named.items()) if name in sc.TOPICS}

    def extents(self, topics: Iterable[str]) -> dict[Place, Extent]:
        """What each partition of the topics holds now, also where that is nothing."""
        existing, names = self.partitions(), sorted(set(topics))
        if missing := [name for name in names if name not in existing]:
            raise TransportError(
                f"there is no topic '{self._real(missing[0])}'", where=self._settings.brokers, code="TOPIC_MISSING",
                todo="Check kafka.prefix, or run `tidegate topics create`",
            )  # fmt: skip
        places = [(name, partition) for name in names for partition in range(existing[name])]
        lows, ends = (self._list(places, spec) for spec in (_FIRST, _NEXT))
        return {place: Extent(lows[place], ends[place]) for place in places}

    def oldest(self, extents: Mapping[Place, Extent], stretch: Stretch | None = None) -> dict[Place, int]:
        """Event time of the oldest records of each partition that holds any; marks do not count."""
        places = {place: extent for place, extent in extents.items() if extent.low < extent.end}
        time_of = (stretch or Stretch()).time_of
        with _Reader(self, looking=True) as reader:
            found = reader.look({place: extent.low for place, extent in places.items()}, places)
        times = {place: [time_of(m) for m in messages if not is_mark(m)] for place, messages in found.items()}
        return {place: min(times[place]) for place in times if times[place]}

    def last(self, extents: Mapping[Place, Extent]) -> dict[Place, Message]:
        """The last message of each partition that holds any. (The last offsets may hold marks of transactions.)"""
        places = {place: extent for place, extent in extents.items() if extent.low < extent.end}
        with _Reader(self, looking=True) as reader:
            starts = {place: max(extent.low, extent.end - _LOOK) for place, extent in places.items()}
            found = reader.look(starts, places)
        return {place: messages[-1] for place, messages in found.items() if messages}

    def offsets_at(self, extents: Mapping[Place, Extent], stretch: Stretch) -> dict[Place, int]:
        """An offset in each partition before which nothing of the stretch lies: `low` at least, `end` if nothing does.

        Right as long as what is out of order in a partition is so by less than `MARGIN_NS`, or by tasks that write
        beside others that are not.
        """
        starts = {place: extent.low for place, extent in extents.items()}
        sought = {place: extent for place, extent in extents.items() if stretch.begins_at(place[0])}
        bounds = {place: (extent.low, extent.end) for place, extent in sought.items() if extent.low < extent.end}
        with _Reader(self, looking=True) as reader:
            while bounds:
                middles = {place: (low + high) // 2 for place, (low, high) in bounds.items()}
                found = reader.look(middles, sought)
                for place, middle in middles.items():
                    low, high = bounds[place]
                    newest = max(map(stretch.time_of, found[place]), default=0)
                    is_there = not found[place] or newest >= stretch.from_ns - MARGIN_NS
                    bounds[place] = (low, middle) if is_there else (middle + 1, high)
                starts |= {place: low for place, (low, _) in bounds.items()}
                bounds = {place: (low, high) for place, (low, high) in bounds.items() if low < high}
        return starts

    def messages(self, topics: Iterable[str], stretch: Stretch | None = None) -> Iterator[Message]:
        """Messages of the stretch in the order of a recording; what comes after the start is left for another time."""
        stretch = stretch or Stretch()
        extents = self.extents(topics)
        starts = self.offsets_at(extents, stretch)
        ends = {place: extent.end for place, extent in extents.items() if starts[place] < extent.end}
        merge = Merge(ends, self._cap_bytes // 2)
        with _Reader(self) as reader:
            reader.assign({place: starts[place] for place in ends})
            while not merge.is_over:
                for place, message in reader.poll(merge.missing):
                    self._take(reader, merge, stretch, ends, place, message)
                yield from merge.ready()
                pause, resume = merge.turn()
                reader.pause(pause)
                reader.resume(resume)
                self.peak_bytes = max(self.peak_bytes, merge.peak_bytes)

    def _take(
        self, reader: "_Reader", merge: Merge, stretch: Stretch, ends: dict[Place, int], place: Place,
        message: Message | None,
    ) -> None:  # fmt: skip
        if place not in ends:
            return
        is_last = message is None or message.offset >= ends[place] - 1
        if message is not None and message.offset < ends[place]:
            is_last = stretch.is_over(message) or is_last
            if stretch.admits(message):
                merge.add(place, message)
        if is_last:
            del ends[place]
            merge.end(place)
            reader.pause([place])

    def _list(self, places: Sequence[Place], spec: OffsetSpec) -> dict[Place, int]:
        asked = {TopicPartition(self._real(topic), partition): spec for topic, partition in places}
        if not asked:
            return {}
        try:
            found = self._admin.list_offsets(
                asked, isolation_level=IsolationLevel.READ_COMMITTED, request_timeout=self._settings.timeout_s
            )
            return {
                (self._settings.table(where.topic), where.partition): future.result().offset
                for where, future in found.items()
            }
        except KafkaException as error:
            raise kafka_error(error.args[0], self._settings) from error

    def _real(self, topic: str) -> str:
        return self._settings.real(topic)


class _Reader:
    """One consumer that reads what it is assigned, and drops what is delivered again after a pause."""

    def __init__(self, history: KafkaHistory, *, looking: bool = False) -> None:
        self._settings, self._patience_s = history._settings, history._patience_s
        cap = history._cap_bytes // 4
        told: dict[str, Any] = {"queued.max.messages.kbytes": max(cap >> 10, 1), "fetch.max.bytes": max(cap, 1_000_000)}
        if looking:
            told |= {"fetch.message.max.bytes": _LOOK_BYTES, "fetch.wait.max.ms": 10}
        self._consumer: Consumer = consumer(self._settings, **told)
        self._next: dict[Place, int] = {}
        self._place: dict[tuple[str, int], Place] = {}
        self._silent_s, self._wake_at_s = 0.0, _WAKE_S
        self._paused: set[Place] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._consumer.close()

    def assign(self, starts: Mapping[Place, int]) -> None:
        self._next = dict(starts)
        self._place = {(self._real(topic), partition): (topic, partition) for topic, partition in starts}
        self._consumer.assign([TopicPartition(self._real(t), p, offset) for (t, p), offset in starts.items()])
        self.resume(starts)  # a pause outlives the assignment in which it was said
        self._silent_s, self._wake_at_s = 0.0, _WAKE_S

    def pause(self, places: Iterable[Place]) -> None:
        if found := list(places):
            self._paused.update(found)
            self._consumer.pause([TopicPartition(self._real(topic), partition) for topic, partition in found])

    def resume(self, places: Iterable[Place]) -> None:
        if found := list(places):
            self._paused.difference_update(found)
            self._consumer.resume([TopicPartition(self._real(topic), partition) for topic, partition in found])

    def _wake(self) -> None:
        """Everything again from where it is: now and then librdkafka loses the end of a partition, or a fetch, where
        an assignment or a pause crosses an answer that is on its way, and then says nothing more.
        """
        self._consumer.assign([TopicPartition(self._real(t), p, offset) for (t, p), offset in self._next.items()])
        paused = set(self._paused)
        self.resume(self._next)
        self.pause(paused)

    def poll(self, missing: Sequence[Place]) -> Iterator[tuple[Place, Message | None]]:
        """What has come, waiting a little; None stands for the end of a partition. `missing`: who is waited for."""
        first = self._consumer.poll(_POLL_S)
        if first is None:
            self._silent_s += _POLL_S
            if self._silent_s >= self._wake_at_s:
                self._wake_at_s += _WAKE_S
                self._wake()
            if self._silent_s > self._patience_s:
                silent = ", ".join(f"{self._real(topic)}/{partition}" for topic, partition in missing[:3])
                raise TransportError(
                    f"no answer for {self._patience_s:.0f} s; waiting for {silent or 'nothing'}", code="KAFKA_SILENT",
                    where=self._settings.brokers, todo="Are all brokers up, and do all partitions have a leader?",
                )  # fmt: skip
            return
        self._silent_s, self._wake_at_s = 0.0, _WAKE_S
        for kafka in (first, *self._consumer.consume(_BATCH, 0)):
            error = kafka.error()
            where = kafka.topic(), kafka.partition()
            if where not in self._place:
                if error is not None and not is_passing(error):
                    raise kafka_error(error, self._settings)
                continue  # of an assignment before this one
            place = self._place[where]
            if error is None:
                message = to_message(kafka, place[0])
                if message.offset >= self._next[place]:
                    self._next[place] = message.offset + 1
                    yield place, message
            elif error.code() == KafkaError._PARTITION_EOF:
                yield place, None
            elif error.code() in LOST:
                raise TransportError(
                    "records were deleted while they were read: retention overtook this reader", code="OFFSET_LOST",
                    where=f"{where[0]}/{where[1]}", todo="Begin later with --from, or keep the topic longer",
                )  # fmt: skip
            elif not is_passing(error):
                raise kafka_error(error, self._settings, doing="read", topic=where[0] or "")

    def look(self, starts: Mapping[Place, int], extents: Mapping[Place, Extent]) -> dict[Place, list[Message]]:
        """Up to `_LOOK` records of each partition from an offset on."""
        found: dict[Place, list[Message]] = {place: [] for place in starts}
        left = {place for place, start in starts.items() if start < extents[place].end}
        if not left:
            return found
        self.assign({place: starts[place] for place in left})
        while left:
            done = set()
            for place, message in self.poll(sorted(left)):
                if place not in left or place in done:
                    continue
                if message is not None and message.offset < extents[place].end:
                    found[place].append(message)
                if message is None or message.offset >= extents[place].end - 1 or len(found[place]) >= _LOOK:
                    done.add(place)
            self.pause(done)
            left -= done
        return found

    def _real(self, topic: str) -> str:
        return self._settings.real(topic)
