"""One block of settings, two clients, a broker that asks who we are; and each stage with its own ACLs and no more."""

import asyncio
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiokafka import AIOKafkaProducer
from confluent_kafka import KafkaException, TopicPartition
from confluent_kafka.admin import (
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    ResourcePatternType,
    ResourceType,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)  # fmt: skip
from confluent_kafka.cimpl import NewPartitions
from support.kafka import Cluster
from support.pipeline import Deployed, recorded_shop
from support.worker import IDLE_NS, Bench, is_at_end, own_sources, turn

import schemas as sc
from streams import KafkaSecurity, KafkaSettings, OAuth, TransportError, kafka, real_name
from streams._kafka_asyncio import TokenProvider, aiokafka_arguments
from tidegate import _access, _pipeline, _shards
from tidegate._replay import replay
from tidegate._settings import Settings

ROLES = _access.roles(Settings())
WAYS = ("scram", "plain", "oauth", "mtls")
EVERYTHING: tuple[Any, ...] = (ResourceType.ANY, None, ResourcePatternType.ANY)


def settings_of(secured: Cluster, user: str, via: str = "scram", **change: Any) -> KafkaSettings:
    """As a deployment would write them for this user."""
    at, ca = secured.security, secured.security.ca_file
    password = at.password(user)
    security = {
        "scram": KafkaSecurity("sasl_ssl", "scram-sha-512", user, password, ca),
        "plain": KafkaSecurity("sasl_ssl", "plain", user, password, ca),
        "oauth": KafkaSecurity("sasl_ssl", "oauthbearer", ca_file=ca, oauth=OAuth(at.endpoint.url, user, password)),
        "mtls": KafkaSecurity("ssl", ca_file=ca, cert_file=at.place / f"{user}.crt", key_file=at.place / f"{user}.key"),
    }[via]
    brokers = secured.client(user, via)["bootstrap.servers"]
    return KafkaSettings(brokers, prefix="acl", security=replace(security, **change), timeout_s=20)


@pytest.fixture(scope="module")
def topics(secured: Cluster) -> KafkaSettings:
    """All topics, and the settings of `admin`."""
    settings = settings_of(secured, "admin")
    kafka.create(kafka.admin(settings), settings, 2)
    return settings


@pytest.fixture
def alice(secured: Cluster, topics: KafkaSettings) -> Iterator[KafkaSettings]:
    """Alice, who may do nothing yet, and nothing afterwards."""
    yield settings_of(secured, "alice")
    every = AclBindingFilter(*EVERYTHING, "User:alice", None, AclOperation.ANY, AclPermissionType.ANY)
    client = kafka.admin(topics)
    client.delete_acls([every])[every].result(30)
    while client.describe_acls(every).result(30):
        time.sleep(0.05)


def admin_block(secured: Cluster) -> dict[str, str]:
    """The section `kafka.security` of somebody who may do everything."""
    return {
        "protocol": "sasl_ssl", "mechanism": "scram-sha-512", "username": "admin",
        "password": secured.security.password("admin"), "ca_file": str(secured.security.ca_file),
    }  # fmt: skip


def eventually(holds: Callable[[], bool]) -> None:
    until = time.monotonic() + 120
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.1)


def let(topics: KafkaSettings, role: str) -> None:
    """Alice takes the role, with exactly its ACLs; a broker obeys a moment after it confirmed them."""
    client, wanted = kafka.admin(topics), kafka.acls(ROLES[role], topics, "User:alice")
    eventually(lambda: not kafka.apply(client, topics, wanted)[0])


def writable(settings: KafkaSettings) -> set[str]:
    """The topics of the table to which one record could be written."""
    heard: dict[str, str] = {}
    client = kafka.producer(settings, message_timeout_ms=8000)
    for topic in sc.TOPICS:
        told = lambda error, _, topic=topic: heard.update({topic: error.name() if error else ""})
        client.produce(real_name(topic, settings.prefix), b"x", key=b"k", partition=0, on_delivery=told)
    try:
        client.flush(20)
    except (KafkaException, SystemError) as error:  # who may write nothing at all gets no producer id
        fatal = error.__cause__ or error  # hidden where a delivery report was due at the same moment
        assert isinstance(fatal, KafkaException) and fatal.args[0].name() == "CLUSTER_AUTHORIZATION_FAILED"
        return set()
    assert set(heard) == set(sc.TOPICS) and set(heard.values()) <= {"", "TOPIC_AUTHORIZATION_FAILED"}
    return {topic for topic, error in heard.items() if not error}


