"""Where the worker reads and tells: what it asks of either place, and the embedded log of `tidegate up`.

What was read through is the ledger's position, written in the same transaction as what came of the record.
"""

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from schemas import ACTIONS, CALENDAR, CONTROL, DIAGNOSES, FEEDBACK, INCIDENTS, TOPOLOGY
from schemas.core import NS, Emit, Message
from streams import EmbeddedLog, TransportError

READ = (CONTROL, CALENDAR, TOPOLOGY, INCIDENTS, DIAGNOSES, FEEDBACK, ACTIONS)
FIRST_NS = 3600 * NS
"""A worker without a position begins so far back: what is older is old news in any case."""
VIEW_NS = 7 * 24 * 3600 * NS
_BATCH = 200


class Feed(Protocol):
    async def take(self) -> Sequence[Message]:
        """What is there now, in order; empty after a short wait. Never raises for a broker that is away."""
        ...

    async def send(self, record: Emit) -> bool: ...

    def done(self, message: Message) -> None:
        """Its ledger transaction is durable."""
        ...

    @property
    def is_connected(self) -> bool: ...

    def close(self) -> None: ...


class LogFeed:
    """The log of `tidegate up` on this machine."""

    is_connected = True

    def __init__(self, path: Path, after: int = 0) -> None:
        """Raises TransportError if it cannot be opened."""
        self._log, self._after = EmbeddedLog(path), after

    async def take(self) -> Sequence[Message]:
        batch = self._log.read(READ, self._after, _BATCH)
        if not batch:
            await asyncio.sleep(0.2)
            return ()
        self._after = batch[-1].sequence
        return [stored.message for stored in batch]

    async def send(self, record: Emit) -> bool:
        try:
            self._log.append([record], writer="act", received_ns=time.time_ns())
        except TransportError:
            return False
        return True

    def done(self, message: Message) -> None:
        """The ledger's position is all there is."""

    def close(self) -> None:
        self._log.close()
