"""Remote write: bytes of real servers read to the sample, and both decoders of one mind about any bytes."""

import json
import struct
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.core import Message
from streams import SourceError
from streams._decoded import rendered
from streams._otlp_wire import varint, wrap
from streams._snappy import decompress
from streams.sources.prometheus import PrometheusRemoteWrite

cramjam = pytest.importorskip("cramjam")
pytest.importorskip("numba")
GOLDEN = sorted((Path(__file__).resolve().parents[1] / "golden/remote_write").glob("*.snappy"))
quick = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
FAST, PLAIN = PrometheusRemoteWrite(fast=True), PrometheusRemoteWrite(fast=False)
V1, V2 = "application/x-protobuf", "application/x-protobuf;proto=io.prometheus.write.v2.Request"
STALE = struct.pack("<Q", 0x7FF0000000000002)
T = 1_790_000_000_000


def message(block: bytes, kind: str = V1) -> Message:
    return Message("raw", 0, 0, b"", block, (("http-content-type", kind.encode()),), 0, 0)


@cache
def golden(path: Path) -> tuple[bytes, str]:
    return path.read_bytes(), json.loads(path.with_suffix(".json").read_text())["content-type"]


def pack(data: bytes) -> bytes:
    return bytes(cramjam.snappy.compress_raw(data))


def ask(source: PrometheusRemoteWrite, block: bytes, kind: str) -> Any:
    """The answer in a form that compares: bytes of columns, JSON of definitions; or the error's code and text."""
    try:
        d = source.decode(message(block, kind))
    except SourceError as error:
        return error.code, str(error)
    ids = sorted({*d.points.series.tolist(), *d.histograms.series.tolist()})
    columns = (*d.points, d.histograms.series, d.histograms.t, d.histograms.bucket, d.histograms.count)
    texts = [entry.text for entry in rendered(d.definitions, ids)]
    return [c.tobytes() for c in columns], d.histograms.points, texts, d.rejected, dict(d.counted)


def by_name(path: Path, service: str) -> dict[str, list[float]]:
    d, found = PLAIN.decode(message(*golden(path))), {}
    for i, value in zip(d.points.series.tolist(), d.points.value.tolist(), strict=True):
        one = d.definitions[i]
        if one.service == service:
            labels = {k: v for k, v in one.labels.items() if k != "cluster"}
            found.setdefault(one.name + json.dumps(labels, ensure_ascii=False), []).append(value)
    return found


# --- real bytes ---


@pytest.mark.parametrize("path", GOLDEN, ids=lambda p: p.stem)
def test_both_decoders_read_what_real_servers_send_and_agree(path):
    answer = ask(PLAIN, *golden(path))
    assert len(answer) == 5 and answer[3] == ()
    assert [ask(FAST, *golden(path)) for _ in range(2)] == [answer, answer]


@pytest.mark.parametrize("name", ["prometheus-2.42.v1", "prometheus-3.15.v1", "prometheus-3.15.v2"])
def test_every_sample_of_the_exporter_is_there_by_its_name_and_labels(name):
    found = [by_name(path, "shop") for path in GOLDEN if path.stem.startswith(name)]
    (before, *_) = [one for one in found if one.get("queue{}") == [3.5]]
    assert before['orders_total{"shop": "café"}'] == [17]
    assert before['odd{"what": "inf"}'] == [np.inf] and np.isnan(before['odd{"what": "nan"}']).all()
    assert before['latency_seconds_bucket{"le": "0.1"}'] == [3] and before["latency_seconds_count{}"] == [5]
    ended = [one for one in found if one.get("queue{}") == [4.5]]
    assert any(np.isnan(one.get('orders_total{"shop": "café"}', [1])).all() for one in ended), "no stale marker"


@pytest.mark.parametrize("name", ["prometheus-3.15.v1", "prometheus-3.15.v2"])
def test_native_histograms_of_a_real_server_keep_their_count_and_fit_their_classic_twin(name):
    path = next(path for path in GOLDEN if path.stem.startswith(name))
    d = PLAIN.decode(message(*golden(path)))
    assert d.histograms.points == d.counted["histograms"] > 5
    for series in np.unique(d.histograms.series).tolist():
        mine, one = d.histograms.series == series, d.definitions[series]
        (count,) = [
            d.points.value[d.points.series == i] for i, other in d.definitions.items()
            if other.name == f"{one.name}_count" and other.labels == one.labels
        ]  # fmt: skip
        assert one.is_histogram and d.histograms.count[mine].sum() == count.max()


