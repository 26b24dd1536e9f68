"""`tidegate label` and `tidegate calibration` on real runs."""

import json
import xml.etree.ElementTree as ET

import pytest
from support.cli import call
from typer.testing import CliRunner

from schemas import CalibrationMap
from tidegate import _demo, _run
from tidegate._labels import Place
from tidegate._live import Live
from tidegate._settings import Settings
from tidegate.cli import app


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    place = tmp_path_factory.mktemp("label") / "run"
    _demo.demo(7, place, quiet=True)
    return place


@pytest.fixture
def run(made, tmp_path):
    place = tmp_path / "run"
    place.mkdir()
    for file in made.iterdir():
        (place / file.name).write_bytes(file.read_bytes())
    return place


def incident(run):
    return next(iter(_run.read(run).diagnoses))


def test_a_label_is_kept_with_the_run_and_shows_in_the_calibration(run):
    written = call("label", incident(run)[:8], "--cause", "checkout", "--by", "ada", "--run", str(run))
    assert written["coverage"]["judging"] == 1 and written["labels"][0]["said_by"] == "ada"
    shown = call("calibration", "show", "--run", str(run))["tenants"]["default"]
    assert shown["n"] == 1 and shown["needed_for_own"] == 49 and shown["risk_coverage"][0]["wrong"]["value"] == 0.0


def test_a_new_replay_into_the_directory_keeps_what_people_said(run):
    call("label", incident(run), "--no-fault", "--run", str(run))
    kept = _run.read(run)
    _demo.demo(7, run, quiet=True)
    assert [one.verdict for one in Place(run).read().labels] == ["no_fault"]
    assert _run.read(run).incidents.keys() == kept.incidents.keys()


def test_a_misspelt_cause_is_refused_with_the_nearest(run):
    answer = CliRunner().invoke(app, ["label", incident(run), "--cause", "chekout", "--run", str(run)])
    assert answer.exit_code != 0 and "checkout" in str(answer.exception) and not Place(run).read().labels


@pytest.mark.parametrize("words", [(), ("--no-fault", "--unknown")])
def test_exactly_one_thing_is_said_of_a_cause(run, words):
    answer = CliRunner().invoke(app, ["label", incident(run), *words, "--run", str(run)])
    assert getattr(answer.exception, "code", "") == "SETTINGS_INVALID"


def test_resolved_tickets_are_matched_by_service_and_time_and_only_once(run, tmp_path):
    opened = next(iter(_run.read(run).diagnoses.values())).opened_ns // 10**9
    lines = [
        {"ticket": "INC1", "service": "checkout", "opened": str(opened + 60), "resolved": str(opened + 900),
         "cause": "checkout", "family": "change"},
        {"ticket": "INC2", "service": "checkout", "opened": str(opened - 9000), "resolved": str(opened)},
    ]  # fmt: skip
    file = tmp_path / "tickets.jsonl"
    file.write_text("\n".join(json.dumps(line) for line in lines))
    first, again = (call("label", "--tickets", str(file), "--run", str(run)) for _ in range(2))
    assert [one["said_by"] for one in first["labels"]] == ["INC1"] and first["unmatched"] == {"INC2": "NO_INCIDENT"}
    assert again["labels"] == [] and again["coverage"]["by_basis"] == {"ticket": 1}


def test_a_picture_is_whole_xml_and_says_its_numbers(run, tmp_path):
    call("label", incident(run), "--cause", "checkout", "--run", str(run))
    call("calibration", "show", "--run", str(run), "--svg", str(tmp_path / "c.svg"))
    text = (tmp_path / "c.svg").read_text(encoding="utf-8")
    assert ET.fromstring(text).tag.endswith("svg") and "1 outcomes; ECE" in text and "script" not in text


def test_few_own_outcomes_move_the_curve_a_little_and_it_stays_advice(run, tmp_path):
    call("label", incident(run), "--not", "checkout", "--run", str(run))
    row = call("calibration", "fit", "--run", str(run), "--out", str(tmp_path))["tenants"]["default"]
    curve = CalibrationMap.from_bytes((tmp_path / "calibration-default.json").read_bytes(), strict=True)
    assert row["state"] == "TRANSFERRED" == curve.state and curve.outcomes == 1


def test_a_label_goes_into_the_log_of_a_running_process(tmp_path):
    live = Live(tmp_path, Settings())
    try:
        Place(tmp_path).write([_label()], 5)
        live.pump()
        live.snapshot()
        assert [one.id for one in Place(tmp_path).read().labels] == ["l"]
    finally:
        live.close()
    Live(tmp_path, Settings()).close()


def _label():
    from schemas import Label

    return Label(id="l", incident_id="i", verdict="no_fault", said_by="ada", said_ns=1)
