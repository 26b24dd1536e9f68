"""Investigators that are stopped, killed and rebalanced in the middle of their work, on a real broker.

Incidents are opened one after the other; the diagnose stage runs here, its time is the clock. Two processes of
investigators answer with a query that takes as long as one says. Again and again one of them is sent SIGTERM or
SIGKILL, or started again, which moves the partition. In the end every incident must have been closed with a diagnosis
or an abstention, and nothing may be pending.

    python -m bench.investigators --times 200 --json [--brokers HOST:PORT] [--query-s 20]
"""

import argparse
import json
import random
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import schemas as sc
from diagnosis import Answer, Context, Diagnose, Finding, Parameters, Settings, Speaks, Suspect, equal_weights
from schemas.core import NS, Emit, Message
from streams import KafkaSettings, Task, kafka, real_name
from streams._kafka_messages import headers_of, to_message

ROOT = Path(__file__).resolve().parent.parent
INPUTS = (sc.ANOMALIES, sc.CHANGES, sc.TOPOLOGY, sc.CALENDAR, sc.ALERTS)


class Named(Parameters):
    service: str
    seconds: float


class Slow:
    """Takes as long as it is told to, then speaks for whoever it was asked about by the length of the name."""

    kind, subsystem, version, about, cost, timeout_s = "slow", "toys", "1", "nothing", 1.0, 120.0
    evidence = {"asked_toy": Speaks("toy", "is broken")}
    parameters: type[Parameters] = Named

    def __init__(self, seconds: float = 20.0) -> None:
        self.seconds = seconds

    def ask(self, suspect: Suspect) -> Named:
        return Named(service=suspect.service, seconds=self.seconds)

    async def run(self, parameters: Parameters, tenant: str, context: Context) -> Answer:
        import asyncio

        assert isinstance(parameters, Named)
        await asyncio.sleep(parameters.seconds)
        strength = 1 / len(parameters.service)
        found = Finding(kind="asked_toy", service=parameters.service, strength=strength, start_ns=0, end_ns=1)
        return Answer(findings=[found])


@dataclass
class Worker:
    """One process of investigators."""

    settings: KafkaSettings
    log: Path
    process: subprocess.Popen[bytes] | None = None
    """None once we have ended it."""

    def start(self) -> None:
        if self.process is None:
            command = [sys.executable, "-m", "bench.investigators", "--worker", "--brokers", self.settings.brokers,
                       "--prefix", self.settings.prefix]  # fmt: skip
            with self.log.open("ab") as out:
                self.process = subprocess.Popen(command, cwd=ROOT, stdout=out, stderr=out)

    def end(self, signal_: signal.Signals = signal.SIGTERM, patience_s: float = 20.0) -> int | None:
        """Send a signal and wait; returns the exit code. One that does not end in time is an error."""
        process, self.process = self.process, None
        if process is None:
            return None
        if process.poll() is not None:
            raise RuntimeError(f"a worker ended by itself with {process.returncode}:\n{self.log.read_text()[-2000:]}")
        process.send_signal(signal_)
        return process.wait(patience_s)


