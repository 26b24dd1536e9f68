"""What Prometheus is told: the ledgers under their own names, time and lag of each stage, intake and webhooks."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from schemas.core import NS
from tidegate._live import Live
from tidegate._webhooks import HookHealth

_BUFFERED = "buffered"  # goes down again, so it is a gauge


class GatewayMetrics:
    """A collector of one process. `requests` counts answers by (path, status)."""

    def __init__(self, live: Live, hooks: Callable[[], Sequence[HookHealth]]) -> None:
        self.requests: Counter[tuple[str, int]] = Counter()
        self._live, self._hooks = live, hooks
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)

    def text(self) -> bytes:
        """The exposition format, version 0.0.4."""
        return generate_latest(self._registry)

    def collect(self) -> Iterator[Metric]:
        health, ledger = self._live.health, self._live.health.ledger
        messages, size = self._live.backlog
        yield _counter(
            "tidegate_messages", "Messages by state of the ledger.", ("state",),
            (((state,), n) for state, n in ledger["messages"].items()),
        )  # fmt: skip
        rows = [((kind, state), n) for kind in ("samples", "derived") for state, n in ledger[kind].items()]
        yield _counter(
            "tidegate_samples", "Samples by state of the ledger; derived ones come from logs and spans.",
            ("kind", "state"), (row for row in rows if row[0][1] != _BUFFERED),
        )  # fmt: skip
        yield _gauge(
            "tidegate_samples_buffered", "Samples in windows that are still open.", ("kind",),
            (((kind,), n) for (kind, state), n in rows if state == _BUFFERED),
        )  # fmt: skip
        reasons = [((*name.split(":", 1),), n) for name, n in ledger["reasons"].items()]
        refused = [(("records.refused", code), n) for code, n in health.refused.items()]
        yield _counter(
            "tidegate_dead_letters", "What became dead letters, by what it was and why.", ("what", "reason"),
            [*reasons, *refused],
        )  # fmt: skip
        yield _gauge(
            "tidegate_watermark_seconds", "Event time that a stage has reached, Unix seconds.", ("stage",),
            (((stage.name,), stage.through_ns / NS) for stage in health.stages),
        )  # fmt: skip
        yield _gauge(
            "tidegate_stage_lag_records", "Records of its inputs that a stage has not read.", ("stage",),
            (((stage.name,), stage.behind) for stage in health.stages),
        )  # fmt: skip
        yield _gauge("tidegate_backlog_messages", "Messages taken and not yet normalised.", (), [((), messages)])
        yield _gauge("tidegate_backlog_bytes", "Bytes taken and not yet normalised.", (), [((), size)])
        yield _gauge(
            "tidegate_sources", "Sources by whether they speak.", ("state",),
            [(("active",), health.sources_active), (("idle",), health.sources_idle)],
        )  # fmt: skip
        yield _counter(
            "tidegate_http_requests", "Answers of the gateway.", ("path", "status"),
            (((path, str(status)), n) for (path, status), n in sorted(self.requests.copy().items())),
        )  # fmt: skip
        hooks = list(self._hooks())
        yield _counter(
            "tidegate_webhook_sent", "Events that a receiver took.", ("receiver",),
            (((hook.receiver,), hook.sent) for hook in hooks),
        )  # fmt: skip
        yield _counter(
            "tidegate_webhook_refused", "Events that a receiver refused for good.", ("receiver",),
            (((hook.receiver,), hook.refused) for hook in hooks),
        )  # fmt: skip
        yield _gauge(
            "tidegate_webhook_failing_seconds", "For how long a receiver has not answered well.", ("receiver",),
            (((hook.receiver,), hook.failing_s) for hook in hooks),
        )  # fmt: skip


Rows = Iterable[tuple[tuple[str, ...], float]]


def _counter(name: str, text: str, labels: Sequence[str], rows: Rows) -> Metric:
    family = CounterMetricFamily(name, text, labels=labels)
    for values, n in rows:
        family.add_metric(values, n)
    return family


def _gauge(name: str, text: str, labels: Sequence[str], rows: Rows) -> Metric:
    family = GaugeMetricFamily(name, text, labels=labels)
    for values, n in rows:
        family.add_metric(values, n)
    return family
