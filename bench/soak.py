"""An hour of steady load through all stages, each a process of its own on a real broker: does memory grow?

    make soak            or: python -m bench.soak [--seconds 3600] [--series 10000] [--speed 6] [--json]

`series` gauges every ten seconds of event time and a small shop, played `speed` times as fast as they would come. The
resident memory of every process is sampled each ten seconds; its slope is Theil-Sen's over the last three quarters.
What was measured is kept in `docs/results/soak.json`, each minute and also if the run is interrupted. At the end
everything is stopped, both ledgers must balance and no batch may be missing.
"""

import argparse
import contextlib
import json
import logging
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import schemas as sc
from bench import _steady
from bench._player import Player
from bench._processes import last_part, rss_mib, slope
from bench.throughput._proc import cpu_s
from schemas.core import NS
from streams import imbalance

ROOT = Path(__file__).resolve().parent.parent
KEPT = ROOT / "docs/results/soak.json"
PARTITIONS = 2
SAMPLE_S, KEEP_S, DRAIN_S = 10.0, 60.0, 20.0
LIMIT_MIB_PER_HOUR = 1.0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=3600.0)
    parser.add_argument("--series", type=int, default=10_000)
    parser.add_argument("--speed", type=float, default=6.0, help="event time in wall time")
    parser.add_argument("--out", type=Path, default=KEPT)
    parser.add_argument("--json", action="store_true")
    told = parser.parse_args()
    logging.disable(logging.CRITICAL)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    sys.path.insert(0, str(ROOT / "tests"))
    document: dict[str, Any] = {}
    with contextlib.suppress(KeyboardInterrupt):  # what was measured is kept
        document = soak(told.seconds, told.series, told.speed, told.out)
    if told.json:
        print(json.dumps({name: value for name, value in document.items() if name != "samples"}))
    else:
        for name, value in document.items():
            if name != "samples":
                print(f"{name:22} {value}")
    return 0 if document.get("is_right") else 1


def soak(seconds: float, series: int, speed: float, out: Path) -> dict[str, Any]:
    """Returns what is kept. Raises RuntimeError if a process ends by itself."""
    from support.kafka import Cluster
    from support.pipeline import Deployed

    from tidegate._pipeline import ORDER

    with Cluster(1) as cluster, tempfile.TemporaryDirectory() as place:
        deployed = Deployed(cluster, Path(place), prefix="soak", partitions=PARTITIONS, streams={"idle_after_s": 30})
        run = _Run({stage: deployed.start(stage) for stage in ORDER}, series, speed, out)
        start_ns = (time.time_ns() - round(seconds * speed * NS)) // _steady.STEP_NS * _steady.STEP_NS
        messages = _steady.steady(series, start_ns, partitions=PARTITIONS)
        player = Player(deployed.kafka, messages, start_ns, speed)
        try:
            player.start()
            run.watch(seconds)
            player.stop()
            time.sleep(DRAIN_S)
            deployed.stop()
            ledger, counts = deployed.totals()
            reached = max((m.event_ns for m in deployed.read(sc.ACTIONS)), default=0)
            run.end = {
                "is_complete": True, "event_time_h": round((player.event_ns - start_ns) / NS / 3600, 2),
                "messages": player.sent, "behind_s": round((player.event_ns - reached) / NS, 1),
                "decoded": ledger.counts["samples.decoded"], "imbalance": imbalance(ledger),
                "missing": counts.get("missing", 0), "redelivered": counts.get("redelivered", 0),
            }  # fmt: skip
        finally:
            player.stop()
            run.keep()
            deployed.kill()
    return run.document()


class _Run:
    """What is measured, and kept."""

    def __init__(self, processes: "dict[str, subprocess.Popen[bytes]]", series: int, speed: float, out: Path) -> None:
        self._processes, self._series, self._speed, self._out = processes, series, speed, out
        self.samples: dict[str, list[tuple[float, float]]] = {stage: [] for stage in processes}
        """(seconds, MiB) of each process."""
        self.end: dict[str, Any] = {"is_complete": False}
        self._cpu: dict[str, float] = {}

    def watch(self, seconds: float) -> None:
        began = kept = time.monotonic()
        while (now := time.monotonic()) < began + seconds:
            for stage, process in self._processes.items():
                found = rss_mib(process.pid)
                if process.poll() is not None or found is None:
                    raise RuntimeError(f"{stage} ended with code {process.returncode}")
                self.samples[stage].append((round(now - began, 1), round(found, 2)))
                self._cpu[stage] = cpu_s(process.pid)
            if now - kept >= KEEP_S:
                kept = now
                self.keep()
            time.sleep(max(SAMPLE_S - (time.monotonic() - now), 0.0))

    def keep(self) -> None:
        self._out.parent.mkdir(parents=True, exist_ok=True)
        self._out.write_text(json.dumps(self.document()) + "\n")

    def document(self) -> dict[str, Any]:
        slopes, last = {}, {}
        for stage, points in self.samples.items():
            slopes[stage] = round(slope([(s / 3600, mib) for s, mib in last_part(points)]), 2)
            last[stage] = points[-1][1] if points else None
        commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True)
        is_right = self.end["is_complete"] and max(slopes.values()) < LIMIT_MIB_PER_HOUR
        is_right = is_right and not self.end["imbalance"] and not self.end["missing"]
        return {
            "command": "make soak", "date": time.strftime("%Y-%m-%d", time.gmtime()), "commit": commit.stdout.strip(),
            "series": self._series, "speed": self._speed, "seconds": next(iter(self.samples.values()), [(0, 0)])[-1][0],
            **self.end, "is_right": is_right, "slope_mib_per_hour": slopes, "rss_mib": last,
            "cpu_s": {stage: round(spent, 1) for stage, spent in self._cpu.items()}, "samples": self.samples,
        }  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
