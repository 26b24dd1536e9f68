"""Control records as CloudEvents 1.0 in Kafka binary mode: attributes in `ce_*` headers, JSON data in the value.

The attributes are rendered here, not by the SDK object, because they are on a warm path; a test holds that the SDK
(`cloudevents.core.bindings.kafka.from_kafka`) reads exactly what was meant.
"""

from datetime import UTC, datetime, timedelta

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
    whole = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=ns // NS)
    return f"{whole:%Y-%m-%dT%H:%M:%S}.{ns % NS:09d}Z"


def headers_of(record: Record, *, id: str, source: str, event_ns: int, type_suffix: str = "") -> Headers:
    """The CloudEvents attributes of a record; `dataschema` names record and major version."""
    return (
        ("ce_specversion", b"1.0"),
        ("ce_type", f"{PREFIX}{record.TYPE}{type_suffix}".encode()),
        ("ce_id", id.encode()),
        ("ce_source", source.encode()),
        ("ce_time", rfc3339(event_ns).encode()),
        ("ce_dataschema", f"urn:tidegate:schema:{record.TYPE}:{record.VERSION}".encode()),
        ("content-type", b"application/json"),
    )


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
