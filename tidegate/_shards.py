"""`tidegate run`: shard processors on Kafka, as many stages of the pipeline in one process as one likes.

One thread drives them in turn; what one process cannot do, more processes share. A failure that a restart would not
mend is a sentence and an exit code; the supervisor (compose, systemd, Kubernetes) starts the process again.
"""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import schemas as sc
from schemas.core import NS
from streams import KafkaSettings, StagePlan, StreamSettings, plan, still_after_ns
from tidegate import __version__, _pipeline
from tidegate._errors import SettingsError
from tidegate._memory import Trim
from tidegate._observed import MeasuredStore, Observer
from tidegate._settings import Settings

_REST_S = 0.02


@dataclass(frozen=True, slots=True)
class Deployment:
    """The pipeline as it is spread over Kafka. shaped_by: digest of all versions and settings that shape answers."""

    kafka: KafkaSettings
    pipeline: _pipeline.Pipeline
    plans: dict[str, StagePlan]
    partitions: int
    shaped_by: str
    streams: StreamSettings
    """With the number of partitions that there are."""


def deployment(settings: Settings, *, brokers: str = "", prefix: str = "") -> Deployment:
    """Ask the brokers, check the topics, and plan. Raises TransportError, SettingsError and what building raises."""
    from streams._kafka_client import admin  # the extra `kafka` may be absent
    from streams._kafka_probe import probe
    from streams._kafka_topics import is_spread, require

    kafka = settings.kafka.plain(brokers, prefix) if prefix else settings.kafka.plain(brokers)
    probe(kafka)
    first = _pipeline.build(settings, has_investigators=True)
    topics = {topic for stage in first.stages for topic in (*stage.inputs, *stage.outputs)} | {sc.SNAPSHOTS}
    found = require(admin(kafka), kafka, topics)
    counts = {found[topic] for topic in topics if is_spread(sc.TOPICS[topic])}
    if len(counts) != 1:
        raise SettingsError(
            f"telemetry topics have {sorted(counts)} partitions; partition p of one belongs to p of the others",
            where=kafka.brokers, todo="Run `tidegate topics describe`",
        )  # fmt: skip
    partitions = counts.pop()
    spread = settings.model_copy(update={"streams": settings.streams.model_copy(update={"partitions": partitions})})
    pipeline = _pipeline.build(spread, has_investigators=True)
    sources = {topic: found[topic] for stage in pipeline.stages if stage.makes_time for topic in stage.inputs}
    plans = plan(pipeline.stages, sharded=_pipeline.SHARDED, partitions=partitions, sources=sources)
    shaped_by = sc.sha256(sc.canonical(dict(pipeline.versions)))
    return Deployment(kafka, pipeline, plans, partitions, shaped_by, spread.streams.core())


class Shards:
    """The workers of this process. names: stages to run; all if empty."""

    def __init__(
        self, settings: Settings, deployed: Deployment, names: Sequence[str] = (), *, rebuild: bool = False,
        say: Callable[..., None] = lambda event, **facts: None,
    ) -> None:  # fmt: skip
        from streams._kafka_worker import KafkaWorker

        for name in names:
            if name not in _pipeline.ORDER:
                raise SettingsError(f"there is no stage '{name}'", todo=f"Stages: {', '.join(_pipeline.ORDER)}")
        self.deployed, self._trim = deployed, Trim()
        store = MeasuredStore(settings.shards.snapshots)
        self.observer = Observer(store, say)
        self.workers: list[Any] = [
            KafkaWorker(
                deployed.kafka, deployed.plans[stage.name], stage, store, code=__version__,
                shaped_by=deployed.shaped_by, idle_after_ns=round(settings.streams.idle_after_s * NS),
                still_after_ns=still_after_ns(settings.diagnosis.quiet_s),
                snapshot_every_ns=round(settings.shards.snapshot_every_s * NS), is_rebuilt=rebuild,
                say=self.observer.event,
            )
            for stage in deployed.pipeline.stages
            if not names or stage.name in names
        ]  # fmt: skip

    def run(self, stop: threading.Event) -> None:
        """Until told to stop; then snapshot, commit, leave the groups. What is raised leaves without snapshots."""
        try:
            while not stop.is_set():
                self.turn()
            for worker in self.workers:
                worker.close()
        except BaseException as error:
            for worker in self.workers:
                worker.abandon()
            raise self._sentence(error) or error from error

    def _sentence(self, error: BaseException) -> BaseException | None:
        """What librdkafka raised, as a sentence; a fatal error of a producer comes wrapped in a SystemError."""
        from confluent_kafka import KafkaException

        from streams._kafka_errors import kafka_error

        said = error.__cause__ if isinstance(error, SystemError) else error
        return kafka_error(said.args[0], self.deployed.kafka, doing="use") if isinstance(said, KafkaException) else None

    def turn(self) -> int:
        """One poll of each worker; rests a little where nothing came."""
        moved: int = sum(worker.poll(0.0) for worker in self.workers)
        self.observer.look(self.workers)
        self._trim()
        if not moved:
            time.sleep(_REST_S)
        return moved
