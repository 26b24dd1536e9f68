"""Rego in a real OPA server: the same decisions as our own engine, and no permit from one that is ill."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.opa import Opa

from actions import NAMES, NEUTRAL, Policies, load_policies, run_policy_cases
from schemas import Decision, Json
from tidegate._opa import OpaEngine
from tidegate._pipeline import build, engine
from tidegate._settings import Settings

ROOT = Path(__file__).resolve().parents[2]
REGO = {path.name: path.read_text() for path in (ROOT / "examples/policies/rego").glob("*.rego")}
TEXTS = {f"policies/{path.name}": path.read_text() for path in (ROOT / "policies").glob("*.yaml")}
SURE: dict[str, Json] = NEUTRAL | {"confidence_low": 0.9, "is_calibrated": True, "confidence_state": "OWN"}
PATIENT_S = 10.0  # the machine may be busy; how long a question takes is measured elsewhere
HEAD = "package tidegate\n"
YES = '{"effect": "permit", "reason": "YES", "policies": ["r"], "obligations": []}'
CLASSES = NAMES["human_classes"].values
SNAPSHOTS = st.fixed_dictionaries(
    {name: st.booleans() for name, spec in NAMES.items() if spec.kind == "bool"}
    | {name: st.sampled_from(spec.values) for name, spec in NAMES.items() if spec.kind == "string" and spec.values}
    | {
        "confidence_low": st.one_of(st.sampled_from([0.0, 0.5, 0.7]), st.floats(0, 1)),
        "corroboration": st.one_of(st.sampled_from([0.0, 0.2]), st.floats(0, 1)),
        "attempt": st.integers(1, 6), "blast_radius": st.integers(1, 20),
        "human_classes": st.lists(st.sampled_from(CLASSES), unique=True, max_size=2),
        "labels": st.lists(st.sampled_from(["pci", "sox", "x"]), unique=True, max_size=2),
    }
)  # fmt: skip


@pytest.fixture(scope="module")
def opa(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Opa]:
    with Opa(tmp_path_factory.mktemp("opa"), REGO) as server:
        yield server


@pytest.fixture(scope="module")
def own() -> Policies:
    return load_policies(TEXTS)


def said(decision: Decision) -> tuple[str, str, list[str], list[str], str]:
    return decision.effect, decision.reason, decision.policies, decision.obligations, decision.snapshot_digest


def test_every_case_of_the_shipped_policies_holds_in_rego(opa: Opa) -> None:
    assert run_policy_cases(TEXTS, OpaEngine(opa.url, timeout_s=PATIENT_S)) == []


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(given_=SNAPSHOTS)
def test_both_engines_decide_alike(opa: Opa, own: Policies, given_: dict[str, Any]) -> None:
    engine_ = ENGINES.setdefault(opa.url, OpaEngine(opa.url, timeout_s=PATIENT_S))
    snapshot = NEUTRAL | given_
    assert said(engine_.evaluate(snapshot)) == said(own.evaluate(snapshot))


ENGINES: dict[str, OpaEngine] = {}


@pytest.mark.parametrize(
    ("broken", "effect"),
    [({"severity": None}, "deny"), ({"severity": float("nan")}, "deny"), ({"target": "default/service/*"}, "deny")],
)
def test_a_snapshot_that_is_not_fit_is_denied_alike(opa: Opa, own: Policies, broken: Any, effect: str) -> None:
    decisions = [e.evaluate(SURE | broken) for e in (own, OpaEngine(opa.url, timeout_s=PATIENT_S))]
    assert [d.effect for d in decisions] == [effect] * 2 and len({d.reason for d in decisions}) == 1


def test_a_name_that_is_missing_is_denied_before_rego_could_take_it_for_false(opa: Opa) -> None:
    lacking = {name: value for name, value in SURE.items() if name != "in_freeze"}
    got = OpaEngine(opa.url, timeout_s=PATIENT_S).evaluate(lacking)
    assert (got.effect, got.reason) == ("deny", "POLICY_ERROR") and "in_freeze" in got.resolution


def test_the_revision_of_the_bundle_is_in_the_digest_and_a_restart_is_survived(tmp_path: Path) -> None:
    found = []
    for revision in ("r1", "r2"):
        with Opa(tmp_path / revision, REGO, revision) as server:
            asked = OpaEngine(server.url, timeout_s=PATIENT_S)
            found.append(asked.evaluate(SURE).policy_digest)
            assert asked.digest == found[-1]
            server.stop()
            assert asked.evaluate(SURE).reason == "POLICY_ERROR"
            server.start()
            assert asked.evaluate(SURE).effect == "permit"
    assert found[0] != found[1]


@pytest.mark.parametrize(
    ("module", "why"),
    [
        ("", "undefined"),
        (f"decision := {YES} if input.nothing", "undefined"),
        ("decision := true", "does not fit"),
        ('decision := {"effect": "allow", "reason": "YES", "policies": []}', "'effect'"),
        ('decision := {"effect": "permit", "reason": "yes", "policies": []}', "'reason'"),
        ('decision := {"effect": "permit", "policies": []}', "'reason'"),
        ('decision := {"effect": "permit", "reason": "YES", "policies": [1]}', "'policies.0'"),
        (
            'decision := {"effect": "permit", "reason": "YES", "policies": [], "obligations": ["please"]}',
            "'obligations.0'",
        ),
        ('decision := {"effect": "permit", "reason": "YES", "policies": [], "allow": true}', "'allow'"),
        (f"decision := {YES} if to_number(input.verb) > 0", "status 500"),
        (f'decision := {YES} if true\ndecision := {{"effect": "deny"}} if true', "status 500"),
    ],
)
def test_an_answer_that_is_not_whole_gives_no_permit(tmp_path: Path, module: str, why: str) -> None:
    with Opa(tmp_path, {"a.rego": HEAD + module}) as server:
        got = OpaEngine(server.url, timeout_s=PATIENT_S).evaluate(SURE)
    assert (got.effect, got.reason) == ("deny", "POLICY_ERROR") and why in got.resolution


def test_rules_of_which_nobody_can_say_the_revision_give_no_permit(tmp_path: Path) -> None:
    with Opa(tmp_path, {"a.rego": HEAD + f"decision := {YES}"}, revision="") as server:
        got = OpaEngine(server.url, timeout_s=PATIENT_S).evaluate(SURE)
    assert got.reason == "POLICY_ERROR" and "revision" in got.resolution


def test_a_slow_answer_gives_no_permit_and_the_next_question_is_asked_anew(tmp_path: Path) -> None:
    busy = "count([1 | some i in numbers.range(1, 3000000); i > 0]) > 0"
    slow = f'decision := {YES} if {{\n\tinput.verb == "slow"\n\t{busy}\n}}\n'
    quick = f'decision := {YES} if input.verb != "slow"\n'
    with Opa(tmp_path, {"a.rego": HEAD + slow + quick}) as server:
        asked = OpaEngine(server.url, timeout_s=0.05)
        got = asked.evaluate(SURE | {"verb": "slow"})
        assert got.reason == "POLICY_ERROR" and "no answer within 0.05 s" in got.resolution
        patient = OpaEngine(server.url, timeout_s=PATIENT_S)
        assert patient.evaluate(SURE).effect == "permit"


def test_a_pipeline_is_judged_by_the_server_of_its_settings(opa: Opa) -> None:
    told = Settings.model_validate({"actions": {"opa": {"url": opa.url, "timeout_s": PATIENT_S}}})
    asked, own = build(told, first="decide").versions, build(Settings(), first="decide").versions
    assert asked["policies"] == engine(told).digest != own["policies"]
    assert engine(told).evaluate(SURE).reason == "HIGH_CONFIDENCE"