def readable(settings: KafkaSettings) -> set[str]:
    """The topics of the table that can be read to their end, by assignment, as stages read."""
    client = kafka.consumer(settings)
    names = {real_name(topic, settings.prefix): topic for topic in sc.TOPICS}
    # librdkafka says nothing at all of an assigned topic that it may not see
    seen = [name for name in names if client.list_topics(name, timeout=10).topics[name].error is None]
    client.assign([TopicPartition(name, 0, 0) for name in seen])
    answers: dict[str, str] = {}
    while len(answers) < len(seen):
        message = client.poll(20)
        assert message is not None
        error = message.error().name() if message.error() else ""
        if error == "GROUP_AUTHORIZATION_FAILED":
            return set()
        if error:
            answers[message.topic()] = error
    client.close()
    assert set(answers.values()) <= {"_PARTITION_EOF", "TOPIC_AUTHORIZATION_FAILED"}
    return {names[name] for name, error in answers.items() if error == "_PARTITION_EOF"}


def may_join(settings: KafkaSettings, group: str, topic: str) -> bool:
    client = kafka.consumer(settings, group=group)
    client.subscribe([real_name(topic, settings.prefix)])
    try:
        for _ in range(100):
            message = client.poll(0.2)
            if message is not None and message.error() and message.error().name() == "GROUP_AUTHORIZATION_FAILED":
                return False
            if client.assignment():
                return True
    finally:
        client.close()
    raise AssertionError("neither assigned nor refused")


@pytest.mark.parametrize("via", WAYS)
def test_librdkafka_is_let_in_by_every_way(secured: Cluster, via: str) -> None:
    assert kafka.probe(settings_of(secured, "admin", via)).has_consumer_protocol


@pytest.mark.parametrize("via", WAYS)
def test_the_asyncio_client_is_let_in_by_every_way(secured: Cluster, topics: KafkaSettings, via: str) -> None:
    async def write() -> int:
        settings = settings_of(secured, "admin", via)
        async with AIOKafkaProducer(**aiokafka_arguments(settings), acks="all") as client:
            return (await client.send_and_wait(real_name(sc.RAW, "acl"), b"x")).offset

    assert asyncio.run(write()) >= 0


def test_a_token_is_fetched_once_for_most_of_its_life(secured: Cluster) -> None:
    async def ask(times: int) -> set[str]:
        provider = TokenProvider(settings_of(secured, "alice", "oauth").security)
        return set(await asyncio.gather(*(provider.token() for _ in range(times))))

    before = secured.security.endpoint.issued
    assert len(asyncio.run(ask(5))) == 1 and secured.security.endpoint.issued == before + 1


@pytest.mark.parametrize(
    ("via", "change", "code"),
    [
        ("scram", {"password": "guessed"}, "KAFKA_AUTHENTICATION"),
        ("scram", {"username": "mallory"}, "KAFKA_AUTHENTICATION"),
        ("scram", {"mechanism": "scram-sha-256"}, "KAFKA_AUTHENTICATION"),
        ("plain", {"password": "guessed"}, "KAFKA_AUTHENTICATION"),
        ("oauth", {"oauth": OAuth("http://127.0.0.1:1/", "alice", "x")}, "KAFKA_AUTHENTICATION"),
        ("scram", {"protocol": "ssl", "mechanism": None}, "KAFKA_AUTHENTICATION"),
        ("scram", {"ca_file": None}, "KAFKA_TLS"),
        ("scram", {"protocol": "sasl_plaintext"}, "KAFKA_TLS"),
        ("scram", {"protocol": "plaintext", "mechanism": None}, "KAFKA_TLS"),
        ("mtls", {"cert_file": None, "key_file": None}, "KAFKA_TLS"),
    ],
)
def test_each_wrong_setting_has_its_sentence(secured: Cluster, via: str, change: dict[str, Any], code: str) -> None:
    with pytest.raises(TransportError) as error:
        kafka.probe(settings_of(secured, "alice", via, **change))
    assert error.value.code == code and "kafka.security" in error.value.todo
    assert secured.security.password("alice") not in str(error.value)


