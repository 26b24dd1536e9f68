"""Over real HTTP: bodies that are too deep, labels that are too large, a body in chunks, and every golden OTLP body."""

import http.client
import json
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import cramjam
import pytest
from support.up import START_NS, Caller, Clock, serving, settings

import schemas as sc
from streams._otlp_encode import varint
from streams._otlp_wire import wrap
from tidegate import _catalogue
from tidegate._live import Live

GOLDEN = Path(__file__).resolve().parents[1] / "golden/otlp"
PATHS = {"metrics": "/v1/metrics", "spans": "/v1/traces", "logs": "/v1/logs"}
JSON_DOORS = sorted(
    source.intake.paths[0]
    for source in _catalogue.find("sources").values()
    if getattr(source, "intake", None) and source.intake.reads_first and "application/json" in source.intake.media_types
)


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[Live, Caller]]:
    live = Live(tmp_path, settings(), now_ns=Clock())
    with serving(live, is_local_only=True) as call:
        yield live, call
    live.close()


def kept(live: Live) -> int:
    return len(live.log.read([sc.RAW], 0, 1000))


def series(label: str) -> bytes:
    """One series of remote write 1.0 with one sample."""
    labels = b"".join(wrap(1, wrap(1, n) + wrap(2, v)) for n, v in ((b"__name__", b"m"), (b"user", label.encode())))
    return wrap(1, labels + wrap(2, b"\x09" + b"\0" * 8 + b"\x10" + varint(START_NS // 1_000_000)))


def test_json_that_nests_a_hundred_thousand_deep_is_a_400_at_every_door(served: tuple[Live, Caller]) -> None:
    live, call = served
    body = b'{"a":' * 100_000
    found = {path: call("POST", path, body, content_type="application/json").status for path in JSON_DOORS}
    assert len(found) > 12 and set(found.values()) == {400} and kept(live) == 0


def test_a_series_with_huge_labels_is_a_400_that_counts_what_was_written_and_the_others_are_kept(
    served: tuple[Live, Caller],
) -> None:
    live, call = served
    body = bytes(cramjam.snappy.compress_raw(series("a") + series("x" * 70_000) + series("b")))
    said = {"content_type": "application/x-protobuf", "content_encoding": "snappy"}
    answer = call("POST", "/api/v1/write", body, **said)
    live.pump()
    assert (answer.status, answer.headers["x-prometheus-remote-write-samples-written"]) == (400, "2")
    assert kept(live) == 1 and live.health.ledger["samples"]["decoded"] == 3
    assert live.health.ledger["samples"]["rejected"] == 1


@pytest.mark.parametrize("sender", sorted(path.stem for path in GOLDEN.glob("*.txt")))
def test_what_a_real_sender_sends_is_taken_whole_packed_or_in_chunks(served: tuple[Live, Caller], sender: str) -> None:
    live, call = served
    for signal, path in PATHS.items():
        body = (GOLDEN / f"{sender}.{signal}.body").read_bytes()
        headers = json.loads((GOLDEN / f"{sender}.{signal}.json").read_text())
        if headers.get("transfer-encoding") == "chunked":
            status = in_chunks(call.url, path, body, headers)
        else:
            status = call("POST", path, body, **{n.replace("-", "_"): v for n, v in headers.items()}).status
        assert status == 200
    live.pump()
    assert live.health.ledger["messages"]["decoded"] == 3 and kept(live) == 3


def in_chunks(url: str, path: str, body: bytes, headers: dict[str, str]) -> int:
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=60)
    pieces = [body[i : i + 100] for i in range(0, len(body), 100)]
    connection.request("POST", path, iter(pieces), headers, encode_chunked=True)
    status = connection.getresponse().status
    connection.close()
    return status
