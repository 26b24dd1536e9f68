"""Resident memory of one process that runs every stage over many series: `python -m bench.memory [--series 100000]`.

Gauges of `series` series and a small shop are played on a real broker, every ten seconds of event time, `speed` times
as fast as they would come, for `minutes` of event time; the process reads until it has caught up. Reported are the
resident memory at the end, its highest after the first fifth (definitions of all series have come and gone by then;
snapshots are in it), and the budget of 600 MB at 100,000 series.
"""

import argparse
import itertools
import json
import logging
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import schemas as sc
from bench import _steady
from bench._player import Player
from bench._processes import rss_mib
from bench.throughput._proc import cpu_s, peak_rss_mb
from schemas.core import NS

ROOT = Path(__file__).resolve().parent.parent
KEPT = ROOT / "docs/results/memory.json"
PARTITIONS = 4
BUDGET_MB = 600
"""Of a million bytes each."""
_SAMPLE_S = 2.0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--series", type=int, default=100_000)
    parser.add_argument("--minutes", type=float, default=20.0, help="of event time")
    parser.add_argument("--speed", type=float, default=10.0)
    parser.add_argument("--out", type=Path, default=KEPT)
    parser.add_argument("--json", action="store_true")
    told = parser.parse_args()
    logging.disable(logging.CRITICAL)
    sys.path.insert(0, str(ROOT / "tests"))
    document = measure(told.series, told.minutes, told.speed)
    told.out.parent.mkdir(parents=True, exist_ok=True)
    told.out.write_text(json.dumps(document) + "\n")
    if told.json:
        print(json.dumps(document))
    else:
        for name, value in document.items():
            print(f"{name:20} {value}")
    return 0 if document["is_right"] else 1


def measure(series: int, minutes: float, speed: float) -> dict[str, Any]:
    """Returns what is kept. Raises RuntimeError if the process ends or never catches up."""
    from support.kafka import Cluster
    from support.pipeline import Deployed

    with Cluster(1, heap="768m") as cluster, tempfile.TemporaryDirectory() as place:
        deployed = Deployed(cluster, Path(place), prefix="memory", partitions=PARTITIONS, streams={"idle_after_s": 30})
        process = deployed.start()
        start_ns = (time.time_ns() - round(minutes * 60 * NS)) // _steady.STEP_NS * _steady.STEP_NS
        end_ns = start_ns + round(minutes * 60 * NS)
        load = _steady.steady(series, start_ns, partitions=PARTITIONS)
        bounded = itertools.takewhile(lambda message: message.event_ns < end_ns, load)
        player = Player(deployed.kafka, bounded, start_ns, speed)
        samples: list[tuple[float, int]] = []
        try:
            player.start()
            over = time.monotonic() + minutes * 60 / speed * 5 + 120
            reached = 0
            while reached < end_ns - 60 * NS:
                time.sleep(_SAMPLE_S)
                if process.poll() is not None or time.monotonic() > over:
                    raise RuntimeError(f"not at its end:\n{deployed.logs()}")
                samples.append((round((player.event_ns - start_ns) / NS / 60, 2), _mb(process.pid)))
                reached = max((m.event_ns for m in deployed.read(sc.ACTIONS)), default=0)
            last, peak, spent = _mb(process.pid), round(peak_rss_mb(process.pid) * 1.048576), cpu_s(process.pid)
            deployed.stop()
            counts = deployed.totals()[0].counts
        finally:
            player.stop()
            deployed.kill()
    highest = max(mb for minute, mb in samples if minute >= minutes / 5)
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True)
    return {
        "command": "python -m bench.memory", "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "commit": commit.stdout.strip(), "series": series, "event_minutes": minutes, "speed": speed,
        "decoded": counts["samples.decoded"], "cpu_s": round(spent, 1), "rss_mb": last, "highest_mb": highest,
        "peak_with_start_mb": peak, "budget_mb": BUDGET_MB, "is_right": highest <= BUDGET_MB, "samples": samples,
    }  # fmt: skip


def _mb(pid: int) -> int:
    return round((rss_mib(pid) or 0.0) * 1.048576)


if __name__ == "__main__":
    sys.exit(main())
