"""A look at a real Prometheus with four weeks and known faults in it: `python -m bench.look_real [--write]`.

Debian's server gets 28 days of six metrics of each service, a sample a minute, as blocks made by its own promtool:
daily and weekly rhythm, noise, nine faults and a surge of traffic that harms nobody, half of them with an alert ten
minutes later, and three alerts without a fault. Errors and slowness come at three strengths; silence, a queue and a
leak have no symptom that users feel, and only symptoms open incidents: those are there to show what is missed. Told:
which faults were found and when, which were not, whether the surge was raised, what was raised beside none. A fault is
found if an incident of its service opens while it lasts.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from schemas.core import NS
from tidegate._look import Look, look
from tidegate._look_read import History
from tidegate._settings import Settings

ROOT = Path(__file__).resolve().parents[1]
RESULT = ROOT / "docs/results/look.json"
END, STEP_S, DAY_S = 1_772_409_600, 60, 86_400  # 2026-03-02T00:00:00Z
METRICS = (
    "http_requests_total",
    "http_errors_total",
    "http_request_duration_seconds_sum",
    "http_request_duration_seconds_count",
    "queue_length",
    "memory_bytes",
)
FAULTS = (
    ("errors", "1% to 2%", 0.01), ("errors", "1% to 5%", 0.04), ("errors", "1% to 13%", 0.12),
    ("slow", "by a fifth", 0.2), ("slow", "by 60%", 0.6), ("slow", "2.6 times", 1.6),
    ("silence", "96% of requests gone", 0.96), ("surge", "2.6 times the requests", 1.6),
    ("queue", "3 times as long", 2.0), ("leak", "40% more memory in six hours", 0.4),
)  # fmt: skip


class Fault(NamedTuple):
    """One service is ill in [start_s, end_s)."""

    kind: str
    size: str
    much: float
    service: int
    start_s: int
    end_s: int
    has_alert: bool


def faults(services: int, days: int) -> list[Fault]:
    """In the second half, so that baselines have had time; an hour each, the leak six."""
    found = []
    for n, (kind, size, much) in enumerate(FAULTS):
        start = END - days * DAY_S // 2 + n * (days * DAY_S // 2 - DAY_S) // len(FAULTS) + 7 * 3600 + n * 1800
        start -= start % STEP_S
        lasts_s = (6 if kind == "leak" else 1) * 3600
        found.append(Fault(kind, size, much, n % services, start, start + lasts_s, n % 2 == 0))
    return found


def levels(service: int, t: np.ndarray[Any, Any], ill: list[Fault]) -> dict[str, np.ndarray[Any, Any]]:
    """The six metrics of a service at every time; the first four are counters."""
    rng = np.random.default_rng(service)
    size = 2.0 + service % 11
    rhythm = 1 + 0.5 * np.sin(2 * np.pi * (t / DAY_S + service / 40)) - 0.2 * (t // DAY_S % 7 >= 5)
    rate = size * rhythm * np.exp(rng.normal(0, 0.05, len(t)))
    error_ratio, seconds = np.full(len(t), 0.01), 0.1 * np.exp(rng.normal(0, 0.05, len(t)))
    queue, memory = 10 * size * np.exp(rng.normal(0, 0.1, len(t))), 5e8 * np.exp(rng.normal(0, 0.01, len(t)))
    for fault in ill:
        on, much = (t >= fault.start_s) & (t < fault.end_s), fault.much
        match fault.kind:
            case "errors":
                error_ratio = error_ratio + on * much
            case "slow":
                seconds = seconds * (1 + on * much)
            case "silence":
                rate = rate * (1 - on * much)
            case "surge":
                rate = rate * (1 + on * much)
            case "queue":
                queue = queue * (1 + on * much)
            case "leak":
                memory = memory * (1 + on * much * (t - fault.start_s) / (fault.end_s - fault.start_s))
    count = rng.poisson(np.maximum(rate, 0) * STEP_S)
    errors = rng.binomial(count, np.minimum(error_ratio, 1))
    done = count.cumsum()
    return dict(zip(METRICS, (done, errors.cumsum(), (count * seconds).cumsum(), done, queue, memory), strict=True))


def open_metrics(services: int, days: int, ill: list[Fault]) -> Iterator[str]:
    """The history as OpenMetrics text, metric by metric, and the alerts that fired."""
    t = np.arange(END - days * DAY_S, END, STEP_S)
    every = [levels(n, t, [fault for fault in ill if fault.service == n]) for n in range(services)]
    times = t.tolist()
    for metric in METRICS:
        is_counter = metric in METRICS[:4]
        yield f"# TYPE {metric.removesuffix('_total')} {'counter' if metric.endswith('_total') else 'gauge'}\n"
        for n in range(services):
            name = f'{metric}{{job="shop/service-{n}",instance="10.0.0.{n}:80"}}'
            values = every[n][metric].tolist()
            said = "%s %d %d\n" if is_counter and metric != METRICS[2] else "%s %.6g %d\n"
            said = "%s %.3f %d\n" if metric == METRICS[2] else said
            yield "".join([said % (name, v, at) for v, at in zip(values, times, strict=True)])
    yield "# TYPE ALERTS gauge\n"
    fired = [(f"{f.kind} {f.size}", f.service, f.start_s + 600, f.end_s) for f in ill if f.has_alert]
    fired += [
        (f"nothing-{k}", services - 1 - k, END - (3 + 2 * k) * DAY_S, END - (3 + 2 * k) * DAY_S + 1800)
        for k in range(3)
    ]
    for name, service, start, end in fired:
        labels = f'alertname="{name}",alertstate="firing",severity="critical",job="shop/service-{service}"'
        yield "".join(f"ALERTS{{{labels}}} 1 {at}\n" for at in range(start, end, STEP_S))
    yield "# EOF\n"


def serve(place: Path, text: Iterator[str]) -> tuple[subprocess.Popen[bytes], str]:
    """A server with that history; its process and URL."""
    sys.path.insert(0, str(ROOT / "tests"))
    from support import prometheus as servers
    from support.servers import answers, free_port

    binary = servers.debian()
    with (place / "history").open("w") as file:
        file.writelines(text)
    (place / "prometheus.yml").write_text("global: {}\n")
    command = [str(binary.with_name("promtool")), "tsdb", "create-blocks-from", "openmetrics", "--quiet",
               "--max-block-duration=48h", "history", "data"]  # fmt: skip
    subprocess.run(command, cwd=place, check=True, capture_output=True, timeout=1200)
    (place / "history").unlink()
    address = f"127.0.0.1:{free_port()}"
    options = ["--config.file=prometheus.yml", "--storage.tsdb.path=data", "--storage.tsdb.retention.time=10y"]
    process = subprocess.Popen(
        [str(binary), *options, f"--web.listen-address={address}", "--log.level=error"], cwd=place
    )
    for _ in range(600):
        if answers(f"http://{address}/-/ready"):
            return process, f"http://{address}"
        time.sleep(0.1)
    process.kill()
    raise RuntimeError("Prometheus does not come up")


def judged(seen: Look, ill: list[Fault]) -> dict[str, Any]:
    """Each fault with the incident that found it; what was raised beside none."""
    rows, used = list[dict[str, Any]](), set[int]()
    for fault in ill:
        name = f"service-{fault.service}"
        first_ns, last_ns = (fault.start_s - STEP_S) * NS, fault.end_s * NS
        own = [n for n, f in enumerate(seen.found) if name in f.services and first_ns <= f.start_ns < last_ns]
        used.update(own)
        first = min((seen.found[n].start_ns for n in own), default=None)
        after_s = None if first is None else round(first / NS - fault.start_s)
        rows.append({"fault": f"{fault.kind}, {fault.size}", "found": bool(own), "after_s": after_s})
    harm = [row for row in rows if not row["fault"].startswith("surge")]
    return {
        "faults": rows, "found": sum(row["found"] for row in harm), "of": len(harm),
        "surge_raised": any(row["found"] for row in rows if row not in harm),
        "raised_beside_none": len(seen.found) - len(used),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description="a look at a real Prometheus with known faults")
    parser.add_argument("--services", type=int, default=40)
    parser.add_argument("--days", type=int, default=28)
    parser.add_argument("--write", action="store_true", help="keep it in docs/results")
    arguments = parser.parse_args()
    ill = faults(arguments.services, arguments.days)
    with tempfile.TemporaryDirectory() as place:
        process, url = serve(Path(place), open_metrics(arguments.services, arguments.days, ill))
        try:
            start_ns = (END - arguments.days * DAY_S) * NS
            seen = look(History(url), Settings(), start_ns=start_ns, end_ns=END * NS, step_s=STEP_S, most=100_000)
        finally:
            process.terminate()
            process.wait(30)
    result = {
        "bench": "look", "server": "Debian's Prometheus 2.42", "services": arguments.services, "days": arguments.days,
        "series": len(METRICS) * arguments.services, "samples": seen.samples, "cpu_s": round(seen.cpu_s, 1),
        "wall_s": round(seen.wall_s, 1),
        "alerts_beside_which_nothing_was_raised": sorted(m.name for m in seen.missed), **judged(seen, ill),
    }  # fmt: skip
    if arguments.write:
        RESULT.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result))


if __name__ == "__main__":
    main()
