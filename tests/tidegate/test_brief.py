"""`tidegate brief` on a real run of the pipeline."""

import json
from dataclasses import replace

import pytest
from typer.testing import CliRunner

from tidegate import _run
from tidegate._commands_brief import AROUND_NS, business_of
from tidegate.cli import app


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    place = tmp_path_factory.mktemp("brief") / "run"
    assert CliRunner().invoke(app, ["demo", "--run", str(place), "--json"]).exit_code == 0
    return place


def test_the_demo_is_told_in_every_form_with_the_same_first_line(run):
    told = {form: CliRunner().invoke(app, ["brief", "--run", str(run), "--format", form]).output
            for form in ("text", "markdown", "html")}  # fmt: skip
    document = json.loads(CliRunner().invoke(app, ["brief", "--run", str(run), "--json"]).output)
    assert document["headline"].startswith("checkout") and "gitops.revert" in document["headline"]
    assert told["text"].startswith(document["headline"]) and "deploy #4521" in told["text"]
    assert "<h1>checkout" in told["html"] and told["markdown"].startswith("# checkout")


def test_a_page_is_written_to_a_file(run, tmp_path):
    page = tmp_path / "incident.html"
    answer = CliRunner().invoke(app, ["brief", "--run", str(run), "--format", "html", "--out", str(page)])
    assert answer.exit_code == 0 and page.read_text(encoding="utf-8").startswith("<!doctype html>")


def test_a_form_that_there_is_not_is_a_sentence(run):
    answer = CliRunner().invoke(app, ["brief", "--run", str(run), "--format", "pdf"])
    assert answer.exit_code == 2 and "markdown" in answer.output


def test_business_metrics_of_the_time_are_in_the_briefing_and_withdrawn_ones_are_not(run):
    kept = _run.read(run)
    found = next(iter(kept.diagnoses.values()))
    one = kept.anomalies[0].model_copy(update={"id": "b", "signal": "business", "end_ns": found.opened_ns,
                                               "start_ns": found.opened_ns - 1})  # fmt: skip
    early = one.model_copy(update={"id": "c", "end_ns": found.opened_ns - AROUND_NS - 1, "start_ns": 0})
    gone = one.model_copy(update={"status": "withdrawn"})
    assert business_of(kept, found) is None
    assert business_of(replace(kept, anomalies=[one, early]), found) == (one,)
    assert business_of(replace(kept, anomalies=[one, gone]), found) == ()
