"""Control records while telemetry floods in: `python -m bench.flood [--seconds 120] [--json]`.

For two minutes a sender offers telemetry as fast as it can, far more than is processed, so that a backlog lies on the
broker all the time. Meanwhile ten changes a second are written to their topic. Measured is how long each record of a
control topic lies on Kafka before the stage that reads it has it: changes from outside, and the anomalies, incidents
and diagnoses of the stages themselves. Before, every process has seen two million points. Twice: with `diagnose` and
`decide` as processes of their own, and with all stages in one process. The budget is 2 s at the 99th percentile. Kept
in `docs/results/flood.json`.
"""

import argparse
import itertools
import json
import logging
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import schemas as sc
from bench import _steady
from bench._player import Player
from bench._processes import quantile
from schemas.core import NS, Message
from streams import KafkaSettings, real_name
from streams._kafka_client import producer
from streams._kafka_messages import headers_of

ROOT = Path(__file__).resolve().parent.parent
KEPT = ROOT / "docs/results/flood.json"
PARTITIONS = 2
BUDGET_S = 2.0
LAYOUTS = {
    "apart": (("normalise", "derive-logs", "derive-spans", "detect"), ("diagnose",), ("decide",)),
    "together": ((),),
}
"""Stages of each process; all where none is named."""
_EVERY_S, _START_S, _WARM_S, _CALM_S = 0.1, 12.0, 30.0, 10.0
_WARM_TICKS = 200
"""Ticks of all series before the flood: a process compiles its loops when it first sees many points, once."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument("--series", type=int, default=10_000)
    parser.add_argument("--out", type=Path, default=KEPT)
    parser.add_argument("--json", action="store_true")
    told = parser.parse_args()
    logging.disable(logging.CRITICAL)
    sys.path.insert(0, str(ROOT / "tests"))
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True)
    rows = [measure(layout, told.series, told.seconds) for layout in LAYOUTS]
    document = {
        "command": "python -m bench.flood", "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "commit": commit.stdout.strip(), "budget_s": BUDGET_S,
        "is_right": all(row["changes_p99_s"] is not None and row["changes_p99_s"] < BUDGET_S for row in rows),
        "rows": rows,
    }  # fmt: skip
    told.out.parent.mkdir(parents=True, exist_ok=True)
    told.out.write_text(json.dumps(document, indent=1) + "\n")
    if told.json:
        print(json.dumps(document))
    else:
        for row in rows:
            print("\n".join(f"{name:22} {value}" for name, value in row.items()), end="\n\n")
    return 0 if document["is_right"] else 1


def measure(layout: str, series: int, seconds: float) -> dict[str, Any]:
    """One layout. Raises RuntimeError if a process ends by itself."""
    from support.kafka import Cluster
    from support.pipeline import Deployed

    with Cluster(1, heap="768m") as cluster, tempfile.TemporaryDirectory() as name:
        place = Path(name)
        deployed = Deployed(cluster, place, prefix="flood", partitions=PARTITIONS, streams={"idle_after_s": 30})
        probes = [place / f"probe-{n}" for n in range(len(LAYOUTS[layout]))]
        for stages, probe in zip(LAYOUTS[layout], probes, strict=True):
            _start(deployed, stages, probe)
        time.sleep(_START_S)
        start_ns = (time.time_ns() - 48 * 3600 * NS) // _steady.STEP_NS * _steady.STEP_NS
        begin, over = threading.Event(), threading.Event()
        flood = Player(deployed.kafka, _load(series, start_ns, begin, over), start_ns, 1e9)
        changes = Changes(deployed.kafka, flood)
        try:
            flood.start()
            time.sleep(_WARM_S)
            changes.start()
            time.sleep(_CALM_S)
            began, before = time.time(), flood.sent
            begin.set()
            time.sleep(seconds)
            ended, offered = time.time(), flood.sent - before
            if any(process.poll() is not None for process in deployed.processes):
                raise RuntimeError(deployed.logs())
        finally:
            over.set()
            begin.set()
            changes.stop()
            flood.stop()
            deployed.kill()
        return {"layout": layout, "seconds": seconds, **_summary(probes, began, ended, offered, calm_s=_CALM_S)}


def _load(series: int, start_ns: int, begin: threading.Event, over: threading.Event) -> Iterator[Message]:
    """Some ticks at once; when told to begin all that can be sent, until it is over."""
    for message in _steady.gauges(series, start_ns, partitions=PARTITIONS):
        if message.event_ns >= start_ns + _WARM_TICKS * _steady.STEP_NS:
            begin.wait()
        if over.is_set():
            return
        yield message


def _start(deployed: Any, stages: tuple[str, ...], probe: Path) -> None:
    command = [sys.executable, "-m", "bench._probed", str(probe), "run", *stages, "--settings", str(deployed.file)]
    with probe.with_suffix(".log").open("wb") as log:
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        deployed.processes.append(subprocess.Popen(command, stderr=log, stdout=log, env=environment))


class Changes(threading.Thread):
    """Ten changes a second from outside, at the event time that the telemetry has reached."""

    def __init__(self, kafka: KafkaSettings, flood: Player) -> None:
        super().__init__(daemon=True)
        self._kafka, self._flood, self._over = kafka, flood, threading.Event()

    def run(self) -> None:
        sender, topic = producer(self._kafka, linger_ms=0), real_name(sc.CHANGES, self._kafka.prefix)
        for n in itertools.count():
            at = self._flood.event_ns
            entity = sc.Entity(service="nobody", name="nobody").entity_id
            change = sc.Change(
                id=sc.record_id("change", n), entity_id=entity, service="nobody", kind="config", at_ns=at, title=f"#{n}"
            )  # fmt: skip
            emit = sc.emit(sc.CHANGES, change, id=change.id, key=entity, source="bench", event_ns=at)
            sender.produce(topic, emit.value, emit.key, headers=list(headers_of(emit)))
            sender.poll(0)
            if self._over.wait(_EVERY_S):
                break
        sender.flush(10)

    def stop(self) -> None:
        self._over.set()
        if self.is_alive():
            self.join(20)


def _summary(probes: list[Path], began: float, ended: float, offered: int, *, calm_s: float) -> dict[str, Any]:
    """Delays in s by topic, of records written during the flood; of changes also before it."""
    found: dict[str, list[tuple[float, float]]] = {}
    for probe in probes:
        for line in probe.read_text().splitlines():
            topic, wrote, read = line.split()
            found.setdefault(topic, []).append((int(wrote) / 1000, int(read) / 1000))
    processed = sum(began <= read < ended for _, read in found.get(sc.OTLP_METRICS, ()))
    row: dict[str, Any] = {
        "offered_messages": offered, "processed_messages": processed, "ratio": round(offered / max(processed, 1), 1),
    }  # fmt: skip
    names = {
        sc.CHANGES: "changes", sc.ANOMALIES: "anomalies", sc.INCIDENTS: "incidents", sc.DIAGNOSES: "diagnoses",
        sc.OTLP_METRICS: "telemetry",
    }  # fmt: skip
    calm = [read - wrote for wrote, read in found.get(sc.CHANGES, ()) if began - calm_s / 2 <= wrote < began]
    row["changes_before_p99_s"] = _rounded(quantile(calm, 0.99))
    for topic, what in names.items():
        delays = [read - wrote for wrote, read in found.get(topic, ()) if began <= wrote < ended]
        row |= {f"{what}_n": len(delays), f"{what}_p99_s": _rounded(quantile(delays, 0.99))}
    row["changes_max_s"] = _rounded(
        max((r - w for w, r in found.get(sc.CHANGES, ()) if began <= w < ended), default=None)
    )
    return row


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)


if __name__ == "__main__":
    sys.exit(main())
