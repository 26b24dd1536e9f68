"""The gateway: OTLP/HTTP and CloudEvents in, actions as server-sent events, incidents, health and metrics out.

What is taken is in the log before the sender is told so. Only what has the wrong size, type or coding is refused;
content that cannot be decoded is kept, counted and becomes a dead letter, because a sender cannot mend it.
Source: OTLP 1.x "OTLP/HTTP" (paths, encodings, answers), CloudEvents 1.0 HTTP binding, WHATWG server-sent events.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from functools import wraps

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

import schemas as sc
from streams import Stored, TransportError
from tidegate import __version__, _catalogue
from tidegate._events_in import read_event
from tidegate._gateway_metrics import GatewayMetrics
from tidegate._http import JSON, PROTOBUF, Refused, body_of, media_type, unpacked
from tidegate._live import Live
from tidegate._principals import LOOPBACK, Principal, Principals
from tidegate._show import cloud_event
from tidegate._webhooks import HookHealth

SIGNALS = {"metrics": "otlp_metrics", "logs": "otlp_logs", "traces": "otlp_spans"}
"""Path below /v1 -> kind of the source that reads it."""
STUCK_S = 60.0  # compiling the fast decoder takes up to half a minute
_HEARTBEAT_S, _POLL_S = 15.0, 0.25
_RETRY_S = 1
_MOST_STREAMS = 100

Endpoint = Callable[[Request], Awaitable[Response]]


class Gateway:
    """The application over one live run.

    is_local_only: answer only requests that name this machine, so that no web page reaches it through a name of its
    own. status: how the process is, `ok` or anything else. hooks: how the webhooks are.
    """

    def __init__(
        self, live: Live, principals: Principals, *, is_local_only: bool = False,
        status: Callable[[], str] = lambda: "ok", hooks: Callable[[], Sequence[HookHealth]] = lambda: (),
        heartbeat_s: float = _HEARTBEAT_S,
    ) -> None:  # fmt: skip
        self._live, self._principals, self._settings = live, principals, live.settings.gateway
        self._is_local_only, self._status, self._hooks = is_local_only, status, hooks
        self._heartbeat_s = heartbeat_s
        self._records = _catalogue.find("sources")["records"]
        self._in_flight = self._streams = 0
        self.metrics = GatewayMetrics(live, hooks)
        routes = [
            *(Route(f"/v1/{signal}", self._counted(self._otlp), methods=["POST"]) for signal in SIGNALS),
            Route("/v1/events", self._counted(self._events), methods=["POST"]),
            Route("/v1/actions", self._counted(self._actions), methods=["GET"]),
            Route("/v1/incidents", self._counted(self._incidents), methods=["GET"]),
            Route("/healthz", self._counted(self._healthz), methods=["GET"]),
            Route("/metrics", self._counted(self._prometheus), methods=["GET"]),
        ]
        self.app = Starlette(routes=routes)

    # --- in ---

    async def _otlp(self, request: Request) -> Response:
        signal = request.url.path.rsplit("/", 1)[-1]
        encoding = media_type(request.headers)
        if encoding not in (JSON, PROTOBUF):
            raise Refused(415, f"content type '{encoding[:60]}' is not OTLP; send {PROTOBUF} or {JSON}")
        who = self._who(request, may="send")
        body = await self._body(request)
        await self._keep(SIGNALS[signal], body, who, signal)
        return Response(b"" if encoding == PROTOBUF else b"{}", media_type=encoding)

    async def _events(self, request: Request) -> Response:
        who = self._who(request, may="send")
        body = await self._body(request)
        taken = await asyncio.to_thread(read_event, request.headers, body, who, self._records)
        await self._keep(self._records.kind, taken.value, who, "events", taken.headers)
        return Response(status_code=204)

    async def _body(self, request: Request) -> bytes:
        limit, held = self._settings.max_body_bytes, 0
        self._check_room()

        def on_chunk(size: int) -> None:
            nonlocal held
            held, self._in_flight = held + size, self._in_flight + size
            self._check_room()

        try:
            packed = await body_of(request, limit, on_chunk)
            return await asyncio.to_thread(unpacked, packed, request.headers.get("content-encoding", ""), limit)
        finally:
            self._in_flight -= held

    async def _keep(
        self, kind: str, value: bytes, who: Principal, signal: str, headers: Sequence[tuple[str, bytes]] = ()
    ) -> None:
        """Each signal is a source of its own: they come with different delays, and one must not make another late."""
        take = self._live.take
        source = f"{who.source}/{signal}"
        try:
            await asyncio.to_thread(take, kind, value, source=source, tenant=who.tenant, headers=headers)
        except TransportError as error:
            raise Refused(503, f"nothing was kept: {error.what}", retry_after_s=10 * _RETRY_S) from error

    def _check_room(self) -> None:
        messages, size = self._live.backlog
        if self._status() == "stopping":
            raise Refused(503, "this process is stopping", retry_after_s=5 * _RETRY_S)
        is_full = messages >= self._settings.max_backlog_messages
        if is_full or size + self._in_flight > self._settings.max_backlog_bytes:
            what = f"{messages} messages ({size} bytes) wait to be worked off; come again"
            raise Refused(429, what, retry_after_s=_RETRY_S)

    # --- out ---

    async def _actions(self, request: Request) -> Response:
        who = self._who(request, may="read")
        said = request.headers.get("last-event-id") or request.query_params.get("after") or "0"
        if not said.isdigit() or len(said) > 18:
            raise Refused(400, f"'{said[:40]}' is not the id of an event of this stream; leave it away to begin anew")
        if self._streams >= _MOST_STREAMS:
            raise Refused(503, f"{_MOST_STREAMS} streams are open", retry_after_s=10 * _RETRY_S)
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        return StreamingResponse(self._stream(who, int(said)), headers=headers, media_type="text/event-stream")

    async def _stream(self, who: Principal, after: int) -> AsyncIterator[str]:
        """Actions above a sequence of the log, in order, then whatever comes; a comment when nothing does."""
        self._streams += 1
        try:
            quiet_s = 0.0
            yield "retry: 2000\n\n"
            while self._status() != "stopping":
                batch = await asyncio.to_thread(self._live.read, (sc.ACTIONS,), after)
                for stored in batch:
                    if text := _event_of(stored, who.tenant_seen):
                        quiet_s = 0.0
                        yield text
                    after = stored.sequence
                if not batch:
                    await asyncio.sleep(_POLL_S)
                    quiet_s += _POLL_S
                    if quiet_s >= self._heartbeat_s:
                        quiet_s = 0.0
                        yield ": still here\n\n"
        finally:
            self._streams -= 1

    async def _incidents(self, request: Request) -> Response:
        who = self._who(request, may="read")
        found = await asyncio.to_thread(self._live.board.document, who.tenant_seen)
        return JSONResponse({"incidents": found}, headers={"Cache-Control": "no-store"})

    async def _healthz(self, request: Request) -> Response:
        document = self.health()
        return JSONResponse(document, 200 if document["status"] == "ok" else 503)

    async def _prometheus(self, request: Request) -> Response:
        return Response(self.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    def health(self) -> dict[str, object]:
        """Progress of the engine; `stuck` if it did not get through a round for a minute."""
        health, now = self._live.health, self._live.now_ns()
        status, age_s = self._status(), max(now - health.at_ns, 0) / 1e9
        if status == "ok" and age_s > STUCK_S:
            status = "stuck"
        messages, size = self._live.backlog
        through = health.watermark_ns
        return {
            "status": status, "version": __version__, "looked_s_ago": round(age_s, 3),
            "watermark": sc.rfc3339(through) if through else None,
            "watermark_age_s": round((now - through) / 1e9, 3) if through else None,
            "stages": [
                {"name": s.name, "through": sc.rfc3339(s.through_ns) if s.through_ns else None, "behind": s.behind}
                for s in health.stages
            ],
            "backlog": {"messages": messages, "bytes": size},
            "sources": {"active": health.sources_active, "idle": health.sources_idle},
            "webhooks": [hook._asdict() for hook in self._hooks()],
        }  # fmt: skip

    # --- every request ---

    def _who(self, request: Request, *, may: str) -> Principal:
        who = self._principals.of(request.headers.get("authorization", ""))
        if who is None:
            raise Refused(401, "send `Authorization: Bearer TOKEN` with a token of gateway.tokens")
        if not (who.can_send if may == "send" else who.can_read):
            raise Refused(403, f"the token of source '{who.source}' may not {may}; set can_{may} in gateway.tokens")
        return who

    def _counted(self, endpoint: Endpoint) -> Endpoint:
        @wraps(endpoint)
        async def answer(request: Request) -> Response:
            try:
                if self._is_local_only and _host(request) not in LOOPBACK:
                    raise Refused(403, f"without tokens only {', '.join(LOOPBACK)} are answered to")
                response = await endpoint(request)
            except Refused as refused:
                response = refused.response(media_type(request.headers))
            except ClientDisconnect:
                response = Response(status_code=499)  # nobody is there to read it
            self.metrics.requests[request.url.path, response.status_code] += 1
            return response

        return answer


def _event_of(stored: Stored, tenant: str | None) -> str:
    """One action as a server-sent event, or nothing if it is a mark or another tenant's."""
    message = stored.message
    if sc.record_type(message) != sc.ActionEvent.TYPE:
        return ""
    record = sc.read(message)
    assert isinstance(record, sc.ActionEvent)
    if tenant not in (None, record.tenant):
        return ""
    event = cloud_event(record, {name: value.decode() for name, value in message.headers})
    return f"id: {stored.sequence}\nevent: {event['type']}\ndata: {json.dumps(event)}\n\n"


def _host(request: Request) -> str:
    """The host that the request names, without port."""
    host = request.headers.get("host", "")
    return host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0].lower()
