"""What the gateway says and takes over HTTP: refusals as values of one kind, bodies within bounds of size and time.

Sources: OTLP specification 1.x, "OTLP/HTTP" (a failure is a google.rpc.Status in the encoding of the request; 429 and
503 with Retry-After are the ones to retry); RFC 9110 (415 also for a content coding); RFC 1952 (gzip).
"""

import asyncio
import json
import zlib
from collections.abc import Callable, Mapping

from starlette.requests import Request
from starlette.responses import Response

from streams._otlp_encode import varint

JSON, PROTOBUF, TEXT = "application/json", "application/x-protobuf", "text/plain"
_MOST_MEMBERS = 100  # of one gzip body: senders write one, loggers a few; a million empty ones would cost minutes
_BODY_S = 60.0
_GRPC = {400: 3, 401: 16, 403: 7, 408: 4, 409: 6, 413: 8, 415: 3, 429: 8, 500: 13, 503: 14}  # google.rpc.Code


class Refused(Exception):
    """A request that is not taken: an HTTP status, one sentence, and when to come again where that helps."""

    def __init__(self, status: int, what: str, *, retry_after_s: int | None = None) -> None:
        self.status, self.what, self.retry_after_s = status, what, retry_after_s
        super().__init__(what)

    def response(self, encoding: str = JSON, *, as_text: bool = False) -> Response:
        """The refusal as a google.rpc.Status, protobuf or JSON; or as a line of text."""
        code = _GRPC.get(self.status, 2)
        if as_text:
            encoding, body = TEXT, f"{self.what}\n".encode()
        elif encoding == PROTOBUF:
            text = self.what.encode()
            body = bytes((0x08, code, 0x12)) + varint(len(text)) + text
        else:
            encoding, body = JSON, json.dumps({"code": code, "message": self.what}).encode()
        headers = {"WWW-Authenticate": "Bearer"} if self.status == 401 else {}
        if self.retry_after_s is not None:
            headers["Retry-After"] = str(self.retry_after_s)
        return Response(body, self.status, headers, media_type=encoding)


def media_type(headers: Mapping[str, str]) -> str:
    """The content type without parameters, in lower case."""
    return headers.get("content-type", "").partition(";")[0].strip().lower()


async def body_of(request: Request, limit: int, on_chunk: Callable[[int], None]) -> bytes:
    """The body as sent; `on_chunk` gets the size of each piece and may raise Refused. Raises Refused 413, 408, 400."""
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared) > limit:
        raise _too_large(limit)
    pieces, size = [], 0
    try:
        async with asyncio.timeout(_BODY_S):
            async for piece in request.stream():
                size += len(piece)
                if size > limit:
                    raise _too_large(limit)
                on_chunk(len(piece))
                pieces.append(piece)
    except TimeoutError as error:
        raise Refused(408, f"the body was not sent within {_BODY_S:.0f} s") from error
    return b"".join(pieces)


def unpacked(body: bytes, coding: str, limit: int) -> bytes:
    """The body without its content coding. Raises Refused 415 (unknown coding), 400 (damaged), 413 (too large)."""
    name = coding.strip().lower()
    if name in ("", "identity"):
        return body
    if name not in ("gzip", "x-gzip"):
        raise Refused(415, f"content coding '{name[:40]}' is not read here; send gzip, or none")
    pieces, size, members = [], 0, 0
    while body:
        unpacker = zlib.decompressobj(wbits=31)
        try:
            piece = unpacker.decompress(body, limit - size + 1)
        except zlib.error as error:
            raise Refused(400, f"the body is not gzip: {error}") from error
        size, members = size + len(piece), members + 1
        if size > limit:
            raise _too_large(limit)
        if not unpacker.eof:
            raise Refused(400, "the gzip body is cut short; send it again whole")
        if members > _MOST_MEMBERS:
            raise Refused(400, f"the gzip body has more than {_MOST_MEMBERS} members; send one")
        pieces.append(piece)
        body = unpacker.unused_data
    return b"".join(pieces)


def _too_large(limit: int) -> Refused:
    return Refused(413, f"the body is larger than {limit} bytes; send smaller batches or raise gateway.max_body_bytes")
