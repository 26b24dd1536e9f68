"""Whoever has no Kafka is told why and what to do."""

from pathlib import Path

import pytest
from support.kafka import Broker

from tools.kafka import jars
from tools.kafka.jars import KafkaUnavailable


@pytest.fixture
def nothing_fetched(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An empty cache, and a PATH with an empty folder."""
    monkeypatch.setattr(jars, "CACHE", tmp_path / "cache")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    return tmp_path


def program(place: Path, script: str) -> None:
    place.write_text(f"#!/bin/sh\n{script}\n")
    place.chmod(0o755)


def test_no_java(nothing_fetched: Path) -> None:
    with pytest.raises(KafkaUnavailable, match=r"no java in the PATH.*apt-get install openjdk"):
        jars.java()


def test_java_too_old(nothing_fetched: Path) -> None:
    program(nothing_fetched / "java", "echo 'openjdk version \"11.0.2\"' >&2")
    with pytest.raises(KafkaUnavailable, match=r"needs Java 17 or newer.*11\.0\.2"):
        jars.java()


def test_no_maven(nothing_fetched: Path) -> None:
    with pytest.raises(KafkaUnavailable, match=r"no mvn in the PATH.*apt-get install maven"):
        jars.jars()


def test_maven_fails_and_its_words_are_shown(nothing_fetched: Path) -> None:
    program(nothing_fetched / "mvn", "echo '[ERROR] no route to host'; exit 1")
    with pytest.raises(KafkaUnavailable, match=r"no route to host"):
        jars.jars()


def test_a_server_that_dies_shows_the_end_of_its_log() -> None:
    broker = Broker(settings={"num.network.threads": "none"})
    with pytest.raises(KafkaUnavailable, match=r"num\.network\.threads"):
        broker.start()
    broker.close()


def test_maven_fetches_once() -> None:
    assert jars.jars() == jars.jars() and list(jars.jars().glob("kafka_2.13-*.jar"))
