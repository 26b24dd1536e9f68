"""A TCP proxy that does, on command, what networks do by chance. Sockets only: it knows no protocol.

A fault is set at run time, for the connections that are open and for those to come. What TCP cannot do, the proxy does
not do either: bytes are never lost from the middle of a stream that goes on. A direction that drops drops everything,
and a connection whose answer was swallowed never speaks again.
"""

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Literal, Self

Direction = Literal["requests", "responses"]  # client to server, server to client
On = Callable[[bytes], bool]
CHUNK = 65536
AHEAD = 256  # chunks that a slow or frozen direction takes in before it stops reading
NO_LINGER = struct.pack("ii", 1, 0)  # SO_LINGER of no time: closing sends RST, not FIN


@dataclass(slots=True)
class _Fault:
    """One shot: the connection that it hits, and then no other."""

    on: On
    happened: threading.Event = field(default_factory=threading.Event)
    link: "_Link | None" = None


@dataclass(slots=True)
class _Reset(_Fault):
    direction: Direction = "requests"
    after: int = 0  # bytes that still go through


@dataclass(slots=True)
class _Swallow(_Fault):
    reset: bool = True


@dataclass(slots=True, eq=False)
class _Link:
    """One connection: the client's side and the server's."""

    client: asyncio.StreamWriter
    server: asyncio.StreamWriter

    def to(self, direction: Direction) -> asyncio.StreamWriter:
        return self.server if direction == "requests" else self.client

    def reset(self) -> None:
        _reset(self.client)
        _reset(self.server)


def _reset(side: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):  # the other end was quicker
        side.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NO_LINGER)
    side.transport.abort()


