"""Decisions as CloudEvents, read by an ordinary consumer: read_actions.py BROKERS [--until-end] [--prefix tidegate]."""

import argparse

from cloudevents.core.bindings.kafka import KafkaMessage, from_kafka
from cloudevents.core.formats.json import JSONFormat
from confluent_kafka import Consumer, KafkaError

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("brokers")
parser.add_argument("--prefix", default="tidegate")
parser.add_argument("--until-end", action="store_true")
told = parser.parse_args()
consumer = Consumer({
    "bootstrap.servers": told.brokers, "group.id": "read-actions", "auto.offset.reset": "earliest",
    "enable.partition.eof": True, "enable.auto.commit": False,
})  # fmt: skip
consumer.subscribe([f"{told.prefix}.actions.v1"])
while True:
    message = consumer.poll(1)
    if message is None:
        continue
    if error := message.error():
        if error.code() != KafkaError._PARTITION_EOF:
            raise SystemExit(error.str())
        if told.until_end:
            break
        continue
    event = from_kafka(KafkaMessage(dict(message.headers()), message.key(), message.value()), JSONFormat())
    if event.get_type() != "io.tidegate.watermark":  # "everything before this time is here"
        action = event.get_data()
        change, decision = action["change"], action["decision"] or {}
        print(event.get_type(), change["verb"], change["target"], decision.get("reason"), event.get_id())
consumer.close()
