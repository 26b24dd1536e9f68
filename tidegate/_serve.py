"""`tidegate serve`: publishes one generation of the pipeline, and cuts over when a signed order says so.

One process; a second one would publish the same ids again, which readers drop. Control records are read to their end
before anything is published. Where it goes on after a stop: the oldest record of each topic that was not published yet.
"""

import threading
from collections.abc import Callable, Mapping, Sequence

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Message, TopicPartition
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

import schemas as sc
from schemas.signatures import verify
from streams import PUBLIC, KafkaSettings, Serving, TransportError, deployment_of, real_name
from streams._kafka_client import consumer, producer
from streams._kafka_errors import is_passing, kafka_error
from streams._kafka_messages import headers_of, to_message

Say = Callable[..., None]


class Server:
    """settings: of the deployment without a generation. generations: all that run; the first is public at the start.

    patience_s: how long the brokers may take for what is published.
    """

    def __init__(
        self, settings: KafkaSettings, generations: Sequence[str], keys: Mapping[str, Ed25519PublicKey], *,
        patience_s: float = 60.0, say: Say = lambda event, **facts: None,
    ) -> None:  # fmt: skip
        self._settings, self._keys, self._patience_s, self._say = settings, keys, patience_s, say
        self.serving = Serving.start(generations[0])
        self._names = {
            real_name(topic, f"{settings.prefix}:{generation}"): (generation, topic)
            for generation in generations
            for topic in PUBLIC
        }
        self._control = real_name(sc.CONTROL, settings.prefix)
        self._public = {topic: real_name(topic, settings.prefix) for topic in PUBLIC}
        self._first: dict[str, dict[str, int]] = {name: {} for name in self._names}
        """By topic: offsets of what is held, by id."""
        self._next: dict[str, int] = dict.fromkeys(self._names, 0)
        self._producer = producer(settings, delivery_report_only_error=True)
        self._failed: TransportError | None = None
        self._reader = self._open()

    def _open(self) -> Consumer:
        """Orders first, all that there are; then the topics from where we were."""
        reader = consumer(self._settings, group=f"{self._settings.prefix}.serve", fetch_wait_max_ms=50)
        reader.assign([TopicPartition(self._control, 0, OFFSET_BEGINNING)])
        while not self._read(reader):
            pass
        try:
            asked = reader.committed([TopicPartition(name, 0) for name in self._names], self._settings.timeout_s)
        except KafkaException as error:
            group = f"{self._settings.prefix}.serve"
            raise kafka_error(error.args[0], self._settings, doing="read offsets of", group=group) from error
        for place in asked:
            place.offset = place.offset if place.offset >= 0 else OFFSET_BEGINNING
        reader.incremental_assign(asked)
        return reader

    def run(self, stop: threading.Event) -> None:
        """Raises TransportError."""
        while not stop.is_set():
            self._read(self._reader)
            self._settle()
        self._reader.close()

    def _read(self, reader: Consumer) -> bool:
        """One batch; whether the end of the orders was reached."""
        is_end = False
        batches: dict[str, list[sc.core.Message]] = {}
        for raw in reader.consume(500, 0.1):
            error, name = raw.error(), raw.topic() or ""
            if error is not None:
                is_end |= error.code() == KafkaError._PARTITION_EOF and name == self._control
                if error.code() != KafkaError._PARTITION_EOF and not is_passing(error):
                    raise kafka_error(error, self._settings, doing="read", topic=name)
            elif name == self._control:
                self._order(to_message(raw, sc.CONTROL))
            else:
                message = to_message(raw, self._names[name][1])
                self._next[name] = message.offset + 1
                if sc.record_type(message) != "watermark":
                    self._first[name].setdefault(message.header("ce_id"), message.offset)
                batches.setdefault(name, []).append(message)
        for name, messages in batches.items():
            self._publish(name, messages)
        return is_end

    def _publish(self, name: str, messages: list[sc.core.Message]) -> None:
        generation, topic = self._names[name]
        for emit in self.serving.take(generation, messages):
            self._producer.produce(
                self._public[emit.topic], emit.value, emit.key, 0, headers=list(headers_of(emit)),
                on_delivery=self._delivered,
            )  # fmt: skip
        held = self.serving.held.get((generation, topic), {})
        self._first[name] = {identity: at for identity, at in self._first[name].items() if identity in held}

    def _order(self, message: sc.core.Message) -> None:
        try:
            order = sc.read(message)
            if not isinstance(order, sc.Control) or order.kind != "serve":
                return
            verify(order, self._keys)
        except sc.RecordInvalid as error:
            self._say("order refused", reason=str(error))
            return
        reason = self.serving.order(order) if order.scope == deployment_of(self._settings.prefix) else "OTHER_SCOPE"
        if reason:
            self._say("order not followed", order=order.id, reason=reason)
        else:
            self._say("cut-over ordered", order=order.id, generation=order.generation, from_ns=order.from_ns)

    def _settle(self) -> None:
        """What was published is on the broker; then say where we are."""
        left = self._producer.flush(self._patience_s)
        if self._failed is not None:
            raise self._failed
        if left:
            raise TransportError(
                f"{left} records could not be published within {self._patience_s:.0f} s", where=self._settings.brokers,
                code="KAFKA_UNREACHABLE", todo="Check the brokers, then start it again; it goes on where it was",
            )  # fmt: skip
        places = [
            TopicPartition(name, 0, min(self._first[name].values(), default=self._next[name]))
            for name in self._names
            if self._next[name]
        ]
        if places:
            self._reader.commit(offsets=places, asynchronous=True)

    def _delivered(self, error: KafkaError | None, message: Message) -> None:
        if error is not None and self._failed is None:
            self._failed = kafka_error(error, self._settings, doing="write to", topic=message.topic() or "")
