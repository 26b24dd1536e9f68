"""The worker's way to the gateway: four questions over HTTP, and never more certainty than there is.

A connection that never came about is certain: nothing was sent. From the first byte on, whatever is not a whole answer
is `lost`. It needs no HTTP library: one request, one connection, closed afterwards.
"""

import asyncio
import json
from typing import Any
from urllib.parse import urljoin, urlsplit

from actions import (
    ActionsError,
    Answer,
    DryRun,
    EffectRequest,
    Found,
    ProbeRequest,
    Survey,
    Unavailable,
    gateway_wire,
)
from schemas import Control, ProposedChange, why
from tidegate._errors import ActGatewayError

MOST_BYTES = 4 << 20


class _NotSent(Exception):
    """Nobody listens there, or it was not taken, so nothing can have happened."""


class _Unclear(Exception):
    """It was sent, and there is no whole answer."""


class GatewayClient:
    """Satisfies the `Gateway` port. address: `unix:PATH` or `http://127.0.0.1:PORT`; the token is not logged."""

    def __init__(self, address: str, token: str = "", timeout_s: float = 25.0) -> None:
        """Raises ActGatewayError if the address is neither."""
        self._address, self._token, self._timeout_s = address, token, timeout_s
        parts = urlsplit(address)
        if not address.startswith("unix:") and (parts.scheme != "http" or not parts.hostname or not parts.port):
            raise ActGatewayError(
                f"'{address}' is no address of a gateway", todo="Give unix:PATH or http://127.0.0.1:PORT"
            )

    async def dry_run(self, key: str, step: int, change: ProposedChange) -> DryRun | Unavailable:
        try:
            told = await self._ask("dry-run", gateway_wire.dump_dry_run_request(key, step, change))
            return gateway_wire.load_dry_run(told)
        except (_NotSent, _Unclear, ActionsError):
            return Unavailable("GATEWAY_AWAY")

    async def apply(self, request: EffectRequest) -> Answer:
        try:
            return gateway_wire.load_answer(await self._ask("apply", gateway_wire.dump(request)))
        except _NotSent:
            return Answer("not_applied", "GATEWAY_AWAY")
        except (_Unclear, ActionsError):
            return Answer("lost", "ANSWER_LOST")

    async def fence(self, target: str, epoch: int) -> bool:
        try:
            told = await self._ask("fence", json.dumps({"target": target, "epoch": epoch}).encode())
        except (_NotSent, _Unclear):
            return False
        return told.get("fenced") is True

    async def probe(self, request: ProbeRequest) -> Found:
        try:
            return gateway_wire.load_found(await self._ask("probe", gateway_wire.dump(request)))
        except (_NotSent, _Unclear, ActionsError):
            return "unreadable"

    async def survey(self, target: str) -> Survey | Unavailable:
        try:
            body = json.dumps({"target": target, "epoch": 0}).encode()
            return gateway_wire.load_survey(await self._ask("survey", body))
        except (_NotSent, _Unclear, ActionsError):
            return Unavailable("GATEWAY_AWAY")

    async def order(self, control: Control) -> bool:
        """Hand a signed order to stop or resume to the gateway. False: not known to be taken."""
        try:
            await self._ask("control", control.to_bytes())
        except (_NotSent, _Unclear):
            return False
        return True

    async def is_well(self) -> bool:
        """Whether it answers, and says that it can work."""
        try:
            await self._ask("/healthz", b"", "GET")
        except (_NotSent, _Unclear):
            return False
        return True

    async def _ask(self, path: str, body: bytes, method: str = "POST") -> dict[str, Any]:
        """The answer to a request that was taken. Raises _NotSent or _Unclear."""
        try:
            async with asyncio.timeout(self._timeout_s):
                try:
                    reader, writer = await self._connect()
                except OSError as error:
                    raise _NotSent(why(error)) from error
                try:
                    return await self._exchange(reader, writer, f"{method} {urljoin('/v1/', path)}", body)
                finally:
                    writer.close()
        except (OSError, EOFError, ValueError, TimeoutError) as error:
            raise _Unclear(f"{type(error).__name__}: {why(error)}") from error

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._address.startswith("unix:"):
            return await asyncio.open_unix_connection(self._address.removeprefix("unix:"), limit=MOST_BYTES)
        parts = urlsplit(self._address)
        return await asyncio.open_connection(parts.hostname, parts.port, limit=MOST_BYTES)

    async def _exchange(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, asked: str, body: bytes
    ) -> dict[str, Any]:
        head = [f"{asked} HTTP/1.1", "Host: gateway", "Connection: close",
                "Content-Type: application/json", f"Content-Length: {len(body)}"]  # fmt: skip
        if self._token:
            head.append(f"Authorization: Bearer {self._token}")
        writer.write("\r\n".join(head).encode() + b"\r\n\r\n" + body)
        await writer.drain()
        lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = {
            name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])
        }
        size = int(headers.get("content-length", "-1"))
        if not 0 <= size <= MOST_BYTES:
            raise ValueError("an answer without its length")
        body = await reader.readexactly(size)
        if lines[0].split(" ")[1:2] in (["400"], ["401"], ["404"], ["413"]):
            raise _NotSent(f"the gateway did not take it: {body[:200].decode(errors='replace')}")
        told = json.loads(body)
        if lines[0].split(" ")[1:2] != ["200"] or not isinstance(told, dict):
            raise ValueError(f"the gateway says {lines[0][:60]}")
        return told
