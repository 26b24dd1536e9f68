"""The action worker on a real broker: what it reads and tells, and what becomes of an action while Kafka is away."""

import time

import pytest
from confluent_kafka import Consumer, TopicPartition
from support.act_place import approve, gated_now, gateway_of, git, order, repository, states, until
from support.act_place import run as run_place
from support.kafka import Broker

from schemas import ACTIONS, CONTROL, ActionEvent, emit
from schemas.core import Emit
from streams import KafkaSettings, kafka, real_name
from streams._kafka_messages import headers_of, to_message
from tidegate._act_kafka import KafkaFeed


@pytest.fixture
def settings(broker: Broker) -> KafkaSettings:
    found = KafkaSettings(brokers=broker.bootstrap, prefix=f"act{time.time_ns()}")
    kafka.create(kafka.admin(found), found)
    return found


def write(settings: KafkaSettings, *emits: Emit) -> None:
    producer = kafka.producer(settings)
    for one in emits:
        producer.produce(real_name(one.topic, settings.prefix), one.value, one.key, 0, headers=headers_of(one))
    assert producer.flush(120) == 0


def decided(event: ActionEvent) -> Emit:
    return emit(ACTIONS, event, id=event.id, key=event.change.target, source="tidegate/decide", event_ns=event.at_ns)


def run(place, settings, scene):
    return run_place(place, scene, lambda positions: KafkaFeed(settings, positions, time.time_ns()))


def told(settings: KafkaSettings) -> list[ActionEvent]:
    """What the worker has told, from the beginning of the topic."""
    reader = Consumer(kafka.client_config(settings, role="consumer") | {"group.id": "test"})
    name = real_name(ACTIONS, settings.prefix)
    reader.assign([TopicPartition(name, 0, 0)])
    found, is_end = [], False
    while not is_end:
        for raw in reader.consume(100, 1.0):
            is_end = is_end or raw.error() is not None
            if raw.error() is None and (message := to_message(raw, ACTIONS)).header("ce_source") == "tidegate/act":
                found.append(ActionEvent.from_bytes(message.value))
    reader.close()
    return found


def test_an_action_goes_on_while_the_broker_is_away_and_is_told_without_a_hole(tmp_path, broker, settings):
    repository(tmp_path)
    write(settings, decided(gated_now()))

    async def scene(worker):
        await until(lambda: states(worker) == ["awaiting_approval"])
        broker.stop()
        try:
            await approve(worker)
            await until(lambda: states(worker) == ["verifying"])
            assert worker.ledger.unsent(99, ACTIONS)
            await until(lambda: not worker.ledger.unsent(99, "people"))
        finally:
            broker.start()
        await until(lambda: not worker.ledger.unsent(99, ACTIONS))

    with gateway_of(tmp_path):
        run(tmp_path, settings, scene)
    assert "v41" in git("show", "HEAD:apps/checkout/kustomization.yaml", cwd=tmp_path / "bare.git")
    events = list({one.id: one for one in told(settings)}.values())
    assert [one.sequence for one in events] == list(range(len(events))) and events[-1].state == "verifying"


def test_the_next_worker_reads_on_where_the_ledger_is_and_old_orders_of_the_topic_still_stop(tmp_path, settings):
    repository(tmp_path)
    other = {"service": "other", "change": "chg-2", "from_version": "v2", "to_version": "v1"}
    stop = order()
    write(settings, emit(CONTROL, stop, id=stop.id, key="all", source="tidegate/on-call", event_ns=stop.issued_ns))
    write(settings, decided(gated_now()))

    async def first(worker):
        await until(lambda: states(worker) == ["advised"])
        await until(lambda: worker.ledger.kept("order/"))

    async def second(worker):
        write(settings, decided(gated_now(1, target="default/service/other", parameters=other)))
        await until(lambda: states(worker) == ["advised", "advised"])

    with gateway_of(tmp_path):
        run(tmp_path, settings, first)
        run(tmp_path, settings, second)
