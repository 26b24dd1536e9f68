"""Policies: what no rule permits is denied, what cannot be evaluated is denied, and every case holds."""

import math
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from actions import NAMES, NEUTRAL, Policies, PolicyError, Rule, approvers_of, load_policies, run_policy_cases
from schemas import Json

SURE: dict[str, Json] = NEUTRAL | {"confidence_low": 0.9, "is_calibrated": True, "confidence_state": "OWN"}
SNAPSHOTS = st.fixed_dictionaries(
    {
        "risk": st.sampled_from(["low", "medium", "high"]),
        "effect_class": st.sampled_from(["conditional", "keyed", "naturally_idempotent", "unsafe"]),
        "confidence_low": st.floats(0, 1),
        "confidence_state": st.sampled_from(["UNCALIBRATED", "TRANSFERRED", "OWN"]),
    }
    | {name: st.booleans() for name, value in NEUTRAL.items() if isinstance(value, bool)}
)


def rule(id: str = "r", when: str = "true", effect: Any = "permit", priority: int = 0, **more: Any) -> Rule:
    return Rule(id=id, when=when, effect=effect, priority=priority, reason=id.upper(), text="because", **more)


def test_the_cases_of_all_shipped_policies_hold(policy_texts: dict[str, str]) -> None:
    assert run_policy_cases(policy_texts) == []


def test_every_shipped_rule_wins_some_case(policy_texts: dict[str, str], shipped_policies: Policies) -> None:
    cases = [case for text in policy_texts.values() for case in yaml.safe_load(text)["cases"]]
    assert {r.reason for r in shipped_policies.rules} == {case["expect"]["reason"] for case in cases}


def test_without_any_rule_everything_is_denied() -> None:
    decision = Policies([]).evaluate(SURE)
    assert (decision.effect, decision.reason, decision.policies) == ("deny", "NO_RULE", [])


def test_when_no_rule_matches_the_answer_is_deny() -> None:
    assert Policies([rule(when="false")]).evaluate(SURE).reason == "NO_RULE"


@pytest.mark.parametrize("otherwise", ["1 / 0 == 1", "'yes'", "severity", "verb > 5", "null", "[1][5] == 1"])
def test_a_rule_that_fails_for_this_snapshot_denies_though_it_could_not_win(otherwise: str) -> None:
    loaded = Policies([rule("good", priority=9), rule("bad", when=f"has_change ? false : {otherwise}")])
    assert loaded.evaluate(SURE).effect == "permit"
    decision = loaded.evaluate(SURE | {"has_change": False})
    assert (decision.effect, decision.reason, decision.policies) == ("deny", "POLICY_ERROR", ["bad"])


@pytest.mark.parametrize("value", [None, math.nan, math.inf, "high"])
def test_a_value_that_is_no_number_denies(shipped_policies: Policies, value: Any) -> None:
    decision = shipped_policies.evaluate(SURE | {"confidence_low": value})
    assert (decision.effect, decision.reason) == ("deny", "POLICY_ERROR")


def test_a_null_denies_even_where_no_rule_looks_at_it() -> None:
    assert Policies([rule()]).evaluate(SURE | {"service": None}).reason == "POLICY_ERROR"


@pytest.mark.parametrize("name", sorted(NEUTRAL))
def test_a_missing_name_denies_if_a_rule_uses_it_even_where_cel_would_not_look(name: str) -> None:
    loaded = Policies([rule(when=f"true || {name} == {name}")])
    assert loaded.evaluate(SURE).effect == "permit"
    decision = loaded.evaluate({k: v for k, v in SURE.items() if k != name})
    assert (decision.effect, decision.reason) == ("deny", "POLICY_ERROR")


@pytest.mark.parametrize(
    ("when", "message"),
    [
        ("is_critcal", "uses an unknown name 'is_critcal'. Did you mean 'is_critical'?"),
        ("now > 5 || true", "uses an unknown name 'now'"),
        ("confidence_low >", "Failed to parse"),
        ("confidence_low", "gives 0.0, which is not true or false"),
        ("1 / 0 == 1", "cannot be evaluated"),
        ("nosuch(verb)", "cannot be evaluated"),
        ("verb.is_critical", "cannot be evaluated"),
    ],
)
def test_a_rule_that_can_never_work_is_refused_when_loaded(when: str, message: str) -> None:
    with pytest.raises(PolicyError) as refused:
        Policies([rule(when=when)])
    assert message in str(refused.value)


def test_a_mistake_in_a_file_is_named_with_its_line(policy_texts: dict[str, str]) -> None:
    text = policy_texts["policies/default.yaml"].replace("when: is_abstained", "when: is_abstain")
    with pytest.raises(PolicyError, match=r"^policies/default.yaml:6: rule 'abstained' uses an unknown name"):
        load_policies({"policies/default.yaml": text})


def test_a_rule_id_may_be_used_once_over_all_files(policy_texts: dict[str, str]) -> None:
    text = policy_texts["policies/default.yaml"]
    with pytest.raises(PolicyError, match=r"rule 'abstained' is already in policies/a.yaml"):
        load_policies({"policies/a.yaml": text, "policies/b.yaml": text})


@pytest.mark.parametrize("obligation", ["quorum:two", "quorum:0", "please"])
def test_an_obligation_that_nobody_understands_is_refused(obligation: str) -> None:
    with pytest.raises(ValueError, match="obligations"):
        rule(obligations=[obligation])


