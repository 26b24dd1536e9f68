"""Forecasts on their topic: what a predictive scaler reads."""

from confluent_kafka import OFFSET_BEGINNING, TopicPartition
from support.kafka import Broker

import schemas as sc
from streams import KafkaSettings
from streams._kafka_client import consumer
from streams._kafka_messages import to_message
from tidegate._forecast_kafka import publish


def forecast(series: str) -> sc.Forecast:
    return sc.Forecast(
        id=f"f-{series}", entity_id="default/service/shop", service="shop", series=series, name="requests", unit="1",
        as_of_ns=10**18, at_ns=10**18 + 900 * 10**9, step_s=300.0, now=90.0, expected=100.0, low=80.0, high=120.0,
        model="profile", loss=1.0, naive_loss=2.0,
    )  # fmt: skip


def test_what_is_published_is_read_again_as_it_was(broker: Broker) -> None:
    settings = KafkaSettings(broker.bootstrap, prefix="forecasting")
    topic = broker.topic("forecasting.forecasts.v1")
    sent = [forecast(f"{n:016x}") for n in range(3)]
    assert publish(settings, sent) == 3
    reader = consumer(settings)
    reader.assign([TopicPartition(topic, 0, OFFSET_BEGINNING)])
    found: list[sc.Record] = []
    while len(found) < 3:
        message = reader.poll(10.0)
        assert message is not None and not message.error()
        found.append(sc.read(to_message(message, sc.FORECASTS)))
    reader.close()
    assert found == sent
