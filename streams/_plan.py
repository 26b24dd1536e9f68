"""Which tasks a stage has on Kafka, what each of them reads, and whom it waits for. Pure: numbers of partitions in.

A stage that makes time has one task for each partition of each source topic, so that all it says depends on the order
inside one partition. A sharded stage has one task a partition; the others have one in all. Which process runs a task
is decided by the consumer group: whoever owns the partition that is its token runs it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import schemas as sc
from schemas.core import Stage
from streams._task import Place, writer_of


@dataclass(frozen=True, slots=True)
class StagePlan:
    """Tasks of one stage. tokens: topics that the group subscribes to. tasks: by token, the instance and its inputs.

    writers: by (topic, partition) of the inputs, the tasks that write there.
    """

    stage: str
    tokens: tuple[str, ...]
    tasks: Mapping[Place, tuple[str, tuple[Place, ...]]]
    writers: Mapping[Place, frozenset[str]]
    partitions: int


def plan(
    stages: Sequence[Stage[Any]], *, sharded: frozenset[str], partitions: int, sources: Mapping[str, int]
) -> dict[str, StagePlan]:
    """The plan of every stage by name.

    stages: all of the pipeline, also those that run elsewhere. sharded: names of the sharded ones. partitions: of our
    partitioned topics. sources: source topics that exist, with their partitions.
    """
    tasks = {stage.name: _tasks(stage, stage.name in sharded, partitions, sources) for stage in stages}
    writers: dict[Place, frozenset[str]] = {}
    for stage in stages:
        names = frozenset(writer_of(stage.name, instance) for instance, _ in tasks[stage.name].values())
        for topic in stage.outputs:
            for place in _places(topic, partitions):
                writers[place] = writers.get(place, frozenset()) | names
    found = {}
    for stage in stages:
        read = {place for _, inputs in tasks[stage.name].values() for place in inputs}
        tokens = tuple(dict.fromkeys(topic for topic, _ in tasks[stage.name]))
        awaited = {place: writers[place] for place in sorted(read) if place in writers}
        found[stage.name] = StagePlan(stage.name, tokens, tasks[stage.name], awaited, partitions)
    return found


def _tasks(
    stage: Stage[Any], is_sharded: bool, partitions: int, sources: Mapping[str, int]
) -> dict[Place, tuple[str, tuple[Place, ...]]]:
    if stage.makes_time:
        places = [(topic, n) for topic in stage.inputs for n in range(sources.get(topic, 0))]
        return {place: (f"{place[0]}/{place[1]}", (place,)) for place in places}
    token = stage.inputs[0]
    if is_sharded:
        return {(token, n): (str(n), tuple((topic, n) for topic in stage.inputs)) for n in range(partitions)}
    return {(token, 0): ("0", tuple(place for topic in stage.inputs for place in _places(topic, partitions)))}


def _places(topic: str, partitions: int) -> list[Place]:
    return [(topic, n) for n in range(partitions if sc.TOPICS[topic].partitioned else 1)]
