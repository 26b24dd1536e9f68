"""One shard processor in the process of the test, on topics of its own: the test turns it and says the time."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import yaml
from support.kafka import Cluster

import schemas as sc
from schemas.core import NS
from streams import KafkaSettings, SnapshotStore
from streams._kafka_client import admin, producer
from streams._kafka_topics import create
from streams._kafka_worker import KafkaWorker
from tidegate._settings import Settings
from tidegate._shards import deployment

IDLE_NS = 30 * NS


def own_sources(prefix: str) -> dict[str, str]:
    """Names for the topics of collectors, which have no prefix: else one reads what other tests have sent."""
    return {topic: f"{prefix}.{topic}" for topic in (sc.OTLP_METRICS, sc.OTLP_LOGS, sc.OTLP_SPANS)}


class Bench:
    """Topics of one prefix; `worker` makes processors, `put` writes, `wall_ns` is the time that they are told."""

    def __init__(self, cluster: Cluster, place: Path, prefix: str, *, partitions: int = 1, **kafka: Any) -> None:
        self.place, self.wall_ns = place, 1_767_268_800 * NS
        document = {"kafka": {"brokers": cluster.bootstrap, "prefix": prefix, **kafka}}
        (place / "settings.yaml").write_text(yaml.safe_dump(document))
        self.settings = Settings.read(place / "settings.yaml")
        self.kafka: KafkaSettings = self.settings.kafka.plain()
        create(admin(self.kafka), self.kafka, partitions)
        self.said: list[tuple[str, dict[str, Any]]] = []

    def worker(self, stage: str, *, by: KafkaSettings | None = None, **more: Any) -> KafkaWorker:
        """A processor of this stage, with the rights of `by`; its state lies below `place`."""
        found = deployment(self.settings)
        (core,) = (s for s in found.pipeline.stages if s.name == stage)
        told: dict[str, Any] = {"code": "1.0", "shaped_by": "a", "idle_after_ns": IDLE_NS, **more}
        return KafkaWorker(
            by or self.kafka, found.plans[stage], core, SnapshotStore(str(self.place / "state")),
            now_ns=lambda: self.wall_ns, say=lambda event, **facts: self.said.append((event, facts)), **told,
        )  # fmt: skip

    def fell_silent(self) -> list[str]:
        """Senders that were said to be silent, in order."""
        return [name for event, facts in self.said if event == "source fell silent" for name in facts["sources"]]

    def put_all(self, topic: str, values: Iterable[bytes], *, partition: int = 0, **headers: str) -> None:
        """Write many messages, as `put` does one."""
        named = [(name.replace("_", "-"), text.encode()) for name, text in headers.items()]
        sender = producer(self.kafka)
        for value in values:
            sender.produce(self.kafka.real(topic), value, b"k", partition, headers=named)
        assert sender.flush(120) == 0

    def put(self, topic: str, value: bytes, *, partition: int = 0, **headers: str) -> None:
        """Write one message; headers as `tidegate_source="a"`."""
        self.put_all(topic, [value], partition=partition, **headers)


def turn(worker: KafkaWorker, is_so: Callable[[], bool], turns: int = 2400) -> None:
    """Poll until it is so."""
    for _ in range(turns):
        if is_so():
            return
        worker.poll(0.05)
    raise AssertionError(f"not so after {turns} turns")


def is_at_end(worker: KafkaWorker) -> bool:
    """It has all the tasks there are, and has read all there is."""
    found = worker.running.values()
    return len(found) == len(worker._plan.tasks) and all(len(r.at_end) == len(r.offsets) for r in found)
