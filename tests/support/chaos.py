"""Trouble on schedule: processes killed, stopped and doubled, the broker restarted, the network cut, while data flows.

Every stage runs as a process of its own, under a supervisor that starts it again whatever ended it. What is written to
the topics is watched from outside; so is how long a stage is silent after it was killed.
"""

import random
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from confluent_kafka import OFFSET_BEGINNING, TopicPartition
from support.kafka import Cluster
from support.pipeline import Deployed, recorded_shop

import schemas as sc
from schemas.core import Message
from streams import FROM, imbalance, real_name
from streams._kafka_client import consumer
from streams._kafka_messages import to_message
from tidegate._pipeline import ORDER
from tidegate._replay import Run

GONE_S = 4.0
"""How long a cut lasts."""


class Watch(threading.Thread):
    """When each stage wrote: wall time in s of every record in our topics, by stage."""

    def __init__(self, deployed: Deployed) -> None:
        super().__init__(daemon=True)
        self._deployed, self._told = deployed, threading.Event()
        self.wrote: dict[str, list[float]] = {stage: [] for stage in ORDER}
        self.ended = threading.Event()
        """The last stage has said its final mark."""
        self.begun = threading.Event()
        """The last stage has said something."""

    def run(self) -> None:
        kafka = self._deployed.kafka
        reader = consumer(kafka)
        metadata = reader.list_topics(timeout=10).topics
        names = {real_name(t, kafka.prefix): t for t in sc.TOPICS if sc.TOPICS[t].content != "source"}
        reader.assign([
            TopicPartition(real, p, OFFSET_BEGINNING)
            for real in names
            if real in metadata
            for p in metadata[real].partitions
        ])  # fmt: skip
        while not self._told.is_set():
            for raw in reader.consume(500, 0.1):
                if raw.error() is None:
                    self._see(to_message(raw, names[raw.topic() or ""]))
        reader.close()

    def _see(self, message: Message) -> None:
        writer = message.header(FROM).partition("@")[0]
        if sc.record_type(message) == "watermark":
            mark = sc.read(message)
            assert isinstance(mark, sc.Watermark)
            writer = mark.stage
            if writer == ORDER[-1]:
                self.begun.set()
            if writer == ORDER[-1] and mark.final:
                self.ended.set()
        if writer in self.wrote:
            self.wrote[writer].append(message.received_ns / 1e9)

    def silence_s(self, stage: str, since_s: float) -> float | None:
        """From a moment to the stage's next record; None if it wrote nothing any more."""
        return next((at - since_s for at in self.wrote[stage] if at > since_s), None)

    def stop(self) -> None:
        self._told.set()
        self.join()


class Supervised:
    """One process a stage, started again whenever it ends before it is told to."""

    def __init__(self, deployed: Deployed) -> None:
        self._deployed, self._lock = deployed, threading.Lock()
        self.by_stage = {stage: deployed.start(stage) for stage in ORDER}
        self.restarts = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        while not self._over.wait(0.1):
            with self._lock:
                for stage, process in self.by_stage.items():
                    if process.poll() is not None:
                        self._deployed.processes.remove(process)
                        self.by_stage[stage] = self._deployed.start(stage)
                        self.restarts += 1

    def send(self, stage: str, name: signal.Signals) -> None:
        with self._lock:
            self.by_stage[stage].send_signal(name)
            if name is signal.SIGKILL:
                self.by_stage[stage].wait()

    def second(self, stage: str) -> subprocess.Popen[bytes]:
        """Another process of the stage, for a rebalance; not supervised."""
        return self._deployed.start(stage)

    def end(self) -> None:
        """No more restarts; stop all in order, but for who ended a moment ago and was not yet started again."""
        self.let_go()
        for process in self.by_stage.values():
            if process.poll() is not None:
                self._deployed.processes.remove(process)
        self._deployed.stop()

    def let_go(self) -> None:
        """No more restarts; may be called again."""
        self._over.set()
        self._thread.join()


@dataclass(slots=True)
class Report:
    """What became of a run. resume_s: silence of a stage after each kill; wrong: why it is no success, or empty."""

    digest: str
    kills: int
    stops: int
    restarts: int
    cuts: int
    resume_s: list[float] = field(default_factory=list)
    started_again: int = 0
    redelivered: int = 0
    wrong: str = ""


