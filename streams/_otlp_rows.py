"""OTLP logs and spans to Arrow rows; strings that repeat are dictionary-encoded.

Sources: opentelemetry-proto 1.x `logs.proto`, `trace.proto`; semantic conventions `code.*`, `http.*`, `rpc.*`, both
the stable names and the ones before them.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import pyarrow as pa
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from schemas import LOG_FIELDS, SPAN_FIELDS
from streams._conventions import names_of
from streams._otlp_location import code_location, severity_of
from streams._otlp_values import TIME_MAX_NS, origin_from, text_of, whole_number
from streams._otlp_wire import parse

_STATUS = (*names_of("http.response.status_code"), "rpc.grpc.status_code", "rpc.response.status_code")
_HOST, _SYSTEM = ("server.address", "net.peer.name"), ("db.system.name", "db.system", "messaging.system")
_CALLS = (3, 4)
"""Kinds of span that call somebody: client and producer."""
_METHOD, _PATH = names_of("http.request.method"), names_of("code.file.path")
_LINE, _FUNCTION = names_of("code.line.number"), names_of("code.function.name")
_SEVERITY_MAX = 24
_STATUS_MAX = 32_767  # the column is int16


def decode_logs(data: bytes, tenant: str) -> pa.RecordBatch | None:
    """Log records as columns `LOG_FIELDS`, in the order of the message; None if there are none. Raises SourceError.

    The time is the event's, else when it was observed. Severity: the number, else of the text, else of the body.
    """
    request = parse(data, ExportLogsServiceRequest)
    rows: list[tuple[Any, ...]] = []
    for resource_logs in request.resource_logs:
        origin = origin_from(resource_logs.resource.attributes, tenant)
        for scope_logs in resource_logs.scope_logs:
            for log in scope_logs.log_records:
                time_ns = min(log.time_unix_nano or log.observed_time_unix_nano, TIME_MAX_NS)
                body = text_of(log.body)
                severity, location = _judged(log, body)
                who = origin.entity_id, origin.service
                rows.append((time_ns, *who, severity, location, body, log.trace_id, log.span_id))
    return _batch(LOG_FIELDS, rows)


def decode_spans(data: bytes, tenant: str) -> pa.RecordBatch | None:
    """Spans as columns `SPAN_FIELDS`, in the order of the message; None if there are none. Raises SourceError.

    A span of an HTTP route is named by method and route, so that names do not multiply with the paths.
    """
    request = parse(data, ExportTraceServiceRequest)
    rows: list[tuple[Any, ...]] = []
    for resource_spans in request.resource_spans:
        origin = origin_from(resource_spans.resource.attributes, tenant)
        who = origin.entity_id, origin.service, origin.version
        for scope_spans in resource_spans.scope_spans:
            for span in scope_spans.spans:
                attributes = _by_key(span.attributes)
                start, end = min(span.start_time_unix_nano, TIME_MAX_NS), min(span.end_time_unix_nano, TIME_MAX_NS)
                ids = span.trace_id, span.span_id, span.parent_span_id
                kind = span.kind if 0 <= span.kind <= 5 else 0
                is_error = span.status.code == Status.STATUS_CODE_ERROR
                peer = _peer(attributes) if kind in _CALLS else ""
                said = _name(span, attributes), kind, is_error, _status(attributes), peer
                rows.append((start, end, *ids, *who, *said))
    return _batch(SPAN_FIELDS, rows)


def _judged(log: LogRecord, body: str) -> tuple[int, str]:
    """Severity 0 to 24 and code location."""
    attributes = _by_key(log.attributes)
    location, said = code_location(body)
    severity = int(log.severity_number)
    if not 0 < severity <= _SEVERITY_MAX:
        severity = severity_of(log.severity_text) or said
    path, line, function = (_first(attributes, keys) for keys in (_PATH, _LINE, _FUNCTION))
    if path:
        return severity, f"{path}:{line}" if line else path
    return severity, function or location


def _name(span: Span, attributes: Mapping[str, AnyValue]) -> str:
    route, method = _first(attributes, ("http.route",)), _first(attributes, _METHOD)
    return f"{method} {route}".strip() if route else span.name


def _peer(attributes: Mapping[str, AnyValue]) -> str:
    """Whom a client called: the service it names, else the host; a system where the host is no plain name."""
    host, system = _first(attributes, _HOST), _first(attributes, _SYSTEM)
    if system and not host.replace("-", "").replace("_", "").isalnum():
        host = system
    return _first(attributes, ("peer.service",)) or host or _first(attributes, ("rpc.service",))


def _status(attributes: Mapping[str, AnyValue]) -> int:
    for key in _STATUS:
        if key in attributes:
            status = whole_number(attributes[key])
            return status if 0 <= status <= _STATUS_MAX else 0
    return 0


def _by_key(attributes: Iterable[KeyValue]) -> dict[str, AnyValue]:
    return {a.key: a.value for a in attributes}


def _first(attributes: Mapping[str, AnyValue], keys: tuple[str, ...]) -> str:
    return next((text_of(attributes[key]) for key in keys if key in attributes), "")


def _batch(fields: dict[str, pa.DataType], rows: list[tuple[Any, ...]]) -> pa.RecordBatch | None:
    if not rows:
        return None
    columns = [_column(values, kind) for values, kind in zip(zip(*rows, strict=True), fields.values(), strict=True)]
    return pa.record_batch(columns, schema=pa.schema(list(fields.items())))


def _column(values: tuple[Any, ...], kind: pa.DataType) -> pa.Array:
    if pa.types.is_dictionary(kind):
        return pa.array(values, pa.string()).dictionary_encode().cast(kind)
    return pa.array(values, pa.int64()).cast(kind) if pa.types.is_timestamp(kind) else pa.array(values, kind)
