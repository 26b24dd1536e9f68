"""A live run in one process: the embedded log, the engine over it, and the clock that both lack.

Everything that came from outside, time included, is in the raw topic before it has any effect; so a run that was
killed at any point goes on to the same answers, and a replay of its raw topic gives them again.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import schemas as sc
from schemas.core import NS, Emit
from streams import (
    CLOCK,
    KIND,
    SOURCE,
    SOURCES,
    TRUST,
    EmbeddedLog,
    Engine,
    LiveTime,
    Stored,
    report,
    sender_of,
    still_after_ns,
)  # fmt: skip
from tidegate import __version__, _as_of, _live_state, _pipeline
from tidegate._board import Board
from tidegate._errors import LiveError
from tidegate._settings import Settings

LOG = "log.sqlite"
TENANT = "tidegate-tenant"
_RAW_BATCH, _BATCH = 32, 256  # few raw messages a round, so that what they become is worked off before more is taken
_HEALTH_NS = NS


@dataclass(frozen=True, slots=True)
class StageHealth:
    """through_ns: event time reached. behind: records of its inputs not yet read."""

    name: str
    through_ns: int
    behind: int


class SourceHealth(NamedTuple):
    """One sender. arrived_ns: when it was last heard of, newest_ns: the newest event time it brought, 0 before any.

    series: how many it brought. over: samples of series beyond the limits.
    """

    arrived_ns: int
    newest_ns: int
    is_idle: bool
    series: int
    over: int


@dataclass(frozen=True, slots=True)
class Health:
    """How the engine stood at `at_ns` of the wall clock; never changed, so any thread may read it."""

    at_ns: int
    stages: tuple[StageHealth, ...]
    ledger: Mapping[str, Mapping[str, int]]
    """As `streams.report` gives it."""
    refused: Mapping[str, int]
    """Records that stages could not take, by code."""
    sources_active: int
    sources_idle: int
    sources: Mapping[str, SourceHealth]
    """By sender, as `tidegate-source` names it."""

    @property
    def watermark_ns(self) -> int:
        """Event time that the whole pipeline has reached, 0 before any."""
        return min(stage.through_ns for stage in self.stages)


class Live:
    """One thread calls `pump`, any number call `take`, `read` and what only reads.

    now_ns: the wall clock. rebuild: forget the snapshots and make all state again from the log; what was written stays
    and is not written twice. A snapshot is made after `snapshot_every` raw messages or `snapshot_every_s` of work.
    Raises TransportError (LOG_IN_USE, LOG_UNREADABLE), SnapshotError, LiveError, SettingsError.
    """

    def __init__(
        self, directory: Path, settings: Settings, *, now_ns: Callable[[], int] = time.time_ns, rebuild: bool = False,
        snapshot_every_s: float = 60.0, snapshot_every: int = 20_000,
    ) -> None:  # fmt: skip
        self.directory, self.settings = directory, settings
        self.board = Board()
        self.news = threading.Event()
        """Set whenever something was taken."""
        self.now_ns = now_ns
        self._snapshot_every_ns, self._snapshot_every = round(snapshot_every_s * NS), snapshot_every
        pipeline = _pipeline.build(settings)
        runbooks = sc.sha256(sc.canonical(_pipeline.texts(settings.actions.runbooks, "runbooks")))
        self.versions = {**pipeline.versions, "runbooks": runbooks, "partitions": settings.streams.partitions}
        shaped = _as_of.kept(settings)
        self._owner = _live_state.own(directory)
        self._is_sound = False
        try:
            self.log = EmbeddedLog(directory / LOG, code=__version__)
            _as_of.write(shaped, directory)
        except BaseException:
            self._owner.close()
            raise
        try:
            self._start(pipeline, rebuild)
        except BaseException:
            self.close()
            raise

    def _start(self, pipeline: _pipeline.Pipeline, rebuild: bool) -> None:
        self.engine = Engine(self.log, pipeline.stages, partitions=self.settings.streams.partitions)
        self._first = self.engine.runners[0]
        self._restored = _live_state.restore(self.log, self.engine.runners, self.versions, rebuild=rebuild)
        if rebuild or self.log.snapshot(_live_state.DOCUMENT) is None:
            _live_state.save_versions(self.log, self.versions, self._restored)
        self._arrived = self._restored.arrived
        self._intake = threading.Lock()
        self._waiting: deque[tuple[str, int]] = deque()
        self._waiting_bytes = 0
        self._waiting_of: dict[str, tuple[int, int]] = {}
        self._find_waiting()
        started = self.now_ns()
        self._time = LiveTime(
            started,
            idle_after_ns=round(self.settings.streams.idle_after_s * NS),
            still_after_ns=still_after_ns(self.settings.diagnosis.quiet_s),
        )
        self._saved_ns, self._unsaved = started, 0
        self.board.follow(self.log)
        self.health = self._look(started)
        self._is_sound = True

    # --- intake, any thread ---

    def take(
        self, kind: str, value: bytes, *, source: str, tenant: str, headers: Sequence[tuple[str, bytes]] = (),
        trust: int = 1,
    ) -> None:  # fmt: skip
        """Append one message to the raw topic; it is durable when this returns. Raises TransportError.

        kind: the source plug-in that will read it. source, tenant, trust: of the authenticated sender. headers: put in
        front.
        """
        said = (
            (KIND, kind.encode()), (SOURCE, source.encode()), (TENANT, tenant.encode()), (TRUST, b"%d" % trust),
        )  # fmt: skip
        with self._intake:
            now = self.now_ns()
            self._append(Emit(sc.RAW, source.encode(), value, (*headers, *said), now), now)
            self._arrived[source] = now
        self.news.set()

    def _append(self, emit: Emit, now_ns: int) -> None:
        self.log.append([emit], writer=SOURCES, received_ns=now_ns)
        self._wait(emit.key.decode(), len(emit.value))

    def _wait(self, source: str, size: int) -> None:
        self._waiting.append((source, size))
        self._waiting_bytes += size
        messages, held = self._waiting_of.get(source, (0, 0))
        self._waiting_of[source] = messages + 1, held + size

    def _work_off(self) -> None:
        """The oldest that waits was read."""
        source, size = self._waiting.popleft()
        self._waiting_bytes -= size
        messages, held = self._waiting_of[source]
        if messages == 1:
            del self._waiting_of[source]
        else:
            self._waiting_of[source] = messages - 1, held - size

    @property
    def backlog(self) -> tuple[int, int]:
        """Messages and bytes that were taken and not yet normalised."""
        return len(self._waiting), self._waiting_bytes

    def waiting(self, source: str) -> tuple[int, int]:
        """The same of one sender."""
        return self._waiting_of.get(source, (0, 0))

    def new_series(self, source: str) -> int:
        """Series that a sender ever brought and samples of those beyond the limits, as of the last look."""
        found = self.health.sources.get(source)
        return found.series + found.over if found else 0

    def newest(self, source: str) -> int:
        """Newest event time that a sender brought, as of the last look; 0 before any."""
        found = self.health.sources.get(source)
        return found.newest_ns if found else 0

    def read(self, topics: Sequence[str], after: int, limit: int = 100) -> list[Stored]:
        """Records of the log above a sequence, in order."""
        return self.log.read(topics, after, limit)

    # --- work, one thread ---

    def pump(self, is_enough: Callable[[], bool] = lambda: False) -> int:
        """Work until nothing is left to do, or `is_enough` says so between rounds; returns how many records were read.

        Marks of idle sources and of the clock are written once nothing waits. What is raised leaves the run unsound:
        it then closes without a snapshot, and the next start goes on from the last one.
        """
        total = 0
        try:
            while True:
                moved = self._round()
                total += moved
                if not moved and not self._mark():
                    break
                now = self.now_ns()
                if self._unsaved >= self._snapshot_every or _is_over(self._saved_ns, now, self._snapshot_every_ns):
                    self.snapshot()
                if _is_over(self.health.at_ns, now, _HEALTH_NS):
                    self._publish(now)
                if is_enough():
                    break
            now = self.now_ns()
            if self._unsaved and _is_over(self._saved_ns, now, self._snapshot_every_ns):
                self.snapshot()
            if total or _is_over(self.health.at_ns, now, _HEALTH_NS):
                self._publish(now)
        except BaseException:
            self._is_sound = False
            raise
        return total

    def snapshot(self) -> None:
        """Save the state of all stages. Raises TransportError."""
        with self._intake:
            self._restored.arrived = dict(self._arrived)
        _live_state.save(self.log, self.engine.runners, self.versions, self._restored)
        self._saved_ns, self._unsaved = self.now_ns(), 0

    def close(self) -> None:
        """Snapshot, if the run is sound, and let go of the directory."""
        try:
            if self._is_sound:
                self.snapshot()
        finally:
            self._is_sound = False
            self.log.close()
            self._owner.close()

    def _round(self) -> int:
        total = self._first.poll(self.log, _RAW_BATCH)
        self._unsaved += total
        with self._intake:
            for _ in range(min(total, len(self._waiting))):
                self._work_off()
        while moved := sum(runner.poll(self.log, _BATCH) for runner in self.engine.runners[1:]):
            total += moved
        return total

    def _mark(self) -> bool:
        with self._intake:
            if self._waiting:
                return True  # something came meanwhile: whoever sent it is not idle
            now = self.now_ns()
            marks = self._time.marks(self._first.state.clocks, self._arrived, now)
            for mark in marks:
                self._append(mark, now)
        return bool(marks)

    def _find_waiting(self) -> None:
        """What lies unread in the log since a crash: it counts as backlog, and its senders were heard of."""
        after = self._first.after
        while batch := self.log.read(self._first.stage.inputs, after, _BATCH):
            for stored in batch:
                sender = sender_of(stored.message)
                self._wait(sender, len(stored.message.value))
                if sender:
                    self._arrived[sender] = stored.message.received_ns
            after = batch[-1].sequence

    def _publish(self, now_ns: int) -> None:
        self.board.follow(self.log)
        self.health = self._look(now_ns)

    def _look(self, now_ns: int) -> Health:
        runners = self.engine.runners
        stages = tuple(
            StageHealth(
                runner.stage.name,
                runner.state.through_ns if runner.stage.makes_time else runner.through_ns,
                self.log.behind(runner.stage.inputs, runner.after)[0],
            )
            for runner in runners
        )
        refused: dict[str, int] = {}
        for runner in runners:
            for code, n in runner.refused.items():
                refused[code] = refused.get(code, 0) + n
        clocks = [clock for clock in self._first.state.clocks.values() if clock.newest_ns]
        idle = sum(clock.is_idle for clock in clocks)
        ledger: dict[str, Any] = report(_pipeline.ledger_of(runners))
        arrived = dict(self._arrived)
        sources = {
            name: SourceHealth(arrived.get(name, 0), clock.newest_ns, clock.is_idle, clock.series, clock.over)
            for name, clock in self._first.state.clocks.items() if name != CLOCK
        }  # fmt: skip
        return Health(now_ns, stages, ledger, refused, len(clocks) - idle, idle, sources)


def _is_over(since_ns: int, now_ns: int, span_ns: int) -> bool:
    """Whether a span of the wall clock is over; also where the clock was set back."""
    return not 0 <= now_ns - since_ns < span_ns


def open_existing(directory: Path) -> EmbeddedLog:
    """The log of a directory of `up`, also while `up` runs. Raises LiveError if there is none."""
    if not (directory / LOG).is_file():
        raise LiveError("there is no log here", where=str(directory), todo="Give the --dir of `tidegate up`")
    return EmbeddedLog(directory / LOG, code=__version__)