def chaos(
    cluster: Cluster, place: Path, whole: Run, *, prefix: str, minutes: int, seconds: float, kills: int = 0,
    stops: int = 0, restarts: int = 0, cuts: int = 0, seed: int = 1, partitions: int = 2, timeout_s: float = 240,
    on_trouble: Callable[[str], None] = lambda text: None, **more: Any,
) -> Report:  # fmt: skip
    """Play a recorded shop over some seconds and, once something comes out at the end, make trouble; then compare.

    whole: that process's run of `recorded_shop(minutes)`. cuts need a proxied cluster. One node at a time is restarted
    or cut, and all replicas are in sync before the next: with two of three away, no topic takes a write, and how long a
    stage is silent would be the cluster's doing.
    """
    rng, nodes = random.Random(seed), cluster.bootstrap.count(",") + 1
    patience_s = 25 if restarts or cuts else 12  # nor broker nor a busy machine may make the player seem idle
    settings = {"streams": {"idle_after_s": patience_s}, "shards": {"snapshot_every_s": 2}, **more}
    deployed = Deployed(cluster, place, prefix=prefix, partitions=partitions, **settings)
    watch = Watch(deployed)
    watch.start()
    supervised = Supervised(deployed)
    messages = recorded_shop(minutes)
    player = threading.Thread(target=_play, args=(deployed, messages, seconds), daemon=True)
    report = Report("", kills, stops, restarts, cuts)
    until = time.monotonic() + seconds
    troubles = ["kill"] * kills + ["stop"] * stops + ["restart"] * restarts + ["cut"] * cuts
    rng.shuffle(troubles)
    turn = list(ORDER) * (kills // len(ORDER) + 1)
    killed: list[tuple[str, float]] = []
    try:
        player.start()
        if not watch.begun.wait(180):  # code that was never compiled here takes its time
            raise AssertionError("nothing came through\n" + deployed.logs())
        # Where it took long to begin, the troubles come after what was played, but never all within a moment.
        gap = max((until - time.monotonic() - 5) / max(len(troubles), 1), 2.0)
        for what in troubles:
            began = time.monotonic()
            if what == "kill":
                stage = turn.pop(rng.randrange(len(turn)))
                killed.append((stage, time.time()))
                supervised.send(stage, signal.SIGKILL)
            elif what == "stop":
                stage = rng.choice(("normalise", "derive-logs", "detect"))
                extra = supervised.second(stage)
                time.sleep(min(gap, 4.0))
                supervised.send(stage, signal.SIGTERM)
                deployed.processes.remove(extra)
                extra.send_signal(signal.SIGTERM)
                extra.wait(60)
            elif what == "restart":
                cluster.settle()
                number, hard = rng.randint(1, nodes), rng.random() < 0.5
                stage = f"node {number}, {'killed' if hard else 'stopped'}"
                cluster.restart(number, hard=hard)
            else:
                cluster.settle()
                number = rng.randint(1, nodes)
                stage = f"network of node {number}"
                cluster.proxy(number).partition(refuse=rng.random() < 0.5)
                time.sleep(GONE_S)
                cluster.proxy(number).heal()
            on_trouble(f"{what} {stage}")
            time.sleep(max(gap - (time.monotonic() - began), 0.0))
        player.join()
        if not watch.ended.wait(timeout_s):
            report.wrong = "the run did not come to its end\n" + deployed.logs()
        supervised.end()
    finally:
        supervised.let_go()  # else it starts again what is killed here
        deployed.kill()
        watch.stop()
    _judge(report, deployed, whole, watch, killed)
    report.started_again = supervised.restarts
    return report


def _judge(report: Report, deployed: Deployed, whole: Run, watch: Watch, killed: Sequence[tuple[str, float]]) -> None:
    report.digest = deployed.run().digest
    report.resume_s = [s for stage, at in killed if (s := watch.silence_s(stage, at)) is not None]
    if report.wrong:
        return
    ledger, counts = deployed.totals()
    report.redelivered = counts.get("redelivered", 0)
    if report.digest != whole.digest:
        report.wrong = f"digest {report.digest}, expected {whole.digest}"
    elif counts.get("missing", 0):
        report.wrong = f"{counts['missing']} batches are missing"
    elif ledger.dump() != whole.ledger.dump():
        report.wrong = f"ledger {ledger.dump()}, expected {whole.ledger.dump()}"
    elif imbalance(ledger):
        report.wrong = imbalance(ledger)


def _play(deployed: Deployed, messages: Sequence[Message], seconds: float) -> None:
    deployed.play(messages, pause_s=seconds / len(messages))
