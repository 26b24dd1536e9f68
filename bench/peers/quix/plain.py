"""Quix Streams: tumbling windows in its state store, one message a point."""

from datetime import timedelta

import quixstreams.dataframe.windows.aggregations as agg
from quixstreams import Application, State
from robust import anomaly, begin, end, environment, judge

BROKERS, IN, OUT, MESSAGES, _ = environment()
app = Application(
    broker_address=BROKERS, consumer_group="bench-quix-plain", auto_offset_reset="earliest", loglevel="WARNING"
)
seen = 0


def counted(point: dict) -> dict:
    global seen
    seen += 1
    if seen == 1:
        begin()
    if seen == MESSAGES:
        app.stop()  # after this message; `run(count=)` counts what comes out
    return point


def detect(window: dict, key: str, timestamp: int, headers: object, state: State) -> list[dict]:
    history = state.get("history", [])
    z = judge(history, window["mean"])
    state.set("history", history)
    if z is None:
        return []
    return [anomaly(key, window["start"], window["mean"], window["min"], window["max"], window["n"], z)]


points = app.dataframe(app.topic(IN, key_deserializer="str", value_deserializer="json"))
windows = (
    points.apply(counted)
    .tumbling_window(timedelta(seconds=60))
    .agg(mean=agg.Mean("v"), min=agg.Min("v"), max=agg.Max("v"), n=agg.Count())
    .final()
)
windows.apply(detect, stateful=True, metadata=True, expand=True).to_topic(app.topic(OUT, value_serializer="json"))

if __name__ == "__main__":
    app.run()
    end()
