"""CloudEvents that the gateway takes: changes, calendar entries, silences and edges, in binary or structured mode.

A sender of these is a pipeline or a person with curl, who can mend what is wrong at once: so what does not fit is
refused with the field that does not, instead of becoming a dead letter. Source: CloudEvents 1.0, HTTP binding.
"""

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from cloudevents.core.bindings.http import HTTPMessage, from_http_event
from cloudevents.core.exceptions import BaseCloudEventException

import schemas as sc
from schemas.core import Message
from streams import Source, SourceError
from tidegate._http import JSON, Refused, media_type
from tidegate._principals import Principal

STRUCTURED = "application/cloudevents+json"
_NOT_AN_EVENT = (BaseCloudEventException, ValueError, TypeError, KeyError, AttributeError, RecursionError)


class Taken(NamedTuple):
    """A record ready for the raw topic."""

    headers: tuple[tuple[str, bytes], ...]
    value: bytes


def read_event(headers: Mapping[str, str], body: bytes, principal: Principal, source: Source) -> Taken:
    """The record of one event, written anew, so that nothing gets in that was not read.

    source: the plug-in that will read it from the raw topic; what it would refuse is refused here.
    Raises Refused: 415 (neither mode), 400 (does not fit), 403 (of another tenant).
    """
    attributes, value = _event(headers, body)
    try:
        told = tuple((f"ce_{name}", attributes.get(name, "").encode()) for name in ("type", "dataschema"))
        (record,) = source.decode(Message(sc.RAW, 0, 0, b"", value, told, 0, 0)).records
        said = sc.headers_of(record, id=attributes["id"], source=attributes["source"], event_ns=_event_ns(record))
    except SourceError as error:
        raise Refused(400, str(error).removeprefix(f"{sc.RAW}/0@0: ")) from error
    except UnicodeEncodeError as error:
        raise Refused(400, f"an attribute is not text: {error}") from error
    if not _is_of(record, principal.tenant):
        raise Refused(403, f"this sender speaks for tenant '{principal.tenant}', the record is of another")
    return Taken(said, record.to_bytes())


def told_type(headers: Mapping[str, str], body: bytes) -> tuple[str, bytes]:
    """The type of an event and the whole of it as structured JSON. Raises Refused: 415 (neither mode), 400."""
    attributes, value = _event(headers, body)
    if "ce-specversion" not in headers:
        return attributes.get("type", ""), body
    try:
        whole = json.dumps({**attributes, "data": json.loads(value)}).encode()
    except (ValueError, RecursionError) as error:
        raise Refused(400, f"not a CloudEvent: the data is not JSON: {str(error)[:200]}") from error
    return attributes.get("type", ""), whole


def _event(headers: Mapping[str, str], body: bytes) -> tuple[dict[str, str], bytes]:
    """Attributes and data of an event in either mode."""
    is_binary, kind = "ce-specversion" in headers, media_type(headers)
    if kind != (JSON if is_binary else STRUCTURED):
        raise Refused(415, f"send {STRUCTURED}, or {JSON} with ce-* headers; this is '{kind[:60]}'")
    try:
        event = from_http_event(HTTPMessage(dict(headers), body))
        data: Any = event.get_data()
        attributes = {name: str(value) for name, value in event.get_attributes().items()}
        if attributes["specversion"] != "1.0":
            raise ValueError("specversion is not 1.0")
        return attributes, body if is_binary else data if isinstance(data, bytes) else json.dumps(data).encode()
    except _NOT_AN_EVENT as error:
        raise Refused(400, f"not a CloudEvent: {' '.join(str(error).split())[:300]}") from error


def _event_ns(record: sc.Record) -> int:
    if isinstance(record, sc.Change):
        return record.at_ns
    if isinstance(record, (sc.Alert, sc.Silence)):
        return record.said_ns
    return record.start_ns if isinstance(record, sc.CalendarEntry) else record.first_ns  # type: ignore[attr-defined]


def _is_of(record: sc.Record, tenant: str) -> bool:
    entity: str = getattr(record, "entity_id", f"{tenant}/")
    return getattr(record, "tenant", None) == tenant and entity.startswith(f"{tenant}/")
