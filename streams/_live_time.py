"""Time of a live run: which senders fell silent, and the clock that goes on when all did. Said in the log, as marks.

The wall clock is asked only here, never by a stage; what it said lies in the raw topic, so a replay obeys it. The clock
mark is not "now" but the newest event time plus what has passed since it came: the same for telemetry of today, and
right also where an old recording is played.
"""

from collections.abc import Mapping

import schemas as sc
from schemas.core import NS, Emit, Message
from streams._normalise import CLOCK, KIND, SOURCE, SourceClock
from streams._settings import PANE_NS

WRITER = "tidegate/up"


def sender_of(message: Message) -> str:
    """Who sent a raw message, as normalise names it; empty for a mark."""
    if sc.record_type(message) in ("watermark", "coverage") and not message.header(KIND):
        return ""
    return message.header(SOURCE) or f"{message.topic}/{message.partition}"


class LiveTime:
    """Decides which marks are due.

    idle_after_ns: silence after which a source is idle. still_after_ns: how long the clock goes on when all are silent;
    by then every window and incident has closed, and a log that grows says nothing new.
    """

    def __init__(self, started_ns: int, *, idle_after_ns: int, still_after_ns: int) -> None:
        self.started_ns = started_ns
        self._idle_after_ns, self._still_after_ns = idle_after_ns, still_after_ns

    def marks(self, clocks: Mapping[str, SourceClock], arrived: Mapping[str, int], now_ns: int) -> list[Emit]:
        """Marks for the raw topic: of senders that fell silent, else of the clock if all are.

        clocks: as normalise knows them, nothing waiting. arrived: ns of the wall clock.
        """
        found = self.idle(clocks, arrived, now_ns)
        through = 0 if found else self.clock_ns(clocks, arrived, now_ns)
        known = clocks[CLOCK].newest_ns if CLOCK in clocks else 0
        return [_mark(CLOCK, through, now_ns)] if through > known else found

    def idle(self, clocks: Mapping[str, SourceClock], arrived: Mapping[str, int], now_ns: int) -> list[Emit]:
        """Marks of the senders that are silent for too long and not yet said to be.

        After a start every source has `idle_after_ns` to come back, however long we were away.
        """
        found = []
        for name, clock in _speaking(clocks).items():
            heard = max(arrived.get(name, 0), self.started_ns)
            if not clock.is_idle and now_ns - heard >= self._idle_after_ns:
                found.append(_mark(name, clock.newest_ns, now_ns, idle=True))
        return found

    def clock_ns(self, clocks: Mapping[str, SourceClock], arrived: Mapping[str, int], now_ns: int) -> int:
        """Event time by the clock, where every sender is idle; 0 where one speaks, or none ever did."""
        speaking = _speaking(clocks)
        if not speaking or any(not clock.is_idle for clock in speaking.values()):
            return 0
        last = max((arrived[name] for name in speaking if name in arrived), default=self.started_ns)
        passed = min(max(now_ns - last, 0), self._still_after_ns)
        return (max(clock.newest_ns for clock in speaking.values()) + passed) // PANE_NS * PANE_NS


def _speaking(clocks: Mapping[str, SourceClock]) -> dict[str, SourceClock]:
    return {name: clock for name, clock in clocks.items() if name != CLOCK and clock.newest_ns}


def still_after_ns(quiet_s: float) -> int:
    """How long the clock goes on: an hour, or what incidents need to close twice."""
    return round(max(3600.0, 2 * quiet_s + 600) * NS)


def _mark(sender: str, through_ns: int, now_ns: int, *, idle: bool = False) -> Emit:
    record = sc.Watermark(stage=f"source:{sender}", through_ns=through_ns, idle=idle)
    identity = sc.record_id("watermark", record.stage, through_ns, now_ns)
    return sc.emit(sc.RAW, record, id=identity, key=sender, source=WRITER, event_ns=now_ns)
