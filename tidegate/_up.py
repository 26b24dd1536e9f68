"""`tidegate up`: the gateway, the engine and the webhooks as one process, from start to a clean stop.

The engine works in the calling thread and the server in another, so that whatever breaks the engine ends the process
with its sentence, and a signal is never lost in a request. On SIGTERM or SIGINT: no more intake, work off what waits
(for a bounded time; the rest is in the log), snapshot, close.
"""

import asyncio
import ipaddress
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import uvicorn
from pydantic import ValidationError
from starlette.applications import Starlette

from schemas import why
from tidegate._errors import GatewayError
from tidegate._gateway import Gateway
from tidegate._gateway_settings import Webhook
from tidegate._live import Live
from tidegate._principals import Principals
from tidegate._settings import Settings
from tidegate._signals import stops
from tidegate._tls import server_options
from tidegate._webhooks import OnEvent, Webhooks

PORT = 4318
"""Where OTLP/HTTP is expected."""
_REST_S = 0.25  # between two looks at the clock when nothing comes
_DRAIN_S = 10.0
_GRACE_S = 5


def run_up(
    directory: Path, settings: Settings, *, host: str = "127.0.0.1", port: int = PORT, webhooks: Sequence[str] = (),
    insecure: bool = False, rebuild: bool = False, on_ready: Callable[[str], None] = lambda url: None,
    on_event: OnEvent = lambda text, facts: None, stop: threading.Event | None = None,
    now_ns: Callable[[], int] = time.time_ns,
) -> dict[str, Any]:  # fmt: skip
    """Run until a signal or `stop`; returns both ledgers and how far time came.

    webhooks: URLs beside those of the settings. insecure: listen beyond this machine though there are no tokens.
    on_ready: gets the URL once requests are taken (port 0 lets the system choose). on_event: state changes.
    Raises GatewayError, LiveError, SettingsError, TransportError, SnapshotError.
    """
    principals = Principals(settings.gateway)
    is_local = _is_loopback(host)
    if principals.is_open and not is_local and not insecure:
        raise GatewayError(
            f"without tokens everybody who reaches {host} could send", where=f"{host}:{port}",
            todo="Put tokens into gateway.tokens, or listen on 127.0.0.1, or pass --insecure",
        )  # fmt: skip
    hooks = (*settings.gateway.webhooks, *(_webhook(url) for url in webhooks))
    stopping = stop or threading.Event()
    options = server_options(settings.gateway.tls)
    listener = _listen(host, port)
    try:
        live = Live(directory, settings, now_ns=now_ns, rebuild=rebuild)
    except BaseException:
        listener.close()
        raise
    try:
        sender = Webhooks(live.log, directory, hooks, on_event=on_event)
        gateway = Gateway(
            live, principals, is_local_only=principals.is_open and is_local, hooks=sender.health,
            status=lambda: "stopping" if stopping.is_set() else "ok",
        )  # fmt: skip
        try:
            with stops(stopping), _served(gateway.app, listener, stopping, options) as is_up:
                sender.start()
                if is_up():
                    on_ready(_address(listener, options))
                while not stopping.is_set() and is_up():
                    if not live.pump(stopping.is_set):
                        live.news.wait(_REST_S)
                        live.news.clear()
                if not stopping.is_set():
                    raise GatewayError(
                        "the server ended by itself", where=_address(listener, options), todo="Please report it"
                    )
            deadline = time.monotonic() + _DRAIN_S
            live.pump(lambda: time.monotonic() > deadline)
        finally:
            stopping.set()
            sender.stop()
    finally:
        listener.close()
        live.close()
    health = live.health
    return {**health.ledger, "watermark_ns": health.watermark_ns, "waiting": live.backlog[0]}


@contextmanager
def _served(
    app: Starlette, listener: socket.socket, stopping: threading.Event, options: Mapping[str, Any] | None = None
) -> Iterator[Callable[[], bool]]:
    """Serve inside; yields whether the server is up. Leaving ends it: nothing is taken any more. options: of TLS."""
    config = uvicorn.Config(
        app, log_config=None, access_log=False, lifespan="off", server_header=False, ws="none",
        timeout_graceful_shutdown=_GRACE_S, h11_max_incomplete_event_size=65_536, **(options or {}),
    )  # fmt: skip
    server = uvicorn.Server(config)
    thread = threading.Thread(target=lambda: asyncio.run(server.serve([listener])), name="gateway", daemon=True)
    thread.start()
    while not server.started and thread.is_alive():
        time.sleep(0.005)
    try:
        yield lambda: server.started and thread.is_alive()
    finally:
        stopping.set()
        server.should_exit = True
        thread.join(_GRACE_S + 5)


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, *_, place = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        return socket.create_server(place[:2], family=family, backlog=512)
    except (OSError, OverflowError, UnicodeError) as error:
        raise GatewayError(
            f"cannot listen: {why(error)}",
            where=f"{host}:{port}",
            todo="Stop what listens there, or choose another --port",
        ) from error


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _address(listener: socket.socket, options: Mapping[str, Any] | None = None) -> str:
    host, port = listener.getsockname()[:2]
    scheme = "https" if options else "http"
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


def _webhook(url: str) -> Webhook:
    try:
        return Webhook(url=url)
    except ValidationError as error:
        todo = "It begins with http:// or https://"
        raise GatewayError(f"'{url[:200]}' is not the URL of a webhook", todo=todo) from error
