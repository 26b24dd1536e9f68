"""Many partitions as one history: what is recorded in each is merged by the time at which it was received.

A replay that takes partitions as they arrive from a broker answers differently each time, because stages that look at
several services depend on the order across partitions; so it merges, and waits for the partition that is behind. What
the others bring meanwhile is bounded in bytes: beyond the cap they are paused, and only those that are waited for go
on (watermark alignment, as in Flink's FLIP-182, but by bytes). The order is that of a recording: by received time,
topic, partition, offset; within a partition offsets always hold, also where a clock stepped back.
"""

import heapq
from collections import deque
from collections.abc import Iterable, Iterator

from schemas.core import Message
from streams._task import Place

_MESSAGE_BYTES = 400  # of a message in memory beside key, value and headers
_HEADER_BYTES = 120


def bytes_of(message: Message) -> int:
    """What a message costs in memory, roughly."""
    said = sum(len(value) for _, value in message.headers) + _HEADER_BYTES * len(message.headers)
    return _MESSAGE_BYTES + len(message.key) + len(message.value) + said


class Merge:
    """Fed with messages of each place in the order of offsets; gives them back in one order.

    cap_bytes: of all that waits here. It is exceeded by at most what is in flight when `turn` says to pause, and by
    one message of each place that is waited for.
    """

    def __init__(self, places: Iterable[Place], cap_bytes: int) -> None:
        self._cap_bytes = cap_bytes
        self._waiting: dict[Place, deque[tuple[int, Message, int]]] = {place: deque() for place in places}
        self._missing = set(self._waiting)
        """Places that have not ended and have nothing here: nobody may go on without them."""
        self._ended: set[Place] = set()
        self._paused: set[Place] = set()
        self._newest: dict[Place, int] = {}
        self._heads: list[tuple[int, Place]] = []
        self.bytes = 0
        self.peak_bytes = 0

    def add(self, place: Place, message: Message) -> None:
        """Take the next message of a place that has not ended."""
        newest = self._newest[place] = max(self._newest.get(place, message.received_ns), message.received_ns)
        size = bytes_of(message)
        self.bytes += size
        self.peak_bytes = max(self.peak_bytes, self.bytes)
        waiting = self._waiting[place]
        waiting.append((newest, message, size))
        if len(waiting) == 1:
            self._missing.discard(place)
            heapq.heappush(self._heads, (newest, place))

    def end(self, place: Place) -> None:
        """Nothing more comes from this place."""
        self._ended.add(place)
        self._missing.discard(place)

    def ready(self) -> Iterator[Message]:
        """What nothing that is still to come can precede."""
        heads = self._heads
        while heads and not self._missing:
            _, place = heads[0]
            waiting = self._waiting[place]
            _, message, size = waiting.popleft()
            self.bytes -= size
            if waiting:
                heapq.heapreplace(heads, (waiting[0][0], place))
            else:
                heapq.heappop(heads)
                if place not in self._ended:
                    self._missing.add(place)
            yield message

    def turn(self) -> tuple[list[Place], list[Place]]:
        """Places to pause and places to resume now, sorted. To be asked after each batch, when `ready` is exhausted."""
        if self.bytes >= self._cap_bytes:
            wanted = {place for place, waiting in self._waiting.items() if waiting and place not in self._ended}
        elif self.bytes >= self._cap_bytes // 2:
            wanted = self._paused - self._missing  # who was paused stays so until half is worked off
        else:
            wanted = set()
        wanted -= self._ended
        pause, resume = sorted(wanted - self._paused), sorted(self._paused - wanted - self._ended)
        self._paused = wanted
        return pause, resume

    @property
    def missing(self) -> list[Place]:
        """Whom the others wait for."""
        return sorted(self._missing)

    @property
    def is_over(self) -> bool:
        """Everything has ended and was given back."""
        return len(self._ended) == len(self._waiting) and not self.bytes
