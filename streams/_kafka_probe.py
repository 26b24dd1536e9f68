"""Look before any work: is there a broker, can it do what we need, does it know us. Each failure is one sentence.

Asked in the order in which a person would: the address, TLS, what the broker can do, the credentials, and whether the
addresses that brokers give out can be reached from here.
"""

import logging
import re
import socket
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from confluent_kafka import KafkaError, KafkaException

import schemas as sc
from streams._errors import TransportError
from streams._kafka_client import admin, consumer
from streams._kafka_errors import UNREACHABLE, kafka_error, no_consumer_protocol, too_old, unreachable
from streams._kafka_names import ungrouped
from streams._kafka_settings import KafkaSettings
from streams._kafka_wire import Versions, addresses, ssl_context, versions, wants_credentials

_NEEDED = {
    0: (7, "Produce of zstd"),
    1: (10, "Fetch of zstd"),
    2: (1, "ListOffsets by time"),
    22: (0, "InitProducerId"),
}
_GROUP_HEARTBEAT = 68
_QUIET = logging.getLogger("tidegate.kafka.probe")
_QUIET.addHandler(logging.NullHandler())
_QUIET.propagate = False  # what went wrong is said once, in a sentence
_STEP_S = 1.0
_PLACE = re.compile(r"(?:\w+://)?\[?(.+?)\]?(:\d+)/(?:bootstrap|\d+): ")
"""An error of librdkafka begins with the address, and the id of the broker where it is known."""


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What was found. brokers: how many; topics: those we may see; features: finalized levels by name."""

    cluster_id: str
    brokers: int
    topics: frozenset[str]
    features: dict[str, int]
    has_consumer_protocol: bool
    unreachable: tuple[str, ...]

    def described(self) -> str:
        level = self.features.get("metadata.version")
        parts = [f"{self.brokers} broker{'s' if self.brokers != 1 else ''}"]
        parts += [f"metadata.version {level}"] if level else []
        parts.append("group protocols classic" + (", consumer" if self.has_consumer_protocol else ""))
        return ", ".join(parts + [f"{where} unreachable" for where in self.unreachable])


def probe(settings: KafkaSettings) -> Capabilities:
    """Ask the brokers. Takes at most a few `timeout_s`. Raises TransportError with the codes of `_kafka_errors`."""
    found = _first(settings)
    has_consumer_protocol = _check(found, settings)
    metadata = _metadata(settings)
    advertised = {f"{b.host}:{b.port}" for b in metadata.brokers.values()}
    if settings.group_protocol == "consumer":
        _join(settings)
    away = tuple(sorted(place for place in advertised if not _answers(place, settings)))
    if len(away) == len(advertised):
        raise _advertised(away, settings)
    return Capabilities(
        metadata.cluster_id or "", len(metadata.brokers), frozenset(metadata.topics), found.features,
        has_consumer_protocol, away,
    )  # fmt: skip


def _first(settings: KafkaSettings) -> Versions:
    """Of the first address that answers as Kafka."""
    if settings.security.has_tls:
        ssl_context(settings.security)  # unusable files, before any connection
    admin(settings)  # so what librdkafka cannot be told
    failed: list[TransportError] = []
    for host, port in addresses(settings.brokers):
        try:
            return versions(host, port, settings)
        except TransportError as error:
            failed.append(error)
    telling = [error for error in failed if error.code != "KAFKA_UNREACHABLE"]
    if telling or len(failed) == 1:
        raise (telling or failed)[0]
    reasons = [f"{error.where} ({error.what.partition(': ')[2]})" for error in failed]
    raise unreachable(", ".join(reasons), settings.brokers)


def _check(found: Versions, settings: KafkaSettings) -> bool:
    """Whether groups may use the broker-side protocol. Raises TransportError BROKER_TOO_OLD."""
    lacking = [what for key, (least, what) in _NEEDED.items() if found.apis.get(key, -1) < least]
    if lacking:
        raise too_old(f"the broker lacks {', '.join(lacking)}", settings.brokers, "Use Apache Kafka 2.1 or newer")
    has_consumer_protocol = _GROUP_HEARTBEAT in found.apis and found.features.get("group.version", 0) >= 1
    if settings.group_protocol == "consumer" and not has_consumer_protocol:
        raise no_consumer_protocol(settings.brokers)
    return has_consumer_protocol


def _join(settings: KafkaSettings) -> None:
    """A broker that is new enough may have the protocol switched off, and tells only who tries. Up to two seconds.

    The group is the one that nobody joins: to be forbidden it is as good an answer as to be let in.
    """
    answered: list[bool] = []
    group, heard = ungrouped(settings.prefix), list[KafkaError]()
    client = consumer(replace(settings, instance_id=""), group=group, logger=_QUIET, error_cb=heard.append)
    try:
        client.subscribe([settings.real(sc.SNAPSHOTS)], on_assign=lambda *_: answered.append(True))
        for _ in range(10):
            message = client.poll(_STEP_S / 5)
            if message is not None and (error := message.error()) is not None:
                told = kafka_error(error, settings, doing="join", group=group)
                if told.code == "BROKER_TOO_OLD":
                    raise told
                answered += [True] if told.code == "KAFKA_FORBIDDEN" else []
            if answered:
                return
    finally:
        client.close()


def _metadata(settings: KafkaSettings) -> Any:
    """The first request that needs credentials; librdkafka tells why it fails only on the side."""
    heard: list[KafkaError] = []
    client = admin(settings, logger=_QUIET, error_cb=heard.append)
    error = KafkaError(KafkaError._TIMED_OUT)
    for _ in range(max(1, round(settings.timeout_s / _STEP_S))):
        try:
            return client.list_topics(timeout=_STEP_S)
        except KafkaException as failed:
            error = failed.args[0]
        client.poll(0)
        if telling := [e for e in heard if e.code() not in UNREACHABLE]:
            raise kafka_error(telling[0], settings, doing="ask")
        given = addresses(settings.brokers)
        if not settings.security.has_sasl and any(wants_credentials(*place, settings) for place in given):
            raise TransportError(
                "the broker ends the connection where credentials are due", where=settings.brokers,
                code="KAFKA_AUTHENTICATION",
                todo=f"It may want SASL; kafka.security.protocol is {settings.security.protocol}",
            )  # fmt: skip
    if elsewhere := _places(heard) - _given(settings):
        raise _advertised(elsewhere, settings)
    raise kafka_error(heard[-1] if heard else error, settings, doing="ask")


def _places(heard: list[KafkaError]) -> set[str]:
    found = [_PLACE.match(error.str()) for error in heard]
    return {place[1] + place[2] for place in found if place}


def _given(settings: KafkaSettings) -> set[str]:
    return {f"{host}:{port}" for host, port in addresses(settings.brokers)}


def _advertised(away: Iterable[str], settings: KafkaSettings) -> TransportError:
    return unreachable(
        f"brokers answer there but send clients to {', '.join(sorted(away))}, which cannot be reached from here "
        "(advertised.listeners of the broker)", settings.brokers,
    )  # fmt: skip


def _answers(place: str, settings: KafkaSettings) -> bool:
    host, _, port = place.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=min(settings.timeout_s, 3.0)).close()
    except OSError:
        return False
    return True
