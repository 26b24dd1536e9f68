"""How fast OTLP metrics become columns: `python -m bench.otlp [--json]`.

One workload, three decoders: ours with numba, ours without, and the loop that one would write with the protobuf
library (labels to a hash, time and value to columns). CPU time of this process, best of several rounds, because other
work on the machine only ever adds. Compiling is not counted: it happens once and is cached on disk.
"""

import argparse
import hashlib
import json
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from schemas.core import Message
from streams.sources.otlp_metrics import OtlpMetrics

POINTS, SERIES, MESSAGES = 1000, 500, 20
METRICS = 10


def workload() -> list[bytes]:
    """20 requests of 1000 points: 10 metrics (gauge, sum) x 50 label sets x 2 times; about 60 bytes a point."""
    rng = np.random.default_rng(7)
    requests = []
    for k in range(MESSAGES):
        request = ExportMetricsServiceRequest()
        resource_metrics = request.resource_metrics.add()
        for key, value in (("service.name", "checkout"), ("k8s.pod.name", "checkout-7d9f8b6c5d-x2k4p")):
            resource_metrics.resource.attributes.add(key=key).value.string_value = value
        scope_metrics = resource_metrics.scope_metrics.add()
        for m in range(METRICS):
            metric = scope_metrics.metrics.add(name=f"http.server.metric.{m}", unit="ms")
            data: Any = metric.sum if m % 2 else metric.gauge
            if m % 2:
                data.aggregation_temporality, data.is_monotonic = 2, True
            for i in range(POINTS // METRICS):
                point = data.data_points.add(time_unix_nano=(1_700_000_000 + 20 * k + 10 * (i // 50)) * 10**9)
                point.as_double = float(rng.random())
                for key, value in (("route", f"/r{i % 50}"), ("code", "200")):
                    point.attributes.add(key=key).value.string_value = value
        requests.append(request.SerializeToString())
    return requests


def loop(data: bytes) -> tuple[Any, Any, Any]:
    """Protobuf and a Python loop to columns; the id is a hash of the labels, kept per label set."""
    ids, times, values = [], [], []
    request = ExportMetricsServiceRequest.FromString(data)
    for resource_metrics in request.resource_metrics:
        resource = tuple((a.key, a.value.string_value) for a in resource_metrics.resource.attributes)
        for scope_metrics in resource_metrics.scope_metrics:
            for metric in scope_metrics.metrics:
                points = metric.gauge.data_points if metric.HasField("gauge") else metric.sum.data_points
                for point in points:
                    labels = tuple((a.key, a.value.string_value) for a in point.attributes)
                    ids.append(_id((resource, metric.name, labels)))
                    times.append(point.time_unix_nano)
                    values.append(point.as_double if point.HasField("as_double") else float(point.as_int))
    return np.array(ids, np.uint64), np.array(times, np.int64), np.array(values)


_IDS: dict[Any, int] = {}


def _id(key: Any) -> int:
    if key not in _IDS:
        _IDS[key] = int.from_bytes(hashlib.blake2b(repr(key).encode(), digest_size=8).digest(), "big")
    return _IDS[key]


def measure(decode: Callable[[bytes], Any], requests: list[bytes], repeat: int, rounds: int) -> dict[str, float]:
    """Points a second and CPU seconds a million points, best round; `repeat` passes over the requests a round."""
    for request in requests:
        decode(request)
    best = min(_round(decode, requests, repeat) for _ in range(rounds))
    cpu_s = best / (repeat * len(requests) * POINTS)
    return {"points_per_s": round(1 / cpu_s), "cpu_s_per_million": round(cpu_s * 1e6, 4)}


def _round(decode: Callable[[bytes], Any], requests: list[bytes], repeat: int) -> float:
    start = time.process_time()
    for _ in range(repeat):
        for request in requests:
            decode(request)
    return time.process_time() - start


def run() -> dict[str, Any]:
    """All rows; raises AssertionError if the two decoders of ours do not agree."""
    requests = workload()
    fast, plain = OtlpMetrics(fast=True), OtlpMetrics(fast=False)
    for request in requests[:2]:
        a, b = fast.decode(_message(request)), plain.decode(_message(request))
        assert all(np.array_equal(x, y) for x, y in zip(a.points, b.points, strict=True)), "decoders differ"
        assert a.definitions == b.definitions and len(b.definitions) == SERIES, "definitions differ"
    rows = {
        "numba": measure(lambda r: fast.decode(_message(r)), requests, repeat=40, rounds=7),
        "plain": measure(lambda r: plain.decode(_message(r)), requests, repeat=1, rounds=5),
        "protobuf_loop": measure(loop, requests, repeat=1, rounds=5),
    }
    ratio = rows["numba"]["points_per_s"] / rows["protobuf_loop"]["points_per_s"]
    bytes_per_point = round(sum(map(len, requests)) / (MESSAGES * POINTS), 1)
    return {"bench": "otlp", "bytes_per_point": bytes_per_point, "rows": rows, "numba_over_loop": round(ratio, 1)}


def _message(value: bytes) -> Message:
    return Message("otlp_metrics", 0, 0, b"", value, (), 0, 0)


def main() -> None:
    parser = argparse.ArgumentParser(description="OTLP decode speed")
    parser.add_argument("--json", action="store_true", help="only the JSON line")
    arguments = parser.parse_args()
    result = run()
    if not arguments.json:
        for name, row in result["rows"].items():
            print(f"{name:14} {row['points_per_s'] / 1e6:8.2f} M points/s {row['cpu_s_per_million']:8.3f} CPU-s/M")
        print(f"numba / protobuf loop: {result['numba_over_loop']}x, {result['bytes_per_point']} bytes a point")
    print(json.dumps(result))


if __name__ == "__main__":
    main()
