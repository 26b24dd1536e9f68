"""Control records as CloudEvents 1.0 in Kafka binary mode: attributes in `ce_*` headers, JSON data in the value.

The attributes are rendered here, not by the SDK object, because they are on a warm path; a test holds that the SDK
(`cloudevents.core.bindings.kafka.from_kafka`) reads exactly what was meant.
"""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from functools import lru_cache

from schemas._base import Record
from schemas._errors import RecordInvalid
from schemas._topics import RECORDS
from schemas.core import NS, Emit, Message

PREFIX = "io.tidegate."
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
    topic: str, kind: type[Record], texts: Iterable[bytes], ids: Iterable[str], *, source: str, event_ns: int
) -> list[Emit]:
    """Many records of one kind at one time that are JSON bytes already; the key of each is its id."""
    *before, _, ce_source, ce_time, data_schema, content = headers_of(kind, id="", source=source, event_ns=event_ns)
    after = (ce_source, ce_time, data_schema, content)
    first, second = before
    found = []
    for text, id in zip(texts, ids, strict=True):
        key = id.encode()
        found.append(Emit(topic, key, text, (first, second, ("ce_id", key), *after), event_ns))
    return found


def emit(topic: str, record: Record, *, id: str, key: str, source: str, event_ns: int, type_suffix: str = "") -> Emit:
    """A record ready to be appended to a topic."""
    headers = headers_of(record, id=id, source=source, event_ns=event_ns, type_suffix=type_suffix)
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
