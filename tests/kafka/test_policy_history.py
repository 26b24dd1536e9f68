"""Decisions that lie on Kafka are explained and judged again as those of a run are."""

import json
from pathlib import Path
from typing import Any

from confluent_kafka import Producer
from support.decisions import AT, decided
from support.kafka import Broker
from typer.testing import CliRunner

import schemas as sc
from schemas.core import NS
from streams._kafka_messages import played_headers
from tidegate.cli import app


def told(*words: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(CliRunner().invoke(app, [*words, "--json"]).stdout.strip().splitlines()[-1])
    return found


def test_what_was_decided_on_kafka_is_explained_and_judged_again(broker: Broker, tmp_path: Path) -> None:
    broker.topic("judged.actions.v1", 1)
    producer = Producer(broker.client())
    for message in decided():
        if message.topic == sc.ACTIONS:
            producer.produce("judged.actions.v1", message.value, key=message.key, headers=played_headers(message))
    assert producer.flush(120) == 0
    settings = tmp_path / "settings.yaml"
    settings.write_text("kafka: {prefix: judged}\n")
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "a.yaml").write_text(
        "rules:\n  - {id: never, when: 'true', effect: deny, reason: NEVER, text: t}\ncases: []\n"
    )
    place = ["--brokers", broker.bootstrap, "--settings", str(settings)]
    (row,) = told("policy", "explain", "i1", *place)["decisions"]
    assert (row["decision"]["reason"], row["snapshot_state"]) == ("UNCALIBRATED", "as judged")
    again = told("policy", "simulate", "--policies", str(tmp_path / "rules"), *place)
    assert (again["decisions"], again["transitions"]) == (1, {"advise -> deny": 1})
    assert told("policy", "simulate", "--from", str(AT // NS + 1), *place)["decisions"] == 0
