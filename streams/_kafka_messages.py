"""Kafka message <-> `schemas.core.Message`: the one place for what Kafka cannot say by itself.

Kafka keeps one time, in milliseconds. So our records carry their event time in the header `tidegate-at`, and what is
played from a recording carries the time it was first received in `tidegate-received`; both are ASCII nanoseconds,
written first, taken off again here. A message is thus the same whichever transport brought it, and a recording that
was played replays to the digest of the original. A foreign message has neither: both its times are Kafka's.

No key and an empty key are one and the same, as are no value and an empty value; a header without a value has an empty
one. Times that are no nanoseconds of our epoch are taken for a stranger's header, and left where they are.
"""

from collections.abc import Sequence
from typing import Any, Protocol

from schemas.core import Emit, Message

AT = "tidegate-at"
RECEIVED = "tidegate-received"
_MS = 1_000_000
_END = 1 << 63
Headers = list[tuple[str, str | bytes | None]]
"""As `Producer.produce` takes them."""


class KafkaMessage(Protocol):
    """What is needed of a consumed `confluent_kafka.Message`."""

    def partition(self) -> int | None: ...
    def offset(self) -> int | None: ...
    def key(self) -> Any: ...
    def value(self) -> Any: ...
    def headers(self) -> Any: ...
    def timestamp(self) -> tuple[int, int]: ...


def to_message(kafka: KafkaMessage, topic: str) -> Message:
    """A consumed message, without error, as every transport hands it over. topic: the name that stages know.

    event_ns is what `tidegate-at` says, else when it was received; that is what `tidegate-received` says, else Kafka's
    timestamp, 0 if it has none.
    """
    at = received = -1
    headers: Sequence[tuple[str, Any]] = kafka.headers() or ()
    if headers:
        for _, value in headers:
            if value is None:
                headers = [(name, value or b"") for name, value in headers]
                break
        if headers[0][0] == AT:
            at = _ns(headers[0][1])
            headers = headers[1:] if at >= 0 else headers
        if headers and headers[0][0] == RECEIVED:
            received = _ns(headers[0][1])
            headers = headers[1:] if received >= 0 else headers
    if received < 0:
        received = max(kafka.timestamp()[1], 0) * _MS
    return Message(
        topic, kafka.partition() or 0, kafka.offset() or 0, kafka.key() or b"", kafka.value() or b"", tuple(headers),
        at if at >= 0 else received, received,
    )  # fmt: skip


def headers_of(record: Emit) -> Headers:
    """Headers of a record of ours as it is produced: its event time, then its own."""
    return [(AT, b"%d" % record.event_ns), *record.headers]


def played_headers(message: Message) -> Headers:
    """Headers of a message that is produced again as it was received."""
    received = (RECEIVED, b"%d" % message.received_ns)
    if message.event_ns == message.received_ns:
        return [received, *message.headers]
    return [(AT, b"%d" % message.event_ns), received, *message.headers]


def _ns(text: bytes) -> int:
    """Nanoseconds since 1970 in ASCII, or -1 if the text is something else."""
    ns = int(text) if text.isdigit() and len(text) < 20 else -1
    return ns if ns < _END else -1
