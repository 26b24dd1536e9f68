"""Settings for Kafka become what the clients are told; nothing secret shows, nothing that delivery rests on is lost."""

import dataclasses

import pytest
from pydantic import ValidationError

import schemas as sc
from streams import KafkaSecurity, KafkaSettings, OAuth, TransportError, kafka, real_name, topic_of
from streams._kafka_asyncio import aiokafka_arguments
from tidegate._settings import Settings

SECRET = "correct horse"
SCRAM = KafkaSettings("b:9092", security=KafkaSecurity("sasl_ssl", "scram-sha-512", "ann", SECRET))
TOKENS = OAuth("http://issuer/token", "ann", SECRET, "kafka")
OAUTH = KafkaSettings("b:9092", security=KafkaSecurity("sasl_ssl", "oauthbearer", oauth=TOKENS))


@pytest.mark.parametrize("topic", sc.TOPICS)
def test_a_topic_is_found_again_by_its_name_on_kafka(topic):
    assert topic_of(real_name(topic, "acme"), "acme") == topic


def test_topics_of_collectors_keep_their_names_and_those_of_strangers_stay_strange():
    assert real_name(sc.OTLP_METRICS, "acme") == "otlp_metrics"
    assert topic_of("acme.orders", "acme") == "acme.orders"
    assert topic_of("tidegate.frames.v1", "acme") == "tidegate.frames.v1"


@pytest.mark.parametrize("topic", sc.TOPICS)
def test_where_sources_have_other_names_those_are_taken_and_the_usual_ones_are_of_others(topic):
    settings = KafkaSettings("b:9092", prefix="acme", sources={"otlp_logs": "acme.logs-in", "otlp_spans": "otlp_logs"})
    assert settings.table(settings.real(topic)) == topic
    assert (settings.real("otlp_logs"), settings.table("otlp_spans")) == ("acme.logs-in", "")


@pytest.mark.parametrize("names", [{"otlp_logs": "otlp_spans"}, {"otlp_logs": "tidegate.raw.v1"}, {"otlp_logs": "a b"}])
def test_two_topics_of_one_name_or_a_name_that_kafka_does_not_take_are_refused(names):
    with pytest.raises(ValidationError):
        Settings.model_validate({"kafka": {"sources": names}})


def test_a_producer_waits_for_all_replicas_and_writes_once():
    told = kafka.client_config(SCRAM, role="producer")
    assert told["acks"] == "all" and told["enable.idempotence"] and not told["allow.auto.create.topics"]


def test_a_producer_takes_the_largest_message_that_any_topic_takes():
    largest = max(topic.max_message_bytes for topic in sc.TOPICS.values())
    assert kafka.client_config(SCRAM, role="producer")["message.max.bytes"] == largest


def test_a_consumer_commits_nothing_by_itself_and_never_passes_over_a_hole():
    told = kafka.client_config(SCRAM, role="consumer")
    assert not told["enable.auto.commit"] and not told["enable.auto.offset.store"]
    assert told["auto.offset.reset"] == "error" and told["isolation.level"] == "read_committed"


def test_the_group_protocol_of_the_broker_takes_no_timeouts_of_ours():
    told = kafka.client_config(dataclasses.replace(SCRAM, group_protocol="consumer"), role="consumer")
    assert told["group.protocol"] == "consumer"
    assert not {"session.timeout.ms", "partition.assignment.strategy"} & set(told)


@pytest.mark.parametrize("settings", [SCRAM, OAUTH])
def test_no_secret_shows_where_settings_are_shown(settings):
    assert SECRET not in f"{settings!r} {settings} {settings.described()} {dataclasses.replace(settings, prefix='x')!r}"


@pytest.mark.parametrize("settings", [SCRAM, OAUTH])
def test_both_clients_are_told_the_same_secret(settings):
    told, asked = kafka.client_config(settings), aiokafka_arguments(settings)
    assert SECRET in told.values() and told["sasl.mechanism"] == asked["sasl_mechanism"]
    assert asked["security_protocol"] == "SASL_SSL" and "ssl_context" in asked


def test_each_kind_of_client_is_made_of_these_settings():
    for group in ("classic", "consumer"):
        settings = KafkaSettings("127.0.0.1:1", group_protocol=group, instance_id="one", extra={"linger.ms": 5})
        kafka.admin(settings), kafka.producer(settings), kafka.consumer(settings)
        kafka.consumer(settings, group="members").close()


@pytest.mark.parametrize("name", ["acks", "enable.auto.commit", "group.id"])
def test_what_delivery_rests_on_is_no_choice(name):
    with pytest.raises(TransportError, match=name) as error:
        KafkaSettings("b:9092", extra={name: "x"})
    assert error.value.code == "KAFKA_SETTINGS"


def test_a_setting_that_librdkafka_does_not_know_is_named():
    with pytest.raises(TransportError, match=r"no\.such") as error:
        kafka.admin(KafkaSettings("b:9092", extra={"no.such": 1}))
    assert error.value.code == "KAFKA_SETTINGS"


def test_no_broker_is_a_sentence():
    with pytest.raises(TransportError, match="--brokers") as error:
        kafka.client_config(KafkaSettings(""))
    assert error.value.code == "KAFKA_SETTINGS"
