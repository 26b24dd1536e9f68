"""No framework: a loop over the plain client fed with our frames. The floor for every row that reads frames."""

from confluent_kafka import Consumer, Producer
from robust import begin, dumped, end, environment
from tidegate_frames import Frames

BROKERS, IN, OUT, MESSAGES, WRITERS = environment()


def main() -> None:
    consumer = Consumer({
        "bootstrap.servers": BROKERS, "group.id": "bench-loop-frames", "auto.offset.reset": "earliest",
        "enable.auto.commit": False,
    })  # fmt: skip
    consumer.subscribe([IN])
    producer = Producer({"bootstrap.servers": BROKERS})
    partitions: dict[int, Frames] = {}
    seen = 0
    while seen < MESSAGES:
        messages = consumer.consume(500, 0.1)
        if messages and not seen:
            begin()
        seen += len(messages)
        for message in messages:
            partition = message.partition()
            if partition not in partitions:
                partitions[partition] = Frames(WRITERS)
            for found in partitions[partition].take(message.value(), dict(message.headers())):
                producer.produce(OUT, dumped(found))
    producer.flush()
    end()


if __name__ == "__main__":
    main()
