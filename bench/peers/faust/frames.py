"""Faust fed with our frames: one event a message, bytes as they are, numpy for the rest."""

import faust
from robust import begin, dumped, end, environment
from tidegate_frames import Frames

BROKERS, IN, OUT, MESSAGES, WRITERS = environment()
app = faust.App(
    "bench-faust-frames", broker=f"kafka://{BROKERS}", web_enabled=False, topic_disable_leader=True,
    consumer_auto_offset_reset="earliest", topic_replication_factor=1,
)  # fmt: skip
frames = app.topic(IN, key_serializer="raw", value_serializer="raw")
anomalies = app.topic(OUT, value_serializer="raw")


@app.agent(frames)
async def detect(stream):
    seen = 0
    partitions: dict[int, Frames] = {}
    async for event in stream.events():
        seen += 1
        if seen == 1:
            begin()
        partition = event.message.partition
        if partition not in partitions:
            partitions[partition] = Frames(WRITERS)
        for found in partitions[partition].take(event.value, event.headers):
            await anomalies.send(value=dumped(found))
        if seen == MESSAGES:
            await app.producer.flush()
            end()


if __name__ == "__main__":
    app.main()
