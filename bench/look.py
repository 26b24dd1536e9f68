"""How long `tidegate look` takes until its first page: `python -m bench.look --series 5000 --days 1`.

A server in another process speaks Prometheus' API over made-up counters and gauges of services with a daily rhythm;
three faults are put in, each with an alert ten minutes later. Printed: seconds until the page, CPU of this process,
samples, what was found beside the alerts and what else was raised.
"""

import argparse
import json
import math
import multiprocessing as mp
import time
from pathlib import Path

import numpy as np
from support.prometheus_api import FakePrometheus, Level, serving

from schemas.core import NS
from tidegate._look import look
from tidegate._look_page import page
from tidegate._look_read import History
from tidegate._settings import Settings

END = 1_772_409_600  # 2026-03-02T00:00:00Z
_METRICS = ("http_requests_total", "http_errors_total", "queue_length", "memory_bytes", "cpu_seconds_total")
_TABLE = np.random.default_rng(7).normal(size=1 << 20).tolist()


def _noise(seed: int, t: float) -> float:
    found: float = _TABLE[(seed * 7919 + int(t) // 10) & ((1 << 20) - 1)]
    return found


def _level(metric: str, seed: int, fault: tuple[float, float] | None) -> Level:
    size = 1 + seed % 13

    def level(t: float) -> float:
        day = 1 + 0.5 * math.sin(t / 86_400 * 2 * math.pi)
        ill = 0.0 if fault is None else max(0.0, min(t, fault[1]) - fault[0])
        if metric.endswith("_total"):
            rate = size * (0.02 if "errors" in metric else 2.0)
            whole = rate * (t - END) + rate * 0.5 * 86_400 / (2 * math.pi) * -math.cos(t / 86_400 * 2 * math.pi)
            return 1e9 + whole + rate * 8 * _noise(seed, t) + (3.0 * ill if "errors" in metric else 0.0)
        return 100 * size * day + size * 5 * _noise(seed, t)

    return level


def serve(services: int, days: float, pipe: "mp.connection.Connection[str, str]") -> None:
    """Serve until told to stop."""
    series, faults = [], {}
    for n, share in enumerate((0.7, 0.8, 0.9)):
        at = END - days * 86_400 * (1 - share)
        faults[services // (n + 2)] = (at, at + 1800)
    for seed in range(services):
        labels = {"job": f"shop/service-{seed}", "instance": "10.0.0.1:80"}
        for metric in _METRICS:
            series.append(({"__name__": metric, **labels}, _level(metric, seed, faults.get(seed))))
    for seed, (first, last) in faults.items():
        labels = {
            "__name__": "ALERTS",
            "alertname": f"Errors{seed}",
            "alertstate": "firing",
            "job": f"shop/service-{seed}",
        }
        series.append((labels, lambda t, a=first + 600, b=last: 1.0 if a <= t < b else None))
    with serving(FakePrometheus(series, {m: "counter" for m in _METRICS if m.endswith("_total")})) as url:
        pipe.send(url)
        pipe.recv()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--series", type=int, default=5_000)
    parser.add_argument("--days", type=float, default=1.0)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    ours, theirs = mp.Pipe()
    process = mp.get_context("fork").Process(
        target=serve, args=(arguments.series // len(_METRICS), arguments.days, theirs)
    )
    process.start()
    try:
        history = History(ours.recv())
        began = time.monotonic()
        start_ns = int((END - arguments.days * 86_400) * NS)
        seen = look(history, Settings(), start_ns=start_ns, end_ns=END * NS, step_s=60, most=arguments.series)
        text = page(seen, where="bench")
        wall_s = time.monotonic() - began
    finally:
        ours.send("stop")
        process.join(10)
        process.kill()
    document = seen.document()
    del document["found"], document["missed"]
    print(json.dumps({**document, "page_bytes": len(text), "wall_s": round(wall_s, 1)}))
    if arguments.out:
        arguments.out.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
