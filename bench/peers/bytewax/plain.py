"""Bytewax: its Kafka source, event-time windows and stateful operator, one item a point."""

from datetime import UTC, datetime, timedelta

import bytewax.operators as op
import bytewax.operators.windowing as win
import orjson
from bytewax._bytewax import cli_main
from bytewax.connectors.kafka import KafkaSinkMessage, KafkaSourceMessage
from bytewax.connectors.kafka import operators as kop
from bytewax.dataflow import Dataflow
from bytewax.operators.windowing import EventClock, TumblingWindower
from robust import anomaly, begin, dumped, end, environment, judge

BROKERS, IN, OUT, _, _ = environment()
ALIGN = datetime(2026, 1, 1, tzinfo=UTC)
first = iter([begin])


def parse(message: KafkaSourceMessage) -> tuple[str, tuple[datetime, float]]:
    for say in first:
        say()
    point = orjson.loads(message.value)
    return point["k"], (datetime.fromtimestamp(point["ts"] / 1000, UTC), point["v"])


def fold(window: tuple, point: tuple[datetime, float]) -> tuple:
    total, low, high, n = window
    value = point[1]
    return total + value, min(low, value), max(high, value), n + 1


def merge(a: tuple, b: tuple) -> tuple:
    return a[0] + b[0], min(a[1], b[1]), max(a[2], b[2]), a[3] + b[3]


def detect(history: list[float] | None, item: tuple[int, tuple]) -> tuple[list[float], object]:
    history = history or []
    number, (total, low, high, n) = item
    mean = total / n
    z = judge(history, mean)
    start_ms = int(ALIGN.timestamp() * 1000) + number * 60_000
    return history, None if z is None else (start_ms, mean, low, high, n, z)


flow = Dataflow("bench")
source = kop.input("in", flow, brokers=[BROKERS], topics=[IN], tail=False)
keyed = op.map("parse", source.oks, parse)
windows = win.fold_window(
    "window", keyed, EventClock(lambda point: point[0], wait_for_system_duration=timedelta(seconds=10)),
    TumblingWindower(length=timedelta(seconds=60), align_to=ALIGN), lambda: (0.0, float("inf"), float("-inf"), 0),
    fold, merge,
)  # fmt: skip
judged = op.stateful_map("detect", windows.down, detect)
found = op.filter("found", judged, lambda item: item[1] is not None)
out = op.map("write", found, lambda item: KafkaSinkMessage(None, dumped(anomaly(item[0], *item[1]))))
kop.output("out", out, brokers=[BROKERS], topic=OUT)

if __name__ == "__main__":
    cli_main(flow)
    end()
