"""Is a process well? A verdict from two looks at it, some time apart. Pure: the clock is an argument.

Not well is: the thread that works does not turn; a task has something to read and does not move; brokers do not answer;
work is not saved; or the time of a task stays behind while its sources speak, so what it says is old news. Only the
first, second and fourth are mended by a restart: a liveness probe that asked more would kill processes that are merely
catching up.
"""

import threading
from collections import deque
from dataclasses import dataclass
from typing import Any

from schemas.core import NS
from tidegate._observed import Observed

SILENT, STUCK, AWAY, UNSAVED = "WORKER_SILENT", "TASK_STUCK", "BROKERS_AWAY", "SNAPSHOT_OVERDUE"
OLD, UNASSIGNED, STARTING = "WATERMARK_OLD", "NO_TASKS", "STARTING"
CODES = (SILENT, STUCK, AWAY, UNSAVED, OLD)
MENDED_BY_RESTART = frozenset({SILENT, STUCK, UNSAVED})


@dataclass(frozen=True, slots=True)
class Limits:
    """In seconds. stalled: without any progress. watermark_age: of a task whose sources speak. away: brokers. unsaved:
    since the last snapshot of a task that works.
    """

    stalled_s: float = 60.0
    watermark_age_s: float = 180.0
    away_s: float = 30.0
    unsaved_s: float = 180.0


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a process is not well. task: empty if it is the process as a whole."""

    code: str
    what: str
    task: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    reasons: tuple[Reason, ...] = ()

    @property
    def is_healthy(self) -> bool:
        return not self.reasons

    @property
    def is_alive(self) -> bool:
        """False if a restart would help."""
        return not any(reason.code in MENDED_BY_RESTART for reason in self.reasons)

    def document(self) -> dict[str, Any]:
        found = [{"code": r.code, "what": r.what, **({"task": r.task} if r.task else {})} for r in self.reasons]
        return {"status": "ok" if self.is_healthy else "failing", "reasons": found}


def verdict(before: Observed, after: Observed, now_ns: int, limits: Limits) -> Verdict:
    """before, after: the same process at two times; whether a task is stuck shows once they are `stalled_s` apart.

    >>> verdict(Observed(0), Observed(61 * NS), 200 * NS, Limits()).reasons[0].code
    'WORKER_SILENT'
    """
    reasons: list[Reason] = []
    silent_s = (now_ns - after.at_ns) / NS
    if silent_s > limits.stalled_s:
        reasons.append(Reason(SILENT, f"the thread that works has not turned for {silent_s:.0f} s"))
    if after.brokers.reason and (away_s := (now_ns - after.brokers.answered_ns) / NS) > limits.away_s:
        reasons.append(Reason(AWAY, f"no broker has answered for {away_s:.0f} s: {after.brokers.reason}"))
    apart_s = (after.at_ns - before.at_ns) / NS
    earlier = {task.name: task for task in before.tasks}
    for task in after.tasks:
        was = earlier.get(task.name)
        is_still = was and was.lag and task.lag and task.passed == was.passed and not task.is_waiting
        if is_still and apart_s >= limits.stalled_s:
            what = f"nothing read for {apart_s:.0f} s, {task.lag} records wait"
            reasons.append(Reason(STUCK, what, task.name))
        unsaved_s = (after.at_ns - task.snapshot_ns) / NS
        if task.is_changed and unsaved_s > limits.unsaved_s:
            reasons.append(Reason(UNSAVED, f"no snapshot for {unsaved_s:.0f} s", task.name))
        age_s = (after.at_ns - task.through_ns) / NS
        if task.is_speaking and task.through_ns and age_s > limits.watermark_age_s:
            reasons.append(Reason(OLD, f"event time is {age_s:.0f} s old", task.name))
    return Verdict(tuple(reasons))


def readiness(found: Verdict, after: Observed) -> Verdict:
    """The same, and at least one task is ours; a process that stands by is not ready."""
    if after.tasks:
        return found
    return Verdict((*found.reasons, Reason(UNASSIGNED, "the group has given this process no task")))


class Watched:
    """Keeps what is needed of the past: looks, some seconds apart, back to one that is `stalled_s` old. Any thread."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._kept: deque[Observed] = deque()
        self._lock = threading.Lock()

    def verdict(self, newest: Observed | None, now_ns: int) -> Verdict:
        """What is to be said now. newest: None before the first turn."""
        if newest is None:
            return Verdict((Reason(STARTING, "the process has not turned yet"),))
        stalled_ns = self._limits.stalled_s * NS
        with self._lock:
            if not self._kept or newest.at_ns - self._kept[-1].at_ns >= stalled_ns / 10:
                self._kept.append(newest)
            while len(self._kept) > 1 and newest.at_ns - self._kept[1].at_ns >= stalled_ns:
                self._kept.popleft()
            before = self._kept[0]
        return verdict(before, newest, now_ns, self._limits)
