"""What Prometheus is told of a process of `run`, from the newest `Observed`: nothing here waits for the pipeline.

Labels: `stage` and `task` (the instance, as `otlp_metrics/3` or `2`). Units are suffixes. Ages are of the moment of
the scrape. Names shared with `tidegate up` mean the same there.
"""

import platform
import time
from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import Metric

from schemas.core import NS
from streams import report
from tidegate import __version__
from tidegate._health import CODES, Verdict
from tidegate._metric_families import Rows, counter, gauge, ledger_families, source_family
from tidegate._observed import Observed, TaskSeen

_TASK = ("stage", "task")
_COUNTS = {
    "redelivered": ("tidegate_batches_redelivered", "Batches and records that came twice and were dropped."),
    "missing": ("tidegate_batches_missing", "Batches that should have come and did not. Must be 0."),
    "lost_to_retention": ("tidegate_records_lost_to_retention", "Records deleted before they were read. Must be 0."),
}


class ProcessMetrics:
    """A collector of one process.

    observed: the newest look, None before the first. verdict: on its health. heartbeat_ns, heartbeat_failures: when it
    was last sent, or would have been; how often nobody took it. shaped_by: digest of versions and settings.
    """

    def __init__(
        self, observed: Callable[[], Observed | None], verdict: Callable[[], Verdict], *,
        heartbeat_ns: Callable[[], int] = lambda: 0, heartbeat_failures: Callable[[], int] = lambda: 0,
        shaped_by: str = "", now_ns: Callable[[], int] = time.time_ns,
    ) -> None:  # fmt: skip
        self._observed, self._verdict, self._now_ns = observed, verdict, now_ns
        self._heartbeat_ns, self._heartbeat_failures, self._shaped_by = heartbeat_ns, heartbeat_failures, shaped_by
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)
        ProcessCollector(registry=self._registry)

    def text(self) -> bytes:
        """The exposition format, version 0.0.4."""
        return generate_latest(self._registry)

    def collect(self) -> Iterator[Metric]:
        seen, now = self._observed() or Observed(0), self._now_ns()
        yield from self._process(seen)
        yield from self._tasks(seen, now)
        refused = {task.name: _refused(task) for task in seen.tasks}
        yield from ledger_families(
            [((*name.split("@", 1),), report(ledger), refused.get(name, {})) for name, ledger in seen.ledgers.items()],
            _TASK,
        )  # fmt: skip
        yield source_family(seen.sources_active, seen.sources_idle)
        yield counter(
            "tidegate_dead_letters_written", "Dead letters that this process wrote, by reason and who sent them.",
            ("reason", "source"), sorted(seen.letters.items()),
        )  # fmt: skip
        yield gauge(
            "tidegate_inquiries", "Questions about open incidents, by what became of them: ANSWERED, PENDING, a code.",
            ("result",), (((result,), n) for result, n in sorted(seen.inquiries.items())),
        )  # fmt: skip

    def _process(self, seen: Observed) -> Iterator[Metric]:
        found = self._verdict()
        codes = [reason.code for reason in found.reasons]
        labels = ("version", "python", "shaped_by")
        values = (__version__, platform.python_version(), self._shaped_by)
        yield gauge("tidegate_build_info", "What runs here; always 1.", labels, [(values, 1)])
        yield gauge("tidegate_healthy", "1 if /healthz says so.", (), [((), int(found.is_healthy))])
        yield gauge(
            "tidegate_health_reasons", "Why /healthz does not: how many tasks, or 1 for the process.", ("code",),
            (((code,), codes.count(code)) for code in CODES),
        )  # fmt: skip
        yield gauge(
            "tidegate_observed_timestamp_seconds", "When the thread that works last published these values.", (),
            [((), seen.at_ns / NS)],
        )  # fmt: skip
        yield gauge(
            "tidegate_heartbeat_timestamp_seconds", "When this process last found itself healthy and said so.", (),
            [((), self._heartbeat_ns() / NS)],
        )  # fmt: skip
        yield counter(
            "tidegate_heartbeat_failures", "Heartbeats that nobody took.", (), [((), self._heartbeat_failures())]
        )
        yield gauge(
            "tidegate_brokers_answered_timestamp_seconds", "When a broker last answered a question of its own.", (),
            [((), seen.brokers.answered_ns / NS)],
        )  # fmt: skip
        yield gauge(
            "tidegate_tasks", "Tasks that this process owns.", ("stage",),
            (((stage,), n) for stage, n in seen.owned.items()),
        )  # fmt: skip
        yield gauge(
            "tidegate_producer_queue_records", "Records that wait to be sent.", ("stage",),
            (((stage,), n) for stage, n in seen.queued.items()),
        )  # fmt: skip
        yield counter(
            "tidegate_events", "State changes, as logged: tasks started and stopped (rebalances), sources silent, ...",
            ("stage", "event"), sorted(seen.events.items()),
        )  # fmt: skip

    def _tasks(self, seen: Observed, now: int) -> Iterator[Metric]:
        tasks = seen.tasks

        def rows(value: Callable[[TaskSeen], float | None]) -> Rows:
            return [((t.stage, t.instance), v) for t in tasks if (v := value(t)) is not None]

        def written(task: TaskSeen) -> tuple[float, float] | None:
            found = seen.written.get(task.name)
            return (found.size, found.took_s) if found else None

        yield gauge(
            "tidegate_watermark_seconds", "Event time that a task has reached, Unix seconds.", _TASK,
            rows(lambda t: t.through_ns / NS),
        )  # fmt: skip
        yield gauge(
            "tidegate_watermark_age_seconds", "Now minus that, while somebody speaks whom the task hears.", _TASK,
            rows(lambda t: (now - t.through_ns) / NS if t.is_speaking and t.through_ns else None),
        )  # fmt: skip
        yield gauge(
            "tidegate_stage_lag_records", "Records of its inputs that a task has not read.", _TASK,
            rows(lambda t: t.lag),
        )  # fmt: skip
        yield counter(
            "tidegate_records_read", "Records before what a task reads next, over its inputs.", _TASK,
            rows(lambda t: t.passed),
        )  # fmt: skip
        yield gauge(
            "tidegate_held_records", "Records that wait until time has passed them.", _TASK, rows(lambda t: t.held)
        )
        for what, (name, text) in _COUNTS.items():
            yield counter(name, text, _TASK, rows(lambda t, what=what: t.counts.get(what, 0)))  # type: ignore[misc]
        refused = [((t.stage, t.instance, code), n) for t in tasks for code, n in _refused(t).items()]
        yield counter("tidegate_refused", "Records that a stage could not take.", (*_TASK, "code"), refused)
        yield gauge(
            "tidegate_snapshot_age_seconds", "Since the last snapshot, where there is work that it does not hold.",
            _TASK, rows(lambda t: (now - t.snapshot_ns) / NS if t.is_changed else 0),
        )  # fmt: skip
        yield counter("tidegate_snapshots", "Snapshots that a task has.", _TASK, rows(lambda t: t.snapshots))
        yield gauge(
            "tidegate_snapshot_bytes", "Size of the last snapshot, as stored.", _TASK,
            rows(lambda t: found[0] if (found := written(t)) else None),
        )  # fmt: skip
        yield gauge(
            "tidegate_snapshot_write_seconds", "How long storing it took.", _TASK,
            rows(lambda t: found[1] if (found := written(t)) else None),
        )  # fmt: skip


def _refused(task: TaskSeen) -> dict[str, int]:
    return {what[8:]: n for what, n in task.counts.items() if what.startswith("refused/")}
