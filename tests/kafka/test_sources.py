"""Source topics under names of their own, so that deployments on one cluster do not read each other's telemetry."""

from pathlib import Path

import pytest
from support.kafka import Broker
from support.pipeline import recorded_shop
from support.worker import Bench, is_at_end, turn

import schemas as sc
from streams import kafka
from tidegate._access import roles

NAMES = {"otlp_metrics": "named.metrics", "otlp_logs": "named.logs", "otlp_spans": "named-spans"}


@pytest.fixture
def bench(alone: Broker, tmp_path: Path) -> Bench:
    """Beside a deployment whose topics have the names that collectors give them."""
    others = tmp_path / "others"
    others.mkdir()
    other = Bench(alone, others, "other")
    other.put_all(sc.OTLP_METRICS, [m.value for m in recorded_shop() if m.topic == sc.OTLP_METRICS])
    return Bench(alone, tmp_path, "named", sources=NAMES)


def test_topics_are_made_read_and_described_under_the_names_that_the_settings_give(bench: Bench) -> None:
    client = kafka.admin(bench.kafka)
    assert set(NAMES.values()) <= set(client.list_topics(timeout=10).topics)
    assert {row.state for row in kafka.describe(client, bench.kafka)} == {"kept"}
    bench.put(sc.OTLP_LOGS, next(m.value for m in recorded_shop() if m.topic == sc.OTLP_LOGS))
    worker = bench.worker("normalise")
    turn(worker, lambda: is_at_end(worker))
    admitted = {name: owner.task.state.ledger.counts["messages.decoded"] for name, owner in worker.running.items()}
    worker.close()
    assert {name: n for name, n in admitted.items() if n} == {"otlp_logs/0": 1}


def test_history_and_rights_are_those_of_the_named_topics(bench: Bench) -> None:
    bench.put(sc.OTLP_SPANS, b"a")
    with kafka.KafkaHistory(bench.kafka) as history:
        found = [(m.topic, m.value) for m in history.messages([sc.OTLP_METRICS, sc.OTLP_SPANS])]
    assert found == [(sc.OTLP_SPANS, b"a")]
    rights = kafka.acls(roles(bench.settings)["normalise"], bench.kafka, "User:n")
    assert {acl.name for acl in rights if acl.operation == "Read"} >= set(NAMES.values())
    assert "otlp_logs" not in {acl.name for acl in rights}
