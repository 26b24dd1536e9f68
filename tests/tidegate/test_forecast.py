"""`tidegate forecast` on an imported file: the whole way from rows to an interval."""

import json
from datetime import UTC, datetime

import numpy as np
import pytest
from typer.testing import CliRunner

from tidegate import _forecasting
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
