"""Bodies that nobody should send: `python -m bench.fuzz [--bodies 1000000] [--seconds 500] [KIND ...]`; goes on where
it was stopped.

Every source is given bodies made from real and well-formed ones (tests/golden and ours) by cutting, flipping, doubling
and splicing, and by putting in what breaks parsers: long varints, deep brackets, numbers without end, half characters.
Body n of a source is the same in every run. A source may decode a body or raise SourceError; anything else is a crash,
kept with its number. Memory is looked at after the first tenth, when all is warm, and at the end. Kept in
docs/results/fuzz.json.
"""

import argparse
import gzip
import json
import random
import resource
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

import schemas as sc
from schemas.core import NS, Message
from streams import HTTP, SourceError
from streams._columns import encode
from streams._decoded import rendered
from streams._otlp_encode import gauge, request
from streams._otlp_wire import wrap
from streams._remote_wire import V1, V2, fields, places_of
from streams._snappy import decompress
from tidegate import _catalogue

ROOT = Path(__file__).resolve().parents[1]
GOLDEN, RESULT = ROOT / "tests/golden", ROOT / "docs/results/fuzz.json"
T = 1_790_000_000 * NS
MOST_BYTES = 4000
Seed = tuple[bytes, tuple[tuple[str, bytes], ...]]
"""A body, and headers of its message."""
CHANGE = (("ce_type", b"io.tidegate.change"), ("ce_dataschema", b"urn:tidegate:schema:change:1"))
METRICS = request([((("service.name", "cart"),), [gauge("queue", "1", T, 5.0)])])
LOGS = b'{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"timeUnixNano":"1","body":{"stringValue":"x"}}]}]}]}'
SPANS = b'{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"00","spanId":"00","name":"x"}]}]}]}'
OURS = {
    "otlp_metrics": [METRICS, METRICS * 3], "otlp_logs": [LOGS, METRICS], "otlp_spans": [SPANS, METRICS],
    "prometheus_columns": [encode(
        [({"__name__": "up_total", "job": "a", "instance": "b:1"}, "counter"), ({"__name__": "m", "job": "a"}, "")],
        np.array([0, 1, 0], np.int32), np.array([T, T, T + NS]), np.array([1.0, 2.0, np.nan]),
    )],
    "records": [b'{"id":"c","entity_id":"t/service/a","service":"a","kind":"deploy","at_ns":1,"title":"x"}'],
}  # fmt: skip
SPLINTERS = (
    b"\xff" * 9 + b"\x01", b"\xff" * 12, b"\x00" * 16, b"[" * 3000, b'{"a":' * 1500, b"9" * 400, b'"\\ud800"',
    b"null", b"-1", b"1e999", b"NaN", b"\xed\xa0\x80", b"{}", b"[]", b"true", b'""', b"\x0a\x00", b"\x7f\xff\xff\xff",
    b"0001-01-01T00:00:00Z", b"99999-01-01T00:00:00Z", b"2026-13-45T99:99:99Z", b'{"data":null}',
)  # fmt: skip


def seeds_of(kind: str) -> list[Seed]:
    """Bodies that the source reads, with the headers that came along."""
    if kind == "prometheus":
        return [_small(path) for path in sorted((GOLDEN / "remote_write").glob("*.snappy"))]
    found: list[Seed] = [(body, CHANGE if kind == "records" else ()) for body in OURS.get(kind, ())]
    if kind.startswith("otlp_"):
        found += [_sent(path) for path in sorted((GOLDEN / "otlp").glob(f"*.{kind.removeprefix('otlp_')}.body"))]
    for path in sorted((GOLDEN / "webhooks").glob("*.json")):
        case = json.loads(path.read_text())
        if case.get("kind", path.name.partition(".")[0]) == kind:
            told = case["body"]
            headers = tuple(
                (HTTP + name.lower(), str(value).encode()) for name, value in case.get("headers", {}).items()
            )
            found.append((told.encode() if isinstance(told, str) else json.dumps(told).encode(), headers))
    return found or [(b"{}", ())]


def _sent(path: Path) -> Seed:
    """What an OpenTelemetry sender sent, as the gateway keeps it: unpacked."""
    body = path.read_bytes()
    return gzip.decompress(body) if body.startswith(b"\x1f\x8b") else body, ()


def _small(path: Path) -> Seed:
    """The first series of what a real server sent, so that a cut of it is not just a cut."""
    kind = json.loads(path.with_suffix(".json").read_text())["content-type"]
    data, level = decompress(path.read_bytes(), 1 << 24), V2 if "v2" in kind else V1
    _, places = places_of(data, level)
    head = b"".join(wrap(4, data[a:b]) for number, _, a, b in fields(data, 0, len(data)) if level is V2 and number == 4)
    return head + b"".join(wrap(level.series, data[a:b]) for a, b in places[:12]), (
        (f"{HTTP}content-type", kind.encode()),
    )


