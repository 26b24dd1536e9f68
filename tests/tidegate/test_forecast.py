"""`tidegate forecast` on an imported file: the whole way from rows to an interval."""

import json
from datetime import UTC, datetime
from functools import cache

import numpy as np
import pytest
from support.up import Clock, feed, shop_emits
from typer.testing import CliRunner

import schemas as sc
from diagnosis import Standing
from learning import Outcome, fit_calibration
from schemas import CalibrationMap
from schemas.core import NS, Emit
from streams import EmbeddedLog, Recording
from streams._plan import plan
from tidegate import _forecasting, _pipeline
from tidegate._live import LOG, Live
from tidegate._replay import replay
from tidegate._settings import Settings
from tidegate.cli import app

DAYS, STEP_S = 9, 300
BEGIN = 1_767_571_200


def run(*arguments):
    return CliRunner().invoke(app, ["forecast", *map(str, arguments)])


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    place = tmp_path_factory.mktemp("forecast")
    rng, n = np.random.default_rng(0), DAYS * 86_400 // STEP_S
    load = 100 + 40 * np.sin(2 * np.pi * np.arange(n) * STEP_S / 86_400) + rng.normal(0, 2, n)
    rows = ["timestamp,value"]
    for i, value in enumerate(load):
        rows.append(f"{datetime.fromtimestamp(BEGIN + i * STEP_S, UTC).isoformat()},{value:.4f}")
    (place / "load.csv").write_text("\n".join(rows))
    answer = CliRunner().invoke(app, ["import", "csv", str(place / "load.csv"), "--out", str(place / "r"), "--json"])
    assert answer.exit_code == 0, answer.output
    return place / "r"


def test_a_daily_course_is_forecast_within_its_interval(recording):
    answer = run(recording, "--quick", "--jobs", 1, "--json")
    (row,) = json.loads(answer.output.splitlines()[-1])["rows"]
    ahead = DAYS * 86_400 + 600
    truth = 100 + 40 * np.sin(2 * np.pi * ahead / 86_400)
    assert row["model"] in ("profile", "last_value") and row["ahead_s"] == 900
    assert row["low"] < truth < row["high"] < row["low"] + 20
    assert row["loss"] < row["naive_loss"]


def test_what_does_not_match_is_left_out_and_said(recording):
    assert "No series matches" in run(recording, "--quick", "--series", "no-such").output


def test_too_little_history_is_a_row_with_its_reason():
    row = _forecasting._forecast(np.arange(5) * 10**9, np.ones(5), [], _forecasting.Wanted(quick=True))
    assert row == {"model": None, "reason": "TOO_LITTLE_HISTORY"}


def test_a_recording_and_a_broker_together_are_a_sentence(recording):
    answer = run(recording, "--brokers", "127.0.0.1:1", "--quick")
    assert answer.exit_code != 0 and "--brokers" in str(answer.exception)


def test_a_row_is_a_record_that_says_when_and_how_sure(recording):
    (row,) = json.loads(run(recording, "--quick", "--jobs", 1, "--json").output.splitlines()[-1])["rows"]
    record = _forecasting.record_of(row)
    assert (record.at_ns - record.as_of_ns, record.step_s) == (900 * 10**9, STEP_S)
    assert record.low < record.expected < record.high and record.series == row["series"]
    assert _forecasting.record_of({"model": None, "reason": "FIT_FAILED"}) is None


def test_a_recording_is_not_published(recording):
    answer = run(recording, "--quick", "--publish")
    assert answer.exit_code != 0 and "--publish" in str(answer.exception)


LIMITED = {
    "forecasts": {"limits": [{"service": "payment", "metric": "rate", "most": 400}]},
    "actions": {"services": {"payment": {"kubernetes": {
        "namespace": "shop", "deployment": "payment", "replicas": 4, "replicas_raised": 6,
    }}}},
}  # fmt: skip
KNOWN = """
forecasts:
  limits:
    - {{service: {service}, metric: {name}, most: {most}}}
  {calibration}
actions:
  executors: [kubernetes.scale]
  services:
    {service}:
      tier: {tier}
      kubernetes: {{namespace: shop, deployment: load, replicas: 4, replicas_raised: 6}}
"""


