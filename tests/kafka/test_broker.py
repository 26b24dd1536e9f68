"""The Kafka that the tests use does what they need of it."""

import pytest
from confluent_kafka import Consumer, Producer
from support.kafka import Broker, Cluster


def produce(cluster: Cluster, topic: str, *values: bytes) -> None:
    producer = Producer(cluster.client(**{"enable.idempotence": True}))
    for value in values:
        producer.produce(topic, value)
    assert producer.flush(30) == 0


def read(cluster: Cluster, topic: str, count: int, **settings: str) -> list[bytes]:
    consumer = Consumer(
        cluster.client(**{"group.id": f"readers of {topic}", "auto.offset.reset": "earliest", **settings})
    )
    consumer.subscribe([topic])
    got = [message.value() for message in consumer.consume(count, timeout=20)]
    consumer.close()
    return got


@pytest.mark.parametrize("protocol", ["classic", "consumer"])
def test_what_is_written_is_read_with_both_group_protocols(broker: Broker, protocol: str) -> None:
    topic = broker.topic(f"first.{protocol}")
    produce(broker, topic, b"a", b"b")
    assert read(broker, topic, 2, **{"group.protocol": protocol}) == [b"a", b"b"]


def test_what_was_acknowledged_is_there_after_kill_9(broker: Broker) -> None:
    topic = broker.topic("survives")
    produce(broker, topic, b"a")
    broker.restart(hard=True)
    produce(broker, topic, b"b")
    assert read(broker, topic, 2) == [b"a", b"b"]


def test_three_nodes_serve_while_one_is_dead(cluster3: Cluster) -> None:
    topic = cluster3.topic("replicated", 3)
    cluster3.node(1).kill()
    produce(cluster3, topic, b"a", b"b")
    assert sorted(read(cluster3, topic, 2)) == [b"a", b"b"]
