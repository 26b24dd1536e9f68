"""Kafka clients made from one block of settings: what each is told, and why.

Producers wait for all in-sync replicas and are idempotent; consumers never commit by themselves, never pass over a
hole in the log silently and see the end of each partition. What librdkafka has to say goes to the logger
`tidegate.kafka`, not to standard error.
"""

import logging
from collections.abc import Callable
from typing import Any, Literal, TypeVar

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer
from confluent_kafka.admin import AdminClient

import schemas as sc
from streams._errors import TransportError
from streams._kafka_names import ungrouped
from streams._kafka_settings import KafkaSettings

Role = Literal["admin", "consumer", "producer"]
_Client = TypeVar("_Client")

LOG = logging.getLogger("tidegate.kafka")
LOG.addHandler(logging.NullHandler())  # without a handler, warnings would go to standard error

ANSWER_MS = 10_000
"""A request without an answer for so long is asked anew on another connection. What a broken network swallowed would
else be waited for a minute (the default), and a stage stand still so long; all that is asked may be asked twice."""
_PRODUCER: dict[str, Any] = {
    "acks": "all",
    "enable.idempotence": True,
    "compression.type": "zstd",  # a frame of 1000 points shrinks to about a third; needs Kafka 2.1
    "linger.ms": 10,
    "queue.buffering.max.kbytes": 65536,  # what a dead broker may cost in memory
    "allow.auto.create.topics": False,  # a topic made by accident has the wrong settings
    "message.max.bytes": max(topic.max_message_bytes for topic in sc.TOPICS.values()),
}
_CONSUMER: dict[str, Any] = {
    "enable.auto.commit": False,
    "enable.auto.offset.store": False,
    "auto.offset.reset": "error",  # an offset that retention took away is a loss to be told, not a place to start
    "isolation.level": "read_committed",
    "enable.partition.eof": True,
    "queued.max.messages.kbytes": 4096,  # each process has a reader a stage: with 32 MB it had 150 MB more, and no gain
    "fetch.max.bytes": 4_194_304,
    "fetch.queue.backoff.ms": 10,  # by default a full buffer is looked at once a second: a backlog came at 6 MB/s
}


def client_config(settings: KafkaSettings, *, role: Role = "admin") -> dict[str, Any]:
    """Settings for librdkafka. Holds secrets: never print it. Raises TransportError if no broker is named."""
    if not settings.brokers:
        raise TransportError(
            "no Kafka broker is named", code="KAFKA_SETTINGS", todo="Pass --brokers HOST:PORT or set kafka.brokers"
        )
    config: dict[str, Any] = {
        "bootstrap.servers": settings.brokers, "client.id": settings.prefix, "socket.keepalive.enable": True,
        "reconnect.backoff.max.ms": 2000, "socket.timeout.ms": ANSWER_MS, "logger": LOG, **_security(settings),
    }  # fmt: skip
    if role == "producer":
        config |= _PRODUCER
    elif role == "consumer":
        config |= _CONSUMER | _group(settings)
    return config | dict(settings.extra)


def admin(settings: KafkaSettings, **more: Any) -> AdminClient:
    """A client that makes and describes; `more` are settings of librdkafka, `_` for `.`, and win."""
    return _made(AdminClient, _told(settings, "admin", more))


def producer(settings: KafkaSettings, **more: Any) -> Producer:
    """A producer that waits for all in-sync replicas; `more` are settings of librdkafka, `_` for `.`, and win."""
    return _made(Producer, _told(settings, "producer", more))


def consumer(settings: KafkaSettings, *, group: str = "", **more: Any) -> Consumer:
    """A consumer of `group`, or one that only reads what it is assigned (librdkafka wants a name all the same)."""
    config = _told(settings, "consumer", more)
    if not group:  # static membership and the group protocol are for members
        for name in ("group.instance.id", "group.protocol"):
            config.pop(name, None)
    return _made(Consumer, config | {"group.id": group or ungrouped(settings.prefix)})


def _made(kind: Callable[[dict[str, Any]], _Client], config: dict[str, Any]) -> _Client:
    try:
        return kind(config)
    except (KafkaException, ValueError, TypeError) as error:
        said = error.args[0].str() if isinstance(error, KafkaException) else str(error)
        raise TransportError(
            f"the Kafka client refuses its settings: {said}", code="KAFKA_SETTINGS",
            todo="Check kafka.security and kafka.extra",
        ) from error  # fmt: skip


def _told(settings: KafkaSettings, role: Role, more: dict[str, Any]) -> dict[str, Any]:
    named = {name if name.endswith("_cb") else name.replace("_", "."): value for name, value in more.items()}
    return {"error_cb": _log_error} | client_config(settings, role=role) | named


def _log_error(error: KafkaError) -> None:
    LOG.warning("kafka client failed: %s [%s]", error.str(), error.name())


def _group(settings: KafkaSettings) -> dict[str, Any]:
    found: dict[str, Any] = {"group.instance.id": settings.instance_id} if settings.instance_id else {}
    if settings.group_protocol == "consumer":  # the broker decides on timeouts
        return found | {"group.protocol": "consumer"}
    return found | {
        "partition.assignment.strategy": "cooperative-sticky",
        "session.timeout.ms": settings.session_timeout_ms,
        "heartbeat.interval.ms": settings.session_timeout_ms // 3,
    }


def _security(settings: KafkaSettings) -> dict[str, Any]:
    security = settings.security
    found: dict[str, Any] = {"security.protocol": security.protocol}
    if security.has_tls:
        files = {
            "ssl.ca.location": security.ca_file, "ssl.certificate.location": security.cert_file,
            "ssl.key.location": security.key_file, "ssl.key.password": security.key_password,
        }  # fmt: skip
        found |= {name: str(value) for name, value in files.items() if value}
    if security.has_sasl:
        found["sasl.mechanism"] = (security.mechanism or "plain").upper()
        if security.mechanism == "oauthbearer":
            found |= _oauth(settings)
        else:
            found |= {"sasl.username": security.username, "sasl.password": security.password}
    return found


def _oauth(settings: KafkaSettings) -> dict[str, Any]:
    oauth = settings.security.oauth
    found: dict[str, Any] = {
        "sasl.oauthbearer.method": "oidc", "sasl.oauthbearer.token.endpoint.url": oauth.token_url,
        "sasl.oauthbearer.client.id": oauth.client_id, "sasl.oauthbearer.client.secret": oauth.client_secret,
    }  # fmt: skip
    if oauth.scope:
        found["sasl.oauthbearer.scope"] = oauth.scope
    if settings.security.ca_file:
        found["https.ca.location"] = str(settings.security.ca_file)
    return found
