"""What Prometheus is told of a process, and that telling it costs the pipeline nothing."""

from collections import Counter
from types import SimpleNamespace
from typing import Any

import pytest
from support.metric_names import exported, named, samples

from schemas.core import NS
from streams import Ledger
from tidegate._health import Verdict
from tidegate._metrics import ProcessMetrics
from tidegate._observed import BrokersSeen, MeasuredStore, Observed, Observer, TaskSeen, Written

AT = 1_000_000 * NS
SEEN = Observed(
    AT,
    (
        TaskSeen("normalise", "otlp_logs/0", AT - 30 * NS, True, 7, 3, 0, {}, AT - 9 * NS, 2, True),
        TaskSeen("detect", "1", AT - 40 * NS, False, 9, 0, 4, {"missing": 2, "redelivered": 5, "refused/BAD": 1}, AT),
    ),
    BrokersSeen(AT),
    {"normalise@otlp_logs/0": Ledger(Counter({"messages.admitted": 3, "messages.decoded": 2,
                                              "messages.dead_lettered": 1}),
                                     Counter({"messages.dead_lettered:OTLP_INVALID": 1}))},
    1, 2, {"detect": 6}, {"detect": 1, "normalise": 1}, {"detect@1": Written(1234, 0.5)},
    {("detect", "task started"): 4}, {("LATE", "shop"): 8}, {"PENDING": 2},
)  # fmt: skip


def text(seen: Observed | None = SEEN, **more: Any) -> str:
    return ProcessMetrics(lambda: seen, Verdict, now_ns=lambda: AT + 10 * NS, **more).text().decode()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ('tidegate_watermark_seconds{stage="normalise",task="otlp_logs/0"}', 999_970),
        ('tidegate_watermark_age_seconds{stage="normalise",task="otlp_logs/0"}', 40),
        ('tidegate_stage_lag_records{stage="normalise",task="otlp_logs/0"}', 3),
        ('tidegate_records_read_total{stage="detect",task="1"}', 9),
        ('tidegate_batches_missing_total{stage="detect",task="1"}', 2),
        ('tidegate_batches_redelivered_total{stage="detect",task="1"}', 5),
        ('tidegate_refused_total{code="BAD",stage="detect",task="1"}', 1),
        (
            'tidegate_dead_letters_total{reason="OTLP_INVALID",stage="normalise",task="otlp_logs/0",'
            'what="messages.dead_lettered"}',
            1,
        ),
        ('tidegate_snapshot_age_seconds{stage="normalise",task="otlp_logs/0"}', 19),
        ('tidegate_snapshot_age_seconds{stage="detect",task="1"}', 0),
        ('tidegate_snapshot_bytes{stage="detect",task="1"}', 1234),
        ('tidegate_messages_total{stage="normalise",state="admitted",task="otlp_logs/0"}', 3),
        ('tidegate_dead_letters_written_total{reason="LATE",source="shop"}', 8),
        ('tidegate_sources{state="idle"}', 2),
        ('tidegate_inquiries{result="PENDING"}', 2),
        ("tidegate_healthy", 1),
    ],
)
def test_every_value_is_where_it_belongs(name: str, value: float) -> None:
    assert samples(text()).get(name) == value


def test_the_age_of_a_task_to_whom_nobody_speaks_is_not_told() -> None:
    assert 'tidegate_watermark_age_seconds{stage="detect",task="1"}' not in samples(text())


def test_every_metric_of_alerts_and_dashboard_is_known_before_anything_happened() -> None:
    assert named() - exported(text(None)) == set()


def test_every_metric_has_a_sentence() -> None:
    found = text()
    assert all(f"# HELP {name} " in found for name in exported(found))


def worker(instance: str, missing: int) -> Any:
    task = SimpleNamespace(
        name=f"detect@{instance}", instance=instance, through_ns=AT, is_final=False, held=[], marks={},
        counts={"missing": missing}, state=SimpleNamespace(), stage=SimpleNamespace(makes_time=False),
    )  # fmt: skip
    running = SimpleNamespace(
        task=task, offsets={("t", 0): 5}, ends={("t", 0): 7}, snapshot_ns=AT, number=1, is_changed=False, paused=set()
    )
    return SimpleNamespace(
        stage=SimpleNamespace(name="detect"), running={instance: running}, producer=[], letters=Counter()
    )


def test_batches_that_are_missing_are_told_once_when_they_are_found(tmp_path: Any, monkeypatch: Any) -> None:
    said: list[tuple[str, Any]] = []
    observer = Observer(MeasuredStore(str(tmp_path)), lambda text, **facts: said.append((text, facts["n"])))
    monkeypatch.setattr("tidegate._observed.EVERY_S", 0.0)
    for missing in (1, 1, 4, 4):
        observer.look([worker("0", missing)])
    assert said == [("batches missing", 3)]


def test_lag_is_what_brokers_say_beyond_what_was_read_or_is_known_to_be_the_end(tmp_path: Any) -> None:
    observer = Observer(MeasuredStore(str(tmp_path)), lambda text, **facts: None)
    observer.brokers = lambda: BrokersSeen(AT, {("t", 0): 9})
    observer.look([worker("0", 0)])
    assert observer.newest is not None and observer.newest.tasks[0].lag == 2


def test_events_carry_their_stage_and_are_counted(tmp_path: Any) -> None:
    said: list[dict[str, Any]] = []
    observer = Observer(MeasuredStore(str(tmp_path)), lambda text, **facts: said.append(facts))
    observer.event("task started", task="detect@2", through_ns=5)
    observer.look([])
    assert said == [{"stage": "detect", "task": "detect@2", "through_ns": 5}]
    assert observer.newest is not None and observer.newest.events == {("detect", "task started"): 1}
