"""Messages put on Kafka as they were recorded: into the partition that is named, with their key, headers and times.

Nothing is passed over: a message that Kafka does not take ends the writing with a sentence. The producer is idempotent,
so within a partition the order holds and what was acknowledged is a beginning of what was sent; that is what lets a
player go on after a stop.
"""

from typing import Self

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka import Message as Produced

from schemas.core import Message
from streams._errors import TransportError
from streams._kafka_client import producer
from streams._kafka_errors import kafka_error
from streams._kafka_messages import played_headers
from streams._kafka_settings import KafkaSettings

_WAIT_S = 0.2


class KafkaWriter:
    """Use as a context manager; leaving it waits until all is acknowledged. Raises TransportError, also late."""

    def __init__(self, settings: KafkaSettings, *, patience_s: float = 60.0) -> None:
        self._settings, self._patience_s = settings, patience_s
        told = {"message.timeout.ms": round(patience_s * 1000)}
        self._producer = producer(settings, **told)
        self._failed: TransportError | None = None
        self.taken = 0
        """Messages that Kafka has acknowledged."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self.flush()
        else:
            self._producer.purge()
            self._producer.flush(_WAIT_S)

    def write(self, message: Message, partition: int) -> None:
        """Hand a message over; waits while the buffer is full."""
        real = self._settings.real(message.topic)
        while True:
            try:
                self._producer.produce(
                    real, message.value, message.key or None, partition,
                    on_delivery=self._delivered, headers=played_headers(message),
                )  # fmt: skip
                break
            except BufferError:
                self._producer.poll(_WAIT_S)
            except KafkaException as error:
                raise kafka_error(error.args[0], self._settings, doing="write to", topic=real) from error
            self._check()
        self._producer.poll(0)
        self._check()

    def flush(self) -> None:
        """Wait until Kafka has everything."""
        while self._producer.flush(_WAIT_S):
            self._check()
        self._check()

    def _delivered(self, error: KafkaError | None, message: Produced) -> None:
        if error is None:
            self.taken += 1
        elif self._failed is None:
            self._failed = kafka_error(error, self._settings, doing="write to", topic=message.topic() or "")

    def _check(self) -> None:
        if self._failed is not None:
            raise self._failed
