"""How many series each sender brings that it never brought before, counted when they come in.

What is counted once it is worked off is passed by a burst; so the door keeps the ids that it has seen of each sender,
at most `most`, some 30 bytes each. What comes beyond is counted as new each time. Nothing is kept through a restart: a
sender of more series than are allowed in a minute then takes as many minutes to be known again.
"""

import threading
from dataclasses import dataclass, field

import numpy as np

from schemas.core import NS, U64
from streams import IdTable

_MINUTE_NS = 60 * NS


@dataclass(slots=True)
class _Sender:
    known: IdTable = field(default_factory=IdTable)
    begun_ns: int = 0
    brought: int = 0
    """New series in the minute that began then."""


class NewSeries:
    """`limit` a sender and minute, of which its first request after the last one was over begins the next."""

    def __init__(self, limit: int, most: int) -> None:
        self.limit, self._most = limit, most
        self._senders: dict[str, _Sender] = {}
        self._lock = threading.Lock()

    def over(self, sender: str, now_ns: int) -> tuple[int, int]:
        """How many it brought in this minute, and for how many seconds it has to stay away; 0 if it may come."""
        with self._lock:
            one = self._senders.get(sender)
            if one is None:
                return 0, 0
            if not 0 <= now_ns - one.begun_ns < _MINUTE_NS:
                one.begun_ns, one.brought = now_ns, 0
            if one.brought <= self.limit:
                return one.brought, 0
            return one.brought, max(1, -(-(one.begun_ns + _MINUTE_NS - now_ns) // NS))

    def count(self, sender: str, series: U64, now_ns: int) -> None:
        """Samples (n,) of these series come in."""
        if not len(series):
            return
        with self._lock:
            one = self._senders.setdefault(sender, _Sender(begun_ns=now_ns))
            ids = np.unique(series)
            fresh = ids[one.known.find(ids) < 0]
            one.brought += len(fresh)
            kept = fresh[: max(self._most - len(one.known), 0)]
            if len(kept):
                one.known.add(kept, np.zeros(len(kept), np.int16))
