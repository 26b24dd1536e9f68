"""Manifests of snapshots, read from their topic: which snapshots of which task there are."""

from confluent_kafka import OFFSET_BEGINNING, KafkaError, KafkaException, TopicPartition

import schemas as sc
from streams._errors import TransportError
from streams._kafka_client import consumer
from streams._kafka_messages import to_message
from streams._kafka_names import real_name
from streams._kafka_settings import KafkaSettings


class Manifests:
    """Reads the snapshots topic to its end each time it is asked. Raises TransportError."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings

    def of(self, stage: str) -> dict[str, list[sc.SnapshotManifest]]:
        """Manifests by instance, the one that got furthest first.

        Of two processes that both held a task for a moment each may have written one; all are right, since what a task
        says is a function of its input.
        """
        found: dict[str, dict[tuple[int, str], sc.SnapshotManifest]] = {}
        topic = real_name(sc.SNAPSHOTS, self._settings.prefix)
        reader = consumer(self._settings, fetch_wait_max_ms=20)
        try:
            reader.assign([TopicPartition(topic, 0, OFFSET_BEGINNING)])
            while True:
                for kafka in reader.consume(500, 0.05):
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
                    else:
                        raise KafkaException(error)
        except KafkaException as error:
            raise TransportError(
                f"the manifests of snapshots cannot be read: {error.args[0].str()}", where=topic, code="KAFKA_FAILED",
                todo="Run `tidegate topics describe`",
            ) from error  # fmt: skip
        finally:
            reader.close()
