"""What `tidegate serve` does with orders, and when it cannot publish."""

import pytest
from support.kafka import Cluster

import schemas as sc
from streams import KafkaSettings, TransportError, kafka, real_name
from tidegate._serve import Server

GENERATIONS = ("g1", "g2")


def made(cluster: Cluster, prefix: str) -> KafkaSettings:
    settings = KafkaSettings(cluster.bootstrap, prefix=prefix)
    for generation in ("", *(f":{name}" for name in GENERATIONS)):
        of = KafkaSettings(cluster.bootstrap, prefix=prefix + generation)
        kafka.create(kafka.admin(of), of, 1)
    return settings


def test_what_cannot_be_published_in_time_is_a_sentence(proxied: Cluster) -> None:
    server = Server(made(proxied, "unpublished"), GENERATIONS, {}, patience_s=1)
    proxied.proxy().partition()
    server._producer.produce(real_name(sc.ACTIONS, "unpublished"), b"{}", b"k", 0)
    with pytest.raises(TransportError) as error:
        server._settle()
    server._producer.purge()
    assert error.value.code == "KAFKA_UNREACHABLE" and "1 records could not be published" in error.value.what
