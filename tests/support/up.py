"""A small shop for live runs, a clock that is told the time, a gateway over real HTTP, and a receiver with a script."""

import http.client
import json
import threading
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import schemas as sc
from schemas.core import NS, Emit, Message
from simulation import BadDeploy, shop
from streams import KIND, SOURCES, Engine, MemoryLog, Recording, RecordingWriter
from tidegate import _pipeline
from tidegate._gateway import Gateway
from tidegate._live import Live
from tidegate._principals import Principals
from tidegate._settings import Settings
from tidegate._up import _address, _listen, _served

START_NS = 1_767_268_800 * NS
RAW_TOPICS = (sc.OTLP_METRICS, sc.OTLP_LOGS, sc.OTLP_SPANS, sc.RAW)


@cache
def shop_emits() -> tuple[Emit, ...]:
    """Four minutes with a bad deploy in the third, and the final marks."""
    fault = BadDeploy(at_s=150, error_ratio=0.5, innocent_s=60)
    return tuple(shop(3, START_NS, 240, fault=fault, rate=6))


def shop_recording(place: Path) -> Recording:
    log = MemoryLog()
    with RecordingWriter(place, created_by="test") as writer:
        for emit in shop_emits():
            log.append([emit], writer="shop")
            writer.append(log.read([emit.topic], log.last() - 1, 1)[0].message)
    return Recording.open(place)


class Clock:
    """A wall clock that stands until it is told."""

    def __init__(self, ns: int = START_NS) -> None:
        self.ns = ns

    def __call__(self) -> int:
        return self.ns


def feed(live: Live, clock: Clock, emits: Iterable[Emit] | None = None, *, pump_every: int = 0) -> None:
    """Take what the shop sent, each as its time comes; marks of the shop stay behind."""
    for n, emit in enumerate(shop_emits() if emits is None else emits):
        if sc.record_type(Message(emit.topic, 0, 0, b"", b"", emit.headers, 0, 0)) == "watermark":
            continue
        clock.ns = max(clock.ns, emit.event_ns)
        kind = dict(emit.headers).get(KIND, emit.topic.encode()).decode()
        own = tuple(h for h in emit.headers if h[0].startswith("ce_"))
        live.take(kind, emit.value, source=f"shop/{kind}", tenant="default", headers=own)
        if pump_every and n % pump_every == 0:
            live.pump()


def let_go(live: Live) -> None:
    """What the system does when a process dies: files are closed, nothing is saved."""
    live.log.close()
    live._owner.close()


def made(log: Any, topics: Iterable[str] = sc.TOPICS) -> dict[tuple[str, str], list[tuple[bytes, bytes, Any]]]:
    """Everything that stages wrote: by writer and topic, in order, to the byte."""
    found = defaultdict(list)
    for stored in log.read(list(topics), 0, 10**6):
        if stored.writer != SOURCES:
            message = stored.message
            found[stored.writer, message.topic].append((message.key, message.value, message.headers))
    return dict(found)


def undisturbed(live: Live) -> dict[tuple[str, str], list[tuple[bytes, bytes, Any]]]:
    """What a run without any interruption makes of the same raw topics."""
    log = MemoryLog(keep=sc.TOPICS)
    engine = Engine(log, _pipeline.build(live.settings).stages)
    log.feed((stored.message for stored in live.log.read(RAW_TOPICS, 0, 10**6)), writer=SOURCES)
    engine.run()
    return made(log)


@contextmanager
def serving(live: Live, **options: Any) -> Iterator["Caller"]:
    """A gateway over real HTTP; the test itself pumps."""
    listener = _listen("127.0.0.1", 0)
    gateway = Gateway(live, Principals(live.settings.gateway), **options)
    with _served(gateway.app, listener, threading.Event()):
        yield Caller(_address(listener))
    listener.close()


@dataclass(slots=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(slots=True)
class Caller:
    """Makes requests, each on a connection of its own."""

    url: str

    def __call__(self, method: str, path: str, body: bytes = b"", **headers: str) -> Answer:
        """Names of headers are written with `_` for `-`."""
        connection = http.client.HTTPConnection(urlsplit(self.url).netloc, timeout=60)
        try:
            connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
            response = connection.getresponse()
            return Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())
        finally:
            connection.close()


@dataclass(slots=True)
class Receiver:
    """An HTTP server that answers POSTs with the given statuses in turn, then always with 200; keeps what it got."""

    script: list[int] = field(default_factory=list)
    retry_after: str = ""
    got: list[tuple[str, dict[str, str], bytes, int]] = field(default_factory=list)
    url: str = ""
    arrived: threading.Event = field(default_factory=threading.Event)

    def bodies(self, status: int = 200) -> list[Any]:
        return [json.loads(body) for _, _, body, said in self.got if said == status]


@contextmanager
def receiving(script: Iterable[int] = (), *, retry_after: str = "", port: int = 0) -> Iterator[Receiver]:
    state = Receiver(list(script), retry_after)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            status = state.script.pop(0) if state.script else 200
            self.send_response(status)
            if status != 200 and state.retry_after:
                self.send_header("Retry-After", state.retry_after)
            self.send_header("Content-Length", "0")
            self.end_headers()
            state.got.append((self.path, {k.lower(): v for k, v in self.headers.items()}, body, status))
            state.arrived.set()

        def log_message(self, *_: Any) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    state.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def settings(**gateway: Any) -> Settings:
    return Settings.model_validate({"gateway": gateway})


__all__ = [
    "START_NS", "Answer", "Caller", "Clock", "Receiver", "feed", "let_go", "made", "receiving", "serving", "settings",
    "shop_emits", "shop_recording", "undisturbed",
]  # fmt: skip
