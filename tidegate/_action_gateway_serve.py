"""Runs the gateway process: listens where only its worker can reach it, serves until a signal or a broken store."""

import asyncio
import os
import socket
import stat
import threading
from collections.abc import Callable
from pathlib import Path

import uvicorn

from schemas import why
from tidegate._action_gateway import ActionGateway
from tidegate._errors import ActGatewayError
from tidegate._signals import stops
from tidegate._up import _is_loopback, _listen

_GRACE_S = 30
"""How long writes that are under way may still take when the process is asked to stop."""
_LOOK_S = 0.1


def run_action_gateway(
    gateway: ActionGateway, *, on_ready: Callable[[str], None] = lambda address: None,
    stop: threading.Event | None = None,
) -> None:  # fmt: skip
    """Raises ActGatewayError if it cannot listen, or if the store failed while it ran."""
    stopping = stop or threading.Event()
    listener, address = _listener(gateway.settings.listen)
    config = uvicorn.Config(
        gateway.app, log_config=None, access_log=False, lifespan="off", server_header=False, ws="none",
        timeout_graceful_shutdown=_GRACE_S,
    )  # fmt: skip
    server = uvicorn.Server(config)
    server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]

    async def serve() -> None:
        running = asyncio.create_task(server.serve([listener]))
        while not server.started and not running.done():
            await asyncio.sleep(0.01)
        on_ready(address)
        while not stopping.is_set() and not running.done() and not gateway.broken:
            await asyncio.sleep(_LOOK_S)
        server.should_exit = True
        await running

    try:
        with stops(stopping):
            asyncio.run(serve())
    finally:
        listener.close()
        if address.startswith("unix:"):
            Path(address.removeprefix("unix:")).unlink(missing_ok=True)
        gateway.close()
    if gateway.broken:
        raise ActGatewayError(
            f"the store failed: {gateway.broken}", where=str(gateway.settings.store),
            todo="Look at the disk, then start again: what was under way is found out by fence and read",
        )  # fmt: skip


def _listener(listen: str) -> tuple[socket.socket, str]:
    """The socket and its address. A Unix socket is for this user only."""
    if listen.startswith("unix:"):
        path = Path(listen.removeprefix("unix:"))
        found = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            if path.exists() and stat.S_ISSOCK(path.stat().st_mode) and not _answers(path):
                path.unlink()  # left by a process that was killed
            mask = os.umask(0o177)
            try:
                found.bind(str(path))
            finally:
                os.umask(mask)
            found.listen(64)
        except OSError as error:
            found.close()
            raise ActGatewayError(
                f"cannot listen: {why(error)}", where=str(path), todo="Stop the other gateway, or choose another path"
            ) from error
        return found, listen
    host, _, port = listen.rpartition(":")
    if not _is_loopback(host) or not port.isdecimal():
        raise ActGatewayError(
            f"'{listen}' is not on this machine", where="listen", todo="Give unix:PATH, or 127.0.0.1:PORT"
        )
    found = _listen(host, int(port))
    return found, f"http://{host}:{found.getsockname()[1]}"


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(path))
        except OSError:
            return False
    return True
