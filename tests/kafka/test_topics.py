"""Topics on a real broker: made once, compared, altered without loss; and what is wrong there, in a sentence."""

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from confluent_kafka.admin import ConfigResource
from support.kafka import Broker, Cluster

import schemas as sc
from streams import KafkaSecurity, KafkaSettings, TransportError, kafka, real_name


def made(broker: Cluster, prefix: str, partitions: int | None = None) -> KafkaSettings:
    """Settings of a deployment of its own, its topics made."""
    settings = KafkaSettings(broker.bootstrap, prefix=prefix)
    kafka.create(kafka.admin(settings), settings, partitions)
    return settings


def eventually(holds: Callable[[], bool]) -> None:
    """A broker confirms a change of metadata a moment before it shows it."""
    until = time.monotonic() + 120
    while not holds():
        assert time.monotonic() < until, "never came true"
        time.sleep(0.05)


def topic(broker: Cluster, name: str, partitions: int = 1, **settings: Any) -> None:
    broker.topic(name, partitions, **settings)
    admin = broker.admin()
    eventually(lambda: name in admin.list_topics(timeout=10).topics)


def failure(settings: KafkaSettings, *topics: str) -> TransportError:
    with pytest.raises(TransportError) as error:
        kafka.require(kafka.admin(settings), settings, topics) if topics else kafka.probe(settings)
    return error.value


def config(broker: Cluster, name: str) -> dict[str, str]:
    resource, admin = ConfigResource("topic", name), broker.admin()
    return {k: e.value for k, e in admin.describe_configs([resource])[resource].result(30).items()}


def test_topics_are_made_once_with_what_the_table_says(broker: Broker) -> None:
    settings = made(broker, "once", 3)
    again = kafka.create(kafka.admin(settings), settings)
    assert Counter(row.state for row in again) == {"kept": len(sc.TOPICS)}
    assert {row.partitions for row in again if row.topic in (sc.FRAMES, sc.SPANS)} == {3}
    told = config(broker, "once.changes.v1")
    assert set(told["cleanup.policy"].split(",")) == {"compact", "delete"}
    assert int(told["min.compaction.lag.ms"]) == 7 * 86_400_000


def test_three_brokers_keep_three_copies_and_two_must_have_each_record(cluster3: Cluster) -> None:
    settings = made(cluster3, "copies")
    (frames,) = [row for row in kafka.describe(kafka.admin(settings), settings) if row.topic == sc.FRAMES]
    assert frames.replication == 3 and frames.differences == ()
    assert config(cluster3, "copies.frames.v1")["min.insync.replicas"] == "2"


def test_a_stage_learns_the_partitions_of_its_topics(broker: Broker) -> None:
    settings = made(broker, "layout", 4)
    found = kafka.require(kafka.admin(settings), settings, [sc.FRAMES, sc.ANOMALIES])
    assert found == {sc.FRAMES: 4, sc.ANOMALIES: 1}


def test_a_missing_topic_is_named_with_the_command_that_makes_it(broker: Broker) -> None:
    error = failure(KafkaSettings(broker.bootstrap, prefix="nothing"), sc.FRAMES, sc.ANOMALIES)
    assert error.code == "TOPIC_MISSING" and "topics create" in error.todo
    assert "nothing.anomalies.v1, nothing.frames.v1" in error.what


@pytest.mark.parametrize("partitions", [2, 8])
def test_another_number_of_partitions_is_refused_and_nothing_made(broker: Broker, partitions: int) -> None:
    settings = made(broker, f"number{partitions}", 4)
    admin, audit = broker.admin(), real_name(sc.AUDIT, settings.prefix)
    admin.delete_topics([audit])[audit].result(30)
    eventually(lambda: audit not in admin.list_topics(timeout=10).topics)
    with pytest.raises(TransportError, match="wanted") as error:
        kafka.create(kafka.admin(settings), settings, partitions)
    assert error.value.code == "TOPIC_DIFFERS"
    assert failure(settings, sc.AUDIT).code == "TOPIC_MISSING"


def test_records_in_order_spread_over_partitions_stop_a_stage(broker: Broker) -> None:
    settings = KafkaSettings(broker.bootstrap, prefix="spread")
    topic(broker, "spread.anomalies.v1", 2)
    assert failure(settings, sc.ANOMALIES).code == "TOPIC_DIFFERS"


