"""How fast remote write becomes columns: `python -m bench.remote_write [--json] [--write]`.

Requests as Prometheus makes them (`max_samples_per_send` 2000): one sample of each of 2000 series, 1.0 and 2.0, 7 to 8
labels; the same with ten samples a series, as after a stall; and the bytes of a real server in tests/golden. Rows: with
numba, without, and what undoing snappy alone costs. CPU time of this process, best of several rounds, compiling aside.
"""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cramjam
import numpy as np

from schemas.core import Message
from streams._otlp_wire import varint, wrap
from streams._snappy import decompress
from streams.sources.prometheus import PrometheusRemoteWrite

ROOT = Path(__file__).resolve().parents[1]
GOLDEN, RESULT = ROOT / "tests/golden/remote_write", ROOT / "docs/results/remote_write.json"
V1, V2 = "application/x-protobuf", "application/x-protobuf;proto=io.prometheus.write.v2.Request"
SERIES, REQUESTS = 2000, 10
Workload = tuple[str, list[bytes], int]
"""Content type, blocks, samples in all."""


def labels_of(i: int) -> list[tuple[str, str]]:
    return [
        ("__name__", f"http_requests_{i % 40}_total"), ("cluster", "eu-1"), ("code", "200"),
        ("handler", f"/api/v1/thing/{i % 97}"), ("instance", f"10.1.{i % 23}.{i % 251}:9090"), ("job", "shop/checkout"),
        ("method", "GET"), ("shard", str(i)),
    ]  # fmt: skip


def _samples(values: Any, at_ms: int) -> bytes:
    return b"".join(
        wrap(2, b"\x09" + value.tobytes() + b"\x10" + varint(at_ms + 15_000 * k)) for k, value in enumerate(values)
    )


def made(version: int, samples: int, series: int) -> Workload:
    """Requests of one shape."""
    rng, blocks = np.random.default_rng(7), []
    for k in range(REQUESTS):
        at_ms, parts, symbols = 1_790_000_000_000 + 60_000 * k, [], {"": 0}
        for i in range(series):
            told = _samples(rng.random(samples), at_ms)
            if version == 1:
                pairs = b"".join(wrap(1, wrap(1, n.encode()) + wrap(2, v.encode())) for n, v in labels_of(i))
                parts.append(wrap(1, pairs + told))
            else:
                words = [symbols.setdefault(word, len(symbols)) for pair in labels_of(i) for word in pair]
                parts.append(wrap(5, wrap(1, b"".join(map(varint, words))) + told + wrap(5, b"\x08\x01")))
        table = b"".join(wrap(4, word.encode()) for word in symbols) if version == 2 else b""
        blocks.append(bytes(cramjam.snappy.compress_raw(table + b"".join(parts))))
    return V1 if version == 1 else V2, blocks, REQUESTS * series * samples


def real(name: str) -> Workload:
    """What a real server sent."""
    paths = sorted(GOLDEN.glob(f"{name}.*.snappy"))
    kind = json.loads(paths[0].with_suffix(".json").read_text())["content-type"]
    plain, blocks = PrometheusRemoteWrite(fast=False), [path.read_bytes() for path in paths]
    return kind, blocks, sum(plain.decode(message(block, kind)).counted["samples"] for block in blocks)


def message(block: bytes, kind: str) -> Message:
    return Message("raw", 0, 0, b"", block, (("http-content-type", kind.encode()),), 0, 0)


def measured(work: Callable[[bytes], Any], blocks: list[bytes], samples: int, *, rounds: int, repeat: int) -> int:
    """Samples a second of one core, best round."""
    for block in blocks:
        work(block)
    best = float("inf")
    for _ in range(rounds):
        start = time.process_time()
        for _ in range(repeat):
            for block in blocks:
                work(block)
        best = min(best, time.process_time() - start)
    return round(repeat * samples / best)


def row(workload: Workload) -> dict[str, Any]:
    kind, blocks, samples = workload
    fast, plain = PrometheusRemoteWrite(fast=True), PrometheusRemoteWrite(fast=False)
    a, b = fast.decode(message(blocks[0], kind)), plain.decode(message(blocks[0], kind))
    assert all(x.tobytes() == y.tobytes() for x, y in zip(a.points, b.points, strict=True)), "decoders differ"
    unpacked = sum(len(decompress(block, 1 << 30)) for block in blocks)
    return {
        "bytes_per_sample": round(unpacked / samples, 1),
        "packed_bytes_per_sample": round(sum(map(len, blocks)) / samples, 1),
        "numba": measured(lambda x: fast.decode(message(x, kind)), blocks, samples, rounds=5, repeat=10),
        "plain": measured(lambda x: plain.decode(message(x, kind)), blocks, samples, rounds=1, repeat=1),
        "snappy_alone": measured(lambda x: decompress(x, 1 << 30), blocks, samples, rounds=5, repeat=10),
    }


def run() -> dict[str, Any]:
    rows = {
        "2.0, 2000 series x 1": made(2, 1, SERIES), "1.0, 2000 series x 1": made(1, 1, SERIES),
        "2.0, 200 series x 10": made(2, 10, SERIES // 10), "1.0, 200 series x 10": made(1, 10, SERIES // 10),
        "Prometheus 2.42, 1.0": real("prometheus-2.42.v1"), "Prometheus 3.15, 1.0": real("prometheus-3.15.v1"),
        "Prometheus 3.15, 2.0": real("prometheus-3.15.v2"),
    }  # fmt: skip
    return {
        "bench": "remote_write",
        "unit": "samples a second of one core",
        "rows": {n: row(w) for n, w in rows.items()},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="remote write decode speed")
    parser.add_argument("--json", action="store_true", help="only the JSON line")
    parser.add_argument("--write", action="store_true", help="keep it in docs/results")
    arguments = parser.parse_args()
    result = run()
    if arguments.write:
        RESULT.write_text(json.dumps(result, indent=1) + "\n")
    if not arguments.json:
        for name, found in result["rows"].items():
            print(f"{name:24} {found['numba']:>12,} numba {found['plain']:>10,} plain")
    print(json.dumps(result))


if __name__ == "__main__":
    main()