def test_a_wrong_oauth_secret_is_told_to_both_clients(secured: Cluster) -> None:
    oauth = OAuth(secured.security.endpoint.url, "alice", "guessed")
    settings = settings_of(secured, "alice", "oauth", oauth=oauth)
    for ask in (lambda: kafka.probe(settings), lambda: asyncio.run(TokenProvider(settings.security).token())):
        with pytest.raises(TransportError) as error:
            ask()
        assert error.value.code == "KAFKA_AUTHENTICATION"


def test_who_may_not_is_told_what_and_how_to_allow_it(alice: KafkaSettings) -> None:
    with pytest.raises(TransportError) as error:
        kafka.require(kafka.admin(alice), alice, [sc.FRAMES])
    assert error.value.code == "KAFKA_FORBIDDEN" and "topics acl" in error.value.todo
    assert "alice may not describe topic acl.frames.v1" in error.value.what


@pytest.mark.parametrize("role", ROLES)
def test_with_exactly_its_acls_a_role_does_its_work_and_nothing_else(
    topics: KafkaSettings, alice: KafkaSettings, role: str
) -> None:
    let(topics, role)
    access = ROLES[role]
    assert writable(alice) == access.writes
    assert readable(alice) == access.reads


@pytest.mark.parametrize("protocol", ["classic", "consumer"])
def test_a_stage_joins_its_own_groups_and_no_other(topics: KafkaSettings, alice: KafkaSettings, protocol: Any) -> None:
    let(topics, "detect")
    alice = replace(alice, group_protocol=protocol)
    assert may_join(alice, "acl.detect", sc.FRAMES) and may_join(alice, "acl.detect.next", sc.FRAMES)
    assert not may_join(alice, "acl.decide", sc.FRAMES)


@pytest.mark.parametrize("role", _pipeline.ORDER)
def test_with_its_acls_a_stage_plans_its_work(
    topics: KafkaSettings, alice: KafkaSettings, secured: Cluster, role: str
) -> None:
    let(topics, role)
    security = {
        "protocol": "sasl_ssl", "mechanism": "scram-sha-512", "username": "alice",
        "password": secured.security.password("alice"), "ca_file": secured.security.ca_file,
    }  # fmt: skip
    settings = Settings.model_validate({"kafka": {"brokers": alice.brokers, "prefix": "acl", "security": security}})
    assert _shards.deployment(settings).partitions == 2


def test_with_its_acls_the_stage_that_makes_time_says_who_fell_silent(
    topics: KafkaSettings, alice: KafkaSettings, secured: Cluster, tmp_path: Path
) -> None:
    sources = own_sources("silent")  # else it also hears who sent to this broker in other tests
    bench = Bench(secured, tmp_path, "silent", partitions=2, sources=sources, security=admin_block(secured))
    let(bench.kafka, "normalise")
    bench.put(sc.OTLP_METRICS, next(m.value for m in recorded_shop() if m.topic == sc.OTLP_METRICS))
    worker = bench.worker("normalise", by=replace(alice, prefix="silent", sources=bench.kafka.sources))
    turn(worker, lambda: is_at_end(worker))
    bench.wall_ns += IDLE_NS
    turn(worker, lambda: any(event == "source fell silent" for event, _ in bench.said))
    worker.close()


@pytest.mark.parametrize(
    ("name", "operation", "said"),
    [
        ("lacking.snapshots.v1", "Read", "alice may not read topic lacking.snapshots.v1"),
        ("lacking.raw.v1", "Read", "alice may not read topic lacking.raw.v1"),
        ("lacking.series.v1", "Write", "alice may not write to topic lacking.series.v1"),
        ("lacking.normalise", "Read", "alice may not join group lacking.normalise"),
    ],
)
def test_a_running_stage_says_which_right_it_lacks(
    topics: KafkaSettings, alice: KafkaSettings, secured: Cluster, tmp_path: Path, name: str, operation: str, said: str
) -> None:
    own = replace(topics, prefix="lacking")
    bench = Bench(secured, tmp_path, own.prefix, partitions=2, security=admin_block(secured))
    wanted = kafka.acls(ROLES["normalise"], own, "User:alice")
    client = kafka.admin(own)
    eventually(
        lambda: not kafka.apply(client, own, [a for a in wanted if (a.name, a.operation) != (name, operation)])[0]
    )
    bench.put(
        sc.RAW, next(m.value for m in recorded_shop() if m.topic == sc.OTLP_METRICS), tidegate_kind=sc.OTLP_METRICS
    )
    worker = bench.worker("normalise", by=replace(alice, prefix=own.prefix))
    with pytest.raises(TransportError) as error:
        turn(worker, lambda: False, 200)
    worker.abandon()
    assert (error.value.code, said in error.value.what) == ("KAFKA_FORBIDDEN", True), error.value


