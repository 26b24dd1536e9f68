"""Strategies: priority orders first, equals are resolved as stated, and one more denial never widens an answer."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actions import NEUTRAL, Costs, Policies, PolicyError, Rule, Strategy, approvers_of, load_policies
from actions._strategies import RESTRICTION
from schemas import Json

EFFECTS = st.sampled_from(["permit", "require_approval", "advise", "deny"])
STRATEGIES: list[Strategy] = ["priority", "majority", "cost"]
FACTS = st.fixed_dictionaries(
    {
        "confidence_low": st.floats(0, 1),
        "risk": st.sampled_from(["none", "low", "medium", "high"]),
        "tier": st.sampled_from(["low", "standard", "critical"]),
        "blast_radius": st.integers(1, 20),
        "is_reversible": st.booleans(),
        "has_business_impact": st.booleans(),
    }
)
WHEN = st.sampled_from(["true", "false", "is_reversible", "confidence_low > 0.5", 'tier == "critical"'])
RULES = st.lists(st.tuples(WHEN, EFFECTS, st.integers(0, 2)), max_size=6)


def rules(*facts: tuple[str, Any, int]) -> list[Rule]:
    return [
        Rule(id=f"r{n}", when=when, effect=effect, priority=p, reason=f"R{n}", text="t")
        for n, (when, effect, p) in enumerate(facts)
    ]


def decided(strategy: Strategy, *facts: tuple[str, Any, int], **given: Json) -> tuple[str, str, str]:
    got = Policies(rules(*facts), strategy=strategy).evaluate(NEUTRAL | given)
    return got.effect, got.reason, got.resolution


def test_priority_takes_the_more_restrictive_of_equals_and_says_so() -> None:
    got = decided("priority", ("true", "permit", 1), ("true", "advise", 1), ("true", "deny", 0))
    assert got == ("advise", "R1", "priority: advise before permit, all at 1")


def test_majority_counts_rules_of_equal_standing() -> None:
    two_to_one = [("true", "permit", 1), ("true", "deny", 1), ("true", "permit", 1)]
    assert decided("majority", *two_to_one) == ("permit", "R0", "majority: permit 2, deny 1")
    assert decided("majority", *two_to_one, ("true", "deny", 1))[0] == "deny"


def test_a_higher_priority_is_never_outvoted() -> None:
    for strategy in STRATEGIES:
        assert decided(strategy, ("true", "deny", 9), *[("true", "permit", 1)] * 5)[:2] == ("deny", "R0")


def test_cost_weighs_harm_times_doubt_against_gain() -> None:
    both = [("true", "permit", 0), ("true", "deny", 0)]
    sure, unsure = {"confidence_low": 0.9}, {"confidence_low": 0.3}
    assert decided("cost", *both, **sure) == ("permit", "R0", "cost: permit 0.4, deny 3.6")
    assert decided("cost", *both, **unsure) == ("deny", "R1", "cost: deny 1.2, permit 2.8")
    assert decided("cost", *both, **sure, risk="high", blast_radius=9)[0] == "deny"


def test_cost_asks_people_where_that_loses_least() -> None:
    three = [("true", "permit", 0), ("true", "require_approval", 0), ("true", "advise", 0)]
    assert decided("cost", *three, confidence_low=0.7, risk="high", tier="critical")[:2] == ("require_approval", "R1")


def test_a_risk_without_points_denies() -> None:
    loaded = Policies(rules(("true", "permit", 0), ("true", "deny", 0)), strategy="cost", costs=Costs(harm={"low": 1}))
    assert loaded.evaluate(NEUTRAL).reason == "POLICY_ERROR"


def test_the_strategy_is_in_the_decision_and_in_the_digest() -> None:
    found = {s: Policies(rules(("true", "permit", 0)), strategy=s) for s in STRATEGIES}
    assert {s: p.evaluate(NEUTRAL).strategy for s, p in found.items()} == {s: s for s in STRATEGIES}
    assert len({p.digest for p in found.values()}) == 3
    assert b"strategy" not in found["priority"].evaluate(NEUTRAL).to_bytes()


@settings(max_examples=150, deadline=None)
@given(facts=RULES, snapshot=FACTS, strategy=st.sampled_from(STRATEGIES), priority=st.integers(-1, 3))
def test_one_more_denial_never_widens_an_answer(facts: Any, snapshot: Any, strategy: Strategy, priority: int) -> None:
    before = Policies(rules(*facts), strategy=strategy).evaluate(NEUTRAL | snapshot)
    after = Policies(rules(*facts, ("true", "deny", priority)), strategy=strategy).evaluate(NEUTRAL | snapshot)
    assert RESTRICTION[after.effect] >= RESTRICTION[before.effect]


@settings(max_examples=150, deadline=None)
@given(facts=RULES, snapshot=FACTS, strategy=st.sampled_from(STRATEGIES))
def test_an_error_of_any_rule_denies_under_each_strategy(facts: Any, snapshot: Any, strategy: Strategy) -> None:
    fails = Rule(id="bad", when="attempt == 7 ? 1 / 0 == 1 : false", effect="permit", reason="B", text="t")
    got = Policies([*rules(*facts), fails], strategy=strategy).evaluate(NEUTRAL | snapshot | {"attempt": 7})
    assert (got.effect, got.reason) == ("deny", "POLICY_ERROR")


@settings(max_examples=100, deadline=None)
@given(facts=RULES, snapshot=FACTS, strategy=st.sampled_from(STRATEGIES))
def test_what_no_rule_speaks_of_is_denied_and_every_answer_has_a_reason(
    facts: Any, snapshot: Any, strategy: Any
) -> None:
    loaded = Policies(rules(*facts), strategy=strategy)
    got = loaded.evaluate(NEUTRAL | snapshot)
    matched = {r.reason for r, answer in loaded.answers(NEUTRAL | snapshot) if answer}
    assert got.reason in matched if matched else (got.effect, got.reason) == ("deny", "NO_RULE")


def test_the_most_people_of_each_role_are_asked_for() -> None:
    asked = [("true", "require_approval", 0)] * 2
    said = [["quorum:1", "role:senior:2"], ["role:dba:1", "role:senior:1"]]
    found = [r.model_copy(update={"obligations": o}) for r, o in zip(rules(*asked), said, strict=True)]
    got = Policies(found).evaluate(NEUTRAL)
    assert got.obligations == ["quorum:1", "role:dba:1", "role:senior:2"]
    assert approvers_of(got.obligations) == (3, {"dba": 1, "senior": 2})
    assert approvers_of(["verify"]) == (1, {})


FILE = "strategy: {}\nrules: []\ncases: []\n"


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ({"a": FILE.format("majority"), "b": FILE.format("cost")}, "resolved in two ways"),
        ({"a": "cost: {attention: 2}\nrules: []\ncases: []\n"}, "without `strategy: cost`"),
        ({"a": FILE.format("vote")}, "field 'strategy'"),
        ({"a": "strategy: cost\ncost: {fear: 2}\nrules: []\ncases: []\n"}, "field 'cost.fear'"),
    ],
)
def test_a_strategy_that_is_not_one_is_refused(texts: dict[str, str], message: str) -> None:
    with pytest.raises(PolicyError, match=message):
        load_policies(texts)


def test_a_strategy_holds_for_all_files() -> None:
    loaded = load_policies({"a": FILE.format("cost") + "cost: {attention: 2}\n", "b": "rules: []\ncases: []\n"})
    assert (loaded.strategy, loaded.costs.attention) == ("cost", 2)


def test_the_losses_are_those_of_the_stated_function() -> None:
    facts = {"risk": "high", "tier": "critical", "blast_radius": 3, "is_reversible": False, "has_business_impact": True}
    losses = Costs().losses(NEUTRAL | facts | {"confidence_low": 0.75})
    assert losses == {"permit": 0.25 * 20 * 3 * 5, "require_approval": 1 + 0.25 * 18, "advise": 18.0, "deny": 18.0}


@pytest.mark.parametrize("order", [1, -1])
def test_equal_losses_take_the_more_restrictive(order: int) -> None:
    facts: list[tuple[str, Any, int]] = [("true", "advise", 0), ("true", "deny", 0)]
    assert decided("cost", *facts[::order], confidence_low=0.6)[0] == "deny"
    free: list[tuple[str, Any, int]] = [("true", "permit", 0), ("true", "advise", 0)]
    assert decided("cost", *free[::order], confidence_low=0.0, risk="none")[0] == "advise"


@pytest.mark.parametrize(
    "points",
    [
        {"irreversible": 0.9},
        {"business": 0.9},
        {"attention": -0.1},
        {"delay": 1.1},
        {"delay": -0.1},
        {"harm": {"high": -1}},
        {"harm": {"hihg": 1}},
        {"gain": {"low": float("nan")}},
        {"gain": {"vip": 1}},
    ],
)
def test_costs_that_would_reward_harm_or_mean_nothing_are_refused(points: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(points))):
        Costs.model_validate(points)
    Costs(irreversible=1, business=1, attention=0, delay=0)
