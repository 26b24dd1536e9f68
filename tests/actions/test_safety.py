"""The brakes: each alone, and that no order of events gets past them."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st
from support.actions import change_of, plan_of, seal, step_of

from actions import _breaker, _canary
from actions._brakes import (
    COOL_DOWN_NS,
    Past,
    cool_down_ns,
    cools_until_ns,
    is_oscillation,
    mass_illness,
)
from actions._breaker import Breaker
from actions._budget import Limits, takes
from actions._canary import Canary
from actions._kill import Order, covers, is_scope, order_of, stopped, why_held
from actions._ledger import Committed, Transaction, write
from actions._ledger_model import ModelLedger
from actions._machine_types import Action, Origin
from actions._modes import ORDER, Bound, lowest, set_level
from actions._paging import MOST, Paging
from actions._ports import Illness, Notice, Watch
from actions._safety import Safety, SafetySettings, outcome_of
from actions._saga import Residue, goal_of, origin_of
from schemas import Control, Feedback
from schemas.core import NS

HOUR = 3600 * NS
scopes = st.sampled_from(("all", "verb:v", "service:s", "target:t/service/s", "target:other"))
orders = st.lists(st.builds(Order, scopes, st.booleans(), st.integers(1, 5)), max_size=8)


@given(orders, st.randoms())
def test_kill_orders_add_up_in_any_order_and_copies_change_nothing(given_orders, random):
    shuffled = given_orders + random.choices(given_orders, k=len(given_orders)) if given_orders else []
    random.shuffle(shuffled)
    assert stopped(shuffled) == stopped(given_orders)


@given(orders, orders)
def test_a_place_that_is_away_takes_no_kill_back(seen, unseen):
    """Only a newer resume of the same scope does."""
    gone = stopped(seen) - stopped(seen + unseen)
    assert all(any(one.scope == scope and not one.is_stop for one in unseen) for scope in gone)


@given(orders)
def test_of_two_orders_of_one_time_the_stop_counts(given_orders):
    stops = [replace_time(one, 9) for one in given_orders if one.is_stop]
    resumes = [replace_time(one, 9)._replace(is_stop=False) for one in given_orders]
    assert {one.scope for one in stops} <= stopped(stops + resumes)


def replace_time(order, at):
    return order._replace(issued_ns=at)


def test_a_stop_covers_what_it_names_and_a_stale_state_everything():
    fresh = Watch(frozenset({"verb:v"}), 100 * NS, 0)
    assert why_held(fresh, "v", "s", "t", 104 * NS) == "KILLED"
    assert why_held(fresh, "w", "s", "t", 104 * NS) == ""
    assert why_held(fresh, "w", "s", "t", 106 * NS) == "KILL_STATE_STALE"
    assert covers(frozenset({"service:s"}), "v", "s", "t") == "service:s"
    assert not is_scope("verb:") and not is_scope("everything") and is_scope("all")


def test_an_order_about_something_else_is_no_kill():
    order = Control(id="1", kind="kill", scope="all", issued_ns=1, issuer="a", signature="x")
    assert order_of(order) == Order("all", True, 1)
    assert order_of(order.model_copy(update={"kind": "serve"})) is None
    assert order_of(order.model_copy(update={"scope": "*"})) is None


@given(st.lists(st.tuples(st.integers(0, 1200), st.integers(0, 2), st.integers(0, 1)), max_size=40))
def test_no_order_of_permits_gets_past_a_budget(asked):
    """Looked at from every moment: in no window more was taken than its limit."""
    ledger, taken, now = ModelLedger(seal), list[tuple[int, str]](), 0
    for number, (wait, target, verb) in enumerate(asked):
        now += wait * NS
        shares = takes(Limits(), f"k{number}", 0, f"v{verb}", f"t/service/{target}", str(target), ())
        shares = tuple(one for one in shares if one.scope != "at_once")
        if isinstance(write(ledger, Transaction(now, takes=shares)), Committed):
            taken += [(now, one.scope) for one in shares]
    limits = {"everything": (10, 600), "verb/v0": (5, 600), "verb/v1": (5, 600)}
    limits |= {f"target/t/service/{n}": (2, 3600) for n in range(3)}
    for scope, (most, window_s) in limits.items():
        times = [at for at, one in taken if one == scope]
        assert all(sum(t - window_s * NS < at <= t for at in times) <= most for t in times)


def test_three_at_once_and_the_fourth_waits_until_one_has_ended():
    ledger = ModelLedger(seal)
    shares = [takes(Limits(), f"k{n}", 0, f"v{n}", f"t/service/{n}", str(n), ()) for n in range(4)]
    results = [write(ledger, Transaction(NS, takes=one)) for one in shares]
    assert [type(one) for one in results[:3]] == [Committed] * 3 and results[3].what == "at_once"
    write(ledger, Transaction(2 * NS, gives_back=("k0/0/flight",)))
    assert isinstance(write(ledger, Transaction(3 * NS, takes=shares[3])), Committed)


def test_the_blast_radius_is_a_part_of_what_there_is_and_at_least_one():
    groups = (Illness("service:s", 0, 40), Illness("fleet", 0, 7))
    found = {one.scope: one.limit for one in takes(Limits(), "k", 0, "v", "t/instance/s/1", "s", groups)}
    assert (found["replicas/s"], found["fleet"]) == (4, 1)


@given(st.integers(0, 50))
def test_cool_down_doubles_to_a_day_at_most(failures):
    assert COOL_DOWN_NS <= cool_down_ns(failures) <= 24 * HOUR
    assert cool_down_ns(failures + 1) in (2 * cool_down_ns(failures), 24 * HOUR)


def test_cool_down_counts_failures_in_a_row():
    past = [Past(n * HOUR, "t", b"a", b"b", helped) for n, helped in ((1, False), (2, True), (3, False), (4, False))]
    assert cools_until_ns(past, "t") == 4 * HOUR + 4 * COOL_DOWN_NS
    assert cools_until_ns(past, "other") == 0


def test_going_back_within_the_hour_is_an_oscillation():
    there, back, third = change_of("t/flag/a", "v1"), change_of("t/flag/a", "v0"), change_of("t/flag/a", "v2")
    past = [Past(1, "t/flag/a", goal_of(there), origin_of(there), True)]
    assert is_oscillation(past, back, HOUR) and not is_oscillation(past, back, 2 * HOUR)
    assert not is_oscillation(past, third, HOUR)
    assert not is_oscillation(past, there, HOUR)
    past.append(Past(2, "t/flag/a", goal_of(third), b"elsewhere", True))
    assert is_oscillation(past, there, HOUR)


@given(st.integers(0, 100), st.integers(0, 100))
def test_above_a_third_ill_or_three_of_nobody_knows_how_many_is_mass_illness(ill, members):
    found = mass_illness([Illness("zone:a", ill, members)])
    assert (found is not None) == (ill >= 3 and ill > 0.3 * members)


def test_who_is_only_foreseen_stops_no_cure_and_a_forecast_of_many_is_not_acted_on():
    groups = (Illness("fleet", 1, 5, foreseen=3),)
    ahead = Origin(asked='{"hypothesis":{"cause":{"family":"load_ahead"}}}')
    safety = Safety(SafetySettings(levels={"*": "act"}, has_canary=False, must_earn=False))
    cure, forecast = (Action(plan_of(step_of()), origin=origin) for origin in (Origin(), ahead))
    assert safety.bound(cure, groups, 1).mode == "act"
    assert safety.bound(forecast, groups, 1) == Bound("advise", "MASS_ILLNESS")
    assert safety.bound(forecast, (Illness("fleet", 1, 5, foreseen=1),), 1).mode == "act"
    assert safety.bound(cure, (Illness("fleet", 3, 5, foreseen=1),), 1) == Bound("advise", "MASS_ILLNESS")


outcomes = st.lists(st.sampled_from(("good", "ineffective", "harmful")), max_size=30)


@given(outcomes)
def test_a_breaker_is_open_after_any_harm_and_never_closes_by_itself_after_the_second(given_outcomes):
    breaker, now = Breaker(), 0
    for outcome in given_outcomes:
        now += HOUR
        trips = breaker.trips
        for _ in range(3):
            breaker = _breaker.after_shadow(breaker, True)
        breaker = _breaker.after_outcome(breaker, outcome, now)
        assert breaker.is_open or (outcome != "harmful" and trips < 2)


def test_a_breaker_opens_at_two_of_five_and_half_opens_after_shadow_successes():
    breaker = Breaker()
    for outcome in ("ineffective", "good", "good", "ineffective"):
        breaker = _breaker.after_outcome(breaker, outcome, HOUR)
    assert _breaker.bound(breaker, 9 * HOUR) == Bound("advise", "BREAKER_OPEN")
    for _ in range(3):
        breaker = _breaker.after_shadow(breaker, True)
    assert _breaker.bound(breaker, HOUR).mode == "advise"
    assert _breaker.bound(breaker, 9 * HOUR) == Bound("approve", "BREAKER_HALF_OPEN")
    assert not _breaker.after_outcome(breaker, "good", 9 * HOUR).is_open
    again = _breaker.after_outcome(breaker, "harmful", 9 * HOUR)
    assert again.trips == 2 and not _breaker.is_half_open(replace(again, shadow=99), 99 * HOUR)
    assert _breaker.reset() == Breaker()


def test_two_old_failures_among_many_successes_open_nothing():
    breaker = Breaker()
    for outcome in ("ineffective", "good", "good", "good", "good", "ineffective"):
        breaker = _breaker.after_outcome(breaker, outcome, HOUR)
    assert not breaker.is_open


def test_a_new_version_goes_from_shadow_over_one_target_and_a_tenth_to_all():
    targets = [f"t/service/s{n}" for n in range(200)]
    share = lambda canary: sum(_canary.bound(canary, one).mode == "act" for one in targets) / len(targets)
    canary = Canary()
    assert share(canary) == 0
    for _ in range(_canary.SHADOWS):
        canary = _canary.after_shadow(canary)
    canary = _canary.after_outcome(canary, "good", targets[0])
    assert share(canary) == 1 / 200
    for _ in range(2):
        canary = _canary.after_outcome(canary, "good", targets[0])
    assert 0.05 < share(canary) < 0.2
    for _ in range(7):
        canary = _canary.after_outcome(canary, "good", targets[0])
    assert share(canary) == 1
    assert share(_canary.after_outcome(canary, "harmful", targets[0])) == 0


@given(st.lists(st.sampled_from(ORDER), min_size=1))
def test_the_lowest_of_all_bounds_counts(modes):
    found = lowest([Bound(mode, str(n)) for n, mode in enumerate(modes)])
    assert all(ORDER.index(found.mode) <= ORDER.index(mode) for mode in modes)


def test_the_most_specific_level_counts_and_unset_is_approve():
    levels = {"*": "act", "@critical": "approve", "v@critical": "advise"}
    assert [set_level(levels, "v", tier) for tier in ("critical", "low")] == ["advise", "act"]
    assert set_level(levels, "w", "critical") == "approve" and set_level({}, "v", "low") == "approve"


def test_what_takes_a_temporary_change_back_was_approved_with_it():
    safety = Safety(SafetySettings(levels={"*": "approve"}, has_canary=False, must_earn=False))
    action = Action(plan_of(step_of()), origin=Origin())
    back = replace(action, origin=Origin(reverts="k"))
    assert (safety.bound(action, (), HOUR).mode, safety.bound(back, (), HOUR).mode) == ("approve", "act")
    never = Safety(SafetySettings(levels={"*": "advise"}, has_canary=False, must_earn=False))
    assert never.bound(back, (), HOUR).mode == "advise"


def test_everything_stops_when_the_breaker_of_everything_trips_until_it_is_reset():
    safety = Safety(SafetySettings(levels={"*": "act"}, has_canary=False, must_earn=False))
    action = Action(plan_of(step_of("t/service/a")), origin=Origin(tier="low"))
    assert safety.bound(action, (), NS).mode == "act"
    safety.trip("LEDGER_FAULT", NS)
    assert safety.bound(action, (), NS) == Bound("advise", "BREAKER_OPEN")
    safety.heed(Order("breaker:*@*", False, NS - 1))
    assert safety.bound(action, (), NS).mode == "advise"
    safety.heed(Order("breaker:*@*", False, 2 * NS))
    assert safety.bound(action, (), NS).mode == "act"


def test_what_nobody_could_measure_is_neither_good_nor_bad_for_a_breaker():
    action = Action(plan_of(step_of()), state="escalated", verdict="inconclusive")
    assert outcome_of(action) is None
    assert outcome_of(replace(action, verdict="regressed")) == "harmful"


def test_a_storm_of_escalations_is_ten_pages_and_none_is_dropped():
    paging, told, waiting = Paging(), [], []
    for number in range(500):
        waiting.append((number, Notice(f"n{number}", "page", f"g{number % 40}", "text", f"k{number}", 0)))
        for said, numbers in list(paging.fold(waiting, number * NS // 12)):
            told.append(said)
            paging.was_told(said, number * NS // 12)
            waiting = [one for one in waiting if one[0] not in numbers]
    assert len(told) <= MOST
    last = list(paging.fold(waiting, 700 * NS))
    assert {n for _, numbers in last for n in numbers} == {n for n, _ in waiting}


def overruled(times, of):
    """A safety that has seen so many decisions, the first `times` of which people rejected."""
    safety = Safety(SafetySettings())
    for n in range(of):
        state = "rejected" if n < times else "succeeded"
        safety.learn(Action(plan_of(step_of()), state=state, origin=Origin(action_id=f"a{n}"), at_ns=n))
    return safety


def test_more_than_a_fifth_of_the_last_decisions_overruled_is_too_often_but_not_among_few():
    assert [overruled(times, of).overruled.is_too_often for times, of in ((3, 10), (2, 10), (9, 9), (4, 20))] == [
        True, False, False, False]  # fmt: skip


def test_a_person_who_says_it_was_wrong_or_changes_the_target_back_overrules_it_too():
    safety = overruled(2, 9)
    foreign = Action(
        plan_of(step_of()), state="escalated", origin=Origin(action_id="f"), residue=(Residue(0, "foreign"),)
    )
    safety.learn(foreign)
    assert safety.overruled.is_too_often
    said = {"incident_id": "i", "said_by": "ada", "said_ns": 9}
    for verdict, is_too_often in (("right", False), ("wrong", True)):
        safety = overruled(2, 10)
        safety.heard(Feedback(id=verdict, action_id="a5", verdict=verdict, **said))
        assert safety.overruled.is_too_often is is_too_often


def test_what_was_counted_when_everything_stopped_does_not_count_again():
    safety = overruled(3, 10)
    safety.trip("OVERRULED", NS)
    assert not safety.overruled.is_too_often