def test_units_and_kinds_come_from_metadata_in_2_0_and_from_names_in_1_0():
    for name in ("prometheus-3.15.v1", "prometheus-3.15.v2"):
        path = next(path for path in GOLDEN if path.stem.startswith(name))
        kinds = {one.name: (one.kind, one.unit) for one in PLAIN.decode(message(*golden(path))).definitions.values()}
        assert kinds["prometheus_http_requests_total"] == ("count", "1")
        assert kinds["process_resident_memory_bytes"] == ("gauge", "By")
        assert kinds["prometheus_http_request_duration_seconds_sum"] == ("count", "s")


# --- bytes of our own ---


def label(name: str, value: str) -> bytes:
    return wrap(1, wrap(1, name.encode()) + wrap(2, value.encode()))


def sample(value: bytes, at_ms: int = T) -> bytes:
    return wrap(2, b"\x09" + value + b"\x10" + varint(at_ms))


def series(*parts: bytes) -> bytes:
    return wrap(1, b"".join(parts))


ONE = sample(struct.pack("<d", 1.5))
GOOD = series(label("__name__", "up"), label("job", "shop/cart"), label("pod", "cart-7d9f8b6c5d-x2k4p"), ONE)
REJECTED = {
    "SERIES_WITHOUT_NAME": series(label("job", "x"), ONE, ONE),
    "LABELS_INVALID": series(label("__name__", "a"), label("x", "1"), label("x", "2"), ONE),
    "LABELS_TOO_LARGE": series(label("__name__", "a"), label("x", "1" * 70_000), ONE),
    "HISTOGRAM_INVALID": series(label("__name__", "a"), wrap(4, b"\x08\x01\x20\x64\x78\x01")),
}


@pytest.mark.parametrize("reason", REJECTED)
@pytest.mark.parametrize("source", [PLAIN, FAST])
def test_a_series_that_cannot_be_used_is_rejected_and_the_others_count(source, reason):
    d = source.decode(message(pack(GOOD + REJECTED[reason] + GOOD)))
    assert [(bad.reason, bad.samples) for bad in d.rejected] == [(reason, 2 if "NAME" in reason else 1)]
    assert d.counted["samples"] == 2
    reply = source.reply({}, d)
    assert (reply.status, dict(reply.headers)["X-Prometheus-Remote-Write-Samples-Written"]) == (400, "2")
    assert reason.encode() in reply.body


def test_what_was_wholly_kept_is_answered_with_204_and_the_numbers():
    reply = PLAIN.reply({}, PLAIN.decode(message(pack(GOOD))))
    assert (reply.status, [value for _, value in reply.headers]) == (204, ["1", "0", "0"])


def test_a_pod_is_an_instance_of_what_made_it_and_a_job_without_one_is_the_service():
    plain = series(label("__name__", "up"), label("instance", "10.0.0.1:80"), label("job", "cart"), ONE)
    d = PLAIN.decode(message(pack(GOOD + plain)))
    pod, job = (d.definitions[i] for i in d.points.series.tolist())
    assert (pod.entity_id, pod.labels) == ("default/instance/cart/cart-7d9f8b6c5d-x2k4p", {"job": "shop/cart"})
    assert (job.entity_id, job.labels) == ("default/instance/cart/10.0.0.1:80", {})


def test_a_stale_marker_is_a_gap_and_times_beyond_ours_are_clamped():
    far = sample(struct.pack("<d", 1.0), (1 << 63) - 1)
    d = PLAIN.decode(message(pack(series(label("__name__", "up"), sample(STALE), far))))
    assert np.isnan(d.points.value[0]) and d.points.t[1] > 9 * 10**18
    assert np.isnan(d.points.value + 0.0)[0]  # it signals no more: a warning is an error here


