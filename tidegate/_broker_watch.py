"""Asks the brokers, in a thread of its own, where their partitions end: the true lag, and whether anybody answers.

What a consumer believes of the end of a partition is what it last fetched, so a consumer that is stuck believes that
nothing waits. This client shares nothing with it.
"""

import threading
import time
from collections.abc import Callable, Iterable

from streams import KafkaSettings, Place, TransportError
from tidegate._observed import BrokersSeen

EVERY_S = 5.0


class BrokerWatch:
    """topics: what to ask about. `seen` is replaced as a whole, so any thread may read it."""

    def __init__(
        self, settings: KafkaSettings, topics: Iterable[str], *, every_s: float = EVERY_S,
        now_ns: Callable[[], int] = time.time_ns,
    ) -> None:  # fmt: skip
        from streams import kafka  # the extra `kafka` may be absent

        self._topics, self._every_s, self._now_ns = frozenset(topics), every_s, now_ns
        self._history = kafka.KafkaHistory(settings)
        self.seen = BrokersSeen(answered_ns=now_ns())
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, name="broker-watch", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        """Does not wait for an answer that is outstanding."""
        self._stop.set()

    def ask(self) -> None:
        """Once, and wait for the answer or its absence."""
        try:
            existing = self._history.partitions()
            extents = self._history.extents(self._topics & existing.keys())
        except TransportError as error:
            self.seen = BrokersSeen(self.seen.answered_ns, self.seen.ends, error.code)
            return
        ends: dict[Place, int] = {place: extent.end for place, extent in extents.items()}
        self.seen = BrokersSeen(self._now_ns(), ends)

    def _work(self) -> None:
        while not self._stop.is_set():
            self.ask()
            self._stop.wait(self._every_s)
