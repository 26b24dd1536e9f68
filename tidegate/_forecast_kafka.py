"""Forecasts onto their topic. A transport, so it imports the Kafka client; fits are over before it is called."""

from collections.abc import Iterable

import schemas as sc
from streams import KafkaSettings, real_name
from streams._kafka_client import producer
from streams._kafka_errors import kafka_error
from tidegate._errors import SettingsError
from tidegate._forecasting import said

_PATIENCE_S = 30.0


def publish(settings: KafkaSettings, found: Iterable[sc.Forecast], now_ns: int = 0) -> int:
    """How many were acknowledged. Raises SettingsError if not all were, TransportError if the brokers refuse.

    now_ns: when they are said: from then on they count, also in a replay.
    """
    from confluent_kafka import KafkaException

    sender, sent, failed = producer(settings), 0, list[str]()
    try:
        for forecast in found:
            emit = said(forecast, now_ns)
            sender.produce(
                real_name(emit.topic, settings.prefix), emit.value, emit.key, partition=0, headers=list(emit.headers),
                timestamp=emit.event_ns // 1_000_000,
                on_delivery=lambda error, message: failed.append(str(error)) if error else None,
            )  # fmt: skip
            sender.poll(0)
            sent += 1
    except KafkaException as error:
        raise kafka_error(error.args[0], settings, doing="publish forecasts") from error
    left = sender.flush(_PATIENCE_S)
    if left or failed:
        raise SettingsError(
            f"{left + len(failed)} of {sent} forecasts were not acknowledged: {failed[0] if failed else 'no answer'}",
            where=settings.brokers, todo="Run `tidegate topics create`; are the brokers there?",
        )  # fmt: skip
    return sent
