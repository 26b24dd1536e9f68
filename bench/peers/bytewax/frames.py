"""Bytewax fed with our frames: bytes as they are, numpy for the rest.

Its state lives beside the dataflow: in a stateful operator it would be copied at the end of each epoch.
"""

import bytewax.operators as op
from bytewax._bytewax import cli_main
from bytewax.connectors.kafka import KafkaSinkMessage, KafkaSourceMessage
from bytewax.connectors.kafka import operators as kop
from bytewax.dataflow import Dataflow
from robust import begin, dumped, end, environment
from tidegate_frames import Frames

BROKERS, IN, OUT, _, WRITERS = environment()
partitions: dict[int, Frames] = {}


def detect(message: KafkaSourceMessage) -> list[KafkaSinkMessage]:
    if not partitions:
        begin()
    if message.partition not in partitions:
        partitions[message.partition] = Frames(WRITERS)
    found = partitions[message.partition].take(message.value, dict(message.headers))
    return [KafkaSinkMessage(None, dumped(each)) for each in found]


flow = Dataflow("bench")
source = kop.input("in", flow, brokers=[BROKERS], topics=[IN], tail=False)
kop.output("out", op.flat_map("detect", source.oks, detect), brokers=[BROKERS], topic=OUT)

if __name__ == "__main__":
    cli_main(flow)
    end()
