"""Manifests of snapshots, read from their topic: which snapshots of which task there are."""

from collections.abc import Mapping
from typing import Any

from confluent_kafka import OFFSET_BEGINNING, KafkaError, TopicPartition

import schemas as sc
from schemas.core import Emit
from streams._errors import TransportError
from streams._kafka_client import consumer, producer
from streams._kafka_errors import is_passing, kafka_error
from streams._kafka_messages import headers_of, to_message
from streams._kafka_settings import KafkaSettings
from streams._snapshots import SnapshotStore
from streams._task import Task

_WAIT_S = 0.05


class Manifests:
    """Reads the snapshots topic to its end each time it is asked. patience_s: how long the broker may be silent.

    Raises TransportError: KAFKA_SILENT and those of `_kafka_errors`.
    """

    def __init__(self, settings: KafkaSettings, *, patience_s: float = 60.0) -> None:
        self._settings, self._patience_s = settings, patience_s

    def of(self, stage: str) -> dict[str, list[sc.SnapshotManifest]]:
        """Manifests by instance, the one that got furthest first.

        Of two processes that both held a task for a moment each may have written one; all are right, since what a task
        says is a function of its input.
        """
        found: dict[str, dict[tuple[int, str], sc.SnapshotManifest]] = {}
        topic = self._settings.real(sc.SNAPSHOTS)
        reader = consumer(self._settings, fetch_wait_max_ms=20)
        silent_s = 0.0
        try:
            reader.assign([TopicPartition(topic, 0, OFFSET_BEGINNING)])
            while silent_s < self._patience_s:
                came = reader.consume(500, _WAIT_S)
                silent_s = 0.0 if came else silent_s + _WAIT_S
                for kafka in came:
                    error = kafka.error()
                    if error is None:
                        record = sc.read(to_message(kafka, sc.SNAPSHOTS))
                        if isinstance(record, sc.SnapshotManifest) and record.stage == stage:
                            found.setdefault(record.instance, {})[record.number, record.sha256] = record
                    elif error.code() == KafkaError._PARTITION_EOF:
                        return {
                            instance: sorted(kept.values(), key=lambda m: (sum(m.offsets.values()), m.number))[::-1]
                            for instance, kept in found.items()
                        }
                    elif not is_passing(error):
                        raise kafka_error(error, self._settings, doing="read", topic=topic)
            raise TransportError(
                f"the manifests of snapshots cannot be read: no answer for {self._patience_s:.0f} s",
                where=f"topic {topic} at {self._settings.brokers}", code="KAFKA_SILENT",
                todo="Are all brokers up, and does the topic have a leader?",
            )  # fmt: skip
        finally:
            reader.close()


def save(
    store: SnapshotStore, task: Task, *, number: int, code: str, shaped_by: str, is_clean: bool, layout: int,
    offsets: Mapping[str, int], **more: Any,
) -> Emit:  # fmt: skip
    """Write a snapshot of a task; returns its manifest, to be written once everything before it is.

    layout: how many partitions there are; a task of another number has other shards. offsets: next of each input.
    """
    data = task.snapshot(offsets=dict(offsets), layout=layout, **more)
    name, digest, size = store.write(task.name, number, data)
    manifest = sc.SnapshotManifest(
        stage=task.stage.name, instance=task.instance, number=number, code=code, shaped_by=shaped_by,
        is_clean=is_clean, through_ns=task.through_ns, offsets=dict(offsets), file=name, sha256=digest, bytes=size,
    )  # fmt: skip
    return sc.emit(
        sc.SNAPSHOTS, manifest, id=sc.record_id("snapshot", task.name, number, digest), key=task.name,
        source=f"tidegate/{task.stage.name}", event_ns=task.through_ns,
    )  # fmt: skip


def write_snapshot(settings: KafkaSettings, store: SnapshotStore, task: Task, **facts: Any) -> None:
    """`save`, and the manifest in its topic, for tools; a worker does the same among its other work."""
    emit = save(store, task, **facts)
    sender = producer(settings)
    sender.produce(settings.real(emit.topic), emit.value, emit.key, 0, headers=list(headers_of(emit)))
    if sender.flush(settings.timeout_s):
        raise TransportError(
            "the manifest of a snapshot could not be written", where=settings.brokers, code="KAFKA_UNREACHABLE",
            todo="Check the brokers and do it again",
        )  # fmt: skip