UNUSABLE = {
    "cut short": (pack(GOOD[:-3]), V1, "REMOTE_WRITE_INVALID"),
    "1.0 said to be 2.0": (pack(GOOD), V2, "REMOTE_WRITE_OTHER_VERSION"),
    "no snappy": (GOOD, V1, "SNAPPY_INVALID"),
    "a bomb": (varint(1 << 31) + b"\x00", V1, "SNAPPY_TOO_LARGE"),
    "a framed stream": (b"\xff\x06\x00\x00sNaPpY", V1, "SNAPPY_INVALID"),
    "no UTF-8": (pack(series(wrap(1, wrap(1, b"\xff")), ONE)), V1, "REMOTE_WRITE_INVALID"),
    "a symbol too far": (pack(wrap(4, b"") + wrap(5, wrap(1, b"\x05\x00"))), V2, "REMOTE_WRITE_INVALID"),
    "no empty symbol": (pack(wrap(4, b"x")), V2, "REMOTE_WRITE_INVALID"),
}


@pytest.mark.parametrize("case", UNUSABLE)
@pytest.mark.parametrize("source", [PLAIN, FAST])
def test_what_is_no_request_is_an_error_with_its_code(source, case):
    block, kind, code = UNUSABLE[case]
    with pytest.raises(SourceError) as found:
        source.decode(message(block, kind))
    assert found.value.code == code


def test_a_histogram_that_claims_four_thousand_million_buckets_costs_nothing():
    span = wrap(11, b"\x08\x00\x10" + varint((1 << 32) - 1))
    d = PLAIN.decode(message(pack(series(label("__name__", "a"), wrap(4, span)))))
    assert [bad.reason for bad in d.rejected] == ["HISTOGRAM_INVALID"]


# --- any bytes ---

WORDS = st.sampled_from(["__name__", "up", "job", "pod", "a_total", "a_seconds", "", "é", "x" * 40])
LABELS = st.lists(st.tuples(WORDS, WORDS), max_size=4)
SAMPLES = st.lists(st.tuples(st.binary(min_size=8, max_size=8), st.integers(0, 2**64 - 1)), max_size=3)
HISTOGRAM = st.builds(
    lambda schema, length, deltas: wrap(4, b"\x08\x03\x20" + varint(schema) + wrap(11, b"\x08\x02\x10" + varint(length))
                                        + wrap(12, bytes(deltas)) + b"\x78" + varint(T)),
    st.integers(0, 20), st.integers(0, 4), st.lists(st.integers(0, 127), max_size=4),
)  # fmt: skip
SERIES = st.builds(
    lambda labels, samples, histograms: series(
        *(label(*pair) for pair in labels), *(sample(v, t) for v, t in samples), *histograms
    ),
    LABELS, SAMPLES, st.lists(HISTOGRAM, max_size=1),
)  # fmt: skip
REQUESTS = st.lists(SERIES, max_size=6).map(b"".join)


def cut_and_flipped(draw: Any, data: bytes) -> bytes:
    """A request with some bytes changed, or cut short."""
    out = bytearray(data[: draw(st.integers(0, len(data)))] if draw(st.booleans()) else data)
    for _ in range(draw(st.integers(0, 3)) if out else 0):
        out[draw(st.integers(0, len(out) - 1))] = draw(st.integers(0, 255))
    return bytes(out)


@quick
@given(REQUESTS)
def test_both_decoders_agree_on_any_request(data):
    assert ask(FAST, pack(data), V1) == ask(PLAIN, pack(data), V1)


@quick
@given(st.data(), st.sampled_from(GOLDEN), REQUESTS, st.booleans())
def test_both_decoders_agree_on_damaged_requests(data, path, small, is_small):
    block, kind = golden(path)
    whole = small if is_small else decompress(block, 1 << 20)[:1500]
    damaged = pack(cut_and_flipped(data.draw, whole))
    said = V1 if is_small else kind
    assert ask(FAST, damaged, said) == ask(PLAIN, damaged, said)


@quick
@given(st.binary(max_size=300))
def test_blocks_are_undone_alike_with_compiled_code_and_without(data):
    block = pack(data * 5)
    assert decompress(block, 2000) == decompress(block, 2000, plain=True) == data * 5


@quick
@given(st.data(), st.binary(max_size=200))
def test_a_damaged_block_is_the_same_bytes_or_the_same_error_both_ways(data, content):
    block, found = cut_and_flipped(data.draw, pack(content * 3)), []
    for plain in (False, True):
        try:
            found.append(decompress(block, 5000, plain=plain))
        except SourceError as error:
            found.append(error.code)
    assert found[0] == found[1]
