"""The commands `policy`: one JSON object, the keys of the contract, and exit 4 where something is wrong."""

import json
from pathlib import Path
from typing import Any

import pytest
from support.decisions import decided
from typer.testing import CliRunner, Result

from tidegate._replay import Run
from tidegate._run import save
from tidegate.cli import app

ROOT = Path(__file__).resolve().parents[2]
SOURCES = str(ROOT / "examples/policies/sources")


def run(*words: str) -> Result:
    return CliRunner().invoke(app, [*words])


def told(result: Result) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(result.stdout.strip().splitlines()[-1])
    return found


def test_shipped_policies_pass_both() -> None:
    checked, tested = run("policy", "check", "--json"), run("policy", "test", "--json")
    assert (checked.exit_code, tested.exit_code) == (0, 0)
    assert (told(checked)["errors"], told(checked)["contradictions"]) == ([], [])
    assert told(tested)["cases"]["failed"] == 0 < told(tested)["cases"]["passed"]


def test_contradictions_of_the_sources_are_printed_with_an_example_and_fail_the_check() -> None:
    result = run("policy", "check", SOURCES, "--json")
    found = {frozenset(row["rules"]): row for row in told(result)["contradictions"]}
    row = found[frozenset({"critical", "escalate"})]
    assert result.exit_code == 4 and row["example"]["is_critical"] is True
    assert 0.5 <= row["example"]["confidence_low"] <= 0.7
    people = run("policy", "check", SOURCES).stdout
    assert "critical and escalate contradict each other" in people and "is_critical = True" in people


def test_a_file_that_does_not_load_is_an_error_of_the_check_and_not_of_the_command(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(
        "rules:\n  - {id: a, when: is_critcal, effect: deny, reason: R, text: t}\ncases: []\n"
    )
    result = run("policy", "check", str(tmp_path), "--json")
    assert result.exit_code == 4 and "Did you mean 'is_critical'" in told(result)["errors"][0]
    assert told(run("policy", "check", str(tmp_path / "a.yaml"), "--json"))["contradictions"] == []


@pytest.mark.parametrize("effect", ["permit", "deny"])
def test_a_case_that_does_not_hold_fails_the_test(tmp_path: Path, effect: str) -> None:
    (tmp_path / "a.yaml").write_text(
        "rules:\n  - {id: a, when: is_critical, effect: deny, reason: R, text: t}\n"
        f"cases:\n  - {{name: n, given: {{is_critical: true}}, expect: {{effect: {effect}, reason: R}}}}\n"
    )
    result = run("policy", "test", str(tmp_path), "--json")
    assert told(result)["cases"] == {"passed": int(effect == "deny"), "failed": int(effect == "permit")}
    assert result.exit_code == (4 if effect == "permit" else 0)


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run directory with the decisions about one diagnosis of a bad deploy."""
    place = tmp_path_factory.mktemp("run") / "run"
    save(Run(messages=decided()), place)
    return place


def test_a_decision_of_a_run_is_explained_from_its_own_snapshot(history: Path) -> None:
    found = told(run("policy", "explain", "--run", str(history), "--json"))["decisions"]
    assert found and all(row["snapshot_state"] == "as judged" and row["is_same_policy"] for row in found)
    row = next(row for row in found if row["verb"] == "gitops.revert")
    assert (row["decision"]["effect"], row["decision"]["reason"]) == ("advise", "UNCALIBRATED")
    assert {"uncalibrated"} <= {rule["id"] for rule in row["rules"] if rule["holds"]}
    people = run("policy", "explain", row["action"][:13], "--run", str(history)).stdout
    assert "uncalibrated" in people and "holds: advise, UNCALIBRATED" in people


def test_history_is_judged_again_by_other_policies(history: Path, tmp_path: Path) -> None:
    rule = "{id: never, when: 'true', effect: deny, reason: NEVER, text: t}"
    (tmp_path / "a.yaml").write_text(f"rules:\n  - {rule}\ncases: []\n")
    place = ["--run", str(history), "--json"]
    same, other = run("policy", "simulate", *place), run("policy", "simulate", "--policies", str(tmp_path), *place)
    assert told(same)["changed"] == 0 < told(same)["decisions"]
    assert told(other)["changed"] == told(same)["decisions"]
    assert told(other)["transitions"].keys() == {"advise -> deny"}
    assert told(run("policy", "simulate", "--to", "1970-01-02T00:00:00Z", *place))["decisions"] == 0


def test_an_unknown_decision_is_said_to_be_unknown(history: Path) -> None:
    result = run("policy", "explain", "nope", "--run", str(history))
    assert result.exit_code != 0 and "no decision is called 'nope'" in str(result.exception)
