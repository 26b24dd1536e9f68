"""The pipeline on a real broker: topics made, a recorded shop played in, processes started, killed and read."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from confluent_kafka import OFFSET_BEGINNING, TopicPartition
from support.kafka import Cluster

import schemas as sc
from schemas.core import Message
from simulation import BadDeploy, shop
from streams import KafkaSettings, Ledger, MemoryLog, SnapshotStore, Task, real_name, summed
from streams._kafka_client import admin, consumer, producer
from streams._kafka_messages import played_headers, to_message
from streams._kafka_snapshots import Manifests
from streams._kafka_topics import create
from tidegate._pipeline import ledger_of
from tidegate._replay import KEPT, Run, collect
from tidegate._settings import Settings
from tidegate._shards import deployment

START_NS = 1_767_268_800_000_000_000
SOURCES = (sc.OTLP_METRICS, sc.OTLP_LOGS, sc.OTLP_SPANS, sc.RAW)


@cache
def recorded_shop(minutes: int = 7, partitions: int = 2) -> tuple[Message, ...]:
    """A small shop and a bad deploy; a collector deals messages out in turn, each partition ends with a final mark."""
    fault, log = BadDeploy(at_s=60 * (minutes - 3), error_ratio=0.5, innocent_s=60), MemoryLog()
    found: list[Message] = []
    for n, emit in enumerate(shop(5, START_NS, 60 * minutes, fault=fault, rate=10)):
        log.append([emit], writer="shop")
        message = log.read([emit.topic], log.last() - 1, 1)[0].message
        if sc.record_type(message) == "watermark":
            end = sc.Watermark(stage="outside", through_ns=message.event_ns, final=True).to_bytes()
            found += [message._replace(partition=p, value=end) for p in range(partitions)]
        else:
            found.append(message._replace(partition=n // 3 % partitions))
    return tuple(found)


class Deployed:
    """Topics of one prefix on a cluster, and the processes that run there."""

    def __init__(self, cluster: Cluster, place: Path, *, prefix: str, partitions: int, **more: Any) -> None:
        self.place = place
        self._document: dict[str, Any] = {
            "streams": {"partitions": partitions, "idle_after_s": 6},
            "shards": {"snapshots": str(place / "state"), "snapshot_every_s": 2},
            "kafka": {"brokers": cluster.bootstrap, "prefix": prefix},
        }
        self.file = place / "settings.yaml"
        self.settle(**more)
        self.settings = Settings.read(self.file)
        self.kafka: KafkaSettings = self.settings.kafka.plain()
        create(admin(self.kafka), self.kafka, partitions)
        self.processes: list[subprocess.Popen[bytes]] = []
        self._files: dict[int, Path] = {}
        self._started = 0

    def settle(self, **more: Any) -> None:
        """Settings of the processes that start from now on, section by section."""
        for section, values in more.items():
            self._document.setdefault(section, {}).update(values)
        self.file.write_text(yaml.safe_dump(self._document))

    def play(self, messages: Iterable[Message], *, pause_s: float = 0.0) -> None:
        """Produce recorded source messages into their partitions, as a player does."""
        sender = producer(self.kafka)
        for message in messages:
            sender.produce(
                real_name(message.topic, self.kafka.prefix), message.value, message.key, message.partition,
                headers=list(played_headers(message)),
            )  # fmt: skip
            sender.poll(0)
            if pause_s:
                time.sleep(pause_s)
        assert sender.flush(120) == 0

    def start(self, *stages: str) -> subprocess.Popen[bytes]:
        """A process of `tidegate run`."""
        self._started += 1
        file = self.place / f"process-{self._started:03d}.log"
        log = file.open("wb")
        command = [sys.executable, "-m", "tidegate", "run", *stages, "--settings", str(self.file), "--json"]
        process = subprocess.Popen(command, stderr=log, stdout=log, env={**os.environ, "PYTHONPATH": os.getcwd()})
        self._files[process.pid] = file
        self.processes.append(process)
        return process

    def stop(self) -> None:
        """SIGTERM to all; a process that ends otherwise than cleanly is a failure."""
        for process in self.processes:
            self._terminate(process)
        codes = [process.wait(120) for process in self.processes]
        assert codes == [0] * len(codes), f"{codes}\n{self.logs()}"

    def kill(self) -> None:
        for process in self.processes:
            process.kill()
            process.wait()
        self.processes.clear()

    def logs(self) -> str:
        return "\n".join(path.read_text()[-3000:] for path in sorted(self.place.glob("process-*.log")))

    def read(self, topic: str) -> list[Message]:
        """Everything in a topic."""
        reader = consumer(self.kafka)
        real = real_name(topic, self.kafka.prefix)
        partitions = reader.list_topics(real).topics[real].partitions
        reader.assign([TopicPartition(real, p, OFFSET_BEGINNING) for p in partitions])
        found, ended = [], 0
        while ended < len(partitions):
            for kafka in reader.consume(500, 0.05):
                if kafka.error() is None:
                    found.append(to_message(kafka, topic))
                else:
                    ended += 1
        reader.close()
        return found

    def run(self) -> Run:
        """Incidents, diagnoses and actions so far, each once."""
        run = Run()
        collect(run, [message for topic in KEPT for message in self.read(topic)])
        return run

    def wait(self, is_done: Callable[[Run], bool], timeout_s: float = 240) -> Run:
        """Wait until the decide stage has ended everything; raises with the logs of the processes otherwise."""
        until = time.monotonic() + timeout_s
        while time.monotonic() < until:
            if is_done(self.run()):
                return self.run()
            dead = [process for process in self.processes if process.poll() not in (None, 0, -signal.SIGKILL)]
            assert not dead, self.logs()
            time.sleep(0.3)
        raise AssertionError(f"not done after {timeout_s} s:\n{self.logs()}")

    def has_ended(self, stage: str = "decide") -> bool:
        """The last stage, or who publishes, has said the final mark."""
        marks = [sc.read(m) for m in self.read(sc.ACTIONS) if sc.record_type(m) == "watermark"]
        return any(isinstance(mark, sc.Watermark) and mark.final and mark.stage == stage for mark in marks)

    def end(self, process: subprocess.Popen[bytes]) -> None:
        """SIGTERM to one, which must end cleanly."""
        self._terminate(process)
        assert process.wait(120) == 0, self.logs()
        self.processes.remove(process)

    def file_of(self, process: subprocess.Popen[bytes]) -> Path:
        """What it wrote, to both outputs."""
        return self._files[process.pid]

    def _terminate(self, process: subprocess.Popen[bytes]) -> None:
        """SIGTERM, once it is far enough to hear it: Python itself dies of one."""
        file = self.file_of(process)
        self.wait_until(lambda: process.poll() is not None or b'"process started"' in file.read_bytes())
        process.send_signal(signal.SIGTERM)

    def waits(self, stage: str) -> int:
        """Records of its telemetry inputs that a stage has not committed as read."""
        deployed = deployment(self.settings)
        inputs = [place for _, places in deployed.plans[stage].tasks.values() for place in places]
        reader = consumer(self.kafka, group=f"{self.kafka.prefix}.{stage}")
        asked = [TopicPartition(real_name(topic, self.kafka.prefix), p) for topic, p in inputs]
        left = 0
        for place in reader.committed(asked, 10):
            _, end = reader.get_watermark_offsets(TopicPartition(place.topic, place.partition), timeout=10)
            left += end - max(place.offset, 0)
        reader.close()
        return left

    def through_ns(self, stage: str) -> int:
        """Event time that a stage has said it reached."""
        topic = next(s for s in deployment(self.settings).pipeline.stages if s.name == stage).outputs[0]
        marks = [sc.read(m) for m in self.read(topic) if sc.record_type(m) == "watermark"]
        return max((m.through_ns for m in marks if isinstance(m, sc.Watermark) and m.stage == stage), default=0)

    def wait_until(self, is_so: Callable[[], bool], timeout_s: float = 240) -> None:
        until = time.monotonic() + timeout_s
        while not is_so():
            assert time.monotonic() < until, self.logs()
            time.sleep(0.3)

    def totals(self) -> tuple[Ledger, dict[str, int]]:
        """Both ledgers and the counts of all tasks, from their newest snapshots."""
        deployed, store = deployment(self.settings), SnapshotStore(self.settings.shards.snapshots)
        ledgers: list[Ledger] = []
        counts: dict[str, int] = {}
        for stage in deployed.pipeline.stages:
            for instance, manifests in Manifests(self.kafka).of(stage.name).items():
                task = Task.start(stage, {}, deployed.partitions, instance=instance)
                task.restore(store.read(manifests[0].file, manifests[0].sha256))
                ledgers.append(ledger_of([task]))
                for what, n in task.counts.items():
                    counts[what] = counts.get(what, 0) + n
        return summed(ledgers), counts
