"""Points of telemetry, read with pyarrow alone: read_frames.py BROKERS [--until-end] [--prefix tidegate]."""

import argparse
import json

import pyarrow as pa
from confluent_kafka import Consumer, KafkaError

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("brokers")
parser.add_argument("--prefix", default="tidegate")
parser.add_argument("--until-end", action="store_true")
told = parser.parse_args()
consumer = Consumer({
    "bootstrap.servers": told.brokers, "group.id": "read-frames", "auto.offset.reset": "earliest",
    "enable.partition.eof": True, "enable.auto.commit": False,
})  # fmt: skip
topic = f"{told.prefix}.frames.v1"
consumer.subscribe([topic])
left, names = len(consumer.list_topics(topic).topics[topic].partitions), {}
while left:
    message = consumer.poll(1)
    if message is None:
        continue
    if error := message.error():
        if error.code() != KafkaError._PARTITION_EOF:
            raise SystemExit(error.str())
        left -= told.until_end
    elif "ce_type" not in dict(message.headers() or ()):  # marks among the frames are CloudEvents
        batch = pa.ipc.open_stream(message.value()).read_next_batch()
        for one in json.loads(batch.schema.metadata[b"tidegate"])["defs"]:  # of series seen for the first time
            names[int(one["id"], 16)] = f"{one['service']} {one['name']} {one['labels']}"
        for series, t, value in zip(*(column.to_pylist() for column in batch.columns), strict=True):
            print(t.isoformat(), names.get(series, f"{series:016x}"), value)
consumer.close()