def test_the_highest_priority_wins_and_all_matches_are_listed() -> None:
    decision = Policies([rule("low", effect="deny"), rule("high", priority=5)]).evaluate(SURE)
    assert (decision.effect, decision.reason, decision.policies) == ("permit", "HIGH", ["high", "low"])


def test_among_equals_the_more_restrictive_effect_wins() -> None:
    effects = ["permit", "require_approval", "advise", "deny"]
    for index, effect in enumerate(effects):
        rules = [rule(f"r{i}", effect=e) for i, e in enumerate(effects[: index + 1])]
        assert Policies(rules).evaluate(SURE).effect == effect


def test_obligations_with_the_winning_effect_hold_together_and_the_largest_quorum_counts() -> None:
    rules = [
        rule("a", effect="require_approval", priority=2, obligations=["quorum:1", "verify"]),
        rule("b", effect="require_approval", priority=1, obligations=["quorum:3", "ticket"]),
        rule("c", effect="permit", obligations=["notify:owner"]),
    ]
    assert Policies(rules).evaluate(SURE).obligations == ["quorum:3", "verify", "ticket"]


@settings(max_examples=200, deadline=None)
@given(snapshot=SNAPSHOTS)
def test_nothing_uncalibrated_is_ever_permitted_or_sent_for_approval(
    shipped_policies: Policies, snapshot: dict[str, Json]
) -> None:
    got = shipped_policies.evaluate(NEUTRAL | snapshot | {"is_calibrated": False})
    assert got.effect in ("advise", "deny")


@settings(max_examples=200, deadline=None)
@given(snapshot=SNAPSHOTS)
def test_a_permit_needs_all_that_the_design_asks_for(shipped_policies: Policies, snapshot: dict[str, Any]) -> None:
    if shipped_policies.evaluate(NEUTRAL | snapshot).effect == "permit":
        assert snapshot["confidence_low"] > 0.7 and snapshot["confidence_state"] != "TRANSFERRED"
        assert snapshot["is_calibrated"] and snapshot["is_reversible"] and snapshot["effect_class"] != "unsafe"
        assert not (snapshot["is_critical"] or snapshot["in_freeze"] or snapshot["in_maintenance"])


def test_the_order_of_rules_and_files_changes_neither_digest_nor_decision(shipped_policies: Policies) -> None:
    backwards = Policies(reversed(shipped_policies.rules))
    assert backwards.digest == shipped_policies.digest
    assert backwards.evaluate(SURE) == shipped_policies.evaluate(SURE)


@pytest.mark.parametrize(
    "change", [{"when": "false"}, {"effect": "deny"}, {"priority": 1}, {"obligations": ["verify"]}]
)
def test_the_digest_changes_with_any_rule(change: dict[str, Any]) -> None:
    assert Policies([rule()]).digest != Policies([rule().model_copy(update=change)]).digest


def test_a_case_that_does_not_hold_is_reported(policy_texts: dict[str, str]) -> None:
    text = policy_texts["policies/default.yaml"].replace(
        "given: {confidence_low: 0.7,", "given: {confidence_low: 0.71,"
    )
    (failure,) = run_policy_cases({"policies/default.yaml": text})
    assert failure.name == "exactly 0.7 is not above it" and "HIGH_CONFIDENCE" in failure.what


def test_a_case_with_a_misspelt_name_is_refused(policy_texts: dict[str, str]) -> None:
    text = policy_texts["policies/default.yaml"].replace("given: {is_critical: true}", "given: {is_critcal: true}")
    with pytest.raises(PolicyError, match=r"'is_critcal'. Did you mean 'is_critical'"):
        run_policy_cases({"policies/default.yaml": text})


@pytest.mark.parametrize(
    ("given_", "effect", "reason"),
    [
        ({}, "permit", "HIGH_CONFIDENCE"),
        ({"confidence_low": 0.6}, "advise", "MODERATE_CONFIDENCE"),
        ({"is_critical": True, "tier": "critical"}, "require_approval", "CRITICAL_SERVICE"),
        ({"change_kind": "schema", "human_classes": ["schema"]}, "require_approval", "SCHEMA_CHANGE"),
        ({"human_classes": ["dr_failover"]}, "advise", "HUMAN_JUDGEMENT"),
        ({"attempt": 4}, "advise", "STEP_BUDGET"),
        ({"in_freeze": True, "is_critical": True, "tier": "critical"}, "deny", "CHANGE_FREEZE"),
    ],
)
def test_what_the_sources_ask_for_comes_out(
    shipped_policies: Policies, given_: dict[str, Json], effect: str, reason: str
) -> None:
    got = shipped_policies.evaluate(SURE | given_)
    assert (got.effect, got.reason) == (effect, reason)


def test_a_schema_rollback_takes_two_seniors(shipped_policies: Policies) -> None:
    got = shipped_policies.evaluate(SURE | {"change_kind": "schema", "human_classes": ["schema"]})
    assert approvers_of(got.obligations) == (2, {"senior": 2})


@settings(max_examples=150, deadline=None)
@given(snapshot=SNAPSHOTS, classes=st.lists(st.sampled_from(NAMES["human_classes"].values), unique=True, min_size=1))
def test_nothing_in_a_class_for_people_is_ever_permitted(
    shipped_policies: Policies, snapshot: dict[str, Json], classes: list[str]
) -> None:
    got = shipped_policies.evaluate(NEUTRAL | snapshot | {"human_classes": [*sorted(classes)]})
    assert got.effect != "permit"
