"""What comes in over HTTP: who sends, whether there is room, what it is; then into the log, then the answer.

Everything that a source declares (`streams.Intake`) is done here, in one order, for all of them. Room is shared as
buffers of switches are: a sender may have four times of what is free waiting, so one alone gets most of it, and one
that floods leaves some to the others. Who brings new series faster than allowed is told to come again, and nobody else.
Source: Choudhury & Hahne 1998, dynamic queue length thresholds; RFC 6585 (429).
"""

import asyncio
import threading
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import wraps
from typing import Any, Protocol

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

import schemas as sc
from schemas.core import NS, Message
from streams import (
    HTTP,
    KIND,
    Decoded,
    Intake,
    NamingSchemas,
    Reply,
    Replying,
    SourceError,
    TransportError,
    is_known_schema,
)  # fmt: skip
from tidegate._errors import CatalogueError
from tidegate._events_in import read_event, told_type
from tidegate._gateway_openapi import openapi
from tidegate._gateway_settings import Gateway as GatewaySettings
from tidegate._http import JSON, Refused, body_of, media_type, unpacked
from tidegate._new_series import NewSeries
from tidegate._principals import LOOPBACK, Principal, Principals
from tidegate._proofs import Proof, Proofs
from tidegate._source_book import SourceBook
from tidegate._tls import names_of

TENANT = "tidegate-tenant"
_SHARE = 4
_RETRY_S = 1
MOST_KNOWN = 1_000_000
"""Series of one sender that the door knows again."""
_MOST_KEPT = 500  # characters of a request header that goes along into the log
EVENTS, SOURCES, OPENAPI = "/v1/events", "/v1/sources", "/openapi.json"
_TOLD = (
    (SOURCES, "What was heard of each sender"), ("/healthz", "How this process is"), ("/metrics", "For Prometheus"),
)  # fmt: skip
Endpoint = Callable[[Request], Awaitable[Response]]


class Log(Protocol):
    """Where messages go: the embedded log of `up`, or Kafka."""

    now_ns: Callable[[], int]

    @property
    def backlog(self) -> tuple[int, int]:
        """Messages and bytes that were taken and are not yet out of our hands."""
        ...

    def waiting(self, source: str) -> tuple[int, int]:
        """The same of one sender."""
        ...

    def new_series(self, source: str) -> int:
        """How many series a sender ever brought, those beyond the limits included, as far as is known."""
        ...

    def newest(self, source: str) -> int:
        """Newest event time that a sender brought, ns; 0 where that is not known."""
        ...

    def take(
        self, kind: str, value: bytes, *, source: str, tenant: str, headers: Sequence[tuple[str, bytes]] = (),
        trust: int = 1,
    ) -> None:  # fmt: skip
        """Keep one message; it is durable when this returns. Raises TransportError."""
        ...