@dataclass
class World:
    """The diagnose stage with the clock for its time; inquiries go to the broker, observations come from there."""

    settings: KafkaSettings
    query_s: float
    out: list[Emit] = field(default_factory=list)
    opened: int = 0
    observed: int = 0

    def __post_init__(self) -> None:
        spans = Settings(deadline_s=3 * self.query_s + 15, quiet_s=4 * self.query_s + 30, revise_s=1)
        stage = Diagnose(equal_weights(), spans, queries={"slow": Slow(self.query_s)}, mode="ask")
        self.task = Task.start(stage, {(topic, 0): frozenset({"clock@"}) for topic in INPUTS}, 1)
        self.producer = kafka.producer(self.settings)
        self.consumer = kafka.consumer(self.settings)
        self.topics = {topic: real_name(topic, self.settings.prefix) for topic in (sc.INQUIRIES, sc.OBSERVATIONS)}
        from confluent_kafka import TopicPartition

        self.consumer.assign([TopicPartition(self.topics[sc.OBSERVATIONS], 0, 0)])
        self.given: list[Message] = []

    def open(self) -> None:
        """Two services that are alike, in a domain of their own."""
        at = time.time_ns() - NS
        for service in ("a", "bb"):
            pointer = sc.EvidencePointer(signal="traces", subject="0" * 16, t_min_ns=at - NS, t_max_ns=at, sha256="s")
            name = f"{service}{self.opened}"
            self.given.append(_message(sc.emit(sc.ANOMALIES, sc.Anomaly(
                id=sc.record_id("anomaly", name), domain=f"d{self.opened}", entity_id=f"default/service/{name}",
                service=name, series=f"{len(service):016x}", name="span.errors", signal="traces", kind="error_ratio",
                detector="t@1", start_ns=at - NS, end_ns=at, unit="1", p_value=1e-9, pointer=pointer, observed=1.0,
                expected=0.0, residual=1.0, direction=1,
            ), id=sc.record_id("anomaly", name), key="d", source="bench", event_ns=at)))  # fmt: skip
        self.opened += 1

    def turn(self) -> None:
        """Take what came, move time to now, write what is said."""
        batch, self.given = self.given, []
        for kafka_message in self.consumer.consume(100, 0.1):
            if kafka_message.error() is None:
                batch.append(to_message(kafka_message, sc.OBSERVATIONS))
                self.observed += 1
        mark = sc.Watermark(stage="clock", instance="", through_ns=time.time_ns())
        marks = [_message(sc.emit(t, mark, id="m", key="m", source="bench", event_ns=mark.through_ns)) for t in INPUTS]
        for emit in self.task.take([*batch, *marks]):
            if emit.topic in self.topics:
                self.producer.produce(self.topics[emit.topic], emit.value, emit.key, headers=headers_of(emit))
            if (
                emit.topic in (sc.INCIDENTS, sc.DIAGNOSES, sc.INQUIRIES)
                and sc.record_type(_message(emit)) != "watermark"
            ):
                self.out.append(emit)
        self.producer.poll(0)

    def run(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self.turn()

    def records(self, kind: type[sc.Record]) -> list[Any]:
        return [record for emit in self.out if isinstance(record := sc.read(_message(emit)), kind)]

    @property
    def is_over(self) -> bool:
        return len({i.id for i in self.records(sc.Incident) if i.state == "closed"}) == self.opened

    def document(self) -> dict[str, Any]:
        """What became of the incidents."""
        incidents = {i.id: i for i in self.records(sc.Incident)}
        last = {d.incident_id: d for d in self.records(sc.Diagnosis)}
        reasons = [u.reason for d in last.values() for u in d.unknown]
        ended = [i for i, record in incidents.items() if record.state == "closed" and i in last]
        return {
            "incidents": self.opened, "ended": len(ended), "without_diagnosis": self.opened - len(ended),
            "pending": reasons.count("PENDING"), "not_answered": reasons.count("NOT_ANSWERED"),
            "failed": len(reasons) - reasons.count("PENDING") - reasons.count("NOT_ANSWERED"),
            "abstained": sum(d.abstained is not None for d in last.values()),
            "asked_again": sum(i.attempt == 2 for i in self.records(sc.Inquiry)), "observations_read": self.observed,
            "counts": dict(self.task.state.counts),
        }  # fmt: skip


def disturb(settings: KafkaSettings, *, times: int, query_s: float, seed: int = 1, logs: Path) -> dict[str, Any]:
    """Disturb the investigators so many times, always while questions are open; then wait for the end."""
    rng = random.Random(seed)
    world = World(settings, query_s)
    workers = [Worker(settings, logs / f"worker-{n}.log") for n in range(2)]
    done = {"SIGTERM": 0, "SIGKILL": 0, "rebalance": 0}
    try:
        for worker in workers:
            worker.start()
        world.run(6)
        for n in range(times):
            world.open()
            world.run(3 + rng.uniform(0.3, 1.0) * query_s)
            worker = workers[n % 2]
            if worker.process is None:
                worker.start()
                done["rebalance"] += 1
                continue
            chosen = signal.SIGKILL if rng.random() < 0.2 else signal.SIGTERM
            worker.end(chosen)
            done[chosen.name] += 1
            if rng.random() < 0.5:
                worker.start()
        for worker in workers:
            worker.start()
        until = time.monotonic() + 8 * query_s + 90
        while not world.is_over and time.monotonic() < until:
            world.run(0.5)
        return {"times": times, "disturbed": done, **world.document()}
    finally:
        for worker in workers:
            if worker.process is not None:
                worker.process.kill()
                worker.process.wait()
        world.consumer.close()


def work(settings: KafkaSettings) -> None:
    """The process that is disturbed."""
    from tidegate._faust import Investigators

    Investigators(settings, ["toys"], {"slow": Slow()}, Context(), at_once=64).run("INFO")


def _message(emit: Emit) -> Message:
    return Message(emit.topic, 0, 0, emit.key, emit.value, emit.headers, emit.event_ns, emit.event_ns)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--times", type=int, default=200)
    parser.add_argument("--query-s", type=float, default=20.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--brokers", default="localhost:9092")
    parser.add_argument("--prefix", default="")
    parser.add_argument("--worker", action="store_true")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    settings = KafkaSettings(asked.brokers, prefix=asked.prefix or f"investigators-{time.time_ns()}", replication=1)
    if asked.worker:
        work(settings)
        return
    kafka.create(kafka.admin(settings), settings, 1)
    logs = Path(tempfile.mkdtemp(prefix="investigators-"))
    found = disturb(settings, times=asked.times, query_s=asked.query_s, seed=asked.seed, logs=logs)
    print(json.dumps(found) if asked.json else "\n".join(f"{key}: {value}" for key, value in found.items()))
    sys.exit(0 if not found["without_diagnosis"] and not found["pending"] else 1)


if __name__ == "__main__":
    main()
