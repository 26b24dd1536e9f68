"""The command line as a person or a script meets it: sentences, codes, exit codes, one JSON object."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from schemas.core import NS
from simulation import BadDeploy, shop
from streams import MemoryLog, RecordingWriter
from tidegate import _demo

ROOT = Path(__file__).resolve().parents[2]


def tidegate(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from tidegate.cli import main; main()", *words]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=240)


def last_json(done: subprocess.CompletedProcess[str]) -> dict:
    return json.loads(done.stdout.strip().splitlines()[-1])


@pytest.fixture(scope="module")
def recording(tmp_path_factory) -> Path:
    """Six minutes of the shop with a deploy in the fourth: small, real bytes."""
    place = tmp_path_factory.mktemp("recording") / "shop"
    log = MemoryLog()
    with RecordingWriter(place, created_by="test") as writer:
        for emit in shop(
            3, 1_767_268_800 * NS, 360, fault=BadDeploy(at_s=200, error_ratio=0.5, innocent_s=60), rate=12
        ):
            log.append([emit], writer="shop")
            writer.append(log.read([emit.topic], log.last() - 1, 1)[0].message)
    return place


@pytest.fixture(scope="module")
def replayed(recording, tmp_path_factory) -> tuple[dict, Path]:
    place = tmp_path_factory.mktemp("run")
    done = tidegate("replay", str(recording), "--run", str(place / "run"), "--json", cwd=place)
    assert done.returncode == 0, done.stderr
    return last_json(done), place / "run"


def test_replay_prints_the_keys_that_others_rely_on(replayed):
    document, _ = replayed
    assert {"digest", "messages", "samples", "event_time_s", "cpu_s", "incidents", "actions"} <= set(document)
    assert set(document["samples"]) >= {"decoded", "processed", "duplicate", "late", "rejected"}
    incident = document["incidents"][0]
    assert set(incident) >= {"id", "opened", "entities", "severity", "abstained", "hypotheses"}
    hypothesis = incident["hypotheses"][0]
    assert set(hypothesis) >= {"cause", "confidence", "confidence_state", "interval", "reason", "evidence"}
    assert set(hypothesis["cause"]) == {"entity", "entity_id", "family", "change"}
    assert set(hypothesis["evidence"][0]) == {"kind", "for", "weight", "text", "pointer"}


def test_the_demo_names_the_first_anomaly_by_its_place_in_the_code_and_not_by_a_dictionary():
    assert _demo._series({"severity": "ERROR", "location": "a/B.java:57", "text": "<*>"}) == "ERROR a/B.java:57"
    assert _demo._series({"route": "/cart", "code": "500"}) == "route=/cart, code=500"


def test_a_confidence_is_null_or_says_that_it_was_fitted_on_public_data_and_permits_nothing(replayed):
    document, _ = replayed
    hypotheses = [h for i in document["incidents"] for h in i["hypotheses"]]
    assert {h["confidence_state"] for h in hypotheses} <= {"UNCALIBRATED", "TRANSFERRED"}
    assert all((h["confidence"] is None) == (h["confidence_state"] == "UNCALIBRATED") for h in hypotheses)
    assert {a["decision"]["effect"] for a in document["actions"]} <= {"advise", "deny"}


def test_the_same_recording_replays_to_the_same_digest(recording, replayed, tmp_path):
    again = tidegate("replay", str(recording), "--run", "again", "--json", cwd=tmp_path)
    assert last_json(again)["digest"] == replayed[0]["digest"]


def test_a_run_can_be_replayed_from_its_own_anomalies(replayed, tmp_path):
    """The run directory is a recording: diagnosis and decision run again on what detection said."""
    document, run = replayed
    again = tidegate("replay", str(run), "--from-stage", "diagnose", "--run", "again", "--json", cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert last_json(again)["digest"] == document["digest"]


def test_explain_says_what_an_incident_rests_on(replayed, tmp_path):
    document, run = replayed
    found = last_json(
        tidegate("explain", document["incidents"][0]["id"][:8], "--run", str(run), "--json", cwd=tmp_path)
    )
    assert set(found) >= {"samples", "log_lines", "spans", "changes", "policies", "people", "versions", "ages_s"}
    assert found["spans"] + found["log_lines"] + found["samples"] > 0
    assert found["people"] == []


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (["replay", "nowhere"], 3, "nowhere: there is no recording here"),
        (["explain", "--run", "nowhere"], 3, "there is no run here"),
        (["import", "nezah", "x", "--out", "y"], 3, "there is no importer 'nezah'"),
        (["replay", "x", "--from-stage", "detcet"], 3, "there is no stage 'detcet'"),
        (["replay", "x", "--settings", "typo.yaml"], 3, "setting 'streams.latenes_s'. Did you mean 'lateness_s'?"),
        (["replya"], 2, "No such command 'replya'"),
        (["replay", "x", "--speeed", "3"], 2, "No such option"),
    ],
)  # fmt: skip
def test_what_goes_wrong_is_one_sentence_with_a_code_and_never_a_traceback(words, code, sentence, tmp_path):
    (tmp_path / "typo.yaml").write_text("streams: {latenes_s: 5}\n")
    done = tidegate(*words, cwd=tmp_path)
    assert done.returncode == code
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr


def test_with_json_a_failure_is_an_object_too(tmp_path):
    done = tidegate("replay", "nowhere", "--json", cwd=tmp_path)
    assert last_json(done)["error"]["code"].startswith("RECORDING")


def test_a_recording_cut_short_is_refused_with_what_to_do(recording, tmp_path):
    copy = tmp_path / "cut"
    copy.mkdir()
    for file in recording.iterdir():
        data = file.read_bytes()
        (copy / file.name).write_bytes(data if file.suffix == ".json" else data[: len(data) // 2])
    done = tidegate("replay", str(copy), cwd=tmp_path)
    assert done.returncode == 3
    assert "RECORDING_CUT_SHORT" in done.stderr


def test_an_unknown_column_of_a_csv_is_named_with_the_ones_there_are(tmp_path):
    (tmp_path / "a.csv").write_text("timestamp,value\n1,2\n")
    done = tidegate("import", "csv", "a.csv", "--out", "r", "-o", "value=valeu", cwd=tmp_path)
    assert done.returncode == 3
    assert "valeu" in done.stderr and "value" in done.stderr


def test_poison_is_listed_and_tried_again_without_any_stage_that_could_act(tmp_path):
    (tmp_path / "a.csv").write_text(
        "timestamp,value\n" + "".join(f"{1_700_000_000 + i},{i}\n" for i in range(50)) + "x,y\n"
    )
    tidegate("import", "csv", "a.csv", "--out", "r", cwd=tmp_path)
    listed = last_json(tidegate("dead-letters", "list", "r", "--json", cwd=tmp_path))
    assert (listed["letters"], listed["rows"][0]["source"] != "") == (1, True)
    again = last_json(tidegate("dead-letters", "replay", "r", "--json", cwd=tmp_path))
    assert again["stages"] == ["normalise", "derive-logs", "derive-spans", "detect"]


def test_doctor_says_what_is_here_and_what_to_type(tmp_path):
    done = tidegate("doctor", "--json", cwd=tmp_path)
    rows = {row["what"]: row for row in last_json(done)["rows"]}
    assert done.returncode == 0
    assert rows["last run"]["todo"] == "tidegate demo"


@pytest.mark.parametrize("what", ["policy", "runbook"])
def test_shipped_policies_and_runbooks_hold_their_cases(what, tmp_path):
    assert last_json(tidegate(what, "check", "--json", cwd=tmp_path))["errors"] == []
    cases = last_json(tidegate(what, "test", "--json", cwd=tmp_path))["cases"]
    assert cases["passed"] > 0 and cases["failed"] == 0


def test_every_format_is_compatible_with_every_committed_version():
    done = tidegate("schema", "check", "--json", cwd=ROOT)
    assert last_json(done)["errors"] == [], "if a record changed on purpose: tidegate schema render"
