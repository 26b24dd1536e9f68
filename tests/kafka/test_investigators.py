"""Investigators on a real broker: asked, answered, let in by every way, stopped and killed in mid-question."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from confluent_kafka import Consumer, TopicPartition
from support.kafka import Broker, Cluster
from support.kafka_security import Via

import schemas as sc
from bench.investigators import disturb
from diagnosis import Context, Suspect
from diagnosis.queries.topics import Topics
from schemas.core import NS, Emit
from streams import KafkaSecurity, KafkaSettings, kafka, real_name
from streams._kafka_messages import headers_of, to_message
from tidegate import _access
from tidegate._settings import Settings
from tidegate._topics_reader import KafkaTopics

T = 1_700_006_400 * NS
PARTITIONS = 3
LEVELS = {("cart", "7"): (10.0, 90.0), ("cart", "6"): (10.0, 10.0), ("pay", "1"): (5.0, 5.0)}
"""By service and version: the level an hour before and now."""


def definition(service: str, version: str) -> sc.SeriesDef:
    labels = {"version": version}
    identity = sc.series_id("default", f"default/service/{service}", "errors", labels)
    return sc.SeriesDef(
        id=f"{identity:016x}", entity_id=f"default/service/{service}", service=service, name="errors", labels=labels
    )


def write(settings: KafkaSettings, *emits: Emit) -> None:
    producer = kafka.producer(settings)
    for emit in emits:
        topic = real_name(emit.topic, settings.prefix)
        producer.produce(topic, emit.value, emit.key, partition=emit.partition, headers=headers_of(emit))
    assert producer.flush(120) == 0


def telemetry() -> Iterator[Emit]:
    """Two minutes an hour ago and two minutes now, in the partition of each service, and marks behind."""
    shards = Settings().streams.core().shards
    for (service, version), levels in LEVELS.items():
        d = definition(service, version)
        yield sc.emit(sc.SERIES, d, id=d.id, key=d.id, source="test", event_ns=T)
        shard = sc.shard_of("default", service, shards)
        for begin, level in zip((T - 3600 * NS, T), levels, strict=True):
            t = np.arange(begin, begin + 120 * NS, 10 * NS, np.int64)
            for at in t.tolist():
                one = np.array([int(d.id, 16)], np.uint64)
                frame = sc.encode_frame(one, np.array([at]), np.array([level]), shards=np.array([shard]))
                yield Emit(sc.FRAMES, b"", frame, (), at, shard % PARTITIONS)
    mark = sc.Watermark(stage="normalise", instance="", through_ns=T + 600 * NS)
    for partition in range(PARTITIONS):
        one = sc.emit(sc.FRAMES, mark, id="m", key="normalise@", source="test", event_ns=mark.through_ns)
        yield replace(one, partition=partition)


def suspect() -> Suspect:
    d = definition("cart", "7")
    pointer = sc.EvidencePointer(signal="metrics", subject=d.id, t_min_ns=T, t_max_ns=T, sha256="s")
    anomaly = sc.Anomaly(
        id="a", entity_id=d.entity_id, service="cart", series=d.id, name="errors", labels=d.labels, signal="metrics",
        kind="metric", detector="t@1", start_ns=T, end_ns=T + 120 * NS, observed=90.0, expected=10.0, residual=80.0,
        unit="1", p_value=1e-9, pointer=pointer,
    )  # fmt: skip
    return Suspect("default", "cart", anomaly, ("pay",), None, T, T + 130 * NS)


def inquiry(n: int = 0) -> sc.Inquiry:
    asked = Topics().ask(suspect())
    assert asked is not None
    return sc.Inquiry(
        id=sc.record_id("inquiry", n), incident_id="i", subsystem="topics", query="compare_windows",
        parameters=asked.model_dump(mode="json"), asked_ns=T + 130 * NS, deadline_ns=T + 190 * NS, severity=3,
    )  # fmt: skip


def asked(n: int = 0) -> Emit:
    one = inquiry(n)
    return sc.emit(sc.INQUIRIES, one, id=one.id, key=one.incident_id, source="test", event_ns=one.asked_ns)


def made(brokers: str, prefix: str) -> KafkaSettings:
    settings = KafkaSettings(brokers, prefix=prefix)
    kafka.create(kafka.admin(settings), settings, PARTITIONS)
    return settings


def heard(settings: KafkaSettings, n: int, patience_s: float = 120) -> list[tuple[sc.Observation, int]]:
    """The first n observations with their event times; fails if they do not come."""
    consumer: Consumer = kafka.consumer(settings)
    consumer.assign([TopicPartition(real_name(sc.OBSERVATIONS, settings.prefix), 0, 0)])
    found: list[tuple[sc.Observation, int]] = []
    until = time.monotonic() + patience_s
    while len(found) < n:
        assert time.monotonic() < until, f"only {len(found)} of {n} observations came"
        for raw in consumer.consume(10, 0.2):
            if raw.error() is None:
                message = to_message(raw, sc.OBSERVATIONS)
                record = sc.read(message)
                assert isinstance(record, sc.Observation)
                found.append((record, message.event_ns))
    consumer.close()
    return found


class Process:
    """`tidegate investigate` as people start it."""

    def __init__(self, place: Path, document: dict[str, Any], *arguments: str) -> None:
        place.joinpath("settings.yaml").write_text(yaml.safe_dump(document))
        command = [
            sys.executable,
            "-m",
            "tidegate",
            "investigate",
            "--settings",
            str(place / "settings.yaml"),
            *arguments,
        ]
        self.log = place / "log"
        with self.log.open("wb") as out:
            paths = {"PYTHONPATH": str(Path.cwd())}
            self.process = subprocess.Popen(
                [*command, *arguments], stdout=out, stderr=out, cwd=place, env=os.environ | paths
            )

    def __enter__(self) -> "Process":
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()

    def end(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(120)


FOUND = {"asked_before": 0.8, "asked_versions": 0.8, "asked_alone": 0.8}


def strengths(observation: sc.Observation) -> dict[str, float]:
    return {f["kind"]: f["strength"] for f in observation.answer["findings"]}  # type: ignore[index,call-overload,union-attr,misc]


def test_the_reader_finds_points_by_event_time_and_definitions_as_they_come(broker: Broker) -> None:
    settings = made(broker.bootstrap, "reader")
    write(settings, *telemetry())
    reader, d = KafkaTopics(settings), definition("cart", "7")

    async def read() -> None:
        found = await reader.points("default", "cart", [d.id], T, T + 60 * NS)
        assert {s: (len(t), set(v.tolist())) for s, (t, v) in found.items()} == {d.id: (6, {90.0})}
        assert await reader.points("default", "cart", ["0" * 16], T, T + 60 * NS) == {}
        assert [s.labels["version"] for s in await reader.definitions("default", "pay", "errors")] == ["1"]
        later = definition("pay", "2")
        write(settings, sc.emit(sc.SERIES, later, id=later.id, key=later.id, source="test", event_ns=T))
        assert len(await reader.definitions("default", "pay", "errors")) == 2
        answer = await Topics().run(Topics().ask(suspect()), "default", Context(topics=reader))  # type: ignore[arg-type]
        assert {finding.kind: finding.strength for finding in answer.findings} == FOUND

    asyncio.run(read())


def test_a_question_outlasts_brokers_that_are_silent_for_some_seconds(proxied: Cluster) -> None:
    settings = made(proxied.bootstrap, "silent")
    write(settings, *telemetry())
    reader = KafkaTopics(settings)
    proxied.proxy().partition(refuse=False)
    healing = threading.Timer(11, proxied.proxy().heal)
    healing.start()
    answer = asyncio.run(Topics().run(Topics().ask(suspect()), "default", Context(topics=reader)))  # type: ignore[arg-type]
    healing.join()
    assert {finding.kind: finding.strength for finding in answer.findings} == FOUND


def test_a_question_on_the_topic_is_answered_from_the_topics_and_sigterm_ends_it_cleanly(
    broker: Broker, tmp_path: Path
) -> None:
    settings = made(broker.bootstrap, "answers")
    write(settings, *telemetry(), asked())
    document = {"kafka": {"brokers": settings.brokers, "prefix": settings.prefix}}
    with Process(tmp_path, document) as process:
        ((observation, event_ns),) = heard(settings, 1)
        assert (observation.status, strengths(observation)) == ("answered", FOUND), process.log.read_text()[-2000:]
        assert observation.request_sha256 == inquiry().request_sha256 and event_ns == inquiry().asked_ns
        assert process.end() == 0, process.log.read_text()[-2000:]
    assert {path.name for path in tmp_path.iterdir()} == {"settings.yaml", "log"}, "it leaves nothing where it runs"


@pytest.mark.parametrize("via", ["scram", "oauth", "mtls"])
def test_faust_comes_in_by_every_way_with_the_least_it_may_do(secured: Cluster, tmp_path: Path, via: Via) -> None:
    at = secured.security
    root = KafkaSecurity("sasl_ssl", "scram-sha-512", "admin", at.password("admin"), at.ca_file)
    admin = KafkaSettings(secured.client("admin", "scram")["bootstrap.servers"], prefix=f"inv-{via}", security=root)
    kafka.create(kafka.admin(admin), admin, PARTITIONS)
    write(admin, *telemetry(), asked())
    role = _access.roles(Settings())["investigate"]
    kafka.apply(kafka.admin(admin), admin, kafka.acls(role, admin, "User:alice"))
    security = {
        "scram": {"protocol": "sasl_ssl", "mechanism": "scram-sha-512", "username": "alice"},
        "oauth": {"protocol": "sasl_ssl", "mechanism": "oauthbearer", "oauth": {
            "token_url": at.endpoint.url, "client_id": "alice", "client_secret": at.password("alice")}},
        "mtls": {"protocol": "ssl", "cert_file": str(at.place / "alice.crt"), "key_file": str(at.place / "alice.key")},
    }[via] | {"ca_file": str(at.ca_file)} | ({"password": at.password("alice")} if via == "scram" else {})  # fmt: skip
    brokers = secured.client("alice", via)["bootstrap.servers"]
    document = {"kafka": {"brokers": brokers, "prefix": admin.prefix, "security": security}}
    with Process(tmp_path, document) as process:
        try:
            ((observation, _),) = heard(admin, 1)
        except AssertionError as error:
            raise AssertionError(process.log.read_text()[-3000:]) from error
        assert observation.status == "answered", (observation, process.log.read_text()[-3000:])
        assert strengths(observation) == FOUND


def test_stopped_killed_and_rebalanced_in_mid_question_every_incident_ends(broker: Broker, tmp_path: Path) -> None:
    settings = made(broker.bootstrap, "disturbed")
    found = disturb(settings, times=4, query_s=1.5, seed=3, logs=tmp_path)
    assert found["ended"] == found["incidents"] == 4, json.dumps(found)
    assert found["pending"] == found["without_diagnosis"] == 0 and found["observations_read"] >= 4, json.dumps(found)
