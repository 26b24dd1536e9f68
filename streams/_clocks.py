"""Event time of what comes in: how far each sender, each log and the stage as a whole have come.

Within a log (one partition of one input topic) time is the smallest newest event time of the senders that speak, minus
the allowed lateness (bounded out-of-orderness; Akidau et al. 2015). What is late is judged by the time of the sample's
own log, so it depends on the order inside that log and not on how fast other logs were read. Only where a log was
silent, and time went on without it, does the time of all decide. Idle is said in the log, never by a reader's clock.
"""

from dataclasses import dataclass, field
from typing import Any

from schemas import Watermark
from streams._settings import PANE_NS

CLOCK = "clock"
"""The sender of `source:clock` marks: it moves time only while no other source does."""


@dataclass(slots=True)
class SourceClock:
    """What is known of one sender in all logs: newest event time, whether idle or ended, how many series it brought."""

    newest_ns: int
    log: str
    """Where it was first heard."""
    is_idle: bool = False
    is_final: bool = False
    series: int = 0
    over: int = 0
    """Samples of series that were one too many."""


@dataclass(slots=True)
class Heard:
    """One sender in one log."""

    newest_ns: int = 0
    is_idle: bool = False

    @property
    def speaks(self) -> bool:
        return self.newest_ns > 0 and not self.is_idle


@dataclass(slots=True)
class LogTime:
    """One log. `through_ns`: it is complete up to here, and never goes back."""

    through_ns: int = 0
    is_final: bool = False
    senders: dict[str, Heard] = field(default_factory=dict)
    slowest_ns: int = 0
    """Smallest newest time of the senders that speak, 0 if none does."""
    at_slowest: int = 0
    """How many of them are just there; while there are any, the others need not be looked at."""

    def look(self) -> None:
        """Find the slowest again."""
        newest = [heard.newest_ns for heard in self.senders.values() if heard.speaks]
        self.slowest_ns = min(newest, default=0)
        self.at_slowest = newest.count(self.slowest_ns)

    def hear(self, sender: str, newest_ns: int) -> None:
        """A message with samples up to `newest_ns`, more than 0."""
        heard = self.senders[sender]
        before = heard.newest_ns if heard.speaks else 0
        heard.newest_ns, heard.is_idle, self.is_final = max(heard.newest_ns, newest_ns), False, False
        if not before:
            self.look()
        elif before == self.slowest_ns < heard.newest_ns:
            self.at_slowest -= 1
            if not self.at_slowest:
                self.look()

    def advance(self, lateness_ns: int) -> bool:
        """Move to where the senders are; whether that changed anything."""
        through = (self.slowest_ns - lateness_ns) // PANE_NS * PANE_NS if self.slowest_ns else 0
        if through <= self.through_ns:
            return False
        self.through_ns = through
        return True


@dataclass(slots=True)
class EventTime:
    """All logs of a stage. `through_ns`: of the slowest log that speaks, or of the clock if none does."""

    lateness_ns: int
    clocks: dict[str, SourceClock] = field(default_factory=dict)
    logs: dict[str, LogTime] = field(default_factory=dict)
    through_ns: int = 0

    def clock_of(self, sender: str, log: str) -> SourceClock:
        """The clock of a sender, which from now on is expected in this log."""
        clock = self.clocks.get(sender)
        if clock is None:
            clock = self.clocks[sender] = SourceClock(0, log)
        time = self.logs.get(log)
        if time is None:
            time = self.logs[log] = LogTime()
        if sender not in time.senders:
            time.senders[sender] = Heard()
        return clock

    def open_ns(self, log: str) -> int:
        """Samples of this log before this time are late."""
        time = self.logs.get(log)
        return self.through_ns if time is None else max(self.through_ns, time.through_ns)

    def hear(self, clock: SourceClock, sender: str, log: str, newest_ns: int) -> None:
        """Samples up to `newest_ns` were taken from a sender; time moves."""
        clock.newest_ns = max(clock.newest_ns, newest_ns)
        clock.is_idle = clock.is_final = False
        time = self.logs[log]
        time.hear(sender, newest_ns)
        if time.advance(self.lateness_ns):
            self._merge()

    def mark(self, mark: Watermark, log: str) -> bool:
        """What a mark in a log says of senders; whether every log has now ended."""
        for name, time in self.logs.items():
            ended = mark.final and name == log
            time.is_final = time.is_final or ended
            for sender, heard in time.senders.items():
                if ended:
                    heard.is_idle = True
                elif mark.stage == f"source:{sender}":
                    heard.newest_ns, heard.is_idle = max(heard.newest_ns, mark.through_ns), mark.idle
        if mark.stage == f"source:{CLOCK}":
            self.logs.setdefault(log, LogTime())
            clock = self.clocks.setdefault(CLOCK, SourceClock(0, log))
            clock.newest_ns = max(clock.newest_ns, mark.through_ns)
        self._agree()
        for time in self.logs.values():
            time.look()
            time.advance(self.lateness_ns)
        self._merge()
        is_final = bool(self.clocks) and all(time.is_final for time in self.logs.values())
        if is_final:
            newest = max(clock.newest_ns for clock in self.clocks.values())
            self.through_ns = max(self.through_ns, (newest // PANE_NS + 1) * PANE_NS)
        return is_final

    def _agree(self) -> None:
        """A sender is idle or has ended if it is so wherever it was heard."""
        parts: dict[str, list[tuple[Heard, bool]]] = {}
        for time in self.logs.values():
            for sender, heard in time.senders.items():
                parts.setdefault(sender, []).append((heard, time.is_final))
        for sender, found in parts.items():
            clock = self.clocks[sender]
            clock.newest_ns = max(clock.newest_ns, *(heard.newest_ns for heard, _ in found))
            clock.is_idle = all(heard.is_idle for heard, _ in found)
            clock.is_final = all(is_final for _, is_final in found)

    def _merge(self) -> None:
        speaking = [time.through_ns for time in self.logs.values() if time.slowest_ns]
        if not speaking and CLOCK in self.clocks:
            speaking = [(self.clocks[CLOCK].newest_ns - self.lateness_ns) // PANE_NS * PANE_NS]
        self.through_ns = max(self.through_ns, min(speaking, default=0))

    def dump(self) -> dict[str, Any]:
        return {
            "through_ns": self.through_ns,
            "clocks": {
                k: [c.newest_ns, c.log, c.is_idle, c.is_final, c.series, c.over] for k, c in self.clocks.items()
            },
            "logs": {
                name: [t.through_ns, t.is_final, {s: [h.newest_ns, h.is_idle] for s, h in t.senders.items()}]
                for name, t in self.logs.items()
            },
        }

    @classmethod
    def load(cls, lateness_ns: int, document: dict[str, Any]) -> "EventTime":
        clocks = {name: SourceClock(*entry) for name, entry in document["clocks"].items()}
        time = cls(lateness_ns, clocks, {}, document["through_ns"])
        for name, (through_ns, is_final, senders) in document["logs"].items():
            log = time.logs[name] = LogTime(through_ns, is_final, {s: Heard(*h) for s, h in senders.items()})
            log.look()
        return time
