"""The small HTTP server of a process of `run`: `/metrics`, `/healthz`, `/readyz`, `/livez`, in threads of its own.

Several processes run on one machine, so the port is the first free one of a few. A process whose port cannot be had
goes on, says so, and is missed by whoever scrapes.
"""

import errno
import json
import socket
import threading
import time
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

from prometheus_client import CONTENT_TYPE_LATEST

from schemas import why
from schemas.core import NS
from tidegate._broker_watch import BrokerWatch
from tidegate._errors import SettingsError
from tidegate._health import STARTING, Limits, Verdict, Watched, readiness
from tidegate._heartbeat import Heartbeat
from tidegate._metrics import ProcessMetrics
from tidegate._observed import Observed, Observer
from tidegate._settings import Shards

PORTS = 32
"""How many ports are tried, from the first on."""
_TIMEOUT_S = 10.0
_LOOK_S = 2.0


class Monitor:
    """Use as a context manager: serves, watches the brokers, sends heartbeats, and logs when health changes.

    facts: who we are, for `/healthz` and heartbeats. url: where it listens, empty if it does not.
    """

    def __init__(
        self, settings: Shards, observer: Observer, brokers: BrokerWatch, *, facts: Mapping[str, Any],
        say: Callable[..., None], shaped_by: str = "", now_ns: Callable[[], int] = time.time_ns,
    ) -> None:  # fmt: skip
        self._observer, self._brokers, self._facts = observer, brokers, dict(facts)
        self._say, self._now_ns = say, now_ns
        observer.brokers = lambda: brokers.seen
        self._watched = Watched(Limits(
            stalled_s=settings.stalled_after_s, watermark_age_s=settings.max_watermark_age_s,
            away_s=min(30.0, settings.stalled_after_s),            unsaved_s=3 * settings.snapshot_every_s + 60,
        ))  # fmt: skip
        self._heartbeat = Heartbeat(
            settings.heartbeat_url, lambda: self.verdict().is_healthy, facts=facts, say=say, now_ns=now_ns
        )
        self._metrics = ProcessMetrics(
            lambda: observer.newest, self.verdict, heartbeat_ns=lambda: self._heartbeat.last_ns,
            heartbeat_failures=lambda: self._heartbeat.failures, shaped_by=shaped_by, now_ns=now_ns,
        )  # fmt: skip
        self._server = _listen(settings.metrics_host, settings.metrics_port, self) if settings.metrics_port else None
        self._stop = threading.Event()
        self.url = ""
        if self._server is not None:
            host, port = settings.metrics_host, self._server.server_port
            self.url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
        elif settings.metrics_port:
            last = settings.metrics_port + PORTS - 1
            say("metrics not served", where=f"{settings.metrics_host}:{settings.metrics_port}-{last}")

    def __enter__(self) -> "Monitor":
        for thread in (self._serve, self._look):
            threading.Thread(target=thread, name=f"monitor{thread.__name__}", daemon=True).start()
        self._brokers.start()
        self._heartbeat.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._heartbeat.close()
        self._brokers.close()
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()

    def verdict(self) -> Verdict:
        return self._watched.verdict(self._observer.newest, self._now_ns())

    def answer(self, path: str) -> tuple[int, str, bytes]:
        """Status, content type and body of a GET."""
        place = urlsplit(path)
        if place.path == "/metrics":
            return 200, CONTENT_TYPE_LATEST, self._metrics.text()
        if place.path not in ("/healthz", "/readyz", "/livez"):
            return 404, "text/plain", b"There are /metrics, /healthz, /readyz and /livez.\n"
        found, seen = self.verdict(), self._observer.newest or Observed(0)
        is_ready = place.path == "/readyz" or "ready" in place.query.split("&")
        if is_ready:
            found = readiness(found, seen)
        is_well = found.is_alive if place.path == "/livez" else found.is_healthy
        document = {**found.document(), "status": "ok" if is_well else "failing", **self._facts, **_progress(seen)}
        return 200 if is_well else 503, "application/json", json.dumps(document).encode()

    def _serve(self) -> None:
        if self._server is not None:
            self._server.serve_forever()

    def _look(self) -> None:
        """One line a change of health, not one a look."""
        was: tuple[str, ...] = ()
        while not self._stop.wait(_LOOK_S):
            found = self.verdict()
            now = tuple(sorted({reason.code for reason in found.reasons} - {STARTING}))
            if now != was:
                self._say(
                    "health changed", is_healthy=found.is_healthy, reasons=list(now),
                    tasks=sorted({reason.task for reason in found.reasons if reason.task}),
                )  # fmt: skip
                was = now


def _progress(seen: Observed) -> dict[str, Any]:
    tasks = {
        task.name: {
            "through_ns": task.through_ns, "lag_records": task.lag, "records_read": task.passed,
            "watermark_age_s": round((seen.at_ns - task.through_ns) / NS, 3) if task.is_speaking else None,
        }
        for task in seen.tasks
    }  # fmt: skip
    return {"observed_ns": seen.at_ns, "tasks": tasks}


def _listen(host: str, port: int, monitor: Monitor) -> ThreadingHTTPServer | None:
    """On the first free port, None if there is none."""

    class Handler(BaseHTTPRequestHandler):
        server_version, sys_version, timeout = "tidegate", "", _TIMEOUT_S

        def do_GET(self) -> None:
            status, kind, body = monitor.answer(self.path)
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Requests are no state changes."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        address_family = socket.AF_INET6 if ":" in host else socket.AF_INET

        def handle_error(self, request: Any, client_address: Any) -> None:
            """Who asks and does not wait for the answer is no trouble of ours."""

    for at in range(port, min(port + PORTS, 65536)):
        try:
            return Server((host, at), Handler)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise SettingsError(
                    f"metrics cannot be served: {why(error)}", where=f"{host}:{at}",
                    todo="Change shards.metrics_host or shards.metrics_port; 0 switches it off",
                ) from error  # fmt: skip
    return None
