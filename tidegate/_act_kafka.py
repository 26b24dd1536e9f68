"""Where the worker reads and tells on Kafka.

What was read through is the ledger's position, written in the same transaction as what came of the record; Kafka is
told afterwards, for people who look at lag. Reference topics are read to their ends before the first action is taken,
so that no decision is judged without the calendar. While a broker is away nothing is read and nothing is told, and
both go on when it is back.
"""

import asyncio
from collections.abc import Mapping, Sequence

from confluent_kafka import OFFSET_BEGINNING, KafkaError, KafkaException, TopicPartition

from schemas import ACTIONS, CONTROL
from schemas.core import Emit, Message
from streams import KafkaSettings, TransportError, kafka, real_name
from streams._kafka_messages import headers_of, to_message
from tidegate._act_feed import FIRST_NS, READ, VIEW_NS

_BATCH = 200
_TELL_S = 5.0


class KafkaFeed:
    """positions: of the actions topic, by partition: the last offset that the ledger has read."""

    def __init__(self, settings: KafkaSettings, positions: Mapping[int, int], now_ns: int) -> None:
        """Raises TransportError if a setting is refused or no broker answers."""
        self._names = {real_name(topic, settings.prefix): topic for topic in READ}
        self._reader = kafka.consumer(settings, group=f"{settings.prefix}.act", max_poll_interval_ms=3_600_000)
        self._writer = kafka.producer(settings, delivery_timeout_ms=int(_TELL_S * 1000), linger_ms=0)
        self._settings, self._prefix, self._timeout_s = settings, settings.prefix, settings.timeout_s
        self._behind: set[str] = set(READ[:-1])
        self._held: list[Message] = []
        self.is_connected = True
        self._assign(positions, now_ns)

    async def take(self) -> Sequence[Message]:
        found, ready = await asyncio.to_thread(self._reader.consume, _BATCH, 0.2), list[Message]()
        for raw in found:
            topic = self._names[raw.topic() or ""]
            if raw.error() is not None:
                self._noted(raw.error(), topic)
                continue
            self.is_connected = True
            message = to_message(raw, topic)
            (self._held if topic == ACTIONS and self._behind else ready).append(message)
        if not self._behind and self._held:
            ready, self._held = [*self._held, *ready], []
        return ready

    async def send(self, record: Emit) -> bool:
        return await asyncio.to_thread(self._send, record)

    def done(self, message: Message) -> None:
        partition = TopicPartition(real_name(message.topic, self._prefix), message.partition, message.offset + 1)
        self._reader.commit(offsets=[partition], asynchronous=True)

    def close(self) -> None:
        self._reader.close()
        self._writer.flush(1.0)

    def _assign(self, positions: Mapping[int, int], now_ns: int) -> None:
        try:
            known = self._reader.list_topics(timeout=self._timeout_s).topics
            wanted = []
            for name, topic in self._names.items():
                if name not in known:
                    raise TransportError(
                        f"there is no topic {name}", code="TOPIC_MISSING", todo="`tidegate topics create` makes it"
                    )
                for partition in known[name].partitions:
                    back_ns = now_ns - (FIRST_NS if topic == ACTIONS else VIEW_NS)
                    place = TopicPartition(name, partition, back_ns // 1_000_000)
                    if topic == CONTROL:
                        place.offset = OFFSET_BEGINNING
                    elif topic == ACTIONS and partition in positions:
                        place.offset = positions[partition] + 1
                    else:
                        place = self._reader.offsets_for_times([place], timeout=self._timeout_s)[0]
                    wanted.append(place)
            self._reader.assign(wanted)
        except KafkaException as error:
            raise kafka.kafka_error(error.args[0], self._settings) from error

    def _noted(self, error: object, topic: str) -> None:
        if error is not None and getattr(error, "code", lambda: 0)() == KafkaError._PARTITION_EOF:
            self.is_connected = True
            self._behind.discard(topic)
        else:
            self.is_connected = False

    def _send(self, record: Emit) -> bool:
        """Waits for all in-sync replicas. What is not known to be there is told again under its id."""
        delivered = list[bool]()
        name = real_name(record.topic, self._prefix)
        try:
            self._writer.produce(
                name, record.value, record.key, 0, headers=headers_of(record),
                on_delivery=lambda error, _: delivered.append(error is None),
            )  # fmt: skip
        except (BufferError, KafkaException):
            return False
        self._writer.flush(_TELL_S + 1.0)
        return delivered == [True]
