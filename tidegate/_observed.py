"""What a process of `run` says of itself: values copied by the thread that works, read by those that answer.

The thread that works publishes one `Observed` about once a second and never waits for anybody; who serves `/metrics`
or `/healthz` reads the newest and never touches a task. Ledgers cost more than the rest, because points that wait are
counted, so they are looked at only as often as costs one percent, and at least every 15 s.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from streams import CLOCK, Ledger, Place, SnapshotStore, Task
from tidegate._pipeline import ledger_of

if TYPE_CHECKING:
    from streams._kafka_worker import KafkaWorker, Running

EVERY_S = 1.0
_LEDGER_SHARE, _LEDGER_S = 0.01, 15.0


@dataclass(frozen=True, slots=True)
class TaskSeen:
    """One task. passed: records before what it reads next, over all inputs. lag: records that it has yet to read.

    is_speaking: somebody whom it hears is neither idle nor at an end, so its time should move.
    is_changed: there is work that no snapshot holds. is_waiting: an input is not read on, because others are behind.
    """

    stage: str
    instance: str
    through_ns: int = 0
    is_speaking: bool = False
    passed: int = 0
    lag: int = 0
    held: int = 0
    counts: Mapping[str, int] = field(default_factory=dict)
    snapshot_ns: int = 0
    snapshots: int = 0
    is_changed: bool = False
    is_waiting: bool = False

    @property
    def name(self) -> str:
        return f"{self.stage}@{self.instance}"


@dataclass(frozen=True, slots=True)
class Written:
    """The last snapshot of a task as it was stored."""

    size: int
    took_s: float


@dataclass(frozen=True, slots=True)
class BrokersSeen:
    """What the brokers last answered. ends: offset behind the last record of each partition."""

    answered_ns: int = 0
    ends: Mapping[Place, int] = field(default_factory=dict)
    reason: str = ""
    """Code of why they do not answer; empty while they do."""


@dataclass(frozen=True, slots=True)
class Observed:
    """A process at `at_ns`, wall time. Nothing in it changes any more."""

    at_ns: int
    tasks: tuple[TaskSeen, ...] = ()
    brokers: BrokersSeen = BrokersSeen()
    ledgers: Mapping[str, Ledger] = field(default_factory=dict)
    """By task."""
    sources_active: int = 0
    sources_idle: int = 0
    queued: Mapping[str, int] = field(default_factory=dict)
    """Records that wait in the producer, by stage."""
    owned: Mapping[str, int] = field(default_factory=dict)
    """Tasks, by stage, also of stages that own none."""
    written: Mapping[str, Written] = field(default_factory=dict)
    """By task."""
    events: Mapping[tuple[str, str], int] = field(default_factory=dict)
    """What was logged, by stage and event."""
    letters: Mapping[tuple[str, str], int] = field(default_factory=dict)
    """Dead letters written, by reason and source."""
    inquiries: Mapping[str, int] = field(default_factory=dict)
    """Questions of open incidents, by what became of them."""


class MeasuredStore(SnapshotStore):
    """A store that remembers how large the last snapshot of each task was, and how long it took to write."""

    def __init__(self, address: str) -> None:
        super().__init__(address)
        self.written: dict[str, Written] = {}

    def write(self, task: str, number: int, data: bytes) -> tuple[str, str, int]:
        began = time.monotonic()
        found = super().write(task, number, data)
        self.written[task] = Written(found[2], time.monotonic() - began)
        return found


class Observer:
    """Publishes `Observed`. `look` is called by the thread that works, after each turn; `newest` by any.

    say: told of events.
    """

    def __init__(
        self, store: MeasuredStore, say: Callable[..., None], *, now_ns: Callable[[], int] = time.time_ns
    ) -> None:
        self._store, self._say, self._now_ns = store, say, now_ns
        self.brokers: Callable[[], BrokersSeen] = BrokersSeen
        """What another thread knows of them."""
        self.newest: Observed | None = None
        self._events: Counter[tuple[str, str]] = Counter()
        self._next_s = self._ledger_s = 0.0
        self._ledgers: dict[str, Ledger] = {}

    def event(self, text: str, **facts: Any) -> None:
        """Count an event of a worker and pass it on, with the stage that it is of."""
        stage = str(facts.get("stage") or str(facts.get("task", "")).partition("@")[0])
        self._events[stage, text] += 1
        self._say(text, **facts if not stage else {"stage": stage, **facts})

    def look(self, workers: Sequence["KafkaWorker"]) -> None:
        """Publish, if it is time; costs about 6 microseconds a task, and the ledgers."""
        if time.monotonic() < self._next_s:
            return
        now, before = self._now_ns(), self.newest
        brokers = self.brokers()
        seen = [_task(running, worker.stage.name, brokers) for worker in workers
                for running in worker.running.values()]  # fmt: skip
        tasks = [running.task for worker in workers for running in worker.running.values()]
        active, idle = _sources(tasks)
        self.newest = Observed(
            now, tuple(seen), brokers, self._look_at_ledgers(tasks), active, idle,
            queued={worker.stage.name: len(worker.producer) for worker in workers},
            owned={worker.stage.name: len(worker.running) for worker in workers},
            written=dict(self._store.written), events=dict(self._events), letters=_letters(workers),
            inquiries=_inquiries(tasks),
        )  # fmt: skip
        self._tell(before, self.newest)
        self._next_s = time.monotonic() + EVERY_S

    def _look_at_ledgers(self, tasks: Sequence[Task]) -> dict[str, Ledger]:
        if time.monotonic() >= self._ledger_s:
            began = time.thread_time()
            self._ledgers = {task.name: ledger_of([task]) for task in tasks}
            spent = time.thread_time() - began
            self._ledger_s = time.monotonic() + min(spent / _LEDGER_SHARE, _LEDGER_S)
        return {task.name: self._ledgers[task.name] for task in tasks if task.name in self._ledgers}

    def _tell(self, before: Observed | None, after: Observed) -> None:
        """Rows that are missing are an error, said once when they are found."""
        known = {task.name: task.counts.get("missing", 0) for task in before.tasks} if before else {}
        for task in after.tasks:
            n = task.counts.get("missing", 0) - known.get(task.name, 0)
            if n > 0 and task.name in known:
                self.event("batches missing", stage=task.stage, task=task.name, n=n)


def _task(running: "Running", stage: str, brokers: BrokersSeen) -> TaskSeen:
    task = running.task
    # The reader was at the end of a partition there, so all before it was handed over or was no record at all.
    at = {place: max(offset, running.ends.get(place, 0)) for place, offset in running.offsets.items()}
    return TaskSeen(
        stage, task.instance, task.through_ns, _is_speaking(task), sum(at.values()),
        sum(max(brokers.ends.get(place, 0) - offset, 0) for place, offset in at.items()),
        len(task.held), dict(task.counts), running.snapshot_ns, running.number,
        running.is_changed, bool(running.paused),
    )  # fmt: skip


def _is_speaking(task: Task) -> bool:
    if task.is_final:
        return False
    if task.stage.makes_time:
        clocks: Mapping[str, Any] = task.state.clocks
        return any(not (c.is_idle or c.is_final) and c.newest_ns for name, c in clocks.items() if name != CLOCK)
    return any(not (mark.idle or mark.final) for mark in task.marks.values())


def _sources(tasks: Iterable[Task]) -> tuple[int, int]:
    """Senders that speak, and those that are idle or at an end, each once."""
    found: dict[str, bool] = {}
    for task in tasks:
        if task.stage.makes_time:
            for name, clock in task.state.clocks.items():
                if name != CLOCK:
                    found[name] = found.get(name, False) or not (clock.is_idle or clock.is_final)
    active = sum(found.values())
    return active, len(found) - active


def _letters(workers: Iterable["KafkaWorker"]) -> dict[tuple[str, str], int]:
    found: Counter[tuple[str, str]] = Counter()
    for worker in workers:
        found.update(worker.letters)
    return dict(found)


def _inquiries(tasks: Iterable[Task]) -> dict[str, int]:
    found: Counter[str] = Counter()
    for task in tasks:
        investigation = getattr(task.state, "investigation", None)
        for questions in investigation.asked.values() if investigation else ():
            found.update(question.reason or "ANSWERED" for question in questions)
    return dict(found)
