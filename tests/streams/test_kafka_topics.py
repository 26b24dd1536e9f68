"""The table of topics holds together, and a difference on the broker is told by what it would do."""

from concurrent.futures import Future
from types import SimpleNamespace

import pytest
from confluent_kafka import KafkaError, KafkaException

import schemas as sc
from streams import KafkaSettings
from streams._kafka_topics import _differences, _find, _Found, config_of

WEEK_MS, DAY_MS = 7 * 86_400_000, 86_400_000
SETTINGS = KafkaSettings("b:9092")
TOPICS = list(sc.TOPICS.values())


def found(topic: str, partitions: int = 1, copies: int = 3, **config: str) -> list:
    """Differences of a topic that is as wanted but for this."""
    wanted = config_of(sc.TOPICS[topic], SETTINGS, copies)
    there = wanted | {key.replace("_", "."): value for key, value in config.items()}
    return list(_differences(sc.TOPICS[topic], topic, _Found(partitions, copies, there), SETTINGS, 4, 3))


@pytest.mark.parametrize("topic", TOPICS, ids=lambda t: t.name)
def test_reference_data_is_compacted_only_beyond_the_horizon_and_logs_never(topic):
    config = config_of(topic, SETTINGS, 3)
    assert topic.is_compacted == (topic.is_reference or topic.name == sc.SNAPSHOTS)
    assert not topic.is_reference or int(config["min.compaction.lag.ms"]) >= WEEK_MS


@pytest.mark.parametrize("topic", TOPICS, ids=lambda t: t.name)
@pytest.mark.parametrize("days", [1, 30, 365])
def test_everything_is_kept_for_the_horizon(topic, days):
    keep_ms = int(config_of(topic, KafkaSettings("b", horizon_days=days), 3)["retention.ms"])
    assert keep_ms == sc.FOREVER or keep_ms >= days * DAY_MS


@pytest.mark.parametrize("topic", [sc.SERIES, sc.CONTROL, sc.AUDIT, sc.SNAPSHOTS])
def test_what_must_never_be_forgotten_has_no_end(topic):
    assert config_of(sc.TOPICS[topic], SETTINGS, 3)["retention.ms"] == "-1"


def test_a_dead_letter_holds_the_largest_message_with_its_reason():
    largest = max(t.max_message_bytes for t in TOPICS if t.content == "source")
    assert sc.TOPICS[sc.DEAD_LETTERS].max_message_bytes > largest


@pytest.mark.parametrize(("copies", "insync"), [(1, "1"), (2, "1"), (3, "2"), (5, "2")])
def test_one_dead_broker_of_three_stops_no_write(copies, insync):
    assert config_of(sc.TOPICS[sc.FRAMES], SETTINGS, copies)["min.insync.replicas"] == insync


def test_a_topic_as_wanted_has_no_differences_whatever_the_order_of_its_policy():
    assert found(sc.FRAMES, 4) == []
    assert found(sc.CHANGES, cleanup_policy="delete,compact") == []


@pytest.mark.parametrize(("topic", "partitions"), [(sc.FRAMES, 3), (sc.SPANS, 8), (sc.ANOMALIES, 2)])
def test_a_wrong_number_of_partitions_is_fatal(topic, partitions):
    (difference,) = found(topic, partitions)
    assert difference.what == "partitions" and difference.is_fatal and not difference.is_safe


@pytest.mark.parametrize("topic", [sc.OTLP_METRICS, sc.RAW])
def test_what_senders_write_may_have_any_number_of_partitions(topic):
    assert found(topic, 9) == []


def test_a_log_that_compaction_thins_out_is_fatal():
    (difference,) = found(sc.ANOMALIES, cleanup_policy="compact")
    assert difference.is_fatal and "cleanup.policy=[delete]" in difference.todo


@pytest.mark.parametrize(
    ("topic", "change", "is_safe"),
    [
        (sc.FRAMES, {"retention_ms": "1000"}, True),
        (sc.FRAMES, {"retention_ms": "-1"}, False),
        (sc.AUDIT, {"retention_ms": "1000"}, True),
        (sc.FRAMES, {"max_message_bytes": "1000"}, True),
        (sc.FRAMES, {"max_message_bytes": str(1 << 30)}, False),
        (sc.CHANGES, {"min_compaction_lag_ms": "0"}, True),
        (sc.CHANGES, {"cleanup_policy": "delete"}, True),
        (sc.CHANGES, {"cleanup_policy": "compact"}, False),
    ],
)
def test_only_a_difference_whose_end_keeps_at_least_as_much_is_safe(topic, change, is_safe):
    (difference,) = found(topic, 4 if sc.TOPICS[topic].partitioned else 1, **change)
    assert difference.is_safe is is_safe and not difference.is_fatal


def test_too_few_copies_are_named_and_more_are_welcome():
    assert [d.what for d in found(sc.FRAMES, 4, copies=1)] == ["replication"]
    assert found(sc.FRAMES, 4, copies=5) == []


class HalfHeard:
    """Two brokers: one describes a topic, the other, asked for its settings, has not heard of it yet."""

    def describe_topics(self, topics, request_timeout):
        known = SimpleNamespace(partitions=[SimpleNamespace(replicas=[1, 2, 3])])
        return {name: done(known) for name in ("old", "new")}

    def describe_configs(self, resources, request_timeout):
        unknown = KafkaException(KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART))
        return {r: done({"retention.ms": SimpleNamespace(value=1)} if r.name == "old" else unknown) for r in resources}


def done(value):
    future = Future()
    (future.set_exception if isinstance(value, Exception) else future.set_result)(value)
    return future


def test_a_topic_that_not_every_broker_has_heard_of_is_not_there_yet():
    assert set(_find(HalfHeard(), KafkaSettings("a:1"), ["old", "new"])) == {"old"}
