"""What the gateway says of itself at `/openapi.json`: OpenAPI 3.1, made from what the sources declare."""

from collections.abc import Iterable
from typing import Any

from streams import Intake
from tidegate import __version__

_TEXT = {"type": "string", "maxLength": 1000}
_STATUS = {
    "type": "object",
    "required": ["code", "message"],
    "properties": {"code": {"type": "integer"}, "message": _TEXT},
}
_WHY = {
    "400": "It cannot be read, or part of it cannot be used; the answer says what.",
    "401": "No proof of who sends, or a wrong or old one.", "403": "This sender may not do that.",
    "408": "The body did not come in time.", "409": "This delivery was taken before.", "413": "Too large.",
    "415": "Another media type or coding.", "429": "Too much waits, or too many new series; see Retry-After.",
    "503": "Nothing could be kept; see Retry-After.",
}  # fmt: skip
_SECURITY: list[dict[str, list[str]]] = [{}, {"bearer": []}, {"basic": []}, {"signature": []}, {"certificate": []}]


def openapi(sources: Iterable[Any], *, events: str, told: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """The document. sources: those that say `intake`. events: path of CloudEvents. told: path and what it tells."""
    paths: dict[str, Any] = {}
    for source in sources:
        for path in source.intake.paths:
            paths[path] = {"post": _post(source.kind, source.intake)}
    cloud_events = Intake((events,), ("application/cloudevents+json", "application/json"))
    paths[events] = {"post": _post("cloudevents", cloud_events)}
    for path, what in told:
        paths[path] = {"get": _get(what, path)}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Tidegate gateway", "version": __version__, "description": "What is posted and told."},
        "paths": paths,
        "components": {
            "schemas": {"Status": _STATUS},
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"}, "basic": {"type": "http", "scheme": "basic"},
                "signature": {"type": "apiKey", "in": "header", "name": "X-Tidegate-Signature"},
                "certificate": {"type": "mutualTLS"},
            },
        },
    }  # fmt: skip


def _post(kind: str, intake: Intake) -> dict[str, Any]:
    types = [name.partition(";")[0] for name in intake.media_types]
    content = {
        name: {"schema": {} if name.endswith("json") else {"type": "string", "format": "binary"}} for name in types
    }
    good = {str(intake.status): {"description": "It lies durably in the log."}}
    return {
        "operationId": f"post_{intake.paths[0].strip('/').replace('/', '_')}_{kind}", "summary": f"Bodies of {kind}",
        "requestBody": {"required": True, "content": content}, "responses": good | _refusals(intake.explains == "text"),
        "security": _SECURITY,
    }  # fmt: skip


def _get(what: str, path: str) -> dict[str, Any]:
    is_text = path == "/metrics"
    schema: dict[str, Any] = {"type": "string"} if is_text else {"type": "object"}
    content = {"text/plain" if is_text else "application/json": {"schema": schema}}
    return {
        "operationId": f"get_{path.strip('/').replace('/', '_')}", "summary": what,
        "responses": {"200": {"description": what, "content": content}} | _refusals(False, "401", "403", "503"),
        "security": _SECURITY,
    }  # fmt: skip


def _refusals(is_text: bool, *which: str) -> dict[str, Any]:
    status = {"schema": {"$ref": "#/components/schemas/Status"}}
    told: dict[str, Any] = {"application/json": status, "application/x-protobuf": {"schema": {"type": "string"}}}
    content = {"text/plain": {"schema": _TEXT}} if is_text else told
    return {code: {"description": why, "content": content} for code, why in _WHY.items() if not which or code in which}