class FaultProxy:
    """`with FaultProxy(("127.0.0.1", 9092)) as proxy:` listens on `proxy.port` and passes everything on until told.

    Every method may be called from any thread and holds when it returns. `bytes` counts what was delivered in each
    direction, `links` the open connections.
    """

    def __init__(self, upstream: tuple[str, int], port: int = 0, host: str = "127.0.0.1") -> None:
        self.upstream, self.host, self.port = upstream, host, port
        self.bytes: dict[Direction, int] = {"requests": 0, "responses": 0}
        self._links: set[_Link] = set()
        self._delay_s: dict[Direction, float] = {"requests": 0.0, "responses": 0.0}
        self._dropped: frozenset[Direction] = frozenset()
        self._faults: list[_Fault] = []
        self._server: asyncio.Server | None = None
        self._flows = asyncio.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="fault proxy", daemon=True)

    @property
    def links(self) -> int:
        return len(self._links)

    def delay(self, *, requests_s: float = 0.0, responses_s: float = 0.0) -> None:
        """Every byte takes this much longer, in order; throughput stays."""
        self._do(self._set(delay_s={"requests": requests_s, "responses": responses_s}))

    def drop(self, *directions: Direction) -> None:
        """Bytes of these directions vanish; the connections stay open. Without a name: none vanish."""
        self._do(self._set(dropped=frozenset(directions)))

    def reset_after(self, count: int, direction: Direction = "requests", *, on: On = bool) -> threading.Event:
        """RST to both sides once `count` bytes more have gone through, counted from the first chunk for which `on`.

        `count` smaller than the frame cuts the frame. Once; the event is set when it happened.
        """
        fault = _Reset(on, direction=direction, after=count)
        self._do(self._set(fault=fault))
        return fault.happened

    def swallow_response(self, *, on: On = bool, reset: bool = True) -> threading.Event:
        """The next chunk of requests for which `on` goes through, but nothing more comes back on that connection.

        reset: RST when the answer comes, so that the client knows at once; else silence, and it must time out.
        Once; the event is set when the first byte of the answer was swallowed.
        """
        fault = _Swallow(on, reset=reset)
        self._do(self._set(fault=fault))
        return fault.happened

    def partition(self, *, refuse: bool = True) -> None:
        """Open connections freeze; new ones are refused (or, with refuse=False, accepted and frozen too)."""
        self._do(self._partition(refuse))

    def heal(self) -> None:
        """No fault any more; what a frozen connection held is delivered."""
        self._do(self._heal())

    def reset_all(self) -> None:
        """RST to both sides of every open connection."""
        self._do(self._reset_all())

    def start(self) -> Self:
        self._thread.start()
        self._do(self._heal())
        return self

    def close(self) -> None:
        """Stop listening and reset every connection."""
        self._do(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    # Below, everything runs in the thread of the proxy.

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    async def _set(
        self,
        *,
        delay_s: dict[Direction, float] | None = None,
        dropped: frozenset[Direction] | None = None,
        fault: _Fault | None = None,
    ) -> None:
        self._delay_s = self._delay_s if delay_s is None else delay_s
        self._dropped = self._dropped if dropped is None else dropped
        if fault:
            self._faults.append(fault)

    async def _partition(self, refuse: bool) -> None:
        self._flows.clear()
        if refuse and self._server:
            self._server.close()
            self._server = None

    async def _heal(self) -> None:
        self._delay_s = {"requests": 0.0, "responses": 0.0}
        self._dropped = frozenset()
        self._faults = []
        if not self._server:
            self._server = await asyncio.start_server(self._accept, self.host, self.port, limit=CHUNK)
            self.port = self._server.sockets[0].getsockname()[1]
        self._flows.set()

    async def _reset_all(self) -> None:
        for link in tuple(self._links):
            link.reset()

    async def _close(self) -> None:
        await self._partition(refuse=True)
        await self._reset_all()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._flows.wait()
            from_server, to_server = await asyncio.open_connection(*self.upstream, limit=CHUNK)
        except OSError:
            _reset(writer)
            return
        link = _Link(writer, to_server)
        self._links.add(link)
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(self._carry(link, "requests", reader))
                both.create_task(self._carry(link, "responses", from_server))
            writer.close()
            to_server.close()
        except* OSError:
            link.reset()  # one side is gone; the other learns it
        except* asyncio.CancelledError:
            link.reset()
        finally:
            self._links.discard(link)

    async def _carry(self, link: _Link, direction: Direction, reader: asyncio.StreamReader) -> None:
        waiting: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(AHEAD)

        async def deliver() -> None:
            chunk = b"-"
            while chunk:
                due, chunk = await waiting.get()
                await asyncio.sleep(max(0.0, due - self._loop.time()))
                await self._flows.wait()
                await self._pass(link, direction, chunk)

        async with asyncio.TaskGroup() as both:
            both.create_task(deliver())
            chunk = b"-"
            while chunk:
                chunk = await reader.read(CHUNK)
                await waiting.put((self._loop.time() + self._delay_s[direction], chunk))

    async def _pass(self, link: _Link, direction: Direction, chunk: bytes) -> None:
        """Deliver one chunk, or what a fault leaves of it; an empty one is the end of the direction."""
        to, reset = link.to(direction), False
        for fault in tuple(self._faults) if chunk else ():
            if isinstance(fault, _Reset) and fault.direction == direction:
                if fault.link is None and fault.on(chunk):
                    fault.link = link
                if fault.link is link:
                    reset = len(chunk) >= fault.after
                    chunk, fault.after = chunk[: fault.after], fault.after - len(chunk)
            elif isinstance(fault, _Swallow):
                if direction == "requests" and fault.link is None and fault.on(chunk):
                    fault.link = link
                elif direction == "responses" and fault.link is link:
                    chunk, reset = b"", fault.reset
                    fault.happened.set()
                    if not reset:
                        return
            if reset:
                fault.happened.set()
                self._faults.remove(fault)
                break
        if direction in self._dropped and chunk:
            return
        if chunk:
            self.bytes[direction] += len(chunk)  # before the other end can know of them
            to.write(chunk)
            await to.drain()
        elif not reset:
            to.write_eof()
        if reset:
            link.reset()


__all__ = ["Direction", "FaultProxy"]
