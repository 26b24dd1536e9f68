"""Whether a slow hundredth of the requests is found: `python -m bench.tails [--days 4] [--otlp] [--write]`.

Seven made-up services with a classic histogram of Prometheus (thirteen buckets, sum, count), or one of OpenTelemetry
with the same bounds, and a daily rhythm, a sample a minute, through the whole pipeline; in the second half faults of an
hour in which a share of the requests takes ten times as long, and a surge of traffic that harms nobody. Twice: with the
percentile that the windower makes of the buckets, and without. Told: which were found, what was raised beside none.
"""

import argparse
import itertools
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import schemas as sc
from schemas.core import F64, NS, Message
from streams import KIND, SOURCE, _quantiles, _window_state
from streams._columns import KIND as COLUMNS
from streams._columns import encode
from tidegate import _pipeline, _replay
from tidegate._settings import Settings

RESULT = Path(__file__).resolve().parents[1] / "docs/results/tails.json"
END, STEP_S, DAY_S, SLAB = 1_772_409_600, 60, 86_400, 60
LADDER = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 25.0, np.inf)
MEDIAN_S, SIGMA, SLOWER = 0.08, 0.6, 10.0
SERVICES = 7
FAULTS = (("tail", 0.01), ("tail", 0.015), ("tail", 0.03), ("tail", 0.05), ("slow", 0.6), ("surge", 1.6))
"""What, and the share of slow requests, how much slower all are, or how many more there are."""


class Fault(NamedTuple):
    kind: str
    much: float
    service: int
    start_s: int


