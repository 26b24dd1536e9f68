"""`tidegate topics grow`: more partitions, and the shards moved to them with their state.

Source topics go on taking messages meanwhile; the pipeline stands still for as long as this takes. It must have been
stopped in order, normalise first, so that nothing written for the old partitions is still unread. Every step may be
repeated: a snapshot says for how many partitions it was made, and a process does not start on another.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from confluent_kafka import KafkaException, TopicPartition
from confluent_kafka.cimpl import NewPartitions

import schemas as sc
from detectors import part_of as part_of_detectors
from streams import (
    DeriveLogs,
    SnapshotStore,
    Task,
    TransportError,
    part_of_histograms,
    part_of_logs,
    part_of_windows,
    real_name,
    rows_of,
)
from streams._kafka_client import admin, consumer
from streams._kafka_errors import kafka_error
from streams._kafka_snapshots import Manifests, write_snapshot
from streams._kafka_topics import is_spread
from tidegate import __version__, _pipeline
from tidegate._detecting import Detecting, DetectingState
from tidegate._errors import SettingsError
from tidegate._settings import Settings
from tidegate._shards import Deployment, deployment


@dataclass(frozen=True, slots=True)
class Grown:
    """What was done. tasks: snapshots made."""

    before: int
    after: int
    tasks: int


def grow(
    settings: Settings, partitions: int, *, brokers: str = "", on_step: Callable[[str], None] = lambda text: None
) -> Grown:
    """Raises SettingsError (the number does not fit), TransportError (TASKS_RUNNING, NOT_DRAINED)."""
    deployed = deployment(settings, brokers=brokers)
    store = SnapshotStore(settings.shards.snapshots)
    saved = _saved(deployed, store)
    before = min((more["layout"] for _, _, more in saved.values()), default=deployed.partitions)
    if partitions % before or partitions > settings.streams.core().shards:
        raise SettingsError(
            f"{before} partitions cannot become {partitions}", where="--partitions",
            todo=f"Choose a multiple of {before}, at most {settings.streams.core().shards}, the number of shards",
        )  # fmt: skip
    _check_stopped(deployed)
    _check_drained(deployed, saved)
    on_step(f"{len(saved)} tasks are stopped and have read everything")
    spread = [topic for topic in sorted(sc.TOPICS) if is_spread(sc.TOPICS[topic])]
    if deployed.partitions < partitions:
        wanted = [NewPartitions(real_name(topic, deployed.kafka.prefix), partitions) for topic in spread]
        client = admin(deployed.kafka)
        try:
            for made in client.create_partitions(wanted).values():
                made.result(30)
        except KafkaException as error:
            raise kafka_error(error.args[0], deployed.kafka, doing="adding partitions") from error
        on_step(f"{', '.join(spread)} have {partitions} partitions")
    made_tasks = 0
    for (stage, instance), (task, number, more) in sorted(saved.items()):
        if more["layout"] == partitions:
            continue
        old = int(instance) if stage in _pipeline.SHARDED else 0
        wide = range(old, partitions, before) if stage in _pipeline.SHARDED else (0,)
        for q in reversed(wide):  # the part that keeps the old name last: until then this can be done again
            part = _part(task, q, old, before, partitions, settings)
            offsets = {place: offset for place, offset in more["offsets"].items() if q == old or "/" not in place}
            name = part.instance if stage in _pipeline.SHARDED else instance
            part.instance = name
            write_snapshot(
                deployed.kafka, store, part, number=number + 1, code=__version__, shaped_by=deployed.shaped_by,
                is_clean=True, layout=partitions, offsets=offsets,
            )  # fmt: skip
            made_tasks += 1
    on_step(f"{made_tasks} snapshots made")
    return Grown(before, partitions, made_tasks)


def _saved(deployed: Deployment, store: SnapshotStore) -> dict[tuple[str, str], tuple[Task, int, dict[str, Any]]]:
    """Every task from its newest snapshot, its number, and what the transport keeps with it."""
    found: dict[tuple[str, str], tuple[Task, int, dict[str, Any]]] = {}
    manifests = Manifests(deployed.kafka)
    for stage in deployed.pipeline.stages:
        for instance, newest in manifests.of(stage.name).items():
            task = Task.start(stage, {}, deployed.partitions, instance=instance, is_numbered=True)
            more = task.restore(store.read(newest[0].file, newest[0].sha256))
            if not newest[0].is_clean:
                raise TransportError(
                    f"{task.name} was not stopped cleanly", where=newest[0].file, code="NOT_DRAINED",
                    todo="Start it again, let it work off what waits, stop it with SIGTERM",
                )  # fmt: skip
            found[stage.name, instance] = task, newest[0].number, more
    return found


def _check_stopped(deployed: Deployment) -> None:
    groups = [f"{deployed.kafka.prefix}.{stage.name}" for stage in deployed.pipeline.stages]
    client = admin(deployed.kafka)
    asked = client.describe_consumer_groups(groups)
    busy = [group for group, answer in asked.items() if not answer.exception(30) and answer.result().members]
    if busy:
        raise TransportError(
            f"processes still run in {', '.join(sorted(busy))}", where=deployed.kafka.brokers, code="TASKS_RUNNING",
            todo="Stop them with SIGTERM, those of normalise first, the others when nothing waits any more",
        )  # fmt: skip


def _check_drained(deployed: Deployment, saved: dict[tuple[str, str], tuple[Task, int, dict[str, Any]]]) -> None:
    reader = consumer(deployed.kafka)
    try:
        for (stage, instance), (_, _, more) in saved.items():
            for place, offset in more["offsets"].items():
                topic, partition = place.rsplit("/", 1)
                if sc.TOPICS[topic].content == "source":
                    continue
                real = TopicPartition(real_name(topic, deployed.kafka.prefix), int(partition))
                _, end = reader.get_watermark_offsets(real, timeout=deployed.kafka.timeout_s)
                if is_spread(sc.TOPICS[topic]) and end > offset:
                    raise TransportError(
                        f"{stage}@{instance} has not read {end - offset} records of {place}",
                        where=deployed.kafka.brokers, code="NOT_DRAINED",
                        todo=f"Run `tidegate run {stage}` until nothing waits, then stop it with SIGTERM",
                    )  # fmt: skip
    finally:
        reader.close()


def _part(task: Task, q: int, old: int, before: int, partitions: int, settings: Settings) -> Task:
    """The task q of the new layout, as far as it comes from this one."""
    is_first = q == old
    state = task.state
    if task.stage.name in _pipeline.SHARDED:
        state = _part_of_state(task, q, partitions, settings, is_first)
    part = Task(
        task.stage, task.writers, partitions, state, str(q) if task.stage.name in _pipeline.SHARDED else task.instance,
        is_numbered=True, through_ns=task.through_ns, is_final=task.is_final, is_idle=task.is_idle,
    )  # fmt: skip
    if is_first:
        part.numbers, part.seen = dict(task.numbers), dict(task.seen)
        part.counts, part.held = dict(task.counts), list(task.held)
    for (topic, partition, writer), mark in task.marks.items():
        wide = [partition]
        if is_spread(sc.TOPICS[topic]):
            sharded = task.stage.name in _pipeline.SHARDED
            wide = [q] if sharded else list(range(partition, partitions, before))
        part.marks.update({(topic, p, writer): mark for p in wide})
    return part


def _part_of_state(task: Task, q: int, partitions: int, settings: Settings, is_first: bool) -> Any:
    shards = settings.streams.core().shards

    def wanted(definition: sc.SeriesDef) -> bool:
        return sc.shard_of(definition.tenant, definition.service, shards) % partitions == q

    if isinstance(task.stage, Detecting):
        state: DetectingState = task.state
        rows = rows_of(state.windows.registry, wanted)
        return DetectingState(
            part_of_windows(state.windows, wanted, is_first=is_first),
            part_of_histograms(state.histograms, wanted, is_first=is_first),
            part_of_detectors(state.detect, rows, is_first=is_first),
        )
    assert isinstance(task.stage, DeriveLogs)
    return part_of_logs(
        task.state, lambda service: sc.shard_of("", service, 1 << 20) % partitions == q, is_first=is_first
    )