class Desk:
    """Takes requests for all sources that say `intake`."""

    def __init__(
        self, log: Log, settings: GatewaySettings, principals: Principals, sources: Mapping[str, Any], *,
        status: Callable[[], str], is_local_only: bool = False,
    ) -> None:  # fmt: skip
        self.requests: Counter[tuple[str, int]] = Counter()
        """Answers by path and status."""
        self._is_local_only = is_local_only
        self._log, self._settings, self._principals, self._status = log, settings, principals, status
        self._records = sources["records"]
        self._reading = {kind: threading.Lock() for kind in sources}
        self.by_path: dict[str, Any] = {}
        """Source by the path that it listens on."""
        for source in sources.values():
            for path in source.intake.paths if hasattr(source, "intake") else ():
                if path in self.by_path:
                    raise CatalogueError(
                        f"two sources listen on {path}: {self.by_path[path].kind} and {source.kind}", where="sources",
                        todo="Change the paths of one",
                    )  # fmt: skip
                self.by_path[path] = source
        self._by_event = [
            (prefix, source) for source in self.by_path.values() for prefix in source.intake.event_types
        ]  # fmt: skip
        self._proofs = Proofs(principals.signers, window_s=settings.replay_window_s, now_ns=log.now_ns)
        self.book = SourceBook()
        self._in_flight = 0
        self._new = NewSeries(settings.max_new_series_per_minute, MOST_KNOWN)

    def who(self, request: Request, *, may: str) -> Principal:
        """Raises Refused 401, 403."""
        who = self._principals.of(request.headers.get("authorization", ""), names_of(request.scope))
        if who is None:
            raise Refused(401, "send `Authorization: Bearer TOKEN` with a token of gateway.tokens")
        return _allowed(who, may)

    def routes(self) -> list[Route]:
        """Everything that is posted, and what was heard of whom."""
        found = [Route(path, self.answering(self.take), methods=["POST"]) for path in self.by_path]
        found.append(Route(EVENTS, self.answering(self.events), methods=["POST"]))
        found.append(Route(OPENAPI, self.answering(self.openapi), methods=["GET"]))
        return [*found, Route(SOURCES, self.answering(self.sources), methods=["GET"])]

    def answering(self, endpoint: Endpoint) -> Endpoint:
        """The endpoint with refusals as answers, each counted."""

        @wraps(endpoint)
        async def answer(request: Request) -> Response:
            try:
                if self._is_local_only and _host(request) not in LOOPBACK:
                    raise Refused(403, f"without tokens only {', '.join(LOOPBACK)} are answered to")
                response = await endpoint(request)
            except Refused as refused:
                source = self.by_path.get(request.url.path)
                as_text = source is not None and source.intake.explains == "text"
                response = refused.response(media_type(request.headers), as_text=as_text)
            except ClientDisconnect:
                response = Response(status_code=499)  # nobody is there to read it
            self.requests[request.url.path, response.status_code] += 1
            return response

        return answer

    async def openapi(self, request: Request) -> Response:
        sources = {source.kind: source for source in self.by_path.values()}.values()
        return JSONResponse(openapi(sources, events=EVENTS, told=_TOLD))

    async def sources(self, request: Request) -> Response:
        """What was heard of each sender since this process started; times RFC 3339, lag in seconds."""
        who, now = self.who(request, may="read"), self._log.now_ns()
        found = []
        for heard in self.book.rows(now, who.tenant_seen):
            newest, known = self._log.newest(heard.source), self._log.new_series(heard.source)
            found.append({
                "source": heard.source, "tenant": heard.tenant, "trust": heard.trust,
                "last_seen": sc.rfc3339(heard.last_ns), "last_seen_s_ago": round((now - heard.last_ns) / NS, 1),
                "messages": heard.messages, "bytes": heard.bytes, "per_minute": heard.per_minute,
                "completeness": heard.completeness, "usual_s": heard.usual_s, "series": known,
                "schemas": [
                    {"url": url, "times": n, "known": is_known_schema(url)} for url, n in sorted(heard.schemas.items())
                ],
                "lag_s": round((heard.last_ns - newest) / NS, 1) if newest else None,
            })  # fmt: skip
        return JSONResponse({"sources": found}, headers={"Cache-Control": "no-store"})

    # --- a body for a source ---

    async def take(self, request: Request) -> Response:
        source = self.by_path[request.url.path]
        intake: Intake = source.intake
        kind = full_type(request.headers.get("content-type", ""))
        if kind not in intake.media_types:
            raise Refused(415, f"content type '{kind[:60]}' is not read here; send {' or '.join(intake.media_types)}")
        who, body, proof = await self._body(request, intake, source.kind)
        sender = f"{who.source}/{intake.signal or source.kind}"
        self._check_share(sender, len(body))
        kept = tuple(
            (HTTP + name, request.headers[name][:_MOST_KEPT].encode("utf-8", "replace"))
            for name in intake.keeps if name in request.headers
        )  # fmt: skip
        decoded = await self._decoded(source, body, kept, who, sender)
        await self._keep(source.kind, body, who, sender, kept, proof)
        if isinstance(source, NamingSchemas) and self.book.looks(sender, self._log.now_ns()):
            self.book.names(sender, await asyncio.to_thread(source.schema_urls, body))
        return _response(source, request.headers, decoded)

    async def events(self, request: Request) -> Response:
        """CloudEvents: our own records, or of a source that reads such a type."""
        who, body, proof = await self._body(request, _EVENTS, self._records.kind)
        sender = f"{who.source}/events"
        self._check_share(sender, len(body))
        name, whole = told_type(request.headers, body)
        source = next((one for prefix, one in self._by_event if name.startswith(prefix)), None)
        if source is not None:
            _may_send_to(who, source.kind)
            said = ((HTTP + "content-type", b"application/cloudevents+json"),)
            await self._read(source, whole, said, who)
            await self._keep(source.kind, whole, who, f"{who.source}/{source.kind}", said, proof)
        else:
            taken = await asyncio.to_thread(read_event, request.headers, body, who, self._records)
            await self._keep(self._records.kind, taken.value, who, sender, taken.headers, proof)
        return Response(status_code=204)

    async def _body(self, request: Request, intake: Intake, kind: str) -> tuple[Principal, bytes, Proof | None]:
        """Who sent it, and what, unpacked. Whom a header does not name may have signed what follows."""
        headers = request.headers
        who = self._principals.of(headers.get("authorization", ""), names_of(request.scope))
        signature = self._proofs.signed_by(headers, intake.signatures) if who is None else None
        if who is None and signature is None:
            raise Refused(401, "send `Authorization: Bearer TOKEN` with a token of gateway.tokens, or sign the body")
        if who is not None:
            _may_send_to(_allowed(who, "send"), kind)
        limit, held = min(self._settings.max_body_bytes, intake.max_bytes), 0
        self._check_room()

        def on_chunk(size: int) -> None:
            nonlocal held
            held, self._in_flight = held + size, self._in_flight + size
            self._check_room()

        proof = None
        try:
            packed = await body_of(request, limit, on_chunk)
            if signature is not None:
                proof = await asyncio.to_thread(self._proofs.check, headers, packed, signature, intake.delivery)
                who = _allowed(proof.who, "send")
                _may_send_to(who, kind)
            assert who is not None
            coding = headers.get("content-encoding", "").strip().lower()
            if coding in intake.codings:
                return who, packed, proof
            return who, await asyncio.to_thread(unpacked, packed, coding, limit), proof
        finally:
            self._in_flight -= held

    async def _read(
        self, source: Any, body: bytes, kept: Sequence[tuple[str, bytes]], who: Principal
    ) -> Decoded:  # fmt: skip
        """What the source makes of it. Raises Refused 400, 413."""
        said = (*kept, (KIND, source.kind.encode()), (TENANT, who.tenant.encode()))
        message = Message(sc.RAW, 0, 0, b"", body, said, 0, self._log.now_ns())

        def decode() -> Decoded:
            with self._reading[source.kind]:  # a decoder learns while it reads
                found: Decoded = source.decode(message)
                return found

        try:
            return await asyncio.to_thread(decode)
        except SourceError as error:
            status = 413 if error.code.endswith("TOO_LARGE") else 400
            raise Refused(status, f"{error.code}: {str(error).removeprefix(f'{sc.RAW}/0@0: ')}") from error

    async def _keep(
        self, kind: str, value: bytes, who: Principal, sender: str, headers: Sequence[tuple[str, bytes]],
        proof: Proof | None,
    ) -> None:  # fmt: skip
        """Each signal is a source of its own: they come with different delays, and one must not make another late."""
        take = self._log.take
        if proof is not None:
            self._proofs.use(proof)
        try:
            await asyncio.to_thread(
                take, kind, value, source=sender, tenant=who.tenant, headers=headers, trust=who.trust
            )
        except BaseException as error:
            if proof is not None:
                self._proofs.forget(proof)
            if not isinstance(error, TransportError):
                raise
            raise Refused(503, f"nothing was kept: {error.what}", retry_after_s=10 * _RETRY_S) from error
        self.book.heard(sender, who, len(value), self._log.now_ns())

    # --- room ---

    def _check_room(self) -> None:
        messages, size = self._log.backlog
        if self._status() == "stopping":
            raise Refused(503, "this process is stopping", retry_after_s=5 * _RETRY_S)
        is_full = messages >= self._settings.max_backlog_messages
        if is_full or size + self._in_flight > self._settings.max_backlog_bytes:
            what = f"{messages} messages ({size} bytes) wait to be worked off; come again"
            raise Refused(429, what, retry_after_s=_RETRY_S)

    def _check_share(self, sender: str, size: int) -> None:
        messages, total = self._log.backlog
        own_messages, own = self._log.waiting(sender)
        free, free_messages = self._settings.max_backlog_bytes - total, self._settings.max_backlog_messages - messages
        if own > _SHARE * free or own_messages > _SHARE * free_messages:
            what = f"{own_messages} messages ({own} bytes) of {sender} wait to be worked off; come again"
            raise Refused(429, what, retry_after_s=_RETRY_S)
        self._check_series(sender)

    def _check_series(self, sender: str) -> None:
        brought, rest_s = self._new.over(sender, self._log.now_ns())
        if rest_s:
            what = f"{sender} brought {brought} new series in a minute, {self._new.limit} are allowed; come again"
            raise Refused(429, what, retry_after_s=rest_s)

    async def _decoded(
        self, source: Any, body: bytes, kept: Sequence[tuple[str, bytes]], who: Principal, sender: str
    ) -> Decoded | None:  # fmt: skip
        """What the source makes of it, its series counted; None if it is not read before it is kept."""
        intake: Intake = source.intake
        if not (intake.reads_first or intake.brings_series):
            return None
        try:
            decoded = await self._read(source, body, kept, who)
        except Refused:
            if intake.reads_first:
                raise
            return None  # it is kept, and becomes a dead letter
        for series in (decoded.points.series, decoded.histograms.series):
            self._new.count(sender, series, self._log.now_ns())
        return decoded if intake.reads_first else None


