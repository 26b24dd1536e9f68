"""Checks of policies: what is wrong is found before it is in force, and what is not wrong is not reported."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from actions import INVARIANTS, NAMES, NEUTRAL, Findings, Policies, PolicyError, Rule, check_policies
from actions._cel import NotAnalysed, TypeProblem, parse, type_of
from actions._cel_worlds import Condition, Worlds, condition_of
from actions._policies import executed
from actions._policy_check import check_rules

EXAMPLES = Path(__file__).resolve().parents[2] / "examples" / "policies"
ACT = {"permit": 2, "require_approval": 1, "advise": 0, "deny": 0}
ATOMS = [
    "is_critical", "in_peak", "is_calibrated", "confidence_low > 0.7", "confidence_low >= 0.5", "confidence_low < 0.5",
    "confidence_low == 0.6", 'tier == "critical"', 'tier != "low"', 'risk in ["low", "high"]', "attempt > 2",
    "attempt <= 3", "attempt == 3", "hour_utc >= 8 && hour_utc < 18", '"pci" in labels', '"sox" in labels',
    'verb == "a"', 'verb in ["a", "b"]', "severity > 1.5", "1 <= attempt", 'has_change ? in_peak : attempt > 4',
    'change_kind == "schema"', '"schema" in human_classes', "is_critical == in_peak", "is_critical != (attempt > 3)",
]  # fmt: skip
CONDITIONS = st.recursive(
    st.sampled_from(ATOMS),
    lambda inner: st.one_of(
        inner.map("!({})".format),
        st.tuples(inner, inner).map(lambda two: f"({two[0]} && {two[1]})"),
        st.tuples(inner, inner).map(lambda two: f"({two[0]} || {two[1]})"),
    ),
    max_leaves=4,
)
EFFECTS = st.sampled_from(["permit", "require_approval", "advise", "deny"])
RULES = st.lists(st.tuples(CONDITIONS, EFFECTS, st.integers(0, 1)), min_size=2, max_size=5)
SNAPSHOTS = st.fixed_dictionaries(
    {
        "confidence_low": st.one_of(st.sampled_from([0.0, 0.5, 0.6, 0.7]), st.floats(0, 1)),
        "tier": st.sampled_from(["low", "standard", "critical"]),
        "risk": st.sampled_from(["none", "low", "medium", "high"]),
        "attempt": st.integers(1, 6),
        "hour_utc": st.integers(0, 23),
        "labels": st.lists(st.sampled_from(["hipaa", "pci", "sox"]), unique=True),
        "verb": st.sampled_from(["a", "b", "c"]),
        "severity": st.floats(0, 3),
        "change_kind": st.sampled_from(["none", "deploy", "schema"]),
        "in_peak": st.booleans(),
    }
)


def consistent(given: dict[str, Any]) -> dict[str, Any]:
    """A snapshot as decide could make it."""
    low = given["confidence_low"]
    return NEUTRAL | given | {
        "is_critical": given["tier"] == "critical", "has_change": given["change_kind"] != "none",
        "human_classes": ["schema"] if given["change_kind"] == "schema" else [],
        "is_calibrated": low > 0, "confidence_state": "OWN" if low > 0 else "UNCALIBRATED",
    }  # fmt: skip


def rules(*facts: tuple[str, Any, int]) -> list[Rule]:
    return [
        Rule(id=f"r{n}", when=when, effect=effect, priority=p, reason=f"R{n}", text="t")
        for n, (when, effect, p) in enumerate(facts)
    ]


def found(*facts: tuple[str, Any, int]) -> Findings:
    return check_rules(Policies(rules(*facts)))


def pairs(findings: Findings) -> set[frozenset[str]]:
    return {frozenset(c.rules) for c in findings.contradictions}


def test_shipped_policies_are_clean_and_proved_so(policy_texts: dict[str, str]) -> None:
    findings = check_policies(policy_texts)
    assert (findings.errors, findings.contradictions, findings.not_exact) == ([], [], [])


def test_the_sources_own_rules_contradict_each_other_and_each_example_shows_it() -> None:
    texts = {p.name: p.read_text() for p in (EXAMPLES / "sources").glob("*.yaml")}
    findings = check_policies(texts)
    assert {frozenset({"critical", "escalate"}), frozenset({"critical", "roll-back-critical"})} <= pairs(findings)
    assert frozenset({"restart-on-leak", "no-restart-in-business-hours"}) in pairs(findings)
    loaded = Policies([Rule.model_validate(r) for t in texts.values() for r in yaml.safe_load(t)["rules"]])
    for contradiction in findings.contradictions:
        holds = {rule.id for rule, answer in loaded.answers(NEUTRAL | contradiction.example) if answer}
        assert set(contradiction.rules) <= holds


def test_a_critical_service_at_sixty_percent_is_the_example() -> None:
    findings = found(
        ("confidence_low > 0.7 && !is_critical", "permit", 0),
        ("confidence_low >= 0.5 && confidence_low <= 0.7", "advise", 0),
        ("is_critical", "require_approval", 0),
    )
    (only,) = findings.contradictions
    assert set(only.rules) == {"r1", "r2"} and only.example["tier"] == "critical"
    assert 0.5 <= float(str(only.example["confidence_low"])) <= 0.7
    assert only.decided == "advise R1 (priority: advise before require_approval, all at 0)"


def test_the_same_settled_by_priority_is_no_contradiction() -> None:
    assert found(("is_critical", "require_approval", 5), ("confidence_low > 0.7", "permit", 0)).is_clean


def test_what_cannot_be_at_once_in_a_real_snapshot_is_no_contradiction() -> None:
    assert found(("is_critical", "deny", 0), ('tier == "low"', "permit", 0)).is_clean
    assert found(("!is_calibrated", "deny", 0), ("confidence_low > 0.1", "permit", 0)).is_clean


def test_what_a_higher_rule_decides_is_no_contradiction() -> None:
    assert (
        found(("in_peak", "deny", 9), ("in_peak && is_critical", "permit", 0), ("in_peak", "deny", 0)).contradictions
        == []
    )


@pytest.mark.parametrize(
    ("when", "message"),
    [
        ("has_change ? true : verb > 5", "`>` between string and int"),
        ("has_change ? true : confidence_low", "`?` gives bool or double"),
        ("confidence_low > 70.0", "compared with 70, and it is between 0 and 1"),
        ("risk == 'hgih'", "'risk' is never 'hgih'. Did you mean 'high'?"),
        ("'biling' in human_classes", "never in 'human_classes'. Did you mean 'billing'?"),
        ("risk in ['low', 'hi']", "'risk' is never 'hi'"),
        ("is_critical == 'yes'", "`==` between bool and string"),
        ("has_change ? true : severity + 1 > 2.0", "`+` on double and int"),
        ("hour_utc > 24", "between 0 and 23"),
        ("10 / (attempt - 3) > 1", "fails, and so denies everything, for example where attempt = 3"),
        ("is_critical && tier == 'low'", "unreachable: it never holds"),
        ("confidence_low > 0.5 && confidence_low < 0.5", "unreachable: it never holds"),
    ],
)
def test_a_condition_that_cannot_mean_what_it_says_is_an_error(when: str, message: str) -> None:
    (error,) = found((when, "permit", 0)).errors
    assert message in error


def test_a_rule_that_others_always_overrule_is_unreachable() -> None:
    findings = found(("is_critical", "deny", 9), ("!is_critical", "advise", 9), ("in_peak", "permit", 0))
    assert findings.unreachable == ["r2"] and "whenever it holds" in findings.errors[0]


def test_a_rule_that_only_adds_an_obligation_is_of_use() -> None:
    twice = rules(("is_critical", "deny", 9), ("is_critical && in_peak", "deny", 0))
    assert check_rules(Policies(twice)).unreachable == ["r1"]
    twice[1] = twice[1].model_copy(update={"obligations": ["ticket"]})
    assert check_rules(Policies(twice)).unreachable == []


def test_errors_of_all_files_are_found_at_once_with_their_lines() -> None:
    head = "rules:\n  - {id: a, effect: permit, reason: R, text: t, when: "
    findings = check_policies({"x.yaml": head + "nope}\ncases: []\n", "y.yaml": head + "'risk =='}\ncases: []\n"})
    assert [e[:9] for e in findings.errors] == ["x.yaml:2:", "y.yaml:2:"]


def test_what_is_searched_on_a_sample_only_is_said() -> None:
    findings = found(("verb.startsWith('k8s.') && verb.matches('^[a-z]+$')", "permit", 0), ("in_peak", "deny", 0))
    assert findings.not_exact and "sample of values of verb" in findings.not_exact[0]


def test_what_is_not_understood_is_said_and_a_bound_is_said() -> None:
    outside = found(("duration('1s') == duration('1s')", "permit", 0))
    assert "is not looked into" in outside.not_exact[0] and outside.errors == []
    two = Policies(rules(("is_critical && in_peak", "permit", 0), ("in_freeze", "deny", 0)))
    assert any("given up after 1 steps" in note for note in check_rules(two, steps=1).not_exact)


@settings(max_examples=150, deadline=None)
@given(facts=RULES, given_=SNAPSHOTS)
def test_every_contradiction_that_a_random_snapshot_shows_is_found(facts: Any, given_: dict[str, Any]) -> None:
    loaded = Policies(rules(*facts))
    snapshot = consistent(given_)
    holding = [rule for rule, answer in loaded.answers(snapshot) if answer]
    top = [rule for rule in holding if rule.priority == holding[0].priority]
    shown = {frozenset({a.id, b.id}) for a in top for b in top if ACT[a.effect] != ACT[b.effect]}
    assert shown <= pairs(check_rules(loaded))


@settings(max_examples=50, deadline=None)
@given(facts=RULES)
def test_each_contradiction_found_is_one(facts: Any) -> None:
    loaded = Policies(rules(*facts))
    given_ = Policies(rules(*((text, "permit", 0) for text in INVARIANTS)))
    for contradiction in check_rules(loaded).contradictions:
        snapshot = NEUTRAL | contradiction.example
        holding = [rule for rule, answer in loaded.answers(snapshot) if answer]
        assert set(contradiction.rules) <= {r.id for r in holding if r.priority == holding[0].priority}
        assert all(answer for _, answer in given_.answers(snapshot))


@settings(max_examples=80, deadline=None)
@given(facts=RULES, given_=SNAPSHOTS)
def test_no_rule_that_decides_somewhere_is_called_unreachable(facts: Any, given_: dict[str, Any]) -> None:
    loaded = Policies(rules(*facts))
    decision = loaded.evaluate(consistent(given_))
    assume(decision.policies)
    assert decision.policies[0] not in check_rules(loaded).unreachable


@settings(max_examples=300, deadline=None)
@given(text=CONDITIONS, given_=SNAPSHOTS)
def test_the_tree_of_a_condition_says_what_the_engine_says(text: str, given_: dict[str, Any]) -> None:
    snapshot = consistent(given_)
    condition = condition_of(text)
    loaded = Policies([Rule(id="r", when=text, effect="permit", reason="R", text="t")])
    assert type_of(condition.tree) == "bool"
    assert Worlds([condition]).answer(condition, snapshot) == loaded.answers(snapshot)[0][1]


@pytest.mark.parametrize("left", ["true", "false", "1 / 0 == 1", "is_critical"])
@pytest.mark.parametrize("right", ["true", "false", "1 / 0 == 1", "is_critical"])
@pytest.mark.parametrize("form", ["{} && {}", "{} || {}", "{} ? in_peak : {}", "!({}) || {}", "({}) == ({})"])
def test_errors_and_what_absorbs_them_are_as_in_the_engine(form: str, left: str, right: str) -> None:
    import cel

    text = form.format(left, right)
    got = executed(cel.compile(text), NEUTRAL)
    condition = Condition(text, parse(text))
    assert Worlds([condition]).answer(condition, NEUTRAL) == ("error" if got is None else got)


@pytest.mark.parametrize("text", ["a.b", "{'x': 1}", "has(a.b)", "a ++ b", "b'x'", "1u", "'''x'''", "a @ b", "f(", ""])
def test_what_is_outside_the_part_that_is_understood_says_so(text: str) -> None:
    with pytest.raises((NotAnalysed, TypeProblem)):
        type_of(parse(text))


def test_a_name_that_does_not_exist_is_found_by_loading() -> None:
    with pytest.raises(PolicyError, match="Did you mean 'attempt'"):
        Policies(rules(("atempt > 3", "deny", 0)))


def test_equals_that_disagree_are_wanted_where_a_majority_settles_them() -> None:
    both = rules(("is_critical", "deny", 0), ("in_peak", "permit", 0))
    settled = check_rules(Policies(both, strategy="majority"))
    assert len(settled.contradictions) == 1 and settled.is_clean
    assert not check_rules(Policies(both)).is_clean


def test_a_proof_that_needs_many_rules_is_found_without_trying_everything() -> None:
    names = [name for name, spec in NAMES.items() if spec.kind == "bool" and not name.startswith(("is_cal", "is_crit"))]
    above = [(f"{a} && !{b}", "deny", 1) for a, b in pairwise(names)]
    last = f"{names[0]} && !{names[-1]}"  # cannot be without one of those above
    findings = check_rules(Policies(rules(*above, (last, "permit", 0))), steps=200)
    assert findings.unreachable == [f"r{len(above)}"] and findings.not_exact == []


def test_every_name_stands_in_the_guide() -> None:
    guide = (EXAMPLES.parents[1] / "docs/policies.md").read_text()
    assert [name for name in NAMES if f"`{name}`" not in guide] == []
