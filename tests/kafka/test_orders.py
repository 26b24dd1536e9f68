"""`tidegate serve` obeys orders that somebody on the list has signed for this deployment, and nothing else."""

from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from support.kafka import Broker, Cluster

import schemas as sc
from schemas.signatures import signed
from streams import KafkaSettings, TransportError, kafka, real_name
from tidegate._cutover import send
from tidegate._serve import Server

KEY, OTHER = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
GENERATIONS = ("g1", "g2")


def made(cluster: Cluster, prefix: str) -> KafkaSettings:
    settings = KafkaSettings(cluster.bootstrap, prefix=prefix)
    for generation in ("", *(f":{name}" for name in GENERATIONS)):
        of = KafkaSettings(cluster.bootstrap, prefix=prefix + generation)
        kafka.create(kafka.admin(of), of, 1)
    return settings


def order(**change: Any) -> sc.Control:
    told: dict[str, Any] = {
        "id": "o1", "kind": "serve", "scope": "orders", "generation": "g2", "from_ns": 10**18, "issued_ns": 1,
        "issuer": "ops", "signature": "-",
    }  # fmt: skip
    return sc.Control(**{**told, **change})


def test_only_the_order_that_is_signed_for_this_deployment_is_followed(broker: Broker) -> None:
    settings, said = made(broker, "orders"), []
    good = signed(order(), KEY)
    for one in (
        order(id="unsigned"),
        signed(order(id="other key"), OTHER),
        signed(order(id="unknown issuer", issuer="mallory"), OTHER),
        good.model_copy(update={"id": "changed", "from_ns": good.from_ns + 1}),
        signed(order(id="other deployment", scope="orders-of-others"), KEY),
        good,
    ):
        send(settings, one)
    server = Server(settings, GENERATIONS, {"ops": KEY.public_key()}, say=lambda event, **f: said.append((event, f)))
    assert [event for event, _ in said] == ["order refused"] * 4 + ["order not followed", "cut-over ordered"]
    assert said[4][1] == {"order": "other deployment", "reason": "OTHER_SCOPE"}
    assert server.serving.cuts == [(0, "g1"), (10**18, "g2")]


def test_what_cannot_be_published_in_time_is_a_sentence(proxied: Cluster) -> None:
    server = Server(made(proxied, "unpublished"), GENERATIONS, {}, patience_s=1)
    proxied.proxy().partition()
    server._producer.produce(real_name(sc.ACTIONS, "unpublished"), b"{}", b"k", 0)
    with pytest.raises(TransportError) as error:
        server._settle()
    server._producer.purge()
    assert error.value.code == "KAFKA_UNREACHABLE" and "1 records could not be published" in error.value.what