def test_telemetry_topics_of_unequal_size_stop_a_stage(broker: Broker) -> None:
    settings = KafkaSettings(broker.bootstrap, prefix="unequal")
    topic(broker, "unequal.frames.v1", 4)
    topic(broker, "unequal.histograms.v1", 2)
    assert failure(settings, sc.FRAMES, sc.HISTOGRAMS).code == "TOPIC_DIFFERS"


def test_a_log_that_is_compacted_stops_a_stage_and_can_be_altered(broker: Broker) -> None:
    settings = KafkaSettings(broker.bootstrap, prefix="thinned")
    topic(broker, "thinned.anomalies.v1", cleanup_policy="compact")
    error = failure(settings, sc.ANOMALIES)
    assert error.code == "TOPIC_DIFFERS" and "kafka-configs.sh" in error.todo


def test_altering_ends_what_is_safe_and_leaves_what_would_take_away(broker: Broker) -> None:
    settings = KafkaSettings(broker.bootstrap, prefix="other")
    topic(broker, "other.frames.v1", retention_ms=1000, max_message_bytes=1 << 30)
    rows = kafka.create(kafka.admin(settings), settings, alter=True)
    (frames,) = [row for row in rows if row.topic == sc.FRAMES]
    assert frames.state == "altered" and [d.what for d in frames.differences] == ["max.message.bytes"]
    eventually(lambda: config(broker, "other.frames.v1")["retention.ms"] == str(7 * 86_400_000))


def test_the_largest_message_of_each_kind_is_taken(broker: Broker) -> None:
    settings = made(broker, "large")
    errors = []
    producer = kafka.producer(settings)
    for topic in sc.TOPICS.values():
        body = bytes(topic.max_message_bytes - 4096)
        name = real_name(topic.name, settings.prefix)
        producer.produce(name, body, key=b"k", on_delivery=lambda error, _: errors.append(error))
        producer.flush(30)
    assert errors == [None] * len(sc.TOPICS)


def test_the_probe_says_what_the_broker_can_do(broker: Broker) -> None:
    found = kafka.probe(KafkaSettings(broker.bootstrap, group_protocol="consumer"))
    assert found.brokers == 1 and found.has_consumer_protocol and found.unreachable == ()
    assert found.features["metadata.version"] > 20


def test_the_protocol_of_the_broker_where_it_is_switched_off_is_told() -> None:
    with Broker(settings={"group.coordinator.rebalance.protocols": "classic"}) as broker:
        settings = KafkaSettings(broker.bootstrap, group_protocol="consumer")
        topic(broker, real_name(sc.SNAPSHOTS, settings.prefix))
        error = failure(settings)
        assert kafka.probe(replace(settings, group_protocol="classic")).brokers == 1
    assert error.code == "BROKER_TOO_OLD" and "KIP-848" in error.what and "classic" in error.todo


def test_one_address_of_several_is_enough(broker: Broker) -> None:
    assert kafka.probe(KafkaSettings(f"127.0.0.1:1,{broker.bootstrap}")).brokers == 1


def test_tls_at_a_plain_broker_is_told(broker: Broker) -> None:
    assert failure(KafkaSettings(broker.bootstrap, security=KafkaSecurity("ssl"))).code == "KAFKA_TLS"


def test_credentials_that_a_broker_does_not_ask_for_are_told(broker: Broker) -> None:
    security = KafkaSecurity("sasl_plaintext", "scram-sha-512", "ann", "secret")
    assert failure(KafkaSettings(broker.bootstrap, security=security)).code == "KAFKA_AUTHENTICATION"


def test_a_broker_that_sends_clients_where_nobody_answers_is_told(proxied: Cluster) -> None:
    inside = f"127.0.0.1:{proxied._ports[1][0]}"  # answers, and names the proxy as its address
    proxied.proxy().partition()
    error = failure(KafkaSettings(inside))
    assert error.code == "KAFKA_UNREACHABLE" and "advertised.listeners" in error.what
    assert proxied.bootstrap in error.what


def test_nothing_is_said_on_standard_error(broker: Broker, capfd: pytest.CaptureFixture[str]) -> None:
    settings = KafkaSettings(broker.bootstrap)
    failure(replace(settings, brokers="127.0.0.1:1"))
    failure(replace(settings, security=KafkaSecurity("sasl_plaintext", "plain", "ann", "secret")))
    kafka.consumer(settings, group="quiet").close()
    client = kafka.producer(replace(settings, brokers="127.0.0.1:1"))
    client.produce("nowhere", b"x")
    client.flush(1)
    assert capfd.readouterr().err == ""
