"""What is changed afterwards (topology, policies, calibration) does not change what an old stretch says."""

import base64
import json
import zlib

import pytest
from typer.testing import CliRunner

import schemas as sc
from schemas.core import NS
from simulation import BadDeploy, shop
from streams import MemoryLog, Recording, RecordingWriter
from tidegate import _as_of, _as_of_kafka, _pipeline, _replay, _run
from tidegate._errors import NotFoundError, RunError
from tidegate._live import Live
from tidegate._settings import Settings
from tidegate.cli import app


def call(*words):
    answer = CliRunner().invoke(app, [*map(str, words), "--json"])
    assert answer.exit_code == 0, answer.output
    return json.loads(answer.output.splitlines()[-1])


def replayed(stretch, run, *words):
    return call("replay", stretch, "--from-stage", "diagnose", "--run", run, *words)


@pytest.fixture(scope="module")
def old(tmp_path_factory):
    """A stretch, what was said of it by settings of the time, and where both lie."""
    place = tmp_path_factory.mktemp("as-of")
    log, messages = MemoryLog(), []
    fault = BadDeploy(at_s=240, error_ratio=0.5, innocent_s=60)
    for emit in shop(5, 1_767_268_800 * NS, 420, fault=fault, rate=10):
        log.append([emit], writer="shop")
        messages.append(log.read([emit.topic], log.last() - 1, 1)[0].message)
    _run.save(_replay.replay(messages, _pipeline.build(Settings())), place / "made")
    stretch = told_later(place / "made", 1800, edge("some", "other"), place / "stretch")  # the incident is over by then
    settings = place / "settings.yaml"
    curve = _pipeline.load_calibration(None)
    (place / "curve.json").write_bytes(curve.to_bytes())
    (place / "policies").mkdir()
    for name, text in _pipeline.texts(None, "policies").items():
        (place / "policies" / name.rpartition("/")[2]).write_text(text)
    settings.write_text(f"diagnosis: {{calibrations: {{default: {place}/curve.json}}}}\n"
                        f"actions: {{policies: {place}/policies, critical_services: [checkout]}}\n")  # fmt: skip
    said = replayed(stretch, place / "then", "--settings", settings)
    return place, stretch, settings, said["digest"]


def edge(caller, callee):
    return sc.TopologyEdge(id=f"{caller}>{callee}", caller=f"default/service/{caller}",
                           callee=f"default/service/{callee}", first_ns=0, last_ns=0)  # fmt: skip


def told_later(stretch, after_s, record, place):
    """A longer recording: what was there, and an edge that was learned so long after its end."""
    messages = list(Recording.open(stretch).messages())
    at = max(message.received_ns for message in messages) + after_s * NS
    record = record.model_copy(update={"first_ns": at, "last_ns": at})
    emit = sc.emit(sc.TOPOLOGY, record, id=record.id, key=record.id, source="test", event_ns=at)
    with RecordingWriter(place, created_by="test") as writer:
        for message in messages:
            writer.append(message)
        offset = sum(message.topic == emit.topic for message in messages)
        writer.append(sc.core.Message(emit.topic, 0, offset, emit.key, emit.value, emit.headers, at, at))
    return place


def changed(place, stretch):
    """Another curve, another policy, and topology that was learned an hour later."""
    curve = _pipeline.load_calibration(None)
    slower = curve.model_copy(update={"parameters": [0.5 * p for p in curve.parameters]})
    (place / "curve.json").write_bytes(slower.to_bytes())
    policy = place / "policies" / "default.yaml"
    policy.write_text(policy.read_text().replace("reason: TRANSFERRED", "reason: CHANGED"))
    return told_later(stretch, 3600, edge("catalogue", "checkout"), place / "longer")


