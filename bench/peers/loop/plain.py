"""No framework: a loop over the plain client, one message a point. What the language itself costs."""

import orjson
from confluent_kafka import Consumer, Producer
from robust import WINDOW_MS, anomaly, begin, dumped, end, environment, judge

BROKERS, IN, OUT, MESSAGES, _ = environment()


def main() -> None:
    consumer = Consumer({
        "bootstrap.servers": BROKERS, "group.id": "bench-loop-plain", "auto.offset.reset": "earliest",
        "enable.auto.commit": False,
    })  # fmt: skip
    consumer.subscribe([IN])
    producer = Producer({"bootstrap.servers": BROKERS})
    windows: dict[str, list] = {}
    histories: dict[str, list[float]] = {}
    seen = 0
    while seen < MESSAGES:
        messages = consumer.consume(1000, 0.1)
        if messages and not seen:
            begin()
        seen += len(messages)
        for message in messages:
            point = orjson.loads(message.value())
            key, value = point["k"], point["v"]
            start = point["ts"] // WINDOW_MS * WINDOW_MS
            window = windows.get(key)
            if window is None or window[0] != start:
                if window is not None:
                    before, total, low, high, n = window
                    z = judge(histories.setdefault(key, []), total / n)
                    if z is not None:
                        producer.produce(OUT, dumped(anomaly(key, before, total / n, low, high, n, z)))
                windows[key] = [start, value, value, value, 1]
            else:
                window[1] += value
                window[2] = min(window[2], value)
                window[3] = max(window[3], value)
                window[4] += 1
    producer.flush()
    end()


if __name__ == "__main__":
    main()
