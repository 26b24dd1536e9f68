"""Plain Faust: one agent, one event a point, windows in the agent's memory.

Not in a windowed `Table`: those expire by the wall clock, so history that is read again would close at once, and they
count twice after a crash. This is the faster way, too.
"""

import faust
from robust import WINDOW_MS, anomaly, begin, end, environment, judge

BROKERS, IN, OUT, MESSAGES, _ = environment()
app = faust.App(
    "bench-faust-plain", broker=f"kafka://{BROKERS}", value_serializer="json", web_enabled=False,
    topic_disable_leader=True, consumer_auto_offset_reset="earliest", topic_replication_factor=1,
)  # fmt: skip
points = app.topic(IN, key_serializer="raw", value_serializer="json")
anomalies = app.topic(OUT, value_serializer="json")


@app.agent(points)
async def detect(stream):
    seen = 0
    windows: dict[str, list] = {}  # start, sum, min, max, n
    histories: dict[str, list[float]] = {}
    async for point in stream:
        seen += 1
        if seen == 1:
            begin()
        key, value = point["k"], point["v"]
        start = point["ts"] // WINDOW_MS * WINDOW_MS
        window = windows.get(key)
        if window is None or window[0] != start:
            if window is not None:
                before, total, low, high, n = window
                mean = total / n
                z = judge(histories.setdefault(key, []), mean)
                if z is not None:
                    await anomalies.send(value=anomaly(key, before, mean, low, high, n, z))
            windows[key] = [start, value, value, value, 1]
        else:
            window[1] += value
            window[2] = min(window[2], value)
            window[3] = max(window[3], value)
            window[4] += 1
        if seen == MESSAGES:
            await app.producer.flush()
            end()


if __name__ == "__main__":
    app.main()