def settled(tmp_path, reached, n):
    """Settings line of a map of so many foreseen limits, of which so many were reached."""
    found = [Outcome(f"{i}", f"{i}", Standing(i % 7 / 2), i % n < reached) for i in range(n)]
    (tmp_path / "map.json").write_bytes(fit_calibration(found, data="test", own=True).to_bytes())
    return f"calibration: {tmp_path / 'map.json'}"


@cache
def row_of(recording):
    return json.loads(run(recording, "--quick", "--jobs", 1, "--json").output.splitlines()[-1])["rows"][0]


def foreseen(recording, tmp_path, most, tier="standard", calibration="", words=()):
    """What `tidegate forecast` says with a limit, from the rows of the file to the decision."""
    row = row_of(recording)
    settings = tmp_path / "settings.yaml"
    known = {"service": row["service"], "name": row["name"], "most": most, "tier": tier, "calibration": calibration}
    settings.write_text(KNOWN.format(**known))
    told = run(recording, "--quick", "--jobs", 1, "--json", "--settings", settings, *words)
    return json.loads(told.output.splitlines()[-1]) if told.exit_code == 0 else told.exception


def test_what_is_foreseen_without_outcomes_of_ones_own_is_advice(recording, tmp_path):
    told = foreseen(recording, tmp_path, most=80)
    (incident,), (action,) = told["incidents"], told["actions"]
    (hypothesis,) = incident["hypotheses"]
    assert (hypothesis["cause"]["family"], hypothesis["confidence"]) == ("load_ahead", None)
    assert (action["verb"], action["state"], action["decision"]["reason"]) == (
        "kubernetes.scale", "advised", "UNCALIBRATED",
    )  # fmt: skip


def test_a_limit_that_will_be_reached_leads_to_more_replicas_through_the_same_gate(recording, tmp_path):
    told = foreseen(recording, tmp_path, most=80, calibration=settled(tmp_path, 190, 200))
    (incident,), (action,) = told["incidents"], told["actions"]
    (hypothesis,) = incident["hypotheses"]
    assert hypothesis["confidence"] > 0.9 and hypothesis["confidence_state"] == "OWN"
    assert (action["state"], action["decision"]["reason"]) == ("approved", "HIGH_CONFIDENCE")
    assert action["change"]["parameters"]["to_replicas"] == 6 and action["change"]["revert_after_s"] == 7200


def test_for_a_critical_service_a_person_decides_about_what_is_foreseen_too(recording, tmp_path):
    told = foreseen(recording, tmp_path, most=80, tier="critical", calibration=settled(tmp_path, 190, 200))
    assert [(a["state"], a["decision"]["reason"]) for a in told["actions"]] == [
        ("awaiting_approval", "CRITICAL_SERVICE")
    ]


def test_where_half_of_what_was_foreseen_never_came_nothing_is_done(recording, tmp_path):
    told = foreseen(recording, tmp_path, most=80, calibration=settled(tmp_path, 100, 200))
    assert [(a["state"], a["decision"]["reason"]) for a in told["actions"]] == [("denied", "LOW_CONFIDENCE")]


def test_a_limit_that_is_far_leads_to_nothing(recording, tmp_path):
    told = foreseen(recording, tmp_path, most=200)
    assert told["incidents"] == told["actions"] == []


def test_what_was_said_leads_to_the_same_decisions_when_it_is_said_again(recording, tmp_path):
    first, second = (foreseen(recording, tmp_path, most=80) for _ in range(2))
    assert (first["incidents"], first["actions"]) == (second["incidents"], second["actions"])


def test_people_read_what_is_foreseen_and_what_is_proposed(recording, tmp_path):
    foreseen(recording, tmp_path, most=80, calibration=settled(tmp_path, 190, 200))
    words = run(recording, "--quick", "--jobs", 1, "--settings", tmp_path / "settings.yaml").output
    assert "is foreseen to reach 80" in words and "approved, HIGH_CONFIDENCE" in words


