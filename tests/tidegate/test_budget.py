"""`tidegate detect`: pages that a team takes in a shift, and the threshold that follows."""

import json
from datetime import UTC, datetime

import numpy as np
import pytest
from typer.testing import CliRunner

import schemas as sc
from schemas.core import NS, Message
from tidegate import _budget
from tidegate.cli import app

BEGIN, MINUTES = 1_767_571_200, 3 * 1440


def run(*arguments):
    answer = CliRunner().invoke(app, ["detect", *map(str, arguments), "--json"])
    return answer.exit_code, json.loads(answer.output.splitlines()[-1])


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    place = tmp_path_factory.mktemp("budget")
    values = 100 + np.random.default_rng(0).normal(0, 2, MINUTES)
    times = (datetime.fromtimestamp(BEGIN + at * 60, UTC).isoformat() for at in range(MINUTES))
    rows = [f"{time},{value:.4f}" for time, value in zip(times, values, strict=True)]
    (place / "load.csv").write_text("\n".join(["timestamp,value", *rows]))
    answer = CliRunner().invoke(app, ["import", "csv", str(place / "load.csv"), "--out", str(place / "r"), "--json"])
    assert answer.exit_code == 0, answer.output
    return place / "r"


def test_pages_buy_a_threshold_and_the_threshold_costs_those_pages(recording, tmp_path):
    _, dear = run("fit", recording, "--pages-per-shift", 0.05)
    code, cheap = run("fit", recording, "--pages-per-shift", 1, "--out", tmp_path / "fit.json")
    assert code == 0 and 0 < dear["open_p"] < cheap["open_p"] < _budget.BAR_P
    assert cheap["services"] == 1 and cheap["minutes"] == pytest.approx(0.75 * MINUTES, abs=5)
    _, told = run("explain", tmp_path / "fit.json", "--p", cheap["open_p"])
    assert told["pages_per_shift"] == pytest.approx(1.0) and told["pages_per_week"] == pytest.approx(21.0)


def test_what_is_seen_in_noise_is_what_is_due(recording):
    _, found = run("fit", recording, "--pages-per-shift", 4)
    assert found["seen_in_stretch"] == pytest.approx(found["due_in_stretch"], abs=2 * found["due_in_stretch"] ** 0.5)


def test_a_detector_that_reports_as_ever_is_steady_or_too_rare_to_tell(recording):
    code, found = run("drift", recording, "--last-h", 12)
    assert code == 0 and found["last_h"] == 12
    assert {one["verdict"] for one in found["detectors"].values()} <= {"steady", "unknown"}


def test_reports_are_counted_by_detector_and_hour():
    some = [anomaly(minute, 1e-4) for minute in (1, 2, 59, 61, 185)]
    assert _budget.told_by_hour(some, 0, 3 * 3600 * NS)["d"].tolist() == [3, 1, 0]


def message(topic, record, at):
    (out,) = [sc.emit(topic, record, id=record.id, key="k", source="t", event_ns=at)]
    return Message(topic, 0, 0, out.key, out.value, out.headers, at, at)


def anomaly(minute, p, service="cart"):
    at = minute * 60 * NS
    pointer = sc.EvidencePointer(
        signal="metrics", subject="ab", t_min_ns=at, t_max_ns=at + 1, sha256="sha256:" + 64 * "0"
    )
    record = sc.Anomaly(
        id=f"{service}{minute}{p}", entity_id="t/service/s", service=service, series="ab", name="cpu", signal="metrics",
        kind="metric", detector="d@1", start_ns=at, end_ns=at + 60 * NS, observed=1, expected=0, residual=1, unit="1",
        p_value=p, pointer=pointer,
    )  # fmt: skip
    return message(sc.ANOMALIES, record, at)


def test_a_minute_is_as_odd_as_its_oddest_anomaly_and_maintenance_does_not_count():
    planned = sc.CalendarEntry(
        id="m", kind="maintenance", title="t", start_ns=3 * 60 * NS, end_ns=5 * 60 * NS, services=["cart"]
    )
    messages = [anomaly(1, 1e-3), anomaly(1, 1e-5), anomaly(4, 1e-9), message(sc.CALENDAR, planned, 0)]
    found = _budget.seen(messages, {"cart", "quiet"}, 0, 10 * 60 * NS)
    assert found.surprise["cart"].tolist() == pytest.approx([0, 5, 0, 0, 0, 0, 0, 0])
    assert len(found.surprise["quiet"]) == 10 and found.left_out == 2


def test_too_short_a_stretch_and_a_file_that_is_no_fit_say_what_to_do(tmp_path):
    with pytest.raises(_budget.BudgetError, match="longer stretch") as short:
        _budget.fit(_budget.Seen({"a": np.zeros(10)}, 0), "r", 1.0, 8.0)
    assert short.value.code == "TAIL_TOO_SHORT"
    (tmp_path / "no.json").write_text("{}")
    with pytest.raises(_budget.BudgetError, match="detect fit") as no_fit:
        _budget.read(tmp_path / "no.json")
    assert no_fit.value.code == "BUDGET_UNREADABLE"
