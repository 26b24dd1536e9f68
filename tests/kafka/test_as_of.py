"""What is changed after a stretch on Kafka (topology, policies, calibration) does not change what it says again."""

import json
from pathlib import Path
from typing import Any

import pytest
from support.kafka import Broker
from support.pipeline import Deployed, recorded_shop
from typer.testing import CliRunner

import schemas as sc
from schemas.core import NS
from streams import kafka
from tidegate import _as_of, _as_of_kafka, _history, _pipeline
from tidegate._shards import deployment
from tidegate.cli import app

END_NS = max(message.event_ns for message in recorded_shop())


def told(*words: object) -> dict[str, Any]:
    answer = CliRunner().invoke(app, [*map(str, words), "--json"])
    assert answer.exit_code == 0, answer.output
    found: dict[str, Any] = json.loads(answer.stdout.strip().splitlines()[-1])
    return found


def settled(place: Path) -> dict[str, Any]:
    """Settings of diagnosis and actions whose curve and policies lie in files, to be changed in place."""
    (place / "curve.json").write_bytes(_pipeline.load_calibration(None).to_bytes())
    (place / "policies").mkdir()
    for name, text in _pipeline.texts(None, "policies").items():
        (place / "policies" / Path(name).name).write_text(text)
    return {
        "diagnosis": {"calibration": str(place / "curve.json")},
        "actions": {"policies": str(place / "policies"), "critical_services": ["checkout"]},
    }


def changed(place: Path) -> None:
    curve = _pipeline.load_calibration(None)
    halved = curve.model_copy(update={"parameters": [0.5 * p for p in curve.parameters]})
    (place / "curve.json").write_bytes(halved.to_bytes())
    policy = place / "policies" / "default.yaml"
    policy.write_text(policy.read_text().replace("reason: TRANSFERRED", "reason: CHANGED"))


def learned(on: Deployed, after_s: int, caller: str, callee: str) -> None:
    """So long after the end of the shop: that one calls the other."""
    at_ns = END_NS + after_s * NS
    edge = sc.TopologyEdge(id=f"{caller}>{callee}", caller=f"default/service/{caller}",
                           callee=f"default/service/{callee}", first_ns=at_ns, last_ns=at_ns)  # fmt: skip
    emit = sc.emit(sc.TOPOLOGY, edge, id=edge.id, key=edge.id, source="test", event_ns=at_ns)
    with kafka.KafkaWriter(on.kafka) as writer:
        writer.write(sc.core.Message(emit.topic, 0, 0, emit.key, emit.value, emit.headers, at_ns, at_ns), 0)


@pytest.fixture
def broker() -> Any:
    """Of its own: topics of collectors have no prefix."""
    with Broker() as found:
        yield found


def test_policy_calibration_and_topology_of_later_leave_a_stretch_as_it_was(broker: Broker, tmp_path: Path) -> None:
    one = Deployed(broker, tmp_path, prefix="asof", partitions=1, **settled(tmp_path))
    one.play(recorded_shop(partitions=1))
    try:
        one.start()
        one.wait(lambda _: one.has_ended())
        one.stop()
    finally:
        one.kill()
    live, place = one.run().digest, ["--brokers", broker.bootstrap, "--settings", one.file]
    stretch = [*place, "--from-stage", "diagnose", "--to", END_NS // NS + 7200]
    assert told("replay", *stretch, "--run", tmp_path / "a")["digest"] == live
    learned(one, 1800, "some", "other")  # time goes on, and what was open is over
    then = told("replay", *stretch, "--run", tmp_path / "b")["digest"]
    learned(one, 3600, "catalogue", "checkout")
    changed(tmp_path)
    by_now = told("replay", *stretch, "--run", tmp_path / "c")
    assert by_now["digest"] != then and by_now["actions"][-1]["decision"]["reason"] == "CHANGED"
    assert told("replay", *stretch, "--run", tmp_path / "d", "--as-of", "kafka")["digest"] == then
    told("record", "--out", tmp_path / "recording", *place)
    kept = told("replay", tmp_path / "recording", "--from-stage", "diagnose", "--run", tmp_path / "e",
                "--as-of", tmp_path / "recording")  # fmt: skip
    assert kept["digest"] == then
    with _history.open_history(one.settings, "") as history:
        (record,) = _as_of_kafka.found(history)
    assert _as_of.data_of(json.loads(_as_of_kafka.data_of(record))) == _as_of_kafka.data_of(record)


def test_processes_say_what_is_in_force_once_and_again_where_it_changed(broker: Broker, tmp_path: Path) -> None:
    one = Deployed(broker, tmp_path, prefix="asof", partitions=1, **settled(tmp_path))
    deployed, said = deployment(one.settings), list[str]()

    def tell(at_ns: int) -> None:
        _as_of_kafka.tell(one.settings, deployed, lambda text, **facts: said.append(text), lambda: at_ns)

    tell(1)
    tell(2)
    changed(tmp_path)
    tell(3)
    with _history.open_history(one.settings, "") as history:
        assert [record.at_ns for record in _as_of_kafka.found(history)] == [1, 3]
    assert said == ["what is in force was kept"] * 2
