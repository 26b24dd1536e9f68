"""The encoder writes what OpenTelemetry's own message classes read."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest as Logs
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest as Metrics
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest as Traces

from streams import _otlp_encode as encode

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=200)
INT64 = st.integers(-(1 << 63), (1 << 63) - 1)
VALUE = TEXT | st.booleans() | INT64 | st.floats(allow_nan=False)
LABELS = st.lists(st.tuples(TEXT, VALUE), max_size=4).map(tuple)
TIME = st.integers(0, (1 << 64) - 1)


def labels_of(attributes: object) -> tuple[tuple[str, object], ...]:
    return tuple((a.key, getattr(a.value, a.value.WhichOneof("value"))) for a in attributes)  # type: ignore[attr-defined]


@given(LABELS, LABELS, TEXT, TEXT, TIME, st.floats(allow_nan=False))
def test_a_gauge_is_read_as_written(
    resource: encode.Attributes, labels: encode.Attributes, name: str, unit: str, t: int, value: float
) -> None:
    data = encode.request([(resource, [encode.gauge(name, unit, t, value, labels)])])
    (group,) = Metrics.FromString(data).resource_metrics
    (metric,) = group.scope_metrics[0].metrics
    (point,) = metric.gauge.data_points
    assert (labels_of(group.resource.attributes), metric.name, metric.unit) == (resource, name, unit)
    assert (point.time_unix_nano, point.as_double, labels_of(point.attributes)) == (t, value, labels)


@given(LABELS, TIME, st.binary(min_size=16, max_size=16), st.sampled_from([b"", b"12345678"]), TEXT, st.integers(0, 24))
def test_a_log_record_is_read_as_written(
    labels: encode.Attributes, t: int, trace: bytes, span: bytes, body: str, severity: int
) -> None:
    item = encode.log_record(t, body.encode(), severity=severity, text="X", trace=trace, span=span, labels=labels)
    (line,) = Logs.FromString(encode.request([((), [item])])).resource_logs[0].scope_logs[0].log_records
    assert (line.time_unix_nano, line.trace_id, line.span_id, line.body.string_value) == (t, trace, span, body)
    assert (line.severity_number, line.severity_text, labels_of(line.attributes)) == (severity, "X", labels)


@given(LABELS, TIME, TIME, st.sampled_from([b"", b"abcdefgh"]), TEXT, st.integers(0, 5), st.booleans())
def test_a_span_is_read_as_written(
    labels: encode.Attributes, start: int, end: int, parent: bytes, name: str, kind: int, is_error: bool
) -> None:
    item = encode.span(
        b"t" * 16, b"s" * 8, parent, name.encode(), start, end, kind=kind, labels=labels, is_error=is_error
    )
    (span,) = Traces.FromString(encode.request([((), [item])])).resource_spans[0].scope_spans[0].spans
    assert (span.trace_id, span.span_id, span.parent_span_id, span.name) == (b"t" * 16, b"s" * 8, parent, name)
    assert (span.start_time_unix_nano, span.end_time_unix_nano, span.kind) == (start, end, kind)
    assert (span.status.code, labels_of(span.attributes)) == (2 if is_error else 0, labels)


@given(st.lists(st.integers(0, 1 << 40), min_size=3, max_size=3), LABELS)
def test_counters_and_histograms_are_read_as_written(counts: list[int], labels: encode.Attributes) -> None:
    items = [
        encode.counter("c", "1", [(1, 2, counts[0], labels), (1, 2, counts[1], ())]),
        encode.histogram("h", "s", (0.1, 0.5), [(1, 2, counts, 7.5, labels)]),
    ]
    total, spread = Metrics.FromString(encode.request([((), items)])).resource_metrics[0].scope_metrics[0].metrics
    assert [p.as_int for p in total.sum.data_points] == counts[:2]
    assert (total.sum.is_monotonic, total.sum.aggregation_temporality) == (True, 2)
    (point,) = spread.histogram.data_points
    assert (list(point.bucket_counts), list(point.explicit_bounds)) == (counts, [0.1, 0.5])
    assert (point.count, point.sum, spread.histogram.aggregation_temporality) == (sum(counts), 7.5, 1)
    assert (point.start_time_unix_nano, labels_of(point.attributes)) == (1, labels)


def test_a_template_makes_the_bytes_that_the_encoder_makes_one_by_one() -> None:
    def one(trace: bytes, t: int) -> bytes:
        return encode.log_record(t, b"hello", trace=trace)

    template = encode.Template(one(b"\xa1" * 16, 0xA4A4A4A4A4A4A4A4), trace=b"\xa1" * 16, t=b"\xa4" * 8)
    traces = np.arange(48, dtype=np.uint8).reshape(3, 16)
    times = np.array([5, 1 << 60, 7])
    expected = b"".join(one(trace.tobytes(), t) for trace, t in zip(traces, times.tolist(), strict=True))
    assert template.fill(3, trace=traces, t=encode.fixed64(times)) == expected


def test_a_marker_that_is_not_there_exactly_once_is_refused() -> None:
    with pytest.raises(ValueError, match="marker 'x' occurs 2 times"):
        encode.Template(b"abab", x=b"ab")