_EVENTS = Intake((EVENTS,))


def _host(request: Request) -> str:
    """The host that the request names, without port."""
    host = request.headers.get("host", "")
    return host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0].lower()


def full_type(said: str) -> str:
    """A media type in lower case, with its `proto` parameter and no other.

    >>> full_type("application/x-protobuf; Proto=io.prometheus.write.v2.Request; q=1")
    'application/x-protobuf;proto=io.prometheus.write.v2.request'
    """
    base, *parameters = (part.strip().lower() for part in said.split(";"))
    return base + "".join(f";{one}" for one in parameters if one.startswith("proto="))


def _allowed(who: Principal, may: str) -> Principal:
    if not (who.can_send if may == "send" else who.can_read):
        raise Refused(403, f"the token of source '{who.source}' may not {may}; set can_{may} in gateway.tokens")
    return who


def _may_send_to(who: Principal, kind: str) -> None:
    if who.kinds and kind not in who.kinds:
        raise Refused(403, f"source '{who.source}' may not send to '{kind}'; add it to its `kinds` in gateway.tokens")


def _response(source: Any, headers: Mapping[str, str], decoded: Decoded | None) -> Response:
    if isinstance(source, Replying):
        reply = source.reply(headers, decoded)
    else:
        reply = Reply(source.intake.status, media_type=JSON if source.intake.status == 200 else "")
    return Response(reply.body, reply.status, dict(reply.headers), media_type=reply.media_type or None)
