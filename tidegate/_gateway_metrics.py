"""What Prometheus is told: the ledgers under their own names, time and lag of each stage, intake and webhooks."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import Metric

from schemas.core import NS
from tidegate._live import Live
from tidegate._metric_families import counter, gauge, ledger_families, source_family
from tidegate._webhooks import HookHealth


class GatewayMetrics:
    """A collector of one process. `requests` counts answers by (path, status)."""

    def __init__(
        self, live: Live, hooks: Callable[[], Sequence[HookHealth]], requests: Counter[tuple[str, int]]
    ) -> None:  # fmt: skip
        self.requests = requests
        self._live, self._hooks = live, hooks
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)

    def text(self) -> bytes:
        """The exposition format, version 0.0.4."""
        return generate_latest(self._registry)

    def collect(self) -> Iterator[Metric]:
        health, ledger = self._live.health, self._live.health.ledger
        messages, size = self._live.backlog
        yield from ledger_families([((), ledger, health.refused)])
        yield source_family(health.sources_active, health.sources_idle)
        yield gauge(
            "tidegate_watermark_seconds", "Event time that a stage has reached, Unix seconds.", ("stage",),
            (((stage.name,), stage.through_ns / NS) for stage in health.stages),
        )  # fmt: skip
        yield gauge(
            "tidegate_stage_lag_records", "Records of its inputs that a stage has not read.", ("stage",),
            (((stage.name,), stage.behind) for stage in health.stages),
        )  # fmt: skip
        yield gauge("tidegate_backlog_messages", "Messages taken and not yet normalised.", (), [((), messages)])
        yield gauge("tidegate_backlog_bytes", "Bytes taken and not yet normalised.", (), [((), size)])
        yield counter(
            "tidegate_http_requests", "Answers of the gateway.", ("path", "status"),
            (((path, str(status)), n) for (path, status), n in sorted(self.requests.copy().items())),
        )  # fmt: skip
        hooks = list(self._hooks())
        yield counter(
            "tidegate_webhook_sent", "Events that a receiver took.", ("receiver",),
            (((hook.receiver,), hook.sent) for hook in hooks),
        )  # fmt: skip
        yield counter(
            "tidegate_webhook_refused", "Events that a receiver refused for good.", ("receiver",),
            (((hook.receiver,), hook.refused) for hook in hooks),
        )  # fmt: skip
        yield gauge(
            "tidegate_webhook_failing_seconds", "For how long a receiver has not answered well.", ("receiver",),
            (((hook.receiver,), hook.failing_s) for hook in hooks),
        )  # fmt: skip
