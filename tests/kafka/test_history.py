"""Kafka read as recorded history: the same order each time, from a point of event time, in bounded memory."""

from collections.abc import Iterable

import pytest
from confluent_kafka import Producer, TopicPartition
from support.kafka import Broker

import schemas as sc
from schemas.core import NS, Message
from streams import KafkaSettings, TransportError
from streams._kafka_messages import played_headers
from streams._kafka_read import KafkaHistory, _Reader
from streams._stretch import Stretch

T0 = 1_767_268_800 * NS


def message(partition: int, second: float, size: int = 10, topic: str = sc.FRAMES) -> Message:
    at = T0 + round(second * NS)
    return Message(topic, partition, 0, b"", bytes(size), (("n", b"%d" % at),), at, at)


def written(broker: Broker, prefix: str, messages: Iterable[Message], partitions: int = 2) -> KafkaSettings:
    """Topics of a deployment with these messages, in their order, at the times they say."""
    settings = KafkaSettings(broker.bootstrap, prefix=prefix)
    for topic in (sc.FRAMES, sc.SERIES):
        broker.topic(topic.replace("tidegate", prefix), partitions if topic == sc.FRAMES else 1)
    producer = Producer(broker.client(**{"linger.ms": 50}))
    for n, found in enumerate(messages):
        real = found.topic.replace("tidegate", prefix)
        producer.produce(real, found.value, partition=found.partition, headers=played_headers(found))
        if n % 1000 == 999:
            producer.flush(30)
    assert producer.flush(120) == 0
    return settings


def seconds(messages: Iterable[Message]) -> list[float]:
    return [(found.event_ns - T0) / NS for found in messages]


def test_two_reads_give_the_same_messages_in_the_order_in_which_they_were_received(broker: Broker) -> None:
    rows = [message(n % 3, n // 3 + (n % 3) / 10) for n in range(3000)]
    settings = written(broker, "order", sorted(rows, key=lambda m: m.partition), partitions=4)
    with KafkaHistory(settings) as history:
        first, second = list(history.messages([sc.FRAMES])), list(history.messages([sc.FRAMES]))
    assert first == second
    assert seconds(first) == seconds(rows)
    assert [(m.topic, m.partition, m.headers) for m in first] == [(m.topic, m.partition, m.headers) for m in rows]


def test_memory_is_bounded_while_one_partition_is_far_ahead(broker: Broker) -> None:
    rows = [message(0, n, 50_000) for n in range(600)] + [message(1, 599.5)]
    settings = written(broker, "bounded", rows)
    with KafkaHistory(settings, cap_bytes=4 << 20) as history:
        assert seconds(history.messages([sc.FRAMES])) == [*range(600), 599.5]
        assert history.peak_bytes <= 3 << 20


@pytest.mark.parametrize(("begin", "end"), [(0, 100), (3000, 3100), (9990, 20_000), (-50, 10), (15_000, 16_000)])
def test_a_stretch_of_event_time_is_what_lies_in_it_whenever_it_was_produced(broker, sought, begin, end) -> None:
    rows, settings = sought
    stretch = Stretch(T0 + begin * NS, T0 + end * NS)
    with KafkaHistory(settings) as history:
        found = seconds(history.messages([sc.FRAMES], stretch))
        starts = history.offsets_at(history.extents([sc.FRAMES]), stretch)
    assert sorted(found) == sorted(second for second in seconds(rows) if begin <= second < end)
    if begin == 9990:
        assert min(starts.values()) > 4000  # not all was read


@pytest.fixture(scope="module")
def sought(broker: Broker) -> tuple[list[Message], KafkaSettings]:
    """Records a second apart, a little out of order, and a compacted-like topic of reference data."""
    rows = [message(n % 2, n + (15 if n % 10 == 0 else 0) + 0.01 * (n % 7)) for n in range(20_000)]
    rows = [m for m in rows if (m.event_ns - T0) / NS < 10_000]
    return rows, written(broker, "sought", rows)


def test_reference_data_is_taken_from_its_beginning_to_the_end_of_the_stretch(broker: Broker) -> None:
    rows = [message(0, second, topic=sc.SERIES) for second in (1, 5000, 9000)]
    settings = written(broker, "reference", [*rows, message(0, 5500), message(1, 1000)])
    with KafkaHistory(settings) as history:
        stretch = Stretch(T0 + 5000 * NS, T0 + 6000 * NS)
        assert seconds(history.messages([sc.SERIES, sc.FRAMES], stretch)) == [1, 5000, 5500]


def test_what_comes_while_reading_is_left_for_another_time(broker: Broker) -> None:
    settings = written(broker, "meanwhile", [message(0, n) for n in range(10)])
    producer = Producer(broker.client())
    with KafkaHistory(settings) as history:
        reading = history.messages([sc.FRAMES])
        found = [next(reading)]
        producer.produce("meanwhile.frames.v1", b"new", partition=0)
        assert producer.flush(120) == 0
        assert len([*found, *reading]) == 10


def test_a_topic_that_is_not_there_is_a_sentence(broker: Broker) -> None:
    history = KafkaHistory(KafkaSettings(broker.bootstrap, prefix="nowhere"))
    with history, pytest.raises(TransportError, match=r"nowhere\.frames\.v1.*topics create") as refused:
        list(history.messages([sc.FRAMES]))
    assert refused.value.code == "TOPIC_MISSING"


def test_a_broker_that_falls_silent_is_a_sentence(broker: Broker) -> None:
    settings = written(broker, "silent", [message(n % 2, n, 10_000) for n in range(2000)])
    with KafkaHistory(settings, cap_bytes=1 << 20, patience_s=3) as history:
        reading = history.messages([sc.FRAMES])
        next(reading)
        broker.node(1).pause()
        try:
            with pytest.raises(TransportError, match="no answer for 3 s") as refused:
                list(reading)
        finally:
            broker.node(1).resume()
    assert refused.value.code == "KAFKA_SILENT"


def test_a_fetch_that_the_client_has_lost_is_asked_for_again(broker: Broker) -> None:
    settings = written(broker, "lost-fetch", [message(0, n, 100) for n in range(50)])
    place = sc.FRAMES, 0
    with KafkaHistory(settings, patience_s=20) as history, _Reader(history) as reader:
        reader.assign({place: 0})
        reader._consumer.pause([TopicPartition(settings.real(sc.FRAMES), 0)])  # it does not know that it sleeps
        found: list[Message] = []
        while len(found) < 50:
            found += [told for _, told in reader.poll([place]) if told is not None]
    assert [told.offset for told in found] == list(range(50))
