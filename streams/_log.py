"""What a log must offer to the engine, and the log in memory. One process, one total order of appends.

The order is what makes a restart exact: a stage that starts again from a snapshot reads the same records in the same
order, makes the same outputs, and those that were already written are counted off instead of written twice.
"""

import heapq
import threading
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, Protocol

from schemas.core import Emit, Message


class Stored(NamedTuple):
    """A record and its place in the order of all appends of this log."""

    sequence: int
    message: Message
    writer: str


class Log(Protocol):
    """Topics with partitions, appended atomically, read in the order of appends."""

    def append(self, emits: Sequence[Emit], *, writer: str, received_ns: int | None = None) -> None:
        """Append all or nothing. `received_ns` defaults to each record's event time (imports, tests, replay)."""
        ...

    def read(self, topics: Sequence[str], after: int, limit: int) -> list[Stored]:
        """Up to `limit` records of the topics whose sequence is above `after`, in order."""
        ...

    def written(self, writer: str) -> int:
        """How many records this writer has appended in all."""
        ...

    def last(self) -> int:
        """Sequence of the newest record, 0 if there is none."""
        ...

    def ends(self) -> Mapping[str, int]:
        """Next offset of each `topic/partition`."""
        ...


class MemoryLog:
    """A log that lives as long as the process. `trim` forgets what every reader has passed, so memory is bounded.

    keep: topics that are never trimmed, because somebody reads them at the end (decisions, diagnoses).
    """

    def __init__(self, partitions: int = 1, keep: Iterable[str] = ()) -> None:
        self._partitions = partitions
        self._keep = frozenset(keep)
        self._topics: dict[str, list[Stored]] = {}
        self._offsets: dict[tuple[str, int], int] = {}
        self._written: dict[str, int] = {}
        self._sequence = 0
        self._lock = threading.Lock()

    def append(self, emits: Sequence[Emit], *, writer: str, received_ns: int | None = None) -> None:
        with self._lock:
            for emit in emits:
                place = (emit.topic, emit.partition)
                offset = self._offsets.get(place, 0)
                self._offsets[place] = offset + 1
                self._sequence += 1
                received = emit.event_ns if received_ns is None else received_ns
                message = Message(
                    emit.topic, emit.partition, offset, emit.key, emit.value, emit.headers, emit.event_ns, received
                )
                self._topics.setdefault(emit.topic, []).append(Stored(self._sequence, message, writer))
            self._written[writer] = self._written.get(writer, 0) + len(emits)

    def feed(self, messages: Iterable[Message], *, writer: str) -> int:
        """Append messages as they were recorded, with their own offsets and times; returns how many."""
        n = 0
        with self._lock:
            for message in messages:
                self._sequence += 1
                n += 1
                self._topics.setdefault(message.topic, []).append(Stored(self._sequence, message, writer))
                self._offsets[message.topic, message.partition] = message.offset + 1
            self._written[writer] = self._written.get(writer, 0) + n
        return n

    def read(self, topics: Sequence[str], after: int, limit: int) -> list[Stored]:
        found = []
        for topic in topics:
            records = self._topics.get(topic)
            if records and records[-1].sequence > after:
                found.append(records[_first_above(records, after) :][:limit])
        if len(found) == 1:
            return found[0]
        return list(heapq.merge(*found, key=lambda stored: stored.sequence))[:limit]

    def written(self, writer: str) -> int:
        return self._written.get(writer, 0)

    def last(self) -> int:
        return self._sequence

    def ends(self) -> Mapping[str, int]:
        return {f"{topic}/{partition}": end for (topic, partition), end in sorted(self._offsets.items())}

    def messages(self, topic: str) -> list[Message]:
        """Everything still held of a topic."""
        return [stored.message for stored in self._topics.get(topic, [])]

    def trim(self, through: int) -> None:
        """Forget records up to a sequence, except of the kept topics."""
        with self._lock:
            for topic, records in self._topics.items():
                if topic not in self._keep:
                    del records[: _first_above(records, through)]


def _first_above(records: list[Stored], sequence: int) -> int:
    low, high = 0, len(records)
    while low < high:
        middle = (low + high) // 2
        if records[middle].sequence <= sequence:
            low = middle + 1
        else:
            high = middle
    return low