def faults(days: int) -> list[Fault]:
    span = days * DAY_S // 2 // (len(FAULTS) + 1)
    first = END - days * DAY_S // 2
    return [Fault(kind, much, n, (first + (n + 1) * span) // 60 * 60) for n, (kind, much) in enumerate(FAULTS)]


def _below(bound_s: F64, median_s: F64) -> F64:
    """Share of requests that take at most so long: lognormal, (minutes, buckets)."""
    from scipy.special import ndtr

    found: F64 = ndtr(np.log(bound_s[None, :] / median_s[:, None]) / SIGMA)
    return found


def counted(service: int, t: Any, ill: list[Fault]) -> tuple[F64, F64, F64]:
    """Increases of the buckets (minutes, 13), of the sum, of the count."""
    rng = np.random.default_rng(service)
    rate = (
        (2.0 + service)
        * (1 + 0.5 * np.sin(2 * np.pi * (t / DAY_S + service / 7)))
        * np.exp(rng.normal(0, 0.05, len(t)))
    )
    median, slow = MEDIAN_S * np.exp(rng.normal(0, 0.05, len(t))), np.zeros(len(t))
    for fault in ill:
        on = (t >= fault.start_s) & (t < fault.start_s + 3600)
        rate = rate * (1 + on * fault.much * (fault.kind == "surge"))
        median = median * (1 + on * fault.much * (fault.kind == "slow"))
        slow = slow + on * fault.much * (fault.kind == "tail")
    n = rng.poisson(rate * STEP_S)
    bound = np.array(LADDER)
    below = (1 - slow)[:, None] * _below(bound, median) + slow[:, None] * _below(bound, SLOWER * median)
    per = np.diff(below, axis=1, prepend=0.0)
    made = rng.multinomial(n, per / per.sum(1, keepdims=True)).astype(float)
    middle = np.array([*(np.sqrt(bound[1:-1] * bound[:-2])), 30.0])
    return made.cumsum(1), made @ np.array([0.003, *middle]), n.astype(float)


def otlp(days: int, ill: list[Fault]) -> Iterator[Message]:
    """The same as histograms of an OpenTelemetry SDK, one request a minute."""
    from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

    t = np.arange(END - days * DAY_S, END, STEP_S)
    every = [counted(n, t, [fault for fault in ill if fault.service == n]) for n in range(SERVICES)]
    per = [np.diff(buckets, axis=1, prepend=0.0).cumsum(0).astype(int) for buckets, _, _ in every]
    sums, headers = [total.cumsum() for _, total, _ in every], ((SOURCE, b"bench/metrics"),)
    for i, at in enumerate(t.tolist()):
        told = ExportMetricsServiceRequest()
        for n in range(SERVICES):
            resource = told.resource_metrics.add()
            resource.resource.attributes.add(key="service.name").value.string_value = f"service-{n}"
            metric = resource.scope_metrics.add().metrics.add(name="http.server.request.duration", unit="s")
            metric.histogram.aggregation_temporality = 2
            point = metric.histogram.data_points.add(time_unix_nano=at * NS, count=int(per[n][i].sum()), sum=sums[n][i])
            point.bucket_counts.extend(per[n][i].tolist())
            point.explicit_bounds.extend(LADDER[:-1])
        yield Message(sc.OTLP_METRICS, 0, i, b"", told.SerializeToString(), headers, at * NS, at * NS)
    yield _final(sc.OTLP_METRICS, len(t), int(t[-1]) * NS)


def _final(topic: str, number: int, at: int) -> Message:
    mark = sc.Watermark(stage="source:bench/metrics", through_ns=at, final=True)
    said = sc.emit(topic, mark, id=sc.record_id("watermark", "bench", at), key="", source="bench", event_ns=at)
    return Message(topic, 0, number, said.key, said.value, said.headers, at, at)


def messages(days: int, ill: list[Fault]) -> Iterator[Message]:
    t = np.arange(END - days * DAY_S, END, STEP_S)
    series, columns = list[tuple[dict[str, str], str]](), list[F64]()
    for n in range(SERVICES):
        buckets, total, number = counted(n, t, [fault for fault in ill if fault.service == n])
        of = {"job": f"service-{n}", "instance": f"10.0.0.{n}:80"}
        name = "http_request_duration_seconds"
        for at, bound in enumerate(LADDER):
            le = "+Inf" if np.isinf(bound) else str(bound)
            series.append(({"__name__": f"{name}_bucket", **of, "le": le}, "counter"))
            columns.append(buckets[:, at].cumsum())
        series += [({"__name__": f"{name}_{end}", **of}, "counter") for end in ("sum", "count")]
        columns += [total.cumsum(), number.cumsum()]
    every, number_of = np.array(columns), itertools.count()
    which = np.arange(len(series), dtype=np.int32)
    headers = ((KIND, COLUMNS.encode()), (SOURCE, b"bench/metrics"))
    for first in range(0, len(t), SLAB):
        part = t[first : first + SLAB]
        body = encode(
            series, np.tile(which, len(part)), np.repeat(part * NS, len(which)),
            every[:, first : first + SLAB].T.ravel(),
        )  # fmt: skip
        newest = int(part[-1]) * NS
        yield Message(sc.RAW, 0, next(number_of), b"", body, headers, newest, newest)
    yield _final(sc.RAW, next(number_of), int(t[-1]) * NS)


def looked(days: int, is_otlp: bool) -> dict[str, Any]:
    ill = faults(days)
    run = _replay.replay((otlp if is_otlp else messages)(days, ill), _pipeline.build(Settings()))
    opened = [(i.opened_ns // NS, i) for i in run.incidents.values() if i.state != "merged"]
    rows, used = list[dict[str, Any]](), set[str]()
    for fault in ill:
        name = f"service-{fault.service}"
        mine = [(at, i) for at, i in opened if name in i.services and -60 <= at - fault.start_s < 3600]
        used.update(i.id for _, i in mine)
        after = min((at - fault.start_s for at, _ in mine), default=None)
        rows.append({"fault": f"{fault.kind} {fault.much}", "found": bool(mine), "after_s": after})
    beside = [f"{i.title} at {sc.rfc3339(at * NS)}" for at, i in opened if i.id not in used]
    return {"faults": rows, "raised_beside_none": len(beside), "beside": beside[:5], "cpu_s": round(run.cpu_s, 1)}


def main() -> None:
    parser = argparse.ArgumentParser(description="tails of latency from buckets")
    parser.add_argument("--days", type=int, default=4)
    parser.add_argument("--otlp", action="store_true", help="histograms of OpenTelemetry instead of counters")
    parser.add_argument("--write", action="store_true", help="keep it in docs/results")
    parser.add_argument("--here", choices=("with", "without"), help="one of the two, in this process")
    arguments = parser.parse_args()
    if arguments.here:
        if arguments.here == "without":
            vars(_quantiles)["MOST"] = vars(_window_state)["MOST"] = 0
        print(json.dumps(looked(arguments.days, arguments.otlp)))
        return
    result: dict[str, Any] = {"bench": "tails", "services": SERVICES, "days": arguments.days, "otlp": arguments.otlp}
    for which in ("without", "with"):
        command = [sys.executable, "-m", "bench.tails", "--days", str(arguments.days), "--here", which]
        command += ["--otlp"] if arguments.otlp else []
        made = subprocess.run(command, check=True, capture_output=True, text=True)
        result[which] = json.loads(made.stdout.splitlines()[-1])
        print(json.dumps({which: result[which]}), flush=True)
    if arguments.write:
        place = RESULT.with_stem("tails_otlp") if arguments.otlp else RESULT
        place.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
