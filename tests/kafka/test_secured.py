"""The secured Kafka of the tests lets in whom it should, by every way in, and nobody else."""

import time
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import KafkaException, Producer
from confluent_kafka.admin import AdminClient
from support.kafka import Cluster
from support.kafka_security import Security, Via

WAYS: tuple[Via, ...] = ("scram", "plain", "oauth", "mtls")


def write(cluster: Cluster, topic: str, settings: dict[str, Any]) -> str:
    """The name of the error of the write; empty when it went through."""
    answers: list[str] = []
    producer = Producer({**settings, "message.timeout.ms": 8000, "log_level": 0})
    producer.produce(topic, b"a", on_delivery=lambda error, _: answers.append(error.name() if error else ""))
    producer.flush(20)
    return answers[0]


@pytest.mark.parametrize("via", WAYS)
def test_a_user_with_an_acl_writes_by_every_way_in(secured: Cluster, via: Via) -> None:
    topic = secured.topic(f"open.{via}")
    secured.allow("alice", "WRITE", topic=topic)
    assert write(secured, topic, secured.client("alice", via)) == ""


@pytest.mark.parametrize("via", WAYS)
def test_a_user_without_an_acl_is_known_and_denied(secured: Cluster, via: Via) -> None:
    topic = secured.topic(f"closed.{via}")
    assert write(secured, topic, secured.client("bob", via)) == "TOPIC_AUTHORIZATION_FAILED"


def refusals(settings: dict[str, Any]) -> set[str]:
    """The names of the errors met while asking for metadata; empty when it was given."""
    errors: set[str] = set()
    heard: dict[str, Any] = {"log_level": 0, "error_cb": lambda error: errors.add(error.name())}
    admin = AdminClient(settings | heard)
    try:
        admin.list_topics(timeout=3)
        return set()
    except KafkaException:
        admin.poll(0)
        return errors


@pytest.mark.parametrize("wrong", [{"sasl.password": "guessed"}, {"sasl.username": "mallory"}])
@pytest.mark.parametrize("via", ["scram", "plain"])
def test_a_wrong_name_or_password_is_an_error_of_authentication(
    secured: Cluster, via: Via, wrong: dict[str, str]
) -> None:
    assert "_AUTHENTICATION" in refusals(secured.client("alice", via) | wrong)


@pytest.mark.parametrize("protocol", ["PLAINTEXT", "SASL_PLAINTEXT"])
def test_there_is_no_way_in_without_tls(secured: Cluster, protocol: str) -> None:
    assert refusals(secured.client("alice") | {"security.protocol": protocol}) - {"_AUTHENTICATION"}


def test_a_certificate_of_another_ca_is_refused(secured: Cluster, tmp_path: Path) -> None:
    stranger = Security(tmp_path, users=("alice",))
    stranger.close()
    mine = stranger.client("alice", "mtls") | {"ssl.ca.location": str(secured.security.ca_file)}
    assert refusals(secured.client("alice", "mtls") | mine)


@pytest.mark.parametrize(("lives_s", "is_let_in"), [(60, True), (-60, False)])
def test_a_token_counts_while_it_lives(secured: Cluster, lives_s: float, is_let_in: bool) -> None:
    token = secured.security.token("alice", lives_s=lives_s)
    settings = secured.client("alice", "oauth", **{"sasl.oauthbearer.method": "default"})
    errors = refusals(settings | {"oauth_cb": lambda _: (token, time.time() + 60)})
    assert (errors == set()) == is_let_in
    assert is_let_in or "_AUTHENTICATION" in errors
