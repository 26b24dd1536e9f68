"""Many tasks over partitions in memory, in any order, with crashes: what Kafka does to us, without Kafka."""

import random
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from schemas.core import Emit, Message, Stage
from streams import Place, Task, plan


class Partitions:
    """Topics as lists. What is appended gets the next offset, and nothing more is promised."""

    def __init__(self) -> None:
        self.logs: dict[Place, list[Message]] = {}

    def append(self, emits: Iterable[Emit]) -> None:
        for emit in emits:
            log = self.logs.setdefault((emit.topic, emit.partition), [])
            log.append(Message(
                emit.topic, emit.partition, len(log), emit.key, emit.value, emit.headers, emit.event_ns, emit.event_ns
            ))  # fmt: skip

    def feed(self, messages: Iterable[Message], partitions: int) -> None:
        """Recorded messages of sources, each sender always in the same partition."""
        for message in messages:
            partition = message.partition % partitions
            log = self.logs.setdefault((message.topic, partition), [])
            log.append(message._replace(partition=partition, offset=len(log)))

    def of(self, topic: str) -> list[Message]:
        return [m for (name, _), log in sorted(self.logs.items()) if name == topic for m in log]


class Shards:
    """Every task of every stage, each at its own pace. rng: who goes next, how far, when it is saved and when it dies.

    crash: share of steps after which a task loses all since its last snapshot.
    """

    def __init__(
        self, stages: Sequence[Stage[Any]], *, partitions: int, sources: Mapping[str, int], sharded: frozenset[str],
        rng: random.Random, crash: float = 0.0, save: float = 0.1,
    ) -> None:  # fmt: skip
        self.topics = Partitions()
        self.crashes = 0
        self._rng, self._crash, self._save = rng, crash, save
        self.tasks: list[Task] = []
        self._offsets: list[dict[Place, int]] = []
        plans = plan(stages, sharded=sharded, partitions=partitions, sources=sources)
        for stage in stages:
            made = plans[stage.name]
            for instance, inputs in made.tasks.values():
                writers = {place: made.writers[place] for place in inputs if place in made.writers}
                self.tasks.append(Task.start(stage, writers, partitions, instance=instance, is_numbered=True))
                self._offsets.append(dict.fromkeys(inputs, 0))
        self._saved = [(task.snapshot(), dict(at)) for task, at in zip(self.tasks, self._offsets, strict=True)]

    def silence(self) -> None:
        """Source partitions to which nothing came say so."""
        for task in self.tasks:
            if task.stage.makes_time and not task.through_ns:
                self.topics.append(task.idle(0))

    def run(self) -> None:
        """Until every task has read everything."""
        while waiting := [i for i in range(len(self.tasks)) if self._open(i)]:
            self._step(self._rng.choice(waiting))

    def _open(self, i: int) -> list[Place]:
        return [place for place, at in self._offsets[i].items() if at < len(self.topics.logs.get(place, ()))]

    def _step(self, i: int) -> None:
        task, at = self.tasks[i], self._offsets[i]
        place = self._rng.choice(self._open(i))
        batch = self.topics.logs[place][at[place] :][: self._rng.randint(1, 20)]
        emits = task.take(batch)
        at[place] += len(batch)
        self.topics.append(emits[: self._rng.randint(0, len(emits))] if self._dies() else emits)
        if self._dead:
            self.crashes += 1
            data, offsets = self._saved[i]
            fresh = Task.start(task.stage, task.writers, task.partitions, instance=task.instance, is_numbered=True)
            fresh.restore(data)
            self.tasks[i], self._offsets[i] = fresh, dict(offsets)
        elif self._rng.random() < self._save:
            self._saved[i] = (task.snapshot(), dict(at))

    def _dies(self) -> bool:
        self._dead = self._rng.random() < self._crash
        return self._dead


__all__ = ["Partitions", "Shards"]
