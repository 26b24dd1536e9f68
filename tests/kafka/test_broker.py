"""The Kafka that the tests use does what they need of it."""

import pytest
from confluent_kafka import Consumer, Producer
from support.kafka import Broker, Cluster, is_produce


def produce(cluster: Cluster, topic: str, *values: bytes) -> None:
    producer = Producer(cluster.client() | {"enable.idempotence": True})
    for value in values:
        producer.produce(topic, value)
    assert producer.flush(120) == 0


def read(cluster: Cluster, topic: str, count: int, **settings: str) -> list[bytes | None]:
    """The first `count` values; fewer when the end comes first and `enable.partition.eof` is set."""
    consumer = Consumer(
        cluster.client() | {"group.id": f"readers of {topic}", "auto.offset.reset": "earliest", **settings}
    )
    consumer.subscribe([topic])
    got: list[bytes | None] = []
    while len(got) < count and (message := consumer.poll(20)) and not message.error():
        got.append(message.value())
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
    assert set(read(cluster3, topic, 2)) == {b"a", b"b"}


def once(cluster: Cluster, topic: str, *, idempotent: bool) -> list[bytes | None]:
    """Write one message whose first acknowledgement is lost on the way; everything that is then in the topic."""
    lost = cluster.proxy().swallow_response(on=is_produce)
    producer = Producer(cluster.client() | {"acks": "all", "enable.idempotence": idempotent, "log_level": 0})
    producer.produce(topic, b"a")
    assert producer.flush(120) == 0 and lost.is_set()
    produce(cluster, topic, b"end")
    return read(cluster, topic, 3, **{"enable.partition.eof": "true"})


def test_a_lost_acknowledgement_is_no_duplicate_from_an_idempotent_producer(proxied: Cluster) -> None:
    assert once(proxied, proxied.topic("lost.idempotent"), idempotent=True) == [b"a", b"end"]


def test_a_lost_acknowledgement_is_a_duplicate_from_any_other(proxied: Cluster) -> None:
    assert once(proxied, proxied.topic("lost.plain"), idempotent=False) == [b"a", b"a", b"end"]


def test_a_write_cut_in_its_frame_is_written_again_whole(proxied: Cluster) -> None:
    topic = proxied.topic("cut")
    cut = proxied.proxy().reset_after(40, on=is_produce)
    produce(proxied, topic, b"a" * 1000)
    assert cut.is_set() and read(proxied, topic, 1) == [b"a" * 1000]


def test_clients_reach_the_broker_only_through_its_proxy(proxied: Cluster) -> None:
    topic = proxied.topic("behind")
    proxied.proxy().partition()
    producer = Producer(proxied.client() | {"message.timeout.ms": 1000, "log_level": 0})
    answers: list[str] = []
    producer.produce(topic, b"a", on_delivery=lambda error, _: answers.append(error.name() if error else ""))
    producer.flush(10)
    assert answers == ["_MSG_TIMED_OUT"]
    proxied.proxy().heal()
    produce(proxied, topic, b"b")
    assert read(proxied, topic, 1) == [b"b"]
