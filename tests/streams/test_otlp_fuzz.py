"""Whatever bytes come, a source decodes them or raises SourceError, nothing else."""

import json
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from schemas.core import Message
from streams import SourceError
from streams.sources.otlp_logs import OtlpLogs
from streams.sources.otlp_metrics import OtlpMetrics
from streams.sources.otlp_spans import OtlpSpans

quick = settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
SOURCES = (OtlpMetrics(fast=False), OtlpLogs(), OtlpSpans())
WORDS = [
    "resourceMetrics",
    "scopeMetrics",
    "metrics",
    "gauge",
    "sum",
    "histogram",
    "exponentialHistogram",
    "summary",
    "dataPoints",
    "resourceLogs",
    "scopeLogs",
    "logRecords",
    "body",
    "severityNumber",
    "severityText",
    "resourceSpans",
    "scopeSpans",
    "spans",
    "status",
    "code",
    "kind",
    "scale",
    "offset",
    "positive",
    "bucketCounts",
    "explicitBounds",
    "count",
    "quantileValues",
    "flags",
    "attributes",
    "key",
    "value",
    "stringValue",
    "intValue",
    "doubleValue",
    "arrayValue",
    "kvlistValue",
    "values",
    "bytesValue",
    "timeUnixNano",
    "asInt",
    "asDouble",
    "traceId",
    "spanId",
    "resource",
    "name",
    "unit",
    "aggregationTemporality",
]
TEXTS = ["", "abc", "0af7", "NaN", "-5", "\ud800"]
PATHS = (
    ("resourceMetrics", "scopeMetrics", "metrics"), ("resourceLogs", "scopeLogs", "logRecords"),
    ("resourceSpans", "scopeSpans", "spans"),
)  # fmt: skip
leaf = st.one_of(st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.floats(), st.sampled_from(TEXTS))
words = st.sampled_from(WORDS)
tree = st.recursive(
    leaf, lambda t: st.one_of(st.lists(t, max_size=3), st.dictionaries(words, t, max_size=5)), max_leaves=25
)


def try_all(value: bytes) -> int:
    """How many of the sources could read it."""
    read = 0
    for source in SOURCES:
        try:
            source.decode(Message("otlp", 0, 0, b"", value, (), 0, 0))
            read += 1
        except SourceError as error:
            assert error.code in {"OTLP_TRUNCATED", "OTLP_INVALID", "OTLP_JSON_INVALID", "OTLP_HISTOGRAM_INVALID"}
    return read


@quick
@given(st.dictionaries(words, tree, max_size=4), st.sampled_from(PATHS), st.booleans())
def test_any_json_tree(inner: dict[str, Any], path: tuple[str, str, str], is_deep: bool):
    document = {path[0]: [{path[1]: [{path[2]: [inner]}], "resource": inner}]} if is_deep else inner
    try_all(json.dumps(document).encode())


@quick
@given(st.text(max_size=60), st.sampled_from(["{", " \n{", '{"resourceLogs":', '{"resourceSpans":[{"scopeSpans":']))
def test_any_text_that_looks_like_json(text: str, start: str):
    try_all((start + text).encode())


def sample() -> tuple[bytes, bytes]:
    logs, spans = ExportLogsServiceRequest(), ExportTraceServiceRequest()
    log = logs.resource_logs.add().scope_logs.add().log_records.add(severity_number=9, trace_id=b"t" * 16)
    log.body.kvlist_value.values.add(key="k").value.array_value.values.add().double_value = 0.5
    log.attributes.add(key="code.lineno").value.int_value = 7
    span = spans.resource_spans.add().scope_spans.add().spans.add(name="n", kind=3, start_time_unix_nano=1)
    span.attributes.add(key="http.status_code").value.int_value = 500
    span.status.code = 2
    return logs.SerializeToString(), spans.SerializeToString()


@quick
@given(
    st.sampled_from(sample()),
    st.lists(st.tuples(st.integers(0, 200), st.integers(0, 255)), max_size=4),
    st.integers(0, 9),
)
def test_any_flipped_bytes(value: bytes, flips: list[tuple[int, int]], cut: int):
    broken = bytearray(value)
    for position, byte in flips:
        broken[position % len(broken)] = byte
    try_all(bytes(broken[: len(broken) - cut]))


def test_half_a_surrogate_pair_is_an_error_wherever_it_stands():
    for half in (rb'"\ud800"', rb'"\uDC00"', b'"\xed\xa0\x80"'):
        for value in (b'{"resourceMetrics":' + half + b"}", b"{" + half + b":1}", b'{"a":{' + half + b":1}}"):
            assert try_all(value) == 0
    assert try_all(rb'{"\ud83d\ude00": 1}') == 3


def test_a_bomb_of_nesting_is_an_error_and_not_a_crash():
    text = '{"arrayValue":{"values":[' * 2000 + "null" + "]}}" * 2000
    record = '{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"body":' + text + "}]}]}]}"
    assert try_all(record.encode()) == 0 and try_all(b"{" * 10**6) == 0
