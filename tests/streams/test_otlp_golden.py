"""What real OpenTelemetry senders sent (`make golden`) becomes what their shop did, whichever sender and encoding."""

import gzip
import importlib.util
import json
from pathlib import Path

import pytest

from schemas.core import Message
from streams._decoded import Decoded
from streams.sources.otlp_logs import OtlpLogs
from streams.sources.otlp_metrics import OtlpMetrics
from streams.sources.otlp_spans import OtlpSpans

GOLDEN = Path(__file__).resolve().parents[1] / "golden/otlp"
SENDERS = sorted(path.stem for path in GOLDEN.glob("*.txt"))


def sent(sender: str, signal: str) -> Message:
    body = (GOLDEN / f"{sender}.{signal}.body").read_bytes()
    headers = json.loads((GOLDEN / f"{sender}.{signal}.json").read_text())
    plain = gzip.decompress(body) if headers.get("content-encoding") == "gzip" else body
    return Message(f"otlp_{signal}", 0, 0, b"", plain, (), 0, 0)


def values(decoded: Decoded) -> dict[str, float]:
    named = {i: f"{one.name}{json.dumps(one.labels, ensure_ascii=False)}" for i, one in decoded.definitions.items()}
    return dict(zip([named[i] for i in decoded.points.series.tolist()], decoded.points.value.tolist(), strict=True))


def test_there_are_senders() -> None:
    assert len(SENDERS) >= 5 and {name.partition("-")[0] for name in SENDERS} == {"python", "js", "collector"}


@pytest.mark.parametrize("sender", SENDERS)
def test_every_metric_of_the_shop_is_there(sender: str) -> None:
    decoded = OtlpMetrics(fast=False).decode(sent(sender, "metrics"))
    version = '{"version": "4.2"}'
    assert values(decoded) == {
        'requests{"route": "a", "version": "4.2"}': 3, 'requests{"route": "café", "version": "4.2"}': 2,
        f"queue{version}": -4, f"temperature{version}": 21.5, f"duration.count{version}": 3,
        f"duration.sum{version}": 555, f"wide.count{version}": 3, f"wide.sum{version}": 555,
    }  # fmt: skip
    assert {one.service for one in decoded.definitions.values()} == {"checkout"}
    units = {one.name: one.unit for one in decoded.definitions.values()}
    assert (units["temperature"], units["duration"]) == ("Cel", "ms")
    assert decoded.histograms.points == 2 and decoded.histograms.count.sum() == 6


@pytest.mark.skipif(importlib.util.find_spec("numba") is None, reason="numba is an extra")
@pytest.mark.parametrize("sender", SENDERS)
def test_both_decoders_agree_on_what_was_sent(sender: str) -> None:
    plain, fast = (OtlpMetrics(fast=which).decode(sent(sender, "metrics")) for which in (False, True))
    assert values(plain) == values(fast) and dict(plain.definitions) == dict(fast.definitions)


@pytest.mark.parametrize("sender", SENDERS)
def test_the_span_and_the_line_are_there(sender: str) -> None:
    (span,) = OtlpSpans().decode(sent(sender, "spans")).spans.to_pylist()
    (line,) = OtlpLogs().decode(sent(sender, "logs")).logs.to_pylist()
    assert (span["service"], span["name"]) == ("checkout", "/pay") and span["end"] >= span["start"]
    assert "payment p-1 took 812 ms" in line["body"] and line["service"] == "checkout"
