"""Our rows: `tidegate run` as real processes, from the first task that starts to the last anomaly that is flushed.

The end is seen from outside: every task of `detect` has written its final watermark to the anomalies topic, which it
does after what it found. CPU up to the first task is told apart (`startup_cpu_s`): interpreter, imports, joining.
What our detectors do is more than what the peers are asked for: windows of 10, 60 and 120 s that slide by 10 s, a
forecast for each, definitions, ledgers and snapshots; so their anomalies are not the peers'. Counted is
which of the injected faults they found.
"""

import json
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any, NamedTuple

from confluent_kafka import KafkaException, TopicPartition

import schemas as sc
from bench.throughput import _load
from bench.throughput._data import FAULT_TICKS, START, STEP_NS, Workload
from bench.throughput._proc import cpu_s, peak_rss_mb
from streams import KafkaSettings, real_name
from streams._kafka_client import consumer
from streams._kafka_messages import to_message

STAGES = {
    "frames": ("detect",),
    "live": ("detect",),
    "otlp": ("normalise", "derive-logs", "derive-spans", "detect"),
}
_LOOK_S = 0.05


class Found(NamedTuple):
    anomalies: int
    faults: int
    faults_found: int


class _Watch:
    """Reads the anomalies topic of one run from its end on, until all tasks of `detect` have said their last."""

    def __init__(self, brokers: str, prefix: str, work: Workload, ids: list[str]) -> None:
        self._reader = consumer(KafkaSettings(brokers, prefix))
        name = real_name(sc.ANOMALIES, prefix)
        end = _end(self._reader, TopicPartition(name, 0))
        self._reader.assign([TopicPartition(name, 0, end)])
        self._missing = {str(partition) for partition in range(work.partitions)}
        self._work, self._number = work, {identity: number for number, identity in enumerate(ids)}
        self._seen: list[sc.Anomaly] = []

    def is_over(self) -> bool:
        for kafka in self._reader.consume(1000, 0.0):
            if kafka.error() is not None:
                continue
            message = to_message(kafka, sc.ANOMALIES)
            kind = sc.record_type(message)
            if kind == "watermark":
                mark = sc.read(message)
                if isinstance(mark, sc.Watermark) and mark.final:
                    self._missing.discard(mark.instance)
            elif kind == "anomaly":
                record = sc.read(message)
                assert isinstance(record, sc.Anomaly)
                self._seen.append(record)
        return not self._missing

    def close(self) -> Found:
        """A fault counts as found if an anomaly of its series overlaps it."""
        self._reader.close()
        spans: dict[int, list[tuple[int, int]]] = {}
        for anomaly in self._seen:
            number = self._number.get(anomaly.series, -1)
            spans.setdefault(number, []).append((anomaly.start_ns, anomaly.end_ns))
        faults = [(tick, number) for tick, numbers in self._work.faults.items() for number in numbers]
        hits = 0
        for tick, number in faults:
            begin = START + tick * STEP_NS
            end = begin + FAULT_TICKS * STEP_NS
            hits += any(a < end and b > begin for a, b in spans.get(number, ()))
        return Found(len(self._seen), len(faults), hits)


def _end(reader: Any, place: Any) -> int:
    """Offset behind the last record; a topic that was just made has no leader for a moment."""
    for _ in range(50):
        try:
            return int(reader.get_watermark_offsets(place, timeout=10)[1])
        except KafkaException as error:
            reason = error
            time.sleep(0.2)
    raise RuntimeError(f"{place.topic} cannot be read: {reason}")


def measure(
    brokers: str, work: Workload, ids: list[str], *, layout: str, prefix: str, limit_s: float
) -> dict[str, Any]:
    """One run. prefix: of a deployment whose source topics hold the points. Raises RuntimeError with what it said."""
    watch = _Watch(brokers, prefix, work, ids)
    with tempfile.TemporaryDirectory() as place:
        settings = Path(place) / "settings.json"  # JSON is YAML
        settings.write_text(_load.settings(brokers, prefix, Path(place) / "snapshots").model_dump_json(
            include={"kafka": {"brokers", "prefix"}, "streams": {"idle_after_s"}, "shards": {"snapshots"}}
        ))  # fmt: skip
        tidegate = Path(sys.executable).with_name("tidegate")
        command = [str(tidegate), "run", *STAGES[layout], "--settings", str(settings), "--rebuild", "--json"]
        with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as process:
            return _watched(process, watch, work, limit_s)


def _watched(process: "subprocess.Popen[str]", watch: _Watch, work: Workload, limit_s: float) -> dict[str, Any]:
    said: list[str] = []
    started: list[tuple[float, float]] = []

    def listen() -> None:
        assert process.stderr is not None
        for line in process.stderr:
            said.append(line)
            if not started and _event(line) == "task started":
                started.append((cpu_s(process.pid), time.monotonic()))

    ear = threading.Thread(target=listen, daemon=True)
    ear.start()
    over = time.monotonic() + limit_s
    try:
        while not watch.is_over():
            if process.poll() is not None:
                raise RuntimeError(f"tidegate ended with code {process.returncode}: {''.join(said[-5:])}")
            if time.monotonic() > over:
                raise RuntimeError(f"not done after {limit_s:.0f} s; last said: {''.join(said[-3:])}")
            time.sleep(_LOOK_S)
        spent, wall = cpu_s(process.pid), time.monotonic()
        peak = peak_rss_mb(process.pid)
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
    ear.join(5)
    begun_cpu, begun = started[0]
    found = watch.close()
    return {
        "cpu_s": spent - begun_cpu, "startup_cpu_s": begun_cpu, "wall_s": wall - begun, "peak_rss_mb": peak,
        "anomalies": found.anomalies, "faults": found.faults, "faults_found": found.faults_found,
        "points": work.points,
    }  # fmt: skip


def _event(line: str) -> str:
    try:
        return str(json.loads(line).get("event", ""))
    except ValueError:
        return ""
