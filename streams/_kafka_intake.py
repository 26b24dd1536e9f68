"""Messages of senders put on the raw topic of Kafka: whoever hands one over waits until all in-sync replicas have it.

Any number of threads may `take`; one of ours hears what the brokers say. What a dead broker leaves undelivered is told
to the sender, which comes again: so a message may come twice, as everywhere, and is never called kept when it is not.
"""

import threading
from collections.abc import Callable, Sequence
from typing import Self

from confluent_kafka import KafkaError, KafkaException, Producer
from confluent_kafka import Message as Produced

import schemas as sc
from streams._errors import TransportError
from streams._intake import TRUST
from streams._kafka_client import admin, producer
from streams._kafka_errors import kafka_error
from streams._kafka_settings import KafkaSettings
from streams._kafka_topics import require
from streams._normalise import KIND, SOURCE

_POLL_S = 0.05


class KafkaIntake:
    """Use as a context manager. now_ns: the wall clock. patience_s: how long brokers may take to keep a message.

    Raises TransportError at start: KAFKA_*, TOPIC_MISSING.
    """

    def __init__(self, settings: KafkaSettings, *, now_ns: Callable[[], int], patience_s: float = 10.0) -> None:
        self.now_ns = now_ns
        self._settings, self._patience_s = settings, patience_s
        require(admin(settings), settings, {sc.RAW})
        told = {"message.timeout.ms": round(patience_s * 1000), "linger.ms": 2}
        self._producer: Producer = producer(settings, **told)
        self._topic = settings.real(sc.RAW)
        self._lock, self._closed = threading.Lock(), threading.Event()
        self._waiting: dict[str, tuple[int, int]] = {}
        self.taken = 0
        """Messages that Kafka has acknowledged."""
        self.heard: dict[str, int] = {}
        """When a message of each sender was last kept, ns of the wall clock."""
        self._thread = threading.Thread(target=self._poll, name="kafka intake", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._producer.flush(self._patience_s)
        self._closed.set()
        self._thread.join()

    @property
    def backlog(self) -> tuple[int, int]:
        """Messages and bytes that were handed over and not yet acknowledged."""
        with self._lock:
            waiting = list(self._waiting.values())
        return sum(messages for messages, _ in waiting), sum(size for _, size in waiting)

    def waiting(self, source: str) -> tuple[int, int]:
        """The same of one sender."""
        return self._waiting.get(source, (0, 0))

    def new_series(self, source: str) -> int:
        """Not known here: the shards of `normalise` bound the series of a sender."""
        return 0

    def newest(self, source: str) -> int:
        """Not known here."""
        return 0

    def take(
        self, kind: str, value: bytes, *, source: str, tenant: str, headers: Sequence[tuple[str, bytes]] = (),
        trust: int = 1,
    ) -> None:  # fmt: skip
        """Keep one message; it lies on all in-sync replicas when this returns. Raises TransportError."""
        said = [
            *headers, (KIND, kind.encode()), (SOURCE, source.encode()), ("tidegate-tenant", tenant.encode()),
            (TRUST, b"%d" % trust),
        ]  # fmt: skip
        done, failed = threading.Event(), list[KafkaError]()

        def delivered(error: KafkaError | None, _: Produced) -> None:
            if error is not None:
                failed.append(error)
            done.set()

        self._wait(source, 1, len(value))
        try:
            self._producer.produce(self._topic, value, on_delivery=delivered, headers=said)  # type: ignore[arg-type]
            if not done.wait(self._patience_s + 5):
                raise TransportError("the brokers did not answer", where=self._settings.brokers, code="KAFKA_SILENT")
        except BufferError as error:
            raise TransportError("the buffer to the brokers is full", where=self._settings.brokers) from error
        except KafkaException as error:
            raise self._told(error.args[0]) from error
        finally:
            self._wait(source, -1, -len(value))
        if failed:
            raise self._told(failed[0])
        self.taken += 1
        self.heard[source] = self.now_ns()

    def _told(self, error: KafkaError) -> TransportError:
        return kafka_error(error, self._settings, doing="write to", topic=self._topic)

    def _wait(self, source: str, messages: int, size: int) -> None:
        with self._lock:
            before, held = self._waiting.get(source, (0, 0))
            self._waiting[source] = before + messages, held + size
            if before + messages == 0:
                del self._waiting[source]

    def _poll(self) -> None:
        while not self._closed.is_set():
            self._producer.poll(_POLL_S)
