"""Checkpoints on the topic of the audit log: where another principal's ACL keeps them from the writer's hand.

A transport, so it imports the Kafka client. The writer may only append there; what is read back is checked with the
log's key, so a stranger's record counts for nothing.
"""

import time
from collections.abc import Callable, Iterator

from confluent_kafka import TopicPartition

from schemas import AUDIT, Checkpoint, RecordInvalid, canonical
from streams import KafkaSettings, real_name
from streams._kafka_client import consumer, producer
from tidegate._errors import AuditLogError


class KafkaAnchor:
    """patience_s: how long the brokers have to acknowledge."""

    def __init__(self, settings: KafkaSettings, patience_s: float = 10.0) -> None:
        self._settings = settings
        self.name, self._topic, self._patience_s = "kafka", real_name(AUDIT, settings.prefix), patience_s
        self._producer = producer(settings)

    def put(self, checkpoint: Checkpoint) -> None:
        failed: list[str] = []
        self._producer.produce(
            self._topic, canonical(checkpoint.model_dump(mode="json")), checkpoint.origin.encode(), partition=0,
            headers=[("ce_type", b"tidegate.checkpoint.v1"), ("ce_source", checkpoint.origin.encode())],
            on_delivery=lambda error, message: failed.append(str(error)) if error else None,
        )  # fmt: skip
        if self._producer.flush(self._patience_s) or failed:
            why = failed[0] if failed else f"no answer in {self._patience_s:.0f} s"
            raise AuditLogError(f"a checkpoint was not acknowledged: {why}", where=self._topic)

    def notes(self) -> list[str]:
        return anchored(self._settings, self._patience_s)


def anchored(
    settings: KafkaSettings, patience_s: float = 10.0, now_s: Callable[[], float] = time.monotonic
) -> list[str]:
    """The notes of all checkpoints on the topic, oldest first; records of another kind are passed over."""
    reader = consumer(settings)
    place = TopicPartition(real_name(AUDIT, settings.prefix), 0)
    try:
        _, end = reader.get_watermark_offsets(place, timeout=patience_s)
        reader.assign([TopicPartition(place.topic, 0, 0)])
        return list(_notes(reader, end, now_s() + patience_s, now_s))
    finally:
        reader.close()


def _notes(reader: object, end: int, until_s: float, now_s: Callable[[], float]) -> Iterator[str]:
    read = 0
    while read < end:
        message = reader.poll(1.0)  # type: ignore[attr-defined]
        if message is None or message.error():
            if now_s() > until_s:
                raise AuditLogError(f"read {read} of {end} records", where=AUDIT, todo="Are the brokers there?")
            continue
        read = message.offset() + 1
        try:
            yield Checkpoint.from_bytes(message.value() or b"", strict=True).note
        except RecordInvalid:
            continue