def body(kind: str, n: int, seeds: list[Seed]) -> Seed:
    """Body n of a source."""
    rng = random.Random(f"{kind}/{n}")
    whole, headers = rng.choice(seeds)
    start = rng.randrange(max(len(whole) - MOST_BYTES, 0) + 1) if rng.random() < 0.2 else 0
    out = bytearray(whole[start : start + (MOST_BYTES if kind != "prometheus" else len(whole))])
    for _ in range(rng.choice((0, 1, 1, 2, 4, 8))):
        at = rng.randrange(len(out) + 1)
        what = rng.randrange(6)
        if what == 0:
            del out[at:]
        elif what == 1 and out:
            out[at % len(out)] = rng.randrange(256)
        elif what == 2:
            out[at : at + rng.randrange(9)] = rng.choice(SPLINTERS)
        elif what == 3:
            out[at:at] = out[at : at + rng.randrange(64)]
        elif what == 4:
            other = rng.choice(seeds)[0]
            cut = rng.randrange(len(other) + 1)
            out[at:at] = other[cut : cut + rng.randrange(200)]
        else:
            del out[at : at + rng.randrange(16)]
    return bytes(out), headers


def packed(data: bytes) -> bytes:
    """A snappy block of literals: no compression, so that what is fuzzed is what lies inside."""
    out, size, at = bytearray(), len(data), 0
    while size >= 0x80:
        out.append(size & 0x7F | 0x80)
        size >>= 7
    out.append(size)
    while at < len(data):
        piece = data[at : at + 60]
        out += bytes(((len(piece) - 1) << 2,)) + piece
        at += 60
    return bytes(out)


def fuzz(kind: str, source: Any, kept: dict[str, Any], bodies: int, until: float) -> dict[str, Any]:
    """Go on to `bodies`, or until the clock says stop; the new state."""
    seeds, codes = seeds_of(kind), Counter(kept.get("codes", {}))
    n, decoded, crashes = kept.get("bodies", 0), kept.get("decoded", 0), list(kept.get("crashes", []))
    begun, first_mb, cpu = n, 0.0, time.process_time()
    while n < bodies and (n % 500 or time.monotonic() < until):
        data, headers = body(kind, n, seeds)
        value = packed(data) if kind == "prometheus" and n % 50 else data
        try:
            found = source.decode(Message(sc.RAW, 0, n, b"", value, headers, T, T))
            rendered(found.definitions, found.points.series.tolist())
            decoded += 1
        except SourceError as error:
            codes[error.code] += 1
        except Exception as error:  # the very thing that is looked for
            if len(crashes) < 20:
                crashes.append({"n": n, "error": f"{error!r}"[:200], "body": data[:200].hex()})
            codes["CRASH"] += 1
        n += 1
        if n - begun == max((bodies - begun) // 10, 20_000):
            first_mb = _mb()
    return {
        "bodies": n, "decoded": decoded, "codes": dict(sorted(codes.items())), "crashes": crashes,
        "cpu_s": round(kept.get("cpu_s", 0) + time.process_time() - cpu, 1),
        "grew_mb": round(_mb() - first_mb, 1) if first_mb else kept.get("grew_mb"),
    }  # fmt: skip


def _mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description="fuzzed bodies for every source")
    parser.add_argument("kinds", nargs="*", help="sources; all if none")
    parser.add_argument("--bodies", type=int, default=1_000_000)
    parser.add_argument("--seconds", type=float, default=float("inf"), help="stop after so long; the next run goes on")
    parser.add_argument("--out", type=Path, default=RESULT)
    arguments = parser.parse_args()
    kept: dict[str, Any] = {"bench": "fuzz", "sources": {}}
    if arguments.out.exists():
        kept = json.loads(arguments.out.read_text())
    until = time.monotonic() + arguments.seconds
    every = _catalogue.find("sources")
    for kind in arguments.kinds or list(every):
        state = kept["sources"].get(kind, {})
        if state.get("bodies", 0) >= arguments.bodies or time.monotonic() >= until:
            continue
        if hasattr(every[kind], "use_kernels"):
            every[kind].use_kernels()
        state = kept["sources"][kind] = fuzz(kind, every[kind], state, arguments.bodies, until)
        arguments.out.write_text(json.dumps(kept, indent=1) + "\n")
        print(
            f"{kind:16} {state['bodies']:>9,} bodies, {state['decoded']:>9,} decoded, {len(state['crashes'])} crashes"
        )


if __name__ == "__main__":
    main()
