"""JSON Schema and AsyncAPI of everything that crosses a topic, rendered from the pydantic models and `TOPICS`.

The models are the single source; the files in `schemas/generated/` are committed so that readers in other languages
and the compatibility gate have them, and a test holds that they are what is rendered. Sources: JSON Schema 2020-12,
AsyncAPI 3.0.0 with the Kafka bindings 0.5.0. Inside AsyncAPI the schemas are draft-07, its own dialect, so tuples
are written as `items`. An object is open (a newer writer may add a field, readers ignore it), except in what is
signed or hashed: there an unknown field is refused, so it is closed.
"""

import json
from collections.abc import Mapping
from typing import Any, get_args

from pydantic.json_schema import models_json_schema

from schemas._actions import ActionEvent, ActionState, Approval, AuditLeaf, Checkpoint, Control, SignedApproval
from schemas._artefacts import CalibrationMap, EvidenceHistory, RankerWeights, TailFit
from schemas._base import Record
from schemas._events import PREFIX
from schemas._frames import FRAME_FIELDS, HISTOGRAM_FIELDS, LOG_FIELDS, SPAN_FIELDS
from schemas._services import ServiceBook
from schemas._topics import MARKS, RECORDS, TOPICS, Topic

DIALECT = "https://json-schema.org/draft/2020-12/schema"
FOLDER = "generated"
ASYNCAPI = f"{FOLDER}/asyncapi.json"
HISTORY = f"{FOLDER}/history"

_SIGNED: tuple[type[Record], ...] = (Approval, SignedApproval, AuditLeaf, Checkpoint, Control)
_ARTEFACTS: tuple[type[Record], ...] = (CalibrationMap, EvidenceHistory, RankerWeights, ServiceBook, TailFit)
_ARROW = {"frame": FRAME_FIELDS, "histogram": HISTOGRAM_FIELDS, "logs": LOG_FIELDS, "spans": SPAN_FIELDS}
_SOURCES = {
    "otlp_metrics": "OTLP ExportMetricsServiceRequest, protobuf or JSON, as the OpenTelemetry Collector sends it.",
    "otlp_logs": "OTLP ExportLogsServiceRequest, protobuf or JSON, as the OpenTelemetry Collector sends it.",
    "otlp_spans": "OTLP ExportTraceServiceRequest, protobuf or JSON, as the OpenTelemetry Collector sends it.",
}


def render() -> dict[str, str]:
    """Path inside `schemas/` -> text, of every record's JSON Schema and of the AsyncAPI document; pure, sorted.

    >>> sorted(render())[0]
    'generated/action.v1.json'
    """
    files = {_path(record): _text(json_schema(record)) for record in (*RECORDS.values(), *_ARTEFACTS)}
    return dict(sorted((files | {ASYNCAPI: _text(asyncapi())}).items()))


def freeze(committed: Mapping[str, str]) -> dict[str, str]:
    """The new history files for a release: one `<type>.v<major>.<n>.json` for each schema that differs from its
    newest committed version. `committed`: path inside `schemas/` -> text, of the history folder at least.
    """
    fresh = {}
    for path, text in render().items():
        if path != ASYNCAPI:
            versions = versions_of(path, committed)
            if not versions or committed[versions[-1]] != text:
                fresh[_history_path(path, len(versions))] = text
    return fresh


def versions_of(path: str, committed: Mapping[str, str]) -> list[str]:
    """Paths of the committed earlier versions of the schema at `path`, oldest first."""
    found: list[str] = []
    while (version := _history_path(path, len(found))) in committed:
        found.append(version)
    return found


def json_schema(record: type[Record]) -> dict[str, Any]:
    """The JSON Schema (2020-12) of one record, self-contained; `$id` is what `ce_dataschema` says."""
    body = record.model_json_schema()
    schema = {"$schema": DIALECT, "$id": f"urn:tidegate:schema:{record.TYPE}:{record.VERSION}", **body}
    return schema if record in _SIGNED else _opened(schema)


