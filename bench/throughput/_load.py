"""The same points as topics: one JSON message a point, OTLP as a Collector batches it, and our frames.

OTLP messages hold up to 1000 points of twenty services; a service is always sent to the same partition, and every
partition ends with a final watermark. Frames are made from those messages by the stages themselves, task by task as
processes would, so that everything that `detect` waits for is in the topics.
"""

import itertools
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from confluent_kafka import Producer

import schemas as sc
from bench.throughput._data import NAMES, PER_SERVICE, Workload
from schemas.core import F64, Emit, Message
from streams import KafkaSettings, Task, real_name
from streams._kafka_client import admin, producer
from streams._kafka_messages import headers_of
from streams._kafka_topics import create
from streams._otlp_encode import field, request
from tidegate._settings import Settings
from tidegate._shards import deployment

MESSAGE_POINTS = 1000
"""Of one moment; the batch processor of a Collector waits for 8192 of any."""
_BATCH = 100
"""Messages of a partition that normalise takes at once, as when it reads a backlog."""
_APART_NS = 1_000_000
"""Between messages of a bulk load: a million points a second."""
_T, _V = 0x1122334455667788, 1.2345e-67


def settings(brokers: str, prefix: str, snapshots: Path) -> Settings:
    """What our processes are told: defaults, but sources that never speak are given up sooner (see `idle`)."""
    return Settings.model_validate({
        "kafka": {"brokers": brokers, "prefix": prefix}, "streams": {"idle_after_s": 2},
        "shards": {"snapshots": str(snapshots)},
    })  # fmt: skip


def make_topics(brokers: str, prefix: str, partitions: int) -> None:
    """All topics of a deployment."""
    plain = KafkaSettings(brokers, prefix)
    create(admin(plain), plain, partitions)


def make_topic(brokers: str, name: str, partitions: int) -> str:
    """One that keeps what is old by event time."""
    from confluent_kafka.cimpl import NewTopic

    client = admin(KafkaSettings(brokers))
    for made in client.create_topics([NewTopic(name, partitions, 1, config={"retention.ms": "-1"})]).values():
        made.result(30)
    return name


def load_points(brokers: str, name: str, work: Workload) -> None:
    """One message a point; Kafka's timestamp is the time of the point, the key is its series."""
    make_topic(brokers, name, work.partitions)
    out = _producer(brokers)
    keys = [key.encode() for key in work.keys]
    heads = [f'{{"k":"{key}","ts":' for key in work.keys]
    partition = work.partition.tolist()
    for t, values in work.ticks_of_values():
        ms = t // 1_000_000
        for key, head, value, where in zip(keys, heads, values.tolist(), partition, strict=True):
            text = f'{head}{ms},"v":{value}}}'
            _put(out, name, text, key=key, partition=where, timestamp=ms)
        out.poll(0)
    out.flush()


def load_otlp(brokers: str, work: Workload) -> int:
    """Returns the number of messages. The topic is made with a deployment's (`make_topics`)."""
    out, n = _producer(brokers), 0
    for message in otlp(work):
        _put(out, sc.OTLP_METRICS, message.value, partition=message.partition, headers=list(message.headers))
        n += 1
    out.flush()
    return n


def otlp(work: Workload, *, is_live: bool = False) -> Iterator[Message]:
    """All messages in order of time, marks last; received in a bulk after the end, or live: when they were measured."""
    templates = [_Template(work, services) for services in _batches(work)]
    offsets: dict[int, Iterator[int]] = {p: itertools.count() for p in range(work.partitions)}
    received = work.end_ns
    for t, values in work.ticks_of_values():
        for template in templates:
            where = template.partition
            data = template.fill(t, values)
            received = t if is_live else received + _APART_NS
            yield Message(sc.OTLP_METRICS, where, next(offsets[where]), b"", data, (), received, received)
    mark = sc.Watermark(stage="bench", through_ns=work.end_ns, final=True)
    last = sc.emit(sc.OTLP_METRICS, mark, id="final", key="", source="bench", event_ns=work.end_ns)
    for where, offset in offsets.items():
        yield Message(sc.OTLP_METRICS, where, next(offset), b"", last.value, last.headers, work.end_ns, received)


def message_points(work: Workload) -> int:
    """Points of the largest OTLP message."""
    return max(len(services) for services in _batches(work)) * PER_SERVICE


