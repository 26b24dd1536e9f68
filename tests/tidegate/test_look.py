"""A look at a Prometheus: an injected fault is raised beside the alert that fired, nothing is written to it."""

import json
from pathlib import Path

import pytest
from support.prometheus_api import FakePrometheus, serving
from support.prometheus_shop import FAULT, HOURS, KINDS, SERVICES, START, series
from typer.testing import CliRunner

from schemas.core import NS
from streams import Recording
from tidegate import _look_read
from tidegate._errors import LookError
from tidegate._look import look
from tidegate._look_page import page
from tidegate._look_read import History
from tidegate._settings import Settings
from tidegate.cli import app


@pytest.fixture(scope="module")
def prometheus():
    fake = FakePrometheus(series(), KINDS)
    with serving(fake) as url:
        yield fake, url


@pytest.fixture(scope="module")
def seen(prometheus, tmp_path_factory):
    keep = tmp_path_factory.mktemp("look") / "recording"
    end = (START + HOURS * 3600) * NS
    found = look(History(prometheus[1]), Settings(), start_ns=START * NS, end_ns=end, step_s=60, most=100, keep=keep)
    return found, keep


def test_an_injected_fault_is_raised_beside_its_alert_and_before_it(seen) -> None:
    (beside,) = [f for f in seen[0].found if f.alert is not None]
    assert beside.alert.name == "HighErrors" and "checkout" in beside.services
    assert FAULT <= beside.start_ns / NS <= FAULT + 300 and beside.ahead_s > 0
    assert beside.title.startswith("Anomalies in ")


def test_what_was_missed_is_listed(seen) -> None:
    assert [m.name for m in seen[0].missed] == ["DiskFull"]
    assert seen[0].document()["missed"][0]["service"] == "cart"


def test_every_sample_that_was_answered_went_through_the_pipeline(seen) -> None:
    steps = HOURS * 60
    assert seen[0].samples == 3 * len(SERVICES) * steps and seen[0].plan.left == {"ALERTS": 2, "alien_info": 5}


def test_only_reading_queries_are_sent_and_none_is_larger_than_prometheus_takes(prometheus, seen) -> None:
    assert {path for path, _ in prometheus[0].asked} == {
        "/api/v1/query", "/api/v1/query_range", "/api/v1/metadata",
    }  # fmt: skip


def test_what_was_read_can_be_kept_and_replayed(seen) -> None:
    recording = Recording.open(seen[1], verify=True)
    assert recording.topics()["tidegate.raw.v1"].rows == HOURS + 1


def test_the_page_stands_alone_and_escapes_what_others_named(seen) -> None:
    evil = seen[0].missed[0]._replace(name="<script>alert(1)</script>")
    seen[0].missed.append(evil)
    text = page(seen[0], where="shop")
    seen[0].missed.pop()
    assert "<script>" not in text and "&lt;script&gt;" in text
    assert "http://" not in text and "src=" not in text and "HighErrors" in text


def test_the_command_writes_a_page_and_one_json_object(prometheus, tmp_path: Path) -> None:
    out = tmp_path / "look.html"
    until = "2026-03-02T01:00:00Z"
    arguments = ["look", "--prometheus", prometheus[1], "--days", "0.05", "--until", until, "--out", str(out), "--json"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0 and out.read_text().startswith("<!doctype html>")
    assert json.loads(result.stdout.splitlines()[-1])["series"] == 15


def test_alerts_of_an_export_count_instead(prometheus, tmp_path: Path) -> None:
    export = tmp_path / "alerts.json"
    labels = {"alertname": "Slow", "service": "search"}
    export.write_text(
        json.dumps([{"labels": labels, "startsAt": "2026-03-02T00:10:00Z", "endsAt": "2026-03-02T00:20:00Z"}])
    )
    arguments = ["look", "--prometheus", prometheus[1], "--days", "0.05", "--until", "2026-03-02T01:00:00Z", "--json"]
    result = CliRunner().invoke(app, [*arguments, "--alerts", str(export), "--out", str(tmp_path / "p.html")])
    assert json.loads(result.stdout.splitlines()[-1])["missed"][0]["alert"] == "Slow"


def test_a_busy_prometheus_is_asked_again(prometheus, monkeypatch) -> None:
    monkeypatch.setattr(_look_read, "_PAUSE_S", 0)
    prometheus[0].refusals = [503]
    assert History(prometheus[1]).plan(START * NS, 100).series == 15


@pytest.mark.parametrize(
    ("address", "code"),
    [("http://127.0.0.1:9", "LOOK_UNREACHABLE"), ("file:///etc/passwd", "LOOK_FAILED")],
)
def test_a_prometheus_that_is_not_there_is_named(address: str, code: str) -> None:
    with pytest.raises(LookError) as error:
        History(address).plan(START * NS, 100)
    assert error.value.code == code


def test_a_token_is_sent_and_a_refusal_says_so() -> None:
    fake = FakePrometheus(series(), KINDS, token="secret")
    with serving(fake) as url:
        assert History(url, token="secret").plan(START * NS, 100).series == 15
        with pytest.raises(LookError) as error:
            History(url).plan(START * NS, 100)
    assert error.value.code == "LOOK_DENIED" and "secret" not in str(error.value)


def test_metrics_that_do_not_fit_are_left_and_nothing_at_all_is_said() -> None:
    fake = FakePrometheus(series(), KINDS)
    with serving(fake) as url:
        assert History(url).plan(START * NS, 11).series == 10
        with pytest.raises(LookError, match="no metric has 3 series"):
            History(url).plan(START * NS, 3)


def test_buckets_are_read_where_there_is_room_after_everything_else() -> None:
    rows = [({"__name__": "a_seconds_bucket", "job": "a", "le": le}, lambda t: t) for le in ("1", "2", "+Inf")]
    fake = FakePrometheus([*series(), *rows], KINDS)
    with serving(fake) as url:
        plans = {most: History(url).plan(START * NS, most).metrics for most in (15, 17, 18)}
    assert [list(plan)[-1:] == ["a_seconds_bucket"] for plan in plans.values()] == [False, False, True]
    assert {name for name in plans[18] if name != "a_seconds_bucket"} == set(plans[17])