def asyncapi() -> dict[str, Any]:
    """The AsyncAPI 3.0 document: one channel a topic, its key, and the messages that may lie on it."""
    records = (*RECORDS.values(),)
    _, top = models_json_schema([(r, "validation") for r in records], ref_template="#/components/schemas/{model}")
    definitions = {
        name: _draft7(body if name in {r.__name__ for r in _SIGNED} else _opened(body))
        for name, body in top["$defs"].items()
    }
    messages = {record.TYPE: _record_message(record) for record in records}
    messages |= {topic.name: _bytes_message(topic) for topic in TOPICS.values() if topic.content != "records"}
    return {
        "asyncapi": "3.0.0",
        "id": "urn:tidegate",
        "info": {
            "title": "Tidegate topics",
            "version": "1",
            "description": "Telemetry topics hold Arrow IPC streams of one record batch; control topics hold "
            "CloudEvents 1.0 in Kafka binary mode. Watermarks and coverage travel in the partitions of the data.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "channels": {topic.name: _channel(topic) for topic in TOPICS.values()},
        "components": {"messages": messages, "schemas": definitions},
    }


def _channel(topic: Topic) -> dict[str, Any]:
    names = [topic.name] if topic.content != "records" else []
    marks = MARKS if topic.content != "source" else ()
    names += list(dict.fromkeys(record.TYPE for record in (*topic.records, *marks) if topic.content != "dead"))
    kept = "Reference data, compacted." if topic.is_reference else "A log, kept for its retention time."
    spread = "Partitioned." if topic.partitioned else "One partition unless the deployment chose more."
    return {
        "address": topic.name,
        "description": f"Key: {topic.key}. Content: {topic.content}. {kept} {spread}",
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in names},
        "bindings": {"kafka": {"topic": topic.name, "bindingVersion": "0.5.0"}},
    }


def _record_message(record: type[Record]) -> dict[str, Any]:
    keys = sorted({topic.key for topic in TOPICS.values() if record in topic.records}) or ["that of the partition"]
    return {
        "name": f"{PREFIX}{record.TYPE}",
        "title": record.__name__,
        "summary": (record.__doc__ or "").strip().split("\n")[0],
        "contentType": "application/json",
        "headers": _cloudevent_headers(record),
        "payload": {"$ref": f"#/components/schemas/{record.__name__}"},
        "bindings": {"kafka": {"key": {"type": "string", "description": " or ".join(keys)}, "bindingVersion": "0.5.0"}},
    }


def _cloudevent_headers(record: type[Record]) -> dict[str, Any]:
    name = f"{PREFIX}{record.TYPE}"
    kind = (
        {"enum": [f"{name}.{state}" for state in get_args(ActionState)]} if record is ActionEvent else {"const": name}
    )
    return {
        "type": "object",
        "required": ["ce_specversion", "ce_type", "ce_id", "ce_source", "ce_time", "ce_dataschema", "content-type"],
        "properties": {
            "ce_specversion": {"type": "string", "const": "1.0"},
            "ce_type": {"type": "string", **kind},
            "ce_id": {"type": "string", "minLength": 1},
            "ce_source": {"type": "string", "format": "uri-reference"},
            "ce_time": {"type": "string", "format": "date-time", "description": "Event time, nanoseconds, UTC."},
            "ce_dataschema": {"type": "string", "const": f"urn:tidegate:schema:{record.TYPE}:{record.VERSION}"},
            "content-type": {"type": "string", "const": "application/json"},
        },
    }


def _bytes_message(topic: Topic) -> dict[str, Any]:
    message: dict[str, Any] = {"name": topic.name, "title": topic.name}
    payload: dict[str, Any] = {"type": "string", "format": "binary"}
    if fields := _ARROW.get(topic.content):
        columns = ", ".join(f"{name}: {kind}" for name, kind in fields.items())
        payload["description"] = (
            f"An Arrow IPC stream of one record batch with columns ({columns}) and schema metadata `tidegate` (JSON)."
        )
        payload["x-arrow-columns"] = [{"name": name, "type": str(kind)} for name, kind in fields.items()]
        return message | {"contentType": "application/vnd.apache.arrow.stream", "payload": payload}
    if topic.content == "dead":
        payload["description"] = "The original bytes, unchanged; the header `tidegate-dead-letter` says why."
        headers = {
            "type": "object",
            "properties": {"tidegate-dead-letter": {"$ref": "#/components/schemas/DeadLetter"}},
        }
        return message | {"contentType": "application/octet-stream", "headers": headers, "payload": payload}
    payload["description"] = _SOURCES.get(
        topic.name, "The bytes of the sender; the header `tidegate-kind` names a source."
    )
    return message | {"contentType": "application/octet-stream", "payload": payload}


def _opened(node: Any) -> Any:
    """The schema without `additionalProperties: false`: readers ignore what they do not know."""
    if isinstance(node, list):
        return [_opened(item) for item in node]
    if not isinstance(node, dict):
        return node
    return {k: _opened(v) for k, v in node.items() if not (k == "additionalProperties" and v is False)}


def _draft7(node: Any) -> Any:
    if isinstance(node, list):
        return [_draft7(item) for item in node]
    if not isinstance(node, dict):
        return node
    return {("items" if key == "prefixItems" else key): _draft7(value) for key, value in node.items()}


def _path(record: type[Record]) -> str:
    return f"{FOLDER}/{record.TYPE}.v{record.VERSION}.json"


def _history_path(path: str, minor: int) -> str:
    return f"{HISTORY}/{path.removeprefix(FOLDER + '/').removesuffix('.json')}.{minor}.json"


def _text(schema: dict[str, Any]) -> str:
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"