def test_policy_calibration_and_topology_of_later_leave_the_old_digest_as_it_was(old):
    place, stretch, settings, digest = old
    longer = changed(place, stretch)
    by_now = replayed(longer, place / "now", "--settings", settings)
    assert by_now["digest"] != digest and by_now["actions"][-1]["decision"]["reason"] == "CHANGED"
    again = replayed(longer, place / "again", "--settings", settings, "--as-of", place / "then")
    assert again["digest"] == digest
    assert replayed(longer, place / "last", "--as-of", place / "again" / _as_of.FILE)["digest"] == digest
    assert replayed(longer, place / "a")["digest"] == replayed(stretch, place / "b")["digest"] != digest


def test_up_keeps_what_was_in_force_and_what_was_before(tmp_path):
    for emit_p in (1e-3, 1e-4, 1e-4):
        Live(tmp_path, Settings.model_validate({"detection": {"emit_p": emit_p}})).close()
    kept = sorted(file.name for file in tmp_path.glob("as-of*.json"))
    assert len(kept) == 2
    found = []
    for name in kept:
        with _as_of.settings_of(tmp_path / name) as settings:
            found.append(settings.detection.emit_p)
    assert sorted(found) == [1e-4, 1e-3]


def test_no_secret_is_kept(tmp_path):
    said = {"kafka": {"brokers": "b:1"}, "actions": {"opa": {"url": "http://user:hush@opa", "token": "hush"}},
            "investigate": {"postgres": {"dsn": "host=x password=hush"}, "loki": {"url": "http://l", "token": "hush"}},
            "diagnosis": {"investigate": True}}  # fmt: skip
    settings = Settings.model_validate(said)
    _as_of.write(_as_of.kept(settings), tmp_path)
    assert "hush" not in (tmp_path / _as_of.FILE).read_text()
    with pytest.raises(RunError) as refused, _as_of.settings_of(tmp_path):
        pass
    assert refused.value.code == "AS_OF_OPA"


def test_the_same_subsystems_are_asked_about(tmp_path):
    said = {"investigate": {"loki": {"url": "http://l"}, "git": {"clone": "/c"}}, "diagnosis": {"investigate": True}}
    settings = Settings.model_validate(said)
    _as_of.write(_as_of.kept(settings), tmp_path)
    with _as_of.settings_of(tmp_path) as found:
        assert _pipeline.asked(found).keys() == _pipeline.asked(settings).keys()
        assert _as_of.kept(found)["files"] == _as_of.kept(settings)["files"]


def test_what_was_changed_or_is_none_is_refused(tmp_path):
    _as_of.write(_as_of.kept(Settings()), tmp_path)
    file = tmp_path / _as_of.FILE
    document = json.loads(file.read_text())
    document["files"]["calibration"]["text"] += " "
    for text, code in ((json.dumps(document), "AS_OF_CHANGED"), ("{}", "AS_OF_UNREADABLE"), ("", "AS_OF_UNREADABLE")):
        file.write_text(text)
        with pytest.raises(RunError) as refused, _as_of.settings_of(tmp_path):
            pass
        assert refused.value.code == code


def in_force(at, text):
    data = text.encode()
    packed = base64.b64encode(zlib.compress(data)).decode()
    return sc.InForce(id=f"i{at}", at_ns=at, code="0", shaped_by="s", sha256=sc.sha256(data), document=packed)


def test_of_what_was_in_force_on_kafka_the_last_before_the_end_counts_or_the_one_that_is_named():
    first, second, back = in_force(10, "a"), in_force(20, "b"), in_force(30, "a")
    known = [first, second, back]
    for until, right in ((5, first), (10, first), (29, second), (30, back), (0, back)):
        assert _as_of_kafka.chosen(known, "kafka", until) is right
    assert _as_of_kafka.chosen(known, f"kafka:{second.sha256[7:15]}", 5) is second
    assert _as_of_kafka.data_of(back) == b"a"
    for name, where in (("kafka:zz", known), ("kafka", [])):
        with pytest.raises(NotFoundError):
            _as_of_kafka.chosen(where, name)
