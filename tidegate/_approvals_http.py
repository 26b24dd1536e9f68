"""Approvals over HTTP, for consoles, chat and ITSM: the desk's questions and answers, and nothing of its own.

Nothing is trusted for having come this way: an approval is an envelope that its person signed, or a click that a bridge
of the lowest grade signs after it has checked who clicked. There are no sessions and no cookies, so no page can act in
somebody's name. The description is `openapi()`, at `/v1/openapi.json` and in docs/approvals.openapi.json.
"""

import json
from base64 import b64decode, urlsafe_b64encode
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import wraps
from typing import Any
from urllib.parse import parse_qs

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from actions import ActionsError, Docket, KeyRing, Standing, passkey_challenge
from schemas import rfc3339
from tidegate._approve_desk import ApprovalDesk, Heard
from tidegate._approve_openapi import openapi
from tidegate._chat_signatures import SignedCalls
from tidegate._errors import ApproveError, NotFoundError
from tidegate._http import Refused, body_of
from tidegate._oidc import Oidc

MAX_BODY_BYTES = 65_536
STATUS = {
    "NOT_ASKED": 404, "NOT_WAITING": 409, "TOKEN_INVALID": 401, "TOKEN_EXPIRED": 401, "CALL_INVALID": 401,
    "CALL_OLD": 401, "CALL_REPLAYED": 409, "NOBODY": 403, "NO_BRIDGE": 404, "NO_OVERRIDE": 501, "BODY_INVALID": 400,
    "NO_PAGE": 404,
}  # fmt: skip
"""Of a code; what is not here is 422."""
Endpoint = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True)
class Identity:
    """How callers are known.

    oidc: bearer tokens; where there is one, reading and challenges need a token too, and its people click through the
    bridge `console`. chat: Slack's secret, bridge `slack`. systems: ITSM systems by name, each with its secret and a
    bridge of its name.
    """

    now_s: Callable[[], int]
    oidc: Oidc | None = None
    chat: SignedCalls | None = None
    systems: Mapping[str, SignedCalls] = field(default_factory=dict)
    hosts: frozenset[str] = frozenset({"localhost", "127.0.0.1", "[::1]"})
    """Names this service is called by; a request for another is refused, so that no web page reaches it by its own."""


def approvals_app(desk: ApprovalDesk, ring: Callable[[], KeyRing], who: Identity) -> Starlette:
    """The application; the process that writes the ledger serves it."""
    api = _Api(desk, ring, who)
    routes = [
        Route("/v1/approvals", api.answered(api.waiting), methods=["GET"]),
        Route("/v1/approvals/{id}", api.answered(api.one), methods=["GET"]),
        Route("/v1/approvals/{id}/challenges", api.answered(api.challenge), methods=["POST"]),
        Route("/v1/approvals/{id}/votes", api.answered(api.vote), methods=["POST"]),
        Route("/v1/approvals/{id}/clicks", api.answered(api.click), methods=["POST"]),
        Route("/v1/approvals/{id}/parameters", api.answered(api.parameters), methods=["POST"]),
        Route("/v1/pages", api.answered(api.pages), methods=["GET"]),
        Route("/v1/pages/{id}/acknowledgements", api.answered(api.acknowledge), methods=["POST"]),
        Route("/v1/chat/slack", api.answered(api.slack), methods=["POST"]),
        Route("/v1/systems/{name}", api.answered(api.system), methods=["POST"]),
        Route("/v1/openapi.json", api.answered(api.description), methods=["GET"]),
    ]
    return Starlette(routes=routes)


