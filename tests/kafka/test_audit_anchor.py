"""Checkpoints on the topic of the audit log: a cut log is found by them, and a stranger's record counts for nothing."""

import json
from pathlib import Path

from confluent_kafka import Producer
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from support.kafka import Broker
from typer.testing import CliRunner

from actions._saga import Plan, Step
from bench._approval_office import Office, change
from streams import KafkaSettings
from tidegate._anchor_kafka import KafkaAnchor, anchored
from tidegate._audit_follow import Follower
from tidegate._audit_log import AuditLog
from tidegate.cli import app

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))


def test_a_log_that_was_cut_with_its_checkpoints_is_found_by_the_topic(broker: Broker, tmp_path: Path) -> None:
    settings, office = KafkaSettings(broker.bootstrap, prefix="anchored"), Office(tmp_path / "ledger")
    topic = broker.topic("anchored.audit.v1")
    with AuditLog(tmp_path / "log", KEY, origin="tidegate/test") as log:
        follower = Follower(log, [KafkaAnchor(settings)])
        follower.follow(office.ledger, now=True)
        whole = [(tmp_path / "log" / name).read_bytes() for name in ("entries.jsonl", "checkpoints.jsonl")]
        office.wait(Plan((Step(change(9), "conditional"),)))
        assert follower.follow(office.ledger, now=True).failed == {}
    stranger = Producer({"bootstrap.servers": broker.bootstrap})
    stranger.produce(topic, b"noise", partition=0)
    stranger.flush(10)
    done = CliRunner().invoke(app, ["audit", "anchors", "--out", str(tmp_path / "seen"), "--brokers", broker.bootstrap,
                                    "--settings", str(prefixed(tmp_path)), "--json"])  # fmt: skip
    assert json.loads(done.stdout)["checkpoints"] == 2 == len(anchored(settings))
    verify = ["audit", "verify", "--log", str(tmp_path / "log"), "--anchor", str(tmp_path / "seen"), "--json"]
    assert CliRunner().invoke(app, verify).exit_code == 0
    for name, data in zip(("entries.jsonl", "checkpoints.jsonl"), whole, strict=True):
        (tmp_path / "log" / name).write_bytes(data)
    found = CliRunner().invoke(app, verify)
    assert found.exit_code == 2 and json.loads(found.stdout)["reason"] == "CUT_OFF"


def prefixed(tmp_path: Path) -> Path:
    (tmp_path / "tidegate.yaml").write_text("kafka: {prefix: anchored}\n")
    return tmp_path / "tidegate.yaml"


def test_brokers_that_are_away_are_a_failed_anchor(tmp_path: Path) -> None:
    office = Office(tmp_path / "ledger")
    with AuditLog(tmp_path / "log", KEY, origin="tidegate/test") as log:
        anchor = KafkaAnchor(KafkaSettings("127.0.0.1:1", prefix="away"), patience_s=1.0)
        failed = Follower(log, [anchor]).follow(office.ledger, now=True).failed
    assert "not acknowledged" in failed["kafka"]
