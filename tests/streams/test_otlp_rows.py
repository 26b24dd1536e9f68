"""Logs and spans: what their rows say. Code locations."""

import pyarrow as pa
import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

import schemas
from schemas.core import Message
from streams._otlp_location import code_location, severity_of
from streams.sources.otlp_logs import OtlpLogs
from streams.sources.otlp_spans import OtlpSpans

NEZHA = "18:19:19.694 INFO  o.s.OrderOtherServiceImpl#384 TraceID: 80dfd2 SpanID: 7393 [getOrder][Id: 4d2a]"
TRACE, SPAN = bytes(range(16)), bytes(range(8))


def message(value: bytes) -> Message:
    return Message("otlp", 0, 0, b"", value, (), 0, 0)


def first(batch: pa.RecordBatch) -> dict[str, object]:
    """The first row, times as integers."""
    columns = [c.cast(pa.int64()) if pa.types.is_timestamp(c.type) else c for c in batch.columns]
    return {name: column[0].as_py() for name, column in zip(batch.schema.names, columns, strict=True)}


def log_row(**fields: object) -> dict[str, object]:
    request = ExportLogsServiceRequest()
    resource_logs = request.resource_logs.add()
    resource_logs.resource.attributes.add(key="service.name").value.string_value = "cart"
    log = resource_logs.scope_logs.add().log_records.add(
        **{k: v for k, v in fields.items() if k != "body" and "." not in k}
    )
    log.body.string_value = str(fields.get("body", ""))
    for key, value in fields.items():
        if "." in key:
            log.attributes.add(key=key).value.string_value = str(value)
    batch = OtlpLogs().decode(message(request.SerializeToString())).logs
    assert dict(zip(batch.schema.names, batch.schema.types, strict=True)) == schemas.LOG_FIELDS
    return first(batch)


def span_row(**attributes: object) -> dict[str, object]:
    request = ExportTraceServiceRequest()
    resource_spans = request.resource_spans.add()
    for key, value in (("service.name", "cart"), ("service.version", "2")):
        resource_spans.resource.attributes.add(key=key).value.string_value = value
    span = resource_spans.scope_spans.add().spans.add(
        name="op", kind=2, trace_id=TRACE, span_id=SPAN, start_time_unix_nano=5, end_time_unix_nano=9
    )
    span.status.code = 2
    for key, value in attributes.items():
        target = span.attributes.add(key=key).value
        setattr(target, "int_value" if isinstance(value, int) else "string_value", value)
    batch = OtlpSpans().decode(message(request.SerializeToString())).spans
    assert dict(zip(batch.schema.names, batch.schema.types, strict=True)) == schemas.SPAN_FIELDS
    return first(batch)


def test_a_log_line_says_where_and_how_severe_in_its_own_text():
    row = log_row(time_unix_nano=5, body=NEZHA, trace_id=TRACE, span_id=SPAN)
    assert (row["location"], row["severity"]) == ("o.s.OrderOtherServiceImpl#384", 9)
    assert (row["t"], row["entity"], row["service"]) == (5, "default/service/cart", "cart")
    assert (row["body"], row["trace_id"], row["span_id"]) == (NEZHA, TRACE, SPAN)


def test_what_the_sender_says_of_severity_place_and_time_comes_first():
    row = log_row(
        observed_time_unix_nano=7, severity_text="Warning", body=NEZHA, **{"code.filepath": "a.py", "code.lineno": 3}
    )
    assert (row["t"], row["severity"], row["location"]) == (7, 13, "a.py:3")
    assert log_row(severity_number=21, severity_text="INFO")["severity"] == 21
    assert log_row(**{"code.function.name": "pay"})["location"] == "pay"


@pytest.mark.parametrize(
    ("body", "location", "severity"),
    [
        (NEZHA, "o.s.OrderOtherServiceImpl#384", 9),
        (
            "20:30:31.228 ERROR o.a.c.c.C.[.[.[.[dispatcherServlet]#175 TraceID",
            "o.a.c.c.C.[.[.[.[dispatcherServlet]#175",
            17,
        ),
        ("ERROR com.acme.Pay#12 refused", "com.acme.Pay#12", 17),
        ("OrderService.java:123 saved", "OrderService.java:123", 0),
        ("2024-01-02 03:04:05,123 [main] WARN x.Y#3 - slow", "x.Y#3", 13),
        ("2024-01-02T03:04:05Z INFO pkg/server.go:33: up", "pkg/server.go:33", 9),
        ("error happened in 10.0.0.1:80", "", 0),
        ("GET http://cart:80/ 500", "", 0),
        ("see issue#12 for more", "", 0),
        ("", "", 0),
        ("#" * 10_000, "", 0),
    ],
)
def test_a_location_is_read_only_from_a_conventional_beginning(body: str, location: str, severity: int):
    assert code_location(body) == (location, severity)


def test_severity_texts():
    assert [severity_of(t) for t in ("info", "WARN2", "Fatal", "verbose", "")] == [9, 14, 21, 0, 0]


def test_a_span_row():
    row = span_row()
    assert (row["start"], row["end"], row["trace_id"], row["span_id"]) == (5, 9, TRACE, SPAN)
    assert (row["parent_id"], row["name"], row["kind"], row["is_error"], row["status"]) == (b"", "op", 2, True, 0)
    assert (row["entity"], row["service"], row["version"]) == ("default/service/cart", "cart", "2")


def test_a_span_of_a_route_is_named_by_it_and_status_codes_are_read_old_and_new():
    row = span_row(**{"http.route": "/cart/{id}", "http.request.method": "GET", "http.response.status_code": 503})
    assert (row["name"], row["status"]) == ("GET /cart/{id}", 503)
    assert span_row(**{"http.status_code": "404"})["status"] == 404
    assert span_row(**{"rpc.grpc.status_code": 14})["status"] == 14
    assert span_row(**{"http.status_code": 10**9, "http.route": "/x"}) == span_row(**{"http.route": "/x"})


def test_json_ids_are_hex():
    value = b"""{"resourceSpans": [{"scopeSpans": [{"spans": [{"traceId": "5B8EFFF798038103D269B633813FC60C",
        "kind": 3, "spanId": "eee19b7ec3c1b174", "parentSpanId": "", "name": "op", "startTimeUnixNano": "5",
        "later": true}]}]}]}"""
    row = first(OtlpSpans().decode(message(value)).spans)
    assert row["trace_id"].hex() == "5b8efff798038103d269b633813fc60c" and row["span_id"].hex() == "eee19b7ec3c1b174"
    assert (row["kind"], row["start"], row["service"]) == (3, 5, "unknown_service")


def test_nothing_in_a_message_is_no_rows():
    assert OtlpLogs().decode(message(b"")).logs is None and OtlpSpans().decode(message(b"{}")).spans is None
