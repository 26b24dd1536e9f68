"""The engine: drives stages over one log with one total order, live or replayed.

It is generic over `schemas.core.Stage`; which stages there are is decided by `tidegate/`. Each stage reads its topics
in the log's order; what it says is appended before the next record is read. All that concerns time is in `_task`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import schemas as sc
from schemas.core import Stage
from streams._log import Log
from streams._task import Place, Task, writer_of

SOURCES = "outside"
"""The writer of raw topics: gateways, importers, recordings."""


@dataclass(slots=True)
class Runner:
    """One task with its place in the log.

    is_batched: time moves once a poll instead of once a mark. Faster, the same answers, but other marks are written:
    so only over a log from which nothing is restored by counting.
    """

    task: Task
    is_batched: bool = False
    after: int = 0
    """Sequence of the last record read."""
    produced: int = 0
    """Records appended so far; what the log already holds beyond this is not written again."""

    @property
    def stage(self) -> Stage[Any]:
        return self.task.stage

    @property
    def state(self) -> Any:
        return self.task.state

    @property
    def through_ns(self) -> int:
        return self.task.through_ns

    @property
    def refused(self) -> dict[str, int]:
        return self.task.refused

    def poll(self, log: Log, limit: int = 256) -> int:
        """Read up to `limit` records, step the stage, append what it says. Returns how many records were read."""
        batch = log.read(self.stage.inputs, self.after, limit)
        if self.is_batched:
            emits = self.task.take(stored.message for stored in batch)
            if emits:
                log.append(emits, writer=self.stage.name)
            self.after = batch[-1].sequence if batch else self.after
            return len(batch)
        for stored in batch:
            emits = self.task.take((stored.message,))
            already = log.written(self.stage.name) - self.produced
            self.produced += len(emits)
            if already < len(emits):
                log.append(emits[max(already, 0) :], writer=self.stage.name)
            self.after = stored.sequence
        return len(batch)

    def snapshot(self) -> bytes:
        """Everything needed to go on: the task, and its place in the log."""
        return self.task.snapshot(after=self.after, produced=self.produced)

    def restore(self, data: bytes) -> None:
        """Go on from a snapshot of the same stage. Raises SnapshotError."""
        place = self.task.restore(data)
        self.after, self.produced = place["after"], place["produced"]


class Engine:
    """All stages of one process over one log.

    outside: tasks that write topics without running here (`stage` or `stage@instance`, by topic), for a replay that
    begins behind the first stage.
    """

    def __init__(
        self, log: Log, stages: Sequence[Stage[Any]], *, partitions: int = 1,
        outside: Mapping[str, Sequence[str]] | None = None, is_batched: bool = False,
    ) -> None:  # fmt: skip
        self.log = log
        writers = writers_of(stages, partitions, outside or {})
        self.runners = [
            Runner(Task.start(stage, only(writers, stage), partitions), is_batched=is_batched) for stage in stages
        ]

    def run(self, limit: int = 256) -> int:
        """Drive every stage until none finds anything new; returns how many records were read."""
        total = 0
        while True:
            moved = sum(runner.poll(self.log, limit) for runner in self.runners)
            if not moved:
                return total
            total += moved

    @property
    def through_ns(self) -> int:
        """Event time that the last stage has reached."""
        return min((runner.through_ns for runner in self.runners if not runner.stage.makes_time), default=0)


def writers_of(
    stages: Sequence[Stage[Any]], partitions: int, outside: Mapping[str, Sequence[str]]
) -> dict[Place, frozenset[str]]:
    """Who writes each (topic, partition), where every stage is one task."""
    names: dict[str, set[str]] = {
        topic: {name if "@" in name else writer_of(name, "") for name in found} for topic, found in outside.items()
    }
    for stage in stages:
        for topic in stage.outputs:
            names.setdefault(topic, set()).add(writer_of(stage.name, ""))
    return {
        (topic, partition): frozenset(found)
        for topic, found in names.items()
        for partition in range(partitions if sc.TOPICS[topic].partitioned else 1)
    }


def only(writers: Mapping[Place, frozenset[str]], stage: Stage[Any]) -> dict[Place, frozenset[str]]:
    """The part of `writers` that a stage reads."""
    return {place: names for place, names in writers.items() if place[0] in stage.inputs}