class _Api:
    def __init__(self, desk: ApprovalDesk, ring: Callable[[], KeyRing], who: Identity) -> None:
        self._desk, self._ring, self._who = desk, ring, who

    def answered(self, endpoint: Endpoint) -> Endpoint:
        """Errors with a code become answers; a request under a name that is not ours is refused."""

        @wraps(endpoint)
        async def answer(request: Request) -> Response:
            host = request.headers.get("host", "").rpartition(":")
            name = host[0] if host[1] and host[2].isdigit() else "".join(host)
            if name.lower() not in self._who.hosts:
                return _refusal(421, "OTHER_HOST", f"this service is not called '{name[:80]}'")
            try:
                return await endpoint(request)
            except Refused as refused:
                return _refusal(refused.status, "BODY_INVALID", refused.what)
            except (ApproveError, NotFoundError, ActionsError) as error:
                return _refusal(STATUS.get(error.code, 422), error.code, str(error))

        return answer

    async def waiting(self, request: Request) -> Response:
        self._may_read(request)
        rows = [self._row(docket) for docket in self._desk.waiting()]
        return JSONResponse({"approvals": rows})

    async def one(self, request: Request) -> Response:
        self._may_read(request)
        docket = self._desk.docket(request.path_params["id"])
        ask = docket.ask
        document = self._row(docket) | {
            "ask": {
                "aud": ask.aud, "action_id": ask.action_id, "action_digest": ask.action_digest,
                "plan_digest": ask.plan_digest, "dryrun_digest": ask.dryrun_digest, "policy_digest": ask.policy_digest,
                "target_uid": ask.target_uid, "target_version": ask.target_version, "barred": sorted(ask.barred),
                "roles": sorted(ask.roles), "quorum": ask.quorum, "required": dict(ask.required), "grade": ask.grade,
                "lifetime_s": ask.lifetime_s,
            },
            "shown": dict(docket.shown),
        }  # fmt: skip
        return JSONResponse(document)

    async def challenge(self, request: Request) -> Response:
        body = await self._json(request, "person", "role", "kid", "decision")
        if self._who.oidc is not None and self._person(request) != body["person"]:
            raise ApproveError("the token is of somebody else", code="TOKEN_INVALID")
        id, kid = request.path_params["id"], body["kid"]
        approval = await self._desk.challenge(id, body["person"], body["role"], kid, body["decision"])
        passkey = self._ring().keys[kid].passkey
        asked = None
        if passkey is not None:
            wanted = urlsafe_b64encode(passkey_challenge(approval)).decode().rstrip("=")
            asked = {"challenge": wanted, "rp_id": passkey.rp_id, "user_verification": "required"}
        return JSONResponse({"approval": approval.model_dump(mode="json"), "passkey": asked})

    async def vote(self, request: Request) -> Response:
        heard = await self._desk.vote(request.path_params["id"], await self._body(request))
        return _heard(heard)

    async def click(self, request: Request) -> Response:
        person = self._person(request)
        body = await self._json(request, "role", "decision")
        return _heard(await self._desk.click("console", request.path_params["id"], person, **body))

    async def parameters(self, request: Request) -> Response:
        """By who is logged in, or by `rejection` (an envelope) and `signature`, both in base64."""
        id, found = request.path_params["id"], await self._any_json(request)
        if not isinstance(found, dict) or not isinstance(found.get("parameters"), dict):
            raise ApproveError("`parameters` is no object", code="BODY_INVALID")
        if found.keys() == {"parameters", "rejection", "signature"}:
            rejection, signature = _bytes(found["rejection"]), _bytes(found["signature"])
            heard, made = await self._desk.override_signed(id, found["parameters"], rejection, signature)
            return JSONResponse(_said(heard) | {"id": made}, 201 if made else 403)
        person = self._person(request)
        return JSONResponse({"id": await self._desk.override(id, found["parameters"], person)}, 201)

    async def pages(self, request: Request) -> Response:
        self._may_read(request)
        found = [
            {"id": page.notice.id, "text": page.notice.text, "since": rfc3339(page.since_ns),
             "level": page.notice.level, "action_id": page.notice.action_key}
            for page in self._desk.pages()
        ]  # fmt: skip
        return JSONResponse({"pages": found})

    async def acknowledge(self, request: Request) -> Response:
        """By who is logged in; without an identity provider by whom the body names, on this machine only."""
        said = await self._json(request, "person")
        person = said["person"] if self._who.oidc is None else self._person(request)
        await self._desk.acknowledge(request.path_params["id"], person)
        return JSONResponse({"id": request.path_params["id"], "person": person})

    async def slack(self, request: Request) -> Response:
        """A button of Slack (block_actions): `value` is `DECISION ACTION_ID [ROLE]`."""
        body = await self._signed(request, self._who.chat, "X-Slack-Request-Timestamp", "X-Slack-Signature")
        try:
            payload = json.loads(parse_qs(body.decode(), strict_parsing=True)["payload"][0])
            (action,) = payload["actions"]
            user, (decision, id, *role) = str(payload["user"]["id"]), str(action["value"]).split(" ")
        except (ValueError, KeyError, TypeError) as error:
            raise ApproveError(f"this is no click: {str(error)[:100]}", code="BODY_INVALID") from error
        return _heard(await self._desk.click("slack", id, user, " ".join(role), decision))

    async def system(self, request: Request) -> Response:
        name = request.path_params["name"]
        calls = self._who.systems.get(name)
        body = await self._signed(request, calls, "X-Tidegate-Timestamp", "X-Tidegate-Signature")
        said = _fields(body, "action_id", "person", "role", "decision")
        return _heard(await self._desk.click(name, said["action_id"], said["person"], said["role"], said["decision"]))

    async def description(self, request: Request) -> Response:
        return JSONResponse(openapi())

    def _row(self, docket: Docket) -> dict[str, Any]:
        state = self._desk.state(docket.ask.action_id)
        return {
            "id": docket.ask.action_id, "state": state, "summary": docket.shown.get("summary", ""),
            "target": docket.ask.target_uid, "standing": _standing(self._desk.standing(docket)),
        }  # fmt: skip

    def _may_read(self, request: Request) -> None:
        if self._who.oidc is not None:
            self._person(request)

    def _person(self, request: Request) -> str:
        kind, _, token = request.headers.get("authorization", "").partition(" ")
        if self._who.oidc is None or kind.lower() != "bearer" or not token:
            raise ApproveError("this needs a bearer token of the identity provider", code="TOKEN_INVALID")
        return self._who.oidc.person(token.strip(), self._who.now_s())

    async def _signed(self, request: Request, calls: SignedCalls | None, time: str, signature: str) -> bytes:
        if calls is None:
            raise ApproveError("no such system may call here", code="NO_BRIDGE", todo="Add it to the settings")
        body = await self._body(request)
        calls.check(request.headers.get(time, ""), body, request.headers.get(signature, ""), self._who.now_s())
        return body

    async def _body(self, request: Request) -> bytes:
        return await body_of(request, MAX_BODY_BYTES, lambda size: None)

    async def _any_json(self, request: Request) -> Any:
        try:
            return json.loads(await self._body(request))
        except (ValueError, RecursionError) as error:
            raise ApproveError(f"the body is no JSON: {str(error)[:100]}", code="BODY_INVALID") from error

    async def _json(self, request: Request, *names: str) -> dict[str, str]:
        return _fields(await self._body(request), *names)


