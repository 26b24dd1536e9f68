"""Control records as CloudEvents 1.0 in Kafka binary mode: attributes in `ce_*` headers, JSON data in the value.

The attributes are rendered here, not by the SDK object, because they are on a warm path; a test holds that the SDK
(`cloudevents.core.bindings.kafka.from_kafka`) reads exactly what was meant.
"""

import hashlib
import uuid
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from functools import lru_cache

from schemas._base import Record
from schemas._errors import RecordInvalid
from schemas._topics import RECORDS
from schemas.core import NS, Emit, Message

PREFIX = "io.tidegate."
TRACEPARENT = "traceparent"
_INCIDENT_OF = {
    "incident": "id", "diagnosis": "incident_id", "inquiry": "incident_id", "observation": "incident_id",
    "action": "incident_id",
}  # fmt: skip
"""Field that names the incident that a record is part of the way of."""
Headers = tuple[tuple[str, bytes], ...]


def rfc3339(ns: int) -> str:
    """Event time as an RFC 3339 timestamp in UTC with nanoseconds.

    >>> rfc3339(1_674_987_610_000_000_001)
    '2023-01-29T10:20:10.000000001Z'
    """
    second, rest = divmod(ns, NS)
    return f"{_second(second)}.{rest:09d}Z"


@lru_cache(256)
def _second(second: int) -> str:
    return f"{datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=second):%Y-%m-%dT%H:%M:%S}"


def headers_of(record: Record | type[Record], *, id: str, source: str, event_ns: int, type_suffix: str = "") -> Headers:
    """The CloudEvents attributes of a record, or of a kind of records; `dataschema` names record and major version."""
    before, ce_source, after = _fixed(record.TYPE, record.VERSION, source, type_suffix)
    return (*before, ("ce_id", id.encode()), ce_source, ("ce_time", rfc3339(event_ns).encode()), *after)


@lru_cache(1024)
def _fixed(kind: str, version: int, source: str, suffix: str) -> tuple[Headers, tuple[str, bytes], Headers]:
    """What all records of a kind from one source have: headers before the id, `ce_source`, headers after the time."""
    before = (("ce_specversion", b"1.0"), ("ce_type", f"{PREFIX}{kind}{suffix}".encode()))
    schema = f"urn:tidegate:schema:{kind}:{version}".encode()
    after = (("ce_dataschema", schema), ("content-type", b"application/json"))
    return before, ("ce_source", source.encode()), after


def emit_texts(
    topic: str, kind: type[Record], texts: Iterable[bytes], ids: Iterable[bytes], *, source: str, event_ns: int
) -> list[Emit]:
    """Many records of one kind at one time that are JSON bytes already; the key of each is its id."""
    first, second, _, ce_source, ce_time, data_schema, content = headers_of(
        kind, id="", source=source, event_ns=event_ns
    )
    found = []
    for text, id in zip(texts, ids, strict=True):
        headers = (first, second, ("ce_id", id), ce_source, ce_time, data_schema, content)
        found.append(Emit(topic, id, text, headers, event_ns))
    return found


def trace_id(incident_id: str) -> str:
    """The trace of an incident: its id is a UUID, and those are 16 bytes as trace ids are. 32 hex digits.

    >>> trace_id("6ba7b810-9dad-11d1-80b4-00c04fd430c8")
    '6ba7b8109dad11d180b400c04fd430c8'
    """
    try:
        return uuid.UUID(incident_id).hex
    except ValueError:  # opened by others, who name it otherwise
        return hashlib.sha256(incident_id.encode()).hexdigest()[:32]


def span_id(record: str) -> str:
    """The span that ends with the writing of a record, from the id of that. 16 hex digits."""
    return hashlib.sha256(record.encode()).hexdigest()[:16]


def traceparent(incident_id: str, record: str) -> str:
    """W3C Trace Context, level 1: version 00, sampled. Made of ids, so a replay says the same."""
    return f"00-{trace_id(incident_id)}-{span_id(record)}-01"


def emit(topic: str, record: Record, *, id: str, key: str, source: str, event_ns: int, type_suffix: str = "") -> Emit:
    """A record ready to be appended to a topic; with a `traceparent` if it is part of the way of an incident."""
    headers = headers_of(record, id=id, source=source, event_ns=event_ns, type_suffix=type_suffix)
    if incident_field := _INCIDENT_OF.get(record.TYPE):
        parent = traceparent(getattr(record, incident_field), id)
        headers = (*headers, (TRACEPARENT, parent.encode()))
    return Emit(topic, key.encode(), record.to_bytes(), headers, event_ns)


def record_type(message: Message) -> str:
    """The type of the record in a message without prefix and suffix, or an empty string if it is no CloudEvent."""
    name = message.header("ce_type")
    if not name.startswith(PREFIX):
        return ""
    schema = message.header("ce_dataschema").split(":")
    return schema[3] if len(schema) == 5 and schema[:3] == ["urn", "tidegate", "schema"] else name.removeprefix(PREFIX)


def read(message: Message) -> Record:
    """The record in a message; unknown fields are ignored, an unknown type raises RecordInvalid."""
    name = record_type(message)
    if name not in RECORDS:
        where = f"{message.topic}/{message.partition}@{message.offset}"
        raise RecordInvalid(
            f"unknown record type '{message.header('ce_type')}'", where=where, todo="Upgrade the reader"
        )
    return RECORDS[name].from_bytes(message.value)
