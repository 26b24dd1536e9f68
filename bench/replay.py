"""Replay speed: `event_time_s / cpu_s` of 1,000 series every 10 s for 6 h with three incidents, to decisions.

The recording holds OTLP bytes; making it is not counted. `python -m bench.replay [--series N] [--hours H] [--json]`.
"""

import argparse
import json
import resource
from collections.abc import Iterator

import numpy as np

import schemas as sc
from schemas.core import NS, Message
from streams._otlp_encode import gauge, request
from tidegate._pipeline import build
from tidegate._replay import replay
from tidegate._settings import Settings

START = 1_767_225_600 * NS
NAMES = ("cpu_usage", "memory_usage", "request_latency_seconds", "error_rate", "queue_depth")
_T, _V = 0x1122334455667788, 1.2345e-67


def messages(series: int, hours: float, seed: int = 5) -> Iterator[Message]:
    """OTLP messages, one a service and step, 50 series each; three times a service goes wrong for ten minutes."""
    rng = np.random.Generator(np.random.PCG64(seed))
    services = max(series // 50, 1)
    steps = int(hours * 360)
    templates = [_template(f"svc{i:02d}") for i in range(services)]
    level = rng.uniform(10, 100, (services, 50))
    ill = rng.permutation(services)
    bad = {int(steps * share): int(ill[i % services]) for i, share in enumerate((0.4, 0.6, 0.8))}
    offset = 0
    for step in range(steps):
        t = START + step * 10 * NS
        day = 1 + 0.2 * np.sin(2 * np.pi * step / 8640)
        values = level * day * (1 + 0.05 * rng.standard_normal((services, 50)))
        for begin, service in bad.items():
            if begin <= step < begin + 60:
                values[service, :25] *= 6
        for i, template in enumerate(templates):
            yield Message(sc.OTLP_METRICS, 0, offset, b"", _fill(template, t, values[i]), (), t, t)
            offset += 1
    end = START + steps * 10 * NS
    mark = sc.Watermark(stage="bench", through_ns=end, final=True)
    last = sc.emit(sc.OTLP_METRICS, mark, id="final", key="", source="bench", event_ns=end)
    yield Message(sc.OTLP_METRICS, 0, offset, b"", last.value, last.headers, end, end)


def _template(service: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    items = [gauge(f"{NAMES[i % len(NAMES)]}", "1", _T, _V, (("instance", str(i // len(NAMES))),)) for i in range(50)]
    data = request([((("service.name", service),), items)])
    return (
        np.frombuffer(data, np.uint8),
        _places(data, _T.to_bytes(8, "little")),
        _places(data, np.float64(_V).tobytes()),
    )


def _places(data: bytes, mark: bytes) -> np.ndarray:
    found, at = [], data.find(mark)
    while at >= 0:
        found.append(at)
        at = data.find(mark, at + 8)
    return np.array(found)


def _fill(template: tuple[np.ndarray, np.ndarray, np.ndarray], t: int, values: np.ndarray) -> bytes:
    data = template[0].copy()
    data[template[1][:, None] + np.arange(8)] = np.frombuffer(int(t).to_bytes(8, "little"), np.uint8)
    data[template[2][:, None] + np.arange(8)] = values.view(np.uint8).reshape(len(values), 8)
    return data.tobytes()


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--series", type=int, default=1000)
    options.add_argument("--hours", type=float, default=6.0)
    options.add_argument("--json", action="store_true")
    chosen = options.parse_args()
    replay(messages(100, 0.05), build(Settings()))  # compiles what numba compiles
    recorded = list(messages(chosen.series, chosen.hours))
    run = replay(recorded, build(Settings()))
    row = {
        "series": chosen.series, "hours": chosen.hours, "samples": run.document()["samples"]["decoded"],
        "event_time_s": round(run.event_time_s), "cpu_s": round(run.cpu_s, 2),
        "speed": round(run.event_time_s / run.cpu_s),
        "cpu_s_per_million": round(run.cpu_s / run.document()["samples"]["decoded"] * 1e6, 3),
        "incidents": len(run.diagnoses), "actions": len(run.document()["actions"]),
        "peak_rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024, "digest": run.digest,
    }  # fmt: skip
    if not chosen.json:
        for name, value in row.items():
            print(f"{name:<20}{value}")
    print(json.dumps(row))


if __name__ == "__main__":
    main()