def _fields(body: bytes, *names: str) -> dict[str, str]:
    """The named texts of a JSON object, and nothing else in it; `role` may be absent."""
    try:
        found = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise ApproveError(f"the body is no JSON: {str(error)[:100]}", code="BODY_INVALID") from error
    if not isinstance(found, dict) or not found.keys() <= set(names):
        raise ApproveError(f"the body is no object of {', '.join(names)}", code="BODY_INVALID")
    said = {"role": "", **found} if "role" in names else found
    if set(said) != set(names) or not all(isinstance(one, str) and len(one) <= 500 for one in said.values()):
        raise ApproveError(f"the body needs {', '.join(names)} as text", code="BODY_INVALID")
    return said


def _standing(found: Standing) -> dict[str, Any]:
    lost = [{"person": person, "reason": reason} for person, reason in found.lost]
    return {"state": found.state, "people": list(found.people), "missing": list(found.missing), "lost": lost}


def _bytes(text: object) -> bytes:
    try:
        return b64decode(str(text), validate=True)
    except ValueError as error:
        raise ApproveError(f"this is no base64: {error}", code="BODY_INVALID") from error


def _heard(heard: Heard) -> Response:
    return JSONResponse(_said(heard), 200 if heard.verdict.is_accepted else 403)


def _said(heard: Heard) -> dict[str, Any]:
    verdict = heard.verdict
    return {
        "accepted": verdict.is_accepted, "reason": verdict.reason, "text": verdict.text, "person": verdict.person,
        "ring_version": verdict.ring_version, "standing": _standing(heard.standing),
    }  # fmt: skip


def _refusal(status: int, code: str, what: str) -> Response:
    return JSONResponse({"error": {"code": code, "what": what}}, status)