def _batches(work: Workload) -> list[list[int]]:
    services = range(work.series // PER_SERVICE)
    found = []
    for partition in range(work.partitions):
        mine = [service for service in services if service % work.partitions == partition]
        size = MESSAGE_POINTS // PER_SERVICE
        found += [mine[at : at + size] for at in range(0, len(mine), size)]
    return found


class _Template:
    """One message, rendered once; times and values are written over."""

    def __init__(self, work: Workload, services: list[int]) -> None:
        self.partition = services[0] % work.partitions
        self._numbers = np.concatenate([
            np.arange(service * PER_SERVICE, (service + 1) * PER_SERVICE).reshape(-1, len(NAMES)).T.ravel()
            for service in services
        ])  # fmt: skip
        point = b"\x19" + _T.to_bytes(8, "little") + b"\x21" + np.float64(_V).tobytes()
        groups = []
        for service in services:
            metrics = []
            for m, name in enumerate(NAMES):
                labels = [work.instance(i) for i in range(m, PER_SERVICE, len(NAMES))]
                rows = b"".join(field(1, point + _label("instance", label)) for label in labels)
                metrics.append(field(2, field(1, name.encode()) + field(3, b"1") + field(5, rows)))
            groups.append(((("service.name", work.service(service * PER_SERVICE)),), metrics))
        data = request(groups)
        self._data = np.frombuffer(data, np.uint8)
        self._t = _places(data, _T.to_bytes(8, "little"))[:, None] + np.arange(8)
        self._v = _places(data, np.float64(_V).tobytes())[:, None] + np.arange(8)

    def fill(self, t: int, values: F64) -> bytes:
        data = self._data.copy()
        data[self._t] = np.frombuffer(t.to_bytes(8, "little"), np.uint8)
        data[self._v] = values[self._numbers].view(np.uint8).reshape(-1, 8)
        return data.tobytes()


def _label(key: str, value: str) -> bytes:
    return field(7, field(1, key.encode()) + field(2, field(1, value.encode())))


def _places(data: bytes, mark: bytes) -> Any:
    found, at = [], data.find(mark)
    while at >= 0:
        found.append(at)
        at = data.find(mark, at + 8)
    return np.array(found)


# --- frames ---


def load_frames(brokers: str, prefix: str, work: Workload, snapshots: Path, *, is_live: bool = False) -> dict[str, Any]:
    """Everything that the stages before `detect` write, as if they had run on Kafka, in a bulk or live (see `otlp`).

    Returns `messages` and `frames` of the frames topic, `writers` that its readers wait for, `points` in it, and by
    series number its 64-bit id as hex.
    """
    deployed = deployment(settings(brokers, prefix, snapshots))
    before = [stage for stage in deployed.pipeline.stages if stage.name in ("normalise", "derive-logs", "derive-spans")]
    tasks: dict[tuple[str, int], Task] = {}
    everyone: list[Task] = []
    for stage in before:
        made = deployed.plans[stage.name]
        for instance, inputs in made.tasks.values():
            writers = {place: made.writers[place] for place in inputs if place in made.writers}
            task = Task.start(stage, writers, deployed.partitions, instance=instance, is_numbered=True)
            everyone.append(task)
            tasks.update(dict.fromkeys(inputs, task))
    sink = _Frames(producer(deployed.kafka), prefix, tasks)
    for task in everyone:
        if task.stage.makes_time and not task.instance.startswith(sc.OTLP_METRICS):
            sink.write(task.idle(0))
    waiting: dict[int, list[Message]] = {p: [] for p in range(work.partitions)}
    for message in otlp(work, is_live=is_live):
        batch = waiting[message.partition]
        batch.append(message)
        if len(batch) == _BATCH:
            sink.write(tasks[sc.OTLP_METRICS, message.partition].take(batch))
            batch.clear()
    for partition, batch in waiting.items():
        sink.write(tasks[sc.OTLP_METRICS, partition].take(batch))
    sink.out.flush()
    assert sink.points == work.points, f"{sink.points} points in frames, not {work.points}"
    return {
        "messages": sink.messages, "frames": sink.frames, "points": sink.points, "ids": _ids(work, sink.ids),
        "writers": len(deployed.plans["detect"].writers[sc.FRAMES, 0]),
    }  # fmt: skip


class _Frames:
    """Writes what tasks emit, hands it to the tasks that read it, and counts what lies in the frames topic."""

    def __init__(self, out: Producer, prefix: str, tasks: Mapping[tuple[str, int], Task]) -> None:
        self.out, self._prefix, self._tasks = out, prefix, tasks
        self.messages = self.frames = self.points = 0
        self.ids: dict[tuple[str, str, str], str] = {}

    def write(self, emits: Iterable[Emit]) -> None:
        for emit in emits:
            _put(
                self.out, real_name(emit.topic, self._prefix), emit.value, key=emit.key, partition=emit.partition,
                headers=list(headers_of(emit)),
            )  # fmt: skip
            message = Message(
                emit.topic, emit.partition, 0, emit.key, emit.value, emit.headers, emit.event_ns, emit.event_ns
            )
            if emit.topic == sc.FRAMES:
                self._count(message)
            elif (task := self._tasks.get((emit.topic, emit.partition))) is not None:
                self.write(task.take([message]))

    def _count(self, message: Message) -> None:
        self.messages += 1
        if sc.record_type(message):
            return
        frame = sc.decode_frame(message.value)
        self.frames += 1
        self.points += len(frame.series)
        for definition in frame.defs:
            self.ids[definition.service, definition.name, definition.labels["instance"]] = definition.id


def _ids(work: Workload, found: Mapping[tuple[str, str, str], str]) -> list[str]:
    return [found[work.service(i), work.metric(i), work.instance(i)] for i in range(work.series)]


def _producer(brokers: str) -> Producer:
    return Producer({
        "bootstrap.servers": brokers, "compression.type": "lz4", "linger.ms": 50, "batch.num.messages": 10_000,
        "queue.buffering.max.messages": 500_000, "enable.idempotence": True,
    })  # fmt: skip


def _put(out: Producer, topic: str, value: bytes | str, **more: Any) -> None:
    while True:
        try:
            out.produce(topic, value, **more)
            return
        except BufferError:
            out.poll(0.1)
