"""Quix Streams fed with our frames: bytes as they are, numpy for the rest."""

from quixstreams import Application, message_context
from robust import begin, end, environment
from tidegate_frames import Frames

BROKERS, IN, OUT, MESSAGES, WRITERS = environment()
app = Application(
    broker_address=BROKERS, consumer_group="bench-quix-frames", auto_offset_reset="earliest", loglevel="WARNING"
)
partitions: dict[int, Frames] = {}
seen = 0


def detect(value: bytes, key: object, timestamp: int, headers: list) -> list[dict]:
    global seen
    seen += 1
    if seen == 1:
        begin()
    if seen == MESSAGES:
        app.stop()  # after this message; `run(count=)` counts what comes out
    partition = message_context().partition
    if partition not in partitions:
        partitions[partition] = Frames(WRITERS)
    return partitions[partition].take(value, dict(headers))


frames = app.dataframe(app.topic(IN, key_deserializer="bytes", value_deserializer="bytes"))
frames.apply(detect, metadata=True, expand=True).to_topic(app.topic(OUT, value_serializer="json"))

if __name__ == "__main__":
    app.run()
    end()
