"""What the HTTP interface of approvals says of itself: OpenAPI 3.1, from the records that it takes and gives."""

from typing import Any

from schemas import Approval, SignedApproval
from tidegate import __version__

_TEXT = {"type": "string", "maxLength": 500}
_DECISION = {"type": "string", "enum": ["approve", "reject"]}
_BEARER: list[dict[str, list[str]]] = [{"bearer": []}]
_SLACK: list[dict[str, list[str]]] = [{"slack": []}]
_SYSTEM: list[dict[str, list[str]]] = [{"system": []}]


def openapi() -> dict[str, Any]:
    """The document; equal to docs/approvals.openapi.json."""
    document = _document()
    for path, calls in document["paths"].items():
        named = [part[1:-1] for part in path.split("/") if part.startswith("{")]
        if named:
            calls["parameters"] = [{"name": name, "in": "path", "required": True, "schema": _TEXT} for name in named]
    return document


def _document() -> dict[str, Any]:
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Tidegate approvals", "version": __version__,
            "description": "What waits for people, what they are to sign, and their signed answers. No sessions.",
        },
        "paths": {
            "/v1/approvals": {"get": _call("What waits", _ref("Waiting"), security=[{}, *_BEARER])},
            "/v1/approvals/{id}": {
                "get": _call("What is to be approved, and how it stands", _ref("Docket"), security=[{}, *_BEARER])
            },
            "/v1/approvals/{id}/challenges": {
                "post": _call(
                    "What one person is to sign, with a nonce",
                    _object(approval=_ref("Approval"), passkey={"type": ["object", "null"]}),
                    _object(person=_TEXT, role=_TEXT, kid=_TEXT, decision=_DECISION), security=[{}, *_BEARER],
                )
            },
            "/v1/approvals/{id}/votes": {"post": _call("A signed approval", _ref("Heard"), _ref("SignedApproval"))},
            "/v1/approvals/{id}/clicks": {
                "post": _call("A click of who is logged in; grade C", _ref("Heard"),
                              _object(["decision"], role=_TEXT, decision=_DECISION), security=_BEARER)
            },
            "/v1/approvals/{id}/parameters": {
                "post": _call("Reject it and propose it with other parameters: who is logged in, or a signed rejection",
                              _object(id=_TEXT),
                              _object(["parameters"], parameters={"type": "object"}, rejection=_TEXT, signature=_TEXT),
                              security=[{}, *_BEARER], status="201")
            },
            "/v1/pages": {"get": _call("What nobody has acknowledged", _ref("Pages"), security=[{}, *_BEARER])},
            "/v1/pages/{id}/acknowledgements": {
                "post": _call("Somebody has it: who is logged in, else `person`", _object(id=_TEXT, person=_TEXT),
                              _object(person=_TEXT), security=[{}, *_BEARER])
            },
            "/v1/chat/slack": {
                "post": _call("A button of Slack, value `DECISION ACTION_ID [ROLE]`; grade C", _ref("Heard"),
                              {"type": "object"}, security=_SLACK, content="application/x-www-form-urlencoded")
            },
            "/v1/systems/{name}": {
                "post": _call("An approval of an ITSM system; grade C", _ref("Heard"),
                              _object(["action_id", "person", "decision"], action_id=_TEXT, person=_TEXT, role=_TEXT,
                                      decision=_DECISION), security=_SYSTEM)
            },
        },
        "components": {
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "ID token of OpenID Connect"},
                "slack": {"type": "apiKey", "in": "header", "name": "X-Slack-Signature"},
                "system": {"type": "apiKey", "in": "header", "name": "X-Tidegate-Signature"},
            },
            "schemas": {
                "Approval": _schema(Approval), "SignedApproval": _schema(SignedApproval),
                "Standing": _object(
                    state={"type": "string", "enum": ["waiting", "approved", "rejected"]}, people=_list(_TEXT),
                    missing=_list(_TEXT), lost=_list(_object(person=_TEXT, reason=_TEXT)),
                ),
                "Waiting": _object(approvals=_list(_object(
                    id=_TEXT, state=_TEXT, summary=_TEXT, target=_TEXT, standing=_ref("Standing")))),
                "Pages": _object(pages=_list(_object(
                    id=_TEXT, text=_TEXT, since=_TEXT, level={"type": "integer"}, action_id=_TEXT))),
                "Docket": _object(
                    id=_TEXT, state=_TEXT, summary=_TEXT, target=_TEXT, standing=_ref("Standing"),
                    ask={"type": "object"}, shown={"type": "object"},
                ),
                "Heard": _object(
                    accepted={"type": "boolean"}, reason=_TEXT, text=_TEXT, person=_TEXT,
                    ring_version={"type": "integer"}, standing=_ref("Standing"),
                ),
                "Error": _object(error=_object(code=_TEXT, what=_TEXT)),
            },
        },
    }  # fmt: skip


def _call(
    summary: str, gives: dict[str, Any], takes: dict[str, Any] | None = None, *,
    security: list[dict[str, list[str]]] | None = None, status: str = "200", content: str = "application/json",
) -> dict[str, Any]:  # fmt: skip
    refusal = {"description": "Refused; `code` is stable", "content": {"application/json": {"schema": _ref("Error")}}}
    call: dict[str, Any] = {
        "summary": summary, "security": security or [],
        "responses": {
            status: {"description": summary, "content": {"application/json": {"schema": gives}}}, "default": refusal
        },
    }  # fmt: skip
    if takes is not None:
        call["requestBody"] = {"required": True, "content": {content: {"schema": takes}}}
    return call


def _object(required: list[str] | None = None, /, **fields: Any) -> dict[str, Any]:
    return {"type": "object", "properties": fields, "required": sorted(fields if required is None else required)}


def _list(of: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": of}


def _ref(name: str) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{name}"}


def _schema(record: Any) -> dict[str, Any]:
    found: dict[str, Any] = record.model_json_schema(ref_template="#/components/schemas/{model}")
    for name, part in found.pop("$defs", {}).items():
        found = _inlined(found, f"#/components/schemas/{name}", part)
    return found


def _inlined(value: Any, ref: str, part: dict[str, Any]) -> Any:
    if isinstance(value, dict):
        return part if value.get("$ref") == ref else {name: _inlined(one, ref, part) for name, one in value.items()}
    return [_inlined(one, ref, part) for one in value] if isinstance(value, list) else value
