"""Upgrades: are two generations of one mind, and the signed order that makes the other one public."""

import time
from dataclasses import dataclass
from pathlib import Path

from confluent_kafka import OFFSET_BEGINNING, TopicPartition

import schemas as sc
from schemas import why
from schemas.core import NS, Message
from schemas.signatures import private_key, signed
from streams import PANE_NS, PUBLIC, KafkaSettings, deployment_of, real_name
from streams._kafka_client import consumer, producer
from streams._kafka_messages import headers_of, to_message
from streams._kafka_probe import probe
from tidegate._errors import SettingsError
from tidegate._replay import Run, collect

LEAD_NS = 120 * NS


@dataclass(frozen=True, slots=True)
class Compared:
    """through_ns: event time that both have reached. differing: ids of incidents on which they differ."""

    through_ns: int
    digests: dict[str, str]
    incidents: int
    differing: tuple[str, ...]

    @property
    def are_equal(self) -> bool:
        return len(set(self.digests.values())) == 1


def compare(settings: KafkaSettings, generations: tuple[str, str]) -> Compared:
    """What both have said up to the event time that both have reached. Raises TransportError."""
    probe(settings)
    found = {name: _said(settings, name) for name in generations}
    through = min(reached for _, reached in found.values())
    runs = {}
    for name, (messages, _) in found.items():
        runs[name] = Run()
        collect(runs[name], (m for m in messages if m.event_ns < through))
    a, b = (runs[name].diagnoses for name in generations)
    differing = sorted(i for i in a.keys() | b.keys() if a.get(i) != b.get(i))
    return Compared(
        through, {name: run.digest for name, run in runs.items()}, len(a.keys() | b.keys()), tuple(differing)
    )


def order_cutover(
    settings: KafkaSettings, generations: tuple[str, str], to: str, *, issuer: str, key: Path, lead_ns: int = LEAD_NS,
) -> sc.Control:  # fmt: skip
    """Sign and send the order that `to` is public from a little after what either has reached. Returns it."""
    try:
        mine = private_key(key.read_bytes())
    except (OSError, ValueError) as error:
        raise SettingsError(
            f"the key cannot be used: {why(error)}", where=str(key), todo="`tidegate control keygen` makes one"
        ) from error
    probe(settings)
    reached = max(_said(settings, name)[1] for name in generations)
    from_ns = (reached + lead_ns) // PANE_NS * PANE_NS
    issued = time.time_ns()
    order = sc.Control(
        id=sc.record_id("control", "serve", to, from_ns, issued), kind="serve",
        scope=deployment_of(settings.prefix), generation=to, from_ns=from_ns, issued_ns=issued, issuer=issuer,
        signature="-",
    )  # fmt: skip
    order = signed(order, mine)
    send(settings, order)
    return order


def send(settings: KafkaSettings, order: sc.Control) -> None:
    """Put an order into its topic. Raises SettingsError if the broker does not take it in time."""
    emit = sc.emit(
        sc.CONTROL, order, id=order.id, key=order.scope, source=f"tidegate/{order.issuer}", event_ns=order.issued_ns
    )
    sender = producer(settings)
    sender.produce(real_name(sc.CONTROL, settings.prefix), emit.value, emit.key, 0, headers=list(headers_of(emit)))
    if sender.flush(settings.timeout_s):
        raise SettingsError("the order was not taken by the broker", where=settings.brokers, todo="Check the brokers")


def _said(settings: KafkaSettings, generation: str) -> tuple[list[Message], int]:
    """Everything in the public topics of a generation, and the event time that all of them have reached."""
    reader = consumer(settings, fetch_wait_max_ms=20)
    names = {real_name(topic, f"{settings.prefix}:{generation}"): topic for topic in PUBLIC}
    reader.assign([TopicPartition(name, 0, OFFSET_BEGINNING) for name in names])
    found, ended = [], 0
    reached = dict.fromkeys(PUBLIC, 0)
    while ended < len(names):
        for raw in reader.consume(500, 0.1):
            if raw.error() is not None:
                ended += 1
                continue
            message = to_message(raw, names[raw.topic() or ""])
            found.append(message)
            if sc.record_type(message) == "watermark":
                reached[message.topic] = max(reached[message.topic], message.event_ns)
    reader.close()
    return found, min(reached.values())
