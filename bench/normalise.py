"""What normalise costs, from OTLP bytes to bytes of frames: `python -m bench.normalise [--json] [--points N]`.

A row for each number of series and points a message; every series is met for the first time inside the run. Series
speak every 10 s; a message holds ten metrics of one pod, sets of labels below them, several ticks where there are
fewer series than points. CPU time of this process while the stage steps; making the messages does not count.
Compiling is not counted either: it happens once and is cached on disk.
"""

import argparse
import json
import resource
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

import schemas as sc
from schemas.core import NS, Emit, Message
from streams import Normalise, StreamSettings
from streams._otlp_encode import field, request
from streams.sources.otlp_metrics import OtlpMetrics

SERIES, SIZES = (1_000, 10_000, 100_000), (50, 500, 5_000)
METRICS, STEP_S, START = 10, 10, 1_700_000_000 * NS
_T, _V = 0x1122334455667788, 1.2345e-67


class Traffic:
    """All messages of a stretch of time as one buffer, rendered once; times and values are written over."""

    def __init__(self, series: int, size: int) -> None:
        self.series, self.ticks = series, max(1, size // series)
        per = min(series, size)
        bodies = [_message(pod, per, self.ticks) for pod in range(series // per)]
        self.points = series * self.ticks
        self._ends = np.cumsum([len(body) for body in bodies])
        whole = b"".join(bodies)
        self._buffer = np.frombuffer(whole, np.uint8).copy()
        self._t = _places(whole, _T.to_bytes(8, "little"))
        self._v = _places(whole, np.float64(_V).tobytes())
        assert len(self._t) == len(self._v) == self.points
        per_metric = per // METRICS
        order = np.repeat(np.tile(np.arange(self.ticks), METRICS * (series // per)), per_metric)
        self._offset = order * STEP_S * NS

    def at(self, start_ns: int, rng: np.random.Generator) -> list[bytes]:
        """The messages of one stretch, in order."""
        times = (start_ns + self._offset).astype("<i8").view(np.uint8).reshape(-1, 8)
        values = rng.normal(size=self.points).view(np.uint8).reshape(-1, 8)
        self._buffer[self._t[:, None] + np.arange(8)] = times
        self._buffer[self._v[:, None] + np.arange(8)] = values
        starts = [0, *self._ends[:-1].tolist()]
        return [self._buffer[a:b].tobytes() for a, b in zip(starts, self._ends.tolist(), strict=True)]


def _message(pod: int, per: int, ticks: int) -> bytes:
    point = b"\x19" + _T.to_bytes(8, "little") + b"\x21" + np.float64(_V).tobytes()
    metrics = []
    for m in range(METRICS):
        rows = b"".join(
            field(1, point + _label("http.route", f"/api/v1/r{i}") + _label("http.response.status_code", "200"))
            for _ in range(ticks)
            for i in range(per // METRICS)
        )
        body = field(7, rows + b"\x10\x02\x18\x01") if m % 2 else field(5, rows)
        metrics.append(field(2, field(1, f"http.server.metric.{m}".encode()) + field(3, b"ms") + body))
    name = f"checkout-{pod % 50}"
    who = (("service.name", name), ("k8s.pod.name", f"{name}-7d9f8b6c5d-{pod:05d}"))
    return request([(who, metrics)])


def _label(key: str, value: str) -> bytes:
    return field(7, field(1, key.encode()) + field(2, field(1, value.encode())))


def _places(data: bytes, mark: bytes) -> NDArray[np.int64]:
    found, at = [], data.find(mark)
    while at >= 0:
        found.append(at)
        at = data.find(mark, at + 8)
    return np.array(found, np.int64)


def messages(traffic: Traffic, points: int) -> Iterator[list[Message]]:
    """Stretches of messages until at least so many points; received as they were measured."""
    rng, offset = np.random.default_rng(7), 0
    for k in range(-(-points // traffic.points)):
        start = START + k * traffic.ticks * STEP_S * NS
        newest = start + (traffic.ticks - 1) * STEP_S * NS
        found = []
        for body in traffic.at(start, rng):
            found.append(Message(sc.OTLP_METRICS, 0, offset, b"", body, (), newest, newest))
            offset += 1
        yield found


def row(series: int, size: int, points: int, partitions: int = 1) -> dict[str, Any]:
    """CPU seconds a million points, of the whole run and without its first stretch, and what came out."""
    traffic = Traffic(series, size)
    stage = Normalise([OtlpMetrics(fast=True)], StreamSettings(partitions=partitions), fast=True)
    state = stage.initial()
    spent, frames, frame_bytes, records, n = [], 0, 0, 0, 0
    for stretch in messages(traffic, points):
        n += traffic.points
        begin = time.process_time()
        for message in stretch:
            state, out = stage.step(state, message)
            for output in out:
                if isinstance(output, Emit):
                    frames += output.topic == sc.FRAMES
                    records += output.topic == sc.SERIES
                    frame_bytes += len(output.value) if output.topic == sc.FRAMES else 0
        spent.append(time.process_time() - begin)
    assert records == series, f"{records} definitions of {series} series"
    assert state.ledger.counts["samples.decoded"] == n and not state.ledger.reasons
    steady = n - traffic.points
    return {
        "series": series, "points_a_message": size, "points": n, "frames": frames,
        "cpu_s_per_million": round(sum(spent) / n * 1e6, 4),
        "steady_cpu_s_per_million": round(sum(spent[1:]) / steady * 1e6, 4) if steady else None,
        "first_sight_us": round((spent[0] - sum(spent[1:]) / max(steady, 1) * traffic.points) / series * 1e6, 2),
        "bytes_a_point": round(frame_bytes / n, 1),
        "peak_rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description="OTLP bytes to frames")
    parser.add_argument("--json", action="store_true", help="only the JSON line")
    parser.add_argument("--points", type=int, default=10_000_000, help="points a row, at least")
    parser.add_argument("--series", type=int, nargs="*", default=SERIES)
    parser.add_argument("--sizes", type=int, nargs="*", default=SIZES, help="points a message")
    parser.add_argument("--partitions", type=int, default=1)
    arguments = parser.parse_args()
    row(1000, 500, 10_000)  # compiles
    rows = []
    for series in arguments.series:
        for size in arguments.sizes:
            rows.append(row(series, size, arguments.points, arguments.partitions))
            if not arguments.json:
                print(
                    "{series:7} series {points_a_message:5} a message {cpu_s_per_million:8.3f} CPU-s/M "
                    "steady {steady_cpu_s_per_million:8.3f} first sight {first_sight_us:7.2f} us "
                    "{bytes_a_point:5.1f} B/point".format(**rows[-1])
                )
    worst = max(r["cpu_s_per_million"] for r in rows if r["points_a_message"] >= 500)
    print(json.dumps({"bench": "normalise", "worst_cpu_s_per_million": worst, "rows": rows}))


if __name__ == "__main__":
    main()
