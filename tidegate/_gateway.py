"""The gateway of `up`: what comes in (`_gateway_in`), actions as server-sent events, incidents, health and metrics out.

Source: WHATWG server-sent events; CloudEvents 1.0 JSON format.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

import schemas as sc
from streams import Stored
from tidegate import __version__, _catalogue
from tidegate._gateway_in import Desk
from tidegate._gateway_metrics import GatewayMetrics
from tidegate._http import Refused
from tidegate._live import Live
from tidegate._principals import Principal, Principals
from tidegate._show import cloud_event
from tidegate._webhooks import HookHealth

SIGNALS = {"metrics": "otlp_metrics", "logs": "otlp_logs", "traces": "otlp_spans"}
"""Path below /v1 -> kind of the source that reads it."""
STUCK_S = 60.0  # compiling the fast decoder takes up to half a minute
_HEARTBEAT_S, _POLL_S = 15.0, 0.25
_RETRY_S = 1
_MOST_STREAMS = 100


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
        self._live = live
        self._status, self._hooks = status, hooks
        self._heartbeat_s = heartbeat_s
        self._streams = 0
        self.desk = Desk(
            live, live.settings.gateway, principals, _catalogue.find("sources"), status=status,
            is_local_only=is_local_only,
        )  # fmt: skip
        self.metrics = GatewayMetrics(live, hooks, self.desk.requests)
        routes = [
            *self.desk.routes(),
            Route("/v1/actions", self.desk.answering(self._actions), methods=["GET"]),
            Route("/v1/incidents", self.desk.answering(self._incidents), methods=["GET"]),
            Route("/healthz", self.desk.answering(self._healthz), methods=["GET"]),
            Route("/metrics", self.desk.answering(self._prometheus), methods=["GET"]),
        ]
        self.app = Starlette(routes=routes)

    # --- out ---

    async def _actions(self, request: Request) -> Response:
        who = self.desk.who(request, may="read")
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
        who = self.desk.who(request, may="read")
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
