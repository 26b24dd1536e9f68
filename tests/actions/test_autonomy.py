"""What must be there before something acts alone, and what takes it away."""

from math import comb

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.actions import plan_of, seal, step_of

from actions._autonomy import BAR, LOOKS, Trial, earned, lower_bound, trials_of
from actions._autonomy_kept import kept_trials, standings, trial_kept
from actions._ledger import Transaction, write
from actions._ledger_model import ModelLedger
from actions._machine_types import Action, Origin
from schemas.core import NS

DAY = 24 * 3600 * NS
FAMILIES = ("code", "network", "memory")


def trials(results, verb="v", tier="standard", version="1", kind="action", start=DAY, step=DAY // 3):
    return [
        Trial(verb, tier, version, FAMILIES[n % 3], start + n * step, result, kind) for n, result in enumerate(results)
    ]


def level(found, tier="standard", version="1", **rest):
    return earned(found, "v", tier, version, 400 * DAY, **rest)


@pytest.mark.parametrize(("n", "failures"), [(59, 0), (93, 1), (124, 2), (153, 3), (208, 5)])
def test_the_looks_are_the_least_at_which_so_many_failures_pass(n, failures):
    assert lower_bound(n, failures) > BAR >= lower_bound(n - 1, failures)
    assert n in LOOKS


@given(st.integers(1, 250), st.integers(0, 5))
def test_the_bound_is_where_so_few_failures_have_one_chance_in_twenty(n, failures):
    failures = min(failures, n)
    p = lower_bound(n, failures)
    chance = sum(comb(n, k) * (1 - p) ** k * p ** (n - k) for k in range(failures + 1))
    assert p == 0 if failures >= n else abs(chance - 0.05) < 1e-9


def test_fifty_nine_clean_trials_of_three_kinds_over_two_weeks_earn_it():
    assert level(trials(["good"] * 59)).level == "act"
    assert level(trials(["good"] * 58)).missing == ("1 more trials until the next look, at 59",)
    one_kind = [one._replace(family="code") for one in trials(["good"] * 59)]
    assert level(one_kind).missing == ("successes with 2 more kinds of faults",)
    assert "more days" in level(trials(["good"] * 59, step=NS)).missing[0]


def test_between_two_looks_nobody_looks():
    """One failure among 60: only at 93 is it looked at again."""
    found = trials(["failed"] + ["good"] * 91)
    assert level(found).level == "approve" and level([*found, *trials(["good"], start=90 * DAY)]).level == "act"


def test_a_critical_service_is_never_acted_upon_alone():
    found = level(trials(["good"] * 250, tier="critical"), tier="critical")
    assert (found.level, found.reason) == ("approve", "CAPPED")


def test_borrowed_trials_count_less_and_never_more_than_half():
    elsewhere = trials(["good"] * 4000, tier="low", step=DAY // 100)
    assert level(elsewhere).level == "approve"
    assert level([*elsewhere, *trials(["good"] * 29, step=DAY)]).trials == 29
    assert level([*elsewhere, *trials(["good"] * 29, step=DAY)]).level == "approve"
    assert level([*elsewhere, *trials(["good"] * 31, step=DAY)]).level == "act"


def test_borrowed_failures_count_too():
    bad = trials(["failed"] * 40, tier="low", step=DAY // 100)
    assert level([*bad, *trials(["good"] * 59)]).level == "approve"


def test_a_new_version_begins_anew_unless_a_replay_showed_the_same_decisions():
    found = trials(["good"] * 59)
    assert level(found, version="2").level == "approve"
    assert level(found, version="2", same=["1"]).level == "act"


def test_four_failures_in_a_row_two_rollbacks_or_many_overrides_take_it_away():
    good = trials(["good"] * 59)
    later = lambda *results: [*good, *trials(results, start=100 * DAY)]
    assert level(later("failed")).level == "act"
    assert level(later("failed", "failed", "failed", "failed")).reason == "SPRT"
    assert level(later("rolled_back", "good", "rolled_back")).reason == "TWO_ROLLBACKS"
    assert level(later("overridden", "overridden", "overridden")).reason == "OVERRIDES"


def test_what_was_lost_is_earned_again_from_the_start():
    found = [*trials(["good"] * 59), *trials(["failed"] * 4, start=100 * DAY)]
    again = trials(["good"] * 59, start=200 * DAY)
    assert level([*found, *again[:58]]).level == "approve" and level([*found, *again]).level == "act"


def test_a_breach_of_safety_takes_it_from_all_and_it_is_earned_again_from_the_start():
    found, after = trials(["good"] * 59), trials(["good"] * 59, start=300 * DAY)
    assert level(found).level == "act"
    lost = level(found, breach_ns=200 * DAY)
    assert (lost.level, lost.reason, lost.trials) == ("approve", "SAFETY_BREACH", 0)
    again = lambda count: level([*found, *after[:count]], breach_ns=200 * DAY)
    assert again(58).reason == "SAFETY_BREACH" and again(59).level == "act"


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from(("good", "good", "good", "failed", "overridden", "rolled_back")), max_size=120))
def test_a_further_failure_never_earns_more(results):
    before, after = level(trials(results)), level(trials([*results, "failed"]))
    assert not (before.level == "approve" and after.level == "act" and len(results) + 1 not in LOOKS)


def test_only_what_was_measured_is_a_trial():
    origin = Origin(tier="low", version="1", asked='{"hypothesis":{"cause":{"family":"code"}}}')
    ended = lambda state, verdict, **rest: trials_of(
        Action(plan_of(step_of()), state=state, verdict=verdict, origin=origin, **rest)
    )
    assert [one.result for one in ended("succeeded", "recovered")] == ["good"]
    assert [one.result for one in ended("escalated", "inconclusive")] == ["failed"]
    assert [one.result for one in ended("rejected", None)] == ["overridden"]
    assert ended("escalated", None) == ended("expired", None) == ()
    assert ended("escalated", "not_recovered", is_killed=True) == ()


def test_what_was_only_foreseen_earns_nothing_and_its_failures_count():
    origin = Origin(tier="low", version="1", asked='{"hypothesis":{"cause":{"family":"load_ahead"}}}')
    ended = lambda state, verdict: trials_of(Action(plan_of(step_of()), state=state, verdict=verdict, origin=origin))
    assert ended("succeeded", "recovered") == ()
    assert [one.result for one in ended("rolled_back", "regressed")] == ["rolled_back"]


def test_a_drill_kept_twice_is_one_and_is_borrowed():
    ledger = ModelLedger(seal)
    drill = trials(["good"], kind="drill")[0]
    for _ in range(2):
        write(ledger, Transaction(NS, keeps=(trial_kept(drill),)))
    assert kept_trials(ledger) == [drill]
    (found,) = standings(ledger, 9 * DAY)
    assert (found.verb, found.trials, found.level) == ("v", 0, "approve")
