"""`tidegate brief` on a real run of the pipeline."""

import json

import pytest
from typer.testing import CliRunner

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