def test_ones_own_past_says_how_often_a_foreseen_limit_was_reached(recording, tmp_path):
    told = foreseen(recording, tmp_path, most=120, words=("--fit-limits", tmp_path / "own.json"))
    curve = CalibrationMap.from_bytes((tmp_path / "own.json").read_bytes(), strict=True)
    assert 0 < told["reached"] <= told["foreseen"] == curve.outcomes < 50
    assert told["state"] == curve.state == "TRANSFERRED", "of fewer than fifty it stays advice"


@pytest.mark.parametrize(("most", "code"), [(1000, "NO_OUTCOMES")])
def test_limits_that_were_never_foreseen_give_no_map(recording, tmp_path, most, code):
    assert foreseen(recording, tmp_path, most=most, words=("--fit-limits", tmp_path / "own.json")).code == code
    assert not (tmp_path / "own.json").exists()


def test_a_map_without_limits_is_a_sentence(recording, tmp_path):
    answer = run(recording, "--quick", "--fit-limits", tmp_path / "own.json")
    assert answer.exit_code != 0 and "no limit is named" in str(answer.exception)


def test_the_log_of_up_is_read_and_told_while_it_may_run(recording, tmp_path):
    frames = replay(
        Recording.open(recording).messages(), _pipeline.build(Settings(), last="normalise"), keep=(sc.SERIES, sc.FRAMES)
    ).messages
    log = EmbeddedLog(tmp_path / LOG)
    log.append([Emit(m.topic, m.key, m.value, m.headers, m.event_ns) for m in frames], writer="test")
    told = run(tmp_path, "--quick", "--jobs", 1, "--publish", "--json")
    assert told.exit_code == 0, told.output
    (stored,) = log.read([sc.FORECASTS], 0, 9)
    log.close()
    said = sc.read(stored.message)
    assert (said.name, said.expected) == (row_of(recording)["name"], row_of(recording)["middle"])
    assert stored.message.event_ns > said.at_ns, "it counts from when it was said, so this one is old news"


def test_a_live_run_hears_a_forecast_and_proposes_before_anything_is_ill(tmp_path):
    clock = Clock()
    live = Live(tmp_path, Settings.model_validate(LIMITED), now_ns=clock)
    feed(live, clock, shop_emits()[:30])
    said = sc.Forecast(
        id="f", entity_id="default/service/payment", service="payment", series="0" * 16, name="rate", unit="1/s",
        as_of_ns=clock.ns, at_ns=clock.ns + 900 * NS, step_s=300.0, now=300.0, expected=410.0, low=390.0, high=430.0,
        model="profile", loss=1.0, naive_loss=2.0, errors=500,
    )  # fmt: skip
    live.log.append([_forecasting.said(said, clock.ns)], writer="forecast", received_ns=clock.ns)
    live.pump()
    feed(live, clock, shop_emits()[30:])
    live.pump()
    stored = [one.message for one in live.read((sc.INCIDENTS, sc.ACTIONS), 0, 10**6)]
    live.close()
    told = [sc.read(message) for message in stored if sc.record_type(message) != "watermark"]
    ahead = [one for one in told if isinstance(one, sc.ActionEvent) and one.hypothesis.cause.family == "load_ahead"]
    assert {one.change.verb for one in ahead} == {"kubernetes.scale"}
    assert [one.state for one in ahead] == ["proposed", "gated", "advised"]
    assert any(isinstance(one, sc.Incident) and "is foreseen to reach 400" in one.title for one in told)


def test_on_kafka_diagnose_reads_forecasts_and_waits_for_nobody_there():
    told = Settings.model_validate({"forecasts": {"limits": [{"service": "a", "metric": "b", "most": 1}]}})
    stages = _pipeline.build(told).stages
    found = plan(stages, sharded=_pipeline.SHARDED, partitions=2, sources={sc.OTLP_METRICS: 1})["diagnose"]
    ((_, inputs),) = found.tasks.values()
    assert (sc.FORECASTS, 0) in inputs and (sc.FORECASTS, 0) not in found.writers