def test_a_stage_may_look_whether_the_broker_runs_groups(topics: KafkaSettings, alice: KafkaSettings) -> None:
    let(topics, "detect")
    assert kafka.probe(replace(alice, group_protocol="consumer")).has_consumer_protocol


def test_the_operator_makes_and_grows_topics_and_sees_groups(topics: KafkaSettings, alice: KafkaSettings) -> None:
    let(topics, "operator")
    client = kafka.admin(topics)
    client.delete_topics(["acl.audit.v1"])["acl.audit.v1"].result(30)
    states = {row.topic: row.state for row in kafka.create(kafka.admin(alice), alice)}
    assert states[sc.AUDIT] == "made" and states[sc.FRAMES] == "kept"
    operator = kafka.admin(alice)
    operator.create_partitions([NewPartitions("acl.raw.v1", 5)])["acl.raw.v1"].result(30)
    assert operator.describe_consumer_groups(["acl.detect"])["acl.detect"].exception(30) is None


def test_acls_are_added_once_and_what_goes_beyond_them_is_named(topics: KafkaSettings, alice: KafkaSettings) -> None:
    wanted = kafka.acls(ROLES["detect"], topics, "User:alice")
    client = kafka.admin(topics)
    assert kafka.apply(client, topics, wanted) == (wanted, [])
    let(topics, "decide")
    added, beyond = kafka.apply(client, topics, wanted)
    assert added == [] and "User:alice: allow write on topic acl.actions.v1" in beyond


def test_who_may_not_alter_acls_is_told(topics: KafkaSettings, alice: KafkaSettings) -> None:
    with pytest.raises((TransportError, KafkaException)) as error:
        kafka.apply(kafka.admin(alice), alice, kafka.acls(ROLES["detect"], alice, "User:alice"))
    assert getattr(error.value, "code", "") == "KAFKA_FORBIDDEN"


@pytest.mark.timeout(300)
def test_six_processes_with_six_names_and_their_own_acls_give_the_digest_of_one_process(
    secured: Cluster, tmp_path: Path
) -> None:
    whole = replay(recorded_shop(), _pipeline.build(Settings()))
    names = ["admin", *_pipeline.ORDER]
    securities = {
        name: {
            "protocol": "sasl_ssl", "mechanism": "scram-sha-512", "username": name,
            "password": secured.security.password(name), "ca_file": str(secured.security.ca_file),
        }
        for name in names
    }  # fmt: skip
    told = {"kafka": {"security": securities["admin"]}, "streams": {"idle_after_s": 60}}
    client = kafka.admin(settings_of(secured, "admin"))
    for future in client.delete_topics([sc.OTLP_METRICS, sc.OTLP_LOGS, sc.OTLP_SPANS]).values():
        future.exception(30)  # they have no prefix, so other tests wrote there; or they are not there yet
    deployed = Deployed(secured, tmp_path, prefix="named", partitions=2, **told)
    document = yaml.safe_load(deployed.file.read_text())
    deployed.play(recorded_shop())
    try:
        for role in _pipeline.ORDER:
            info = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, 4096)
            known = UserScramCredentialUpsertion(role, info, secured.security.password(role).encode())
            client.alter_user_scram_credentials([known])[role].result(30)
            kafka.apply(client, deployed.kafka, kafka.acls(ROLES[role], deployed.kafka, f"User:{role}"))
            document["kafka"]["security"] = securities[role]
            deployed.file = tmp_path / f"{role}.yaml"
            deployed.file.write_text(yaml.safe_dump(document))
            deployed.start(role)
        deployed.wait(lambda _: deployed.has_ended(), 200)
        deployed.stop()
        assert deployed.run().digest == whole.digest
    finally:
        deployed.kill()
