"""`tidegate gateway`: what senders post goes to Kafka, and nothing else happens in this process.

Run as many as there are senders for, behind any load balancer: they share nothing but the topics. Replays of a signed
delivery are known to the process that took it.
"""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import Metric
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from schemas.core import NS
from tidegate import __version__, _catalogue
from tidegate._errors import GatewayError
from tidegate._gateway_in import Desk, Log
from tidegate._metric_families import counter, gauge
from tidegate._principals import Principals
from tidegate._settings import Settings
from tidegate._signals import stops
from tidegate._tls import server_options
from tidegate._up import _address, _is_loopback, _listen, _served


class KafkaGateway:
    """The application over Kafka: what is posted, `/healthz` and `/metrics`."""

    def __init__(
        self, log: Log, settings: Settings, principals: Principals, *, is_local_only: bool = False,
        status: Callable[[], str] = lambda: "ok", heard: Callable[[], dict[str, int]] = dict,
    ) -> None:  # fmt: skip
        self._log, self._status, self._heard = log, status, heard
        self.desk = Desk(
            log, settings.gateway, principals, _catalogue.find("sources"), status=status, is_local_only=is_local_only
        )  # fmt: skip
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(_Families(log, self.desk.requests, heard))
        self.app = Starlette(routes=[
            *self.desk.routes(),
            Route("/healthz", self.desk.answering(self._healthz), methods=["GET"]),
            Route("/metrics", self.desk.answering(self._metrics), methods=["GET"]),
        ])  # fmt: skip

    async def _healthz(self, request: Request) -> Response:
        messages, size = self._log.backlog
        document = {
            "status": self._status(), "version": __version__, "backlog": {"messages": messages, "bytes": size},
            "sources": len(self._heard()),
        }  # fmt: skip
        return JSONResponse(document, 200 if document["status"] == "ok" else 503)

    async def _metrics(self, request: Request) -> Response:
        return Response(generate_latest(self._registry), media_type="text/plain; version=0.0.4; charset=utf-8")


class _Families:
    """What Prometheus is told."""

    def __init__(self, log: Log, requests: Counter[tuple[str, int]], heard: Callable[[], dict[str, int]]) -> None:
        self._log, self._requests, self._heard = log, requests, heard

    def collect(self) -> Iterator[Metric]:
        messages, size = self._log.backlog
        yield gauge("tidegate_backlog_messages", "Messages taken and not yet on Kafka.", (), [((), messages)])
        yield gauge("tidegate_backlog_bytes", "Bytes taken and not yet on Kafka.", (), [((), size)])
        yield counter(
            "tidegate_http_requests", "Answers of the gateway.", ("path", "status"),
            (((path, str(status)), n) for (path, status), n in sorted(self._requests.copy().items())),
        )  # fmt: skip
        yield gauge(
            "tidegate_source_heard_seconds", "When something of a source was last kept, Unix seconds.", ("source",),
            (((source,), at_ns / NS) for source, at_ns in sorted(self._heard().items())),
        )  # fmt: skip


def run_gateway(
    settings: Settings, *, brokers: str = "", host: str = "127.0.0.1", port: int = 4318, insecure: bool = False,
    on_ready: Callable[[str], None] = lambda url: None, stop: threading.Event | None = None,
) -> dict[str, int]:  # fmt: skip
    """Run until a signal or `stop`; returns how many messages were kept.

    Raises GatewayError, SettingsError, SchemaRegistryError, TransportError.
    """
    from streams._kafka_intake import KafkaIntake  # the extra `kafka` may be absent

    if not (brokers or settings.kafka.brokers):
        raise GatewayError(
            "no Kafka broker is named, so what comes could not be kept", where="kafka.brokers",
            todo="Pass --brokers HOST:PORT, or run `tidegate up`: it has this gateway and a log of its own",
        )  # fmt: skip
    principals, is_local = Principals(settings.gateway), _is_loopback(host)
    if principals.is_open and not is_local and not insecure:
        raise GatewayError(
            f"without tokens everybody who reaches {host} could send", where=f"{host}:{port}",
            todo="Put tokens into gateway.tokens, or listen on 127.0.0.1, or pass --insecure",
        )  # fmt: skip
    settings.kafka.register_schemas()
    stopping, options = stop or threading.Event(), server_options(settings.gateway.tls)
    listener = _listen(host, port)
    try:
        with KafkaIntake(settings.kafka.plain(brokers), now_ns=time.time_ns) as intake:
            gateway = KafkaGateway(
                intake, settings, principals, is_local_only=principals.is_open and is_local,
                status=lambda: "stopping" if stopping.is_set() else "ok", heard=lambda: dict(intake.heard),
            )  # fmt: skip
            with stops(stopping), _served(gateway.app, listener, stopping, options) as is_up:
                if is_up():
                    on_ready(_address(listener, options))
                while not stopping.wait(0.25) and is_up():
                    continue
                if not stopping.is_set():
                    where = _address(listener, options)
                    raise GatewayError("the server ended by itself", where=where, todo="Please report it")
            return {"messages": intake.taken}
    finally:
        listener.close()
