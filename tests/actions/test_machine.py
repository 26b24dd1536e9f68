"""The machine of an action: what may happen in which state, shown over all of its states and in a hostile world."""

import math
from collections import deque
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.actions import NS, plan_of, seal, step_of
from support.actions_world import MUTANTS, run_world

from actions._gateway import SKEW_NS
from actions._gateway_desk import LANDING_NS
from actions._ledger_model import ModelLedger
from actions._machine import propose, step
from actions._machine_errors import IllegalTransition, RecordBroken
from actions._machine_types import (
    MOVES,
    TERMINAL,
    Action,
    Answered,
    Apply,
    Approved,
    Due,
    Fence,
    Fenced,
    Gated,
    Killed,
    Measured,
    Read,
    Record,
    Recovered,
    Refused,
    Rejected,
    Renewed,
    Reserved,
    TakeEpoch,
    Withdrawn,
    dump_action,
    load_action,
)
from actions._plans import times_of
from actions._saga import Residue, Times, action_key, revert_of

A, B = "t/flag/a", "t/flag/b"
PLANS = {
    "one step": plan_of(),
    "undo on no effect": plan_of(step_of(undo_on_no_effect=True)),
    "unsafe": plan_of(step_of(effect_class="unsafe")),
    "two steps": plan_of(step_of(A), step_of(B)),
    "rolls back on kill": plan_of(step_of(A), step_of(B), rollback_on_kill=True),
    "no undo": plan_of(step_of(A, is_reversible=False), step_of(B)),
    "no return": plan_of(step_of(A), step_of(B, point_of_no_return=True)),
    "short undo": plan_of(step_of(A, undo_valid_for_ns=1), step_of(B)),
}


def events(action):
    """Every kind of event with every meaning it can have, right and wrong epochs, digests and times."""
    now, epoch = action.at_ns + NS, action.attempt.epoch if action.attempt else 0
    digest = action.plan.digest
    for effect in ("permit", "require_approval", "advise", "deny"):
        yield from (Gated(now, effect, "R", mode, now) for mode in ("shadow", "advise", "approve", "act"))
    yield Gated(now, "permit", "R", "act", now - 400 * NS)
    yield from (Approved(now, digest), Approved(now, "other"), Rejected(now), Killed(now), Withdrawn(now))
    yield from (Reserved(now, digest, now + 9 * NS, now), Reserved(now, digest, now + 9 * NS, now - 400 * NS))
    yield from (Reserved(now, "other", now + 9 * NS, now), Reserved(now, digest, now, now))
    yield from (Refused(now, "BUDGET_SPENT", True), Refused(now, "BUDGET_SPENT", False), Recovered(now))
    for target in (A, B):
        for n in (epoch, epoch + 1):
            yield from (Renewed(now, target, n), Fenced(now, target, n))
            yield from (Answered(now, target, n, result) for result in ("applied", "not_applied", "lost"))
            yield from (Read(now, target, n, found) for found in ("applied", "not_applied", "foreign", "unreadable"))
    for verdict in ("recovered", "not_recovered", "regressed", "inconclusive"):
        yield from (Measured(now, verdict, seen, 1.0) for seen in (1.0, 0.79, 0.0, math.nan))
    yield from (Due(now), Due(action.due_ns), Due(max(action.due_ns, action.give_up_ns)))


def shape(action):
    """What distinguishes two states; times and counts do not."""
    attempt = action.attempt and (
        action.attempt.step,
        action.attempt.direction,
        action.attempt.phase,
        action.attempt.is_sent,
    )
    applied = tuple(one.step for one in action.applied)
    return action.state, action.step, applied, attempt, action.is_killed, action.residue


def reachable(plan):
    first, commands = propose(plan, 0, 1_000 * NS)
    found, queue = {shape(first): (first, commands)}, deque([first])
    while queue:
        for event in events(action := queue.popleft()):
            try:
                after, commands = step(action, event)
            except IllegalTransition:
                continue
            if shape(after) not in found:
                found[shape(after)] = (after, commands)
                queue.append(after)
    return [action for action, _ in found.values()]


@pytest.fixture(scope="module", params=PLANS)
def states(request):
    return reachable(PLANS[request.param])


def test_every_event_in_every_state_is_a_drawn_move_or_an_error_that_changes_nothing(states):
    for action in states:
        for event in events(action):
            before = dump_action(action)
            try:
                after, commands = step(action, event)
            except IllegalTransition:
                assert dump_action(action) == before
                continue
            records = [one for one in commands if isinstance(one, Record)]
            assert records and records[0].from_state == action.state and records[-1].to_state == after.state
            assert all(one.to_state == one.from_state or one.to_state in MOVES[one.from_state] for one in records)
            assert all(one.reason for one in records) and after.version == action.version + 1


def test_nothing_leaves_an_end(states):
    for action in (one for one in states if one.is_ended):
        for event in events(action):
            with pytest.raises(IllegalTransition):
                step(action, event)


def test_all_drawn_states_are_reached():
    seen = {action.state for plan in PLANS.values() for action in reachable(plan)}
    assert seen | {"gated"} == set(MOVES) | TERMINAL


def test_silence_ends_every_action(states):
    for action in states:
        for _ in range(100):
            if not action.is_ended:
                action, _ = step(action, Due(max(action.due_ns, action.at_ns)))
        assert action.is_ended


def test_an_effect_is_asked_for_only_when_it_becomes_the_one_attempt_under_way(states):
    for action in states:
        for event in events(action):
            try:
                after, commands = step(action, event)
            except IllegalTransition:
                continue
            for effect in (one for one in commands if isinstance(one, Apply)):
                assert (after.attempt.phase, after.attempt.epoch) == ("sent", effect.epoch)
                assert not (action.attempt and action.attempt.is_sent), "sent before: it is never sent again"
                assert not after.is_killed or (effect.direction == "undo" and after.plan.rollback_on_kill)


def test_missing_data_is_never_success(states):
    for action in (one for one in states if one.state == "verifying"):
        for seen, control in ((0.0, 1.0), (1.0, 0.0), (math.nan, 1.0), (1.0, math.nan), (0.79, 1.0)):
            after, _ = step(action, Measured(action.at_ns, "recovered", seen, control))
            assert (after.state, after.reason) == ("escalated", "THIN_TELEMETRY")


def test_a_body_read_again_is_the_same_action(states):
    assert all(load_action(dump_action(action)) == action for action in states)
    with pytest.raises(RecordBroken):
        load_action(b'{"state": "dreaming"}')


def go(action, *told):
    """The action after events, each given at the action's own time."""
    for event in told:
        action, commands = step(action, event._replace(at_ns=max(event.at_ns, action.at_ns)))
    return action, commands


def running(plan, epoch=1):
    """An action whose first step is commanded."""
    action, _ = propose(plan, 0, 1_000 * NS)
    now, digest = action.at_ns, plan.digest
    return go(
        action, Gated(0, "permit", "R", "act", now), Reserved(0, digest, now + 20 * NS, now), Renewed(0, A, epoch)
    )


def test_what_is_not_known_is_fenced_under_a_new_epoch_then_read_and_never_sent_again():
    action, commands = running(plan_of(step_of(A)))
    assert [type(one) for one in commands] == [Record, Apply]
    action, commands = go(action, Recovered(0))
    assert action.state == "unknown" and TakeEpoch(A) in commands
    action, commands = go(action, Renewed(0, A, 2))
    assert Fence(A, 2) in commands
    action, commands = go(action, Fenced(0, A, 2), Read(0, A, 2, "not_applied"))
    assert (action.state, action.residue) == ("escalated", ())


def reconciling():
    """An action whose outcome is not known, at the moment when it is looked for the first time."""
    return go(running(plan_of(step_of(A)))[0], Recovered(0))[0]


def test_a_worker_whose_clock_is_ahead_still_waits_as_long_as_a_lost_effect_may_land():
    action = reconciling()
    action, _ = go(action, Recovered(action.at_ns + 3600 * NS))
    assert action.give_up_ns - action.at_ns == action.plan.times.reconcile_ns
    action, _ = go(action, Due(action.due_ns))
    assert action.state == "unknown"


def test_time_in_which_nobody_listened_does_not_count_as_waited():
    action = reconciling()
    waited_ns = action.due_ns - action.at_ns
    action, _ = go(action, Due(action.due_ns + 3600 * NS))
    assert action.state == "unknown"
    assert action.give_up_ns - action.at_ns == action.plan.times.reconcile_ns - waited_ns


def test_nobody_gives_up_before_a_lost_effect_can_no_longer_land(verbs):
    for times in (Times(), *(times_of(verbs.get(name)) for name in verbs.names)):
        assert times.reconcile_ns > times.permit_ns + SKEW_NS + LANDING_NS


def test_the_late_answer_of_one_step_does_not_pass_for_that_of_the_next():
    action, _ = running(plan_of(step_of(A), step_of(B)))
    action, _ = go(action, Answered(0, A, 1, "applied"))
    again = Reserved(0, action.plan.digest, action.at_ns + 20 * NS, action.at_ns)
    action, _ = go(action, again, Renewed(0, B, 1))
    with pytest.raises(IllegalTransition):
        go(action, Answered(0, A, 1, "applied"))


def test_a_permit_that_ran_out_is_not_used():
    action, _ = propose(plan := plan_of(), 0, 1_000 * NS)
    now = action.at_ns
    action, _ = go(action, Gated(0, "permit", "R", "act", now), Reserved(0, plan.digest, now + 20 * NS, now))
    action, commands = go(action, Renewed(now + 100 * NS, A, 1))
    assert action.state == "approved" and not any(isinstance(one, Apply) for one in commands)


def test_old_evidence_gives_advice_and_no_permit():
    action, _ = propose(plan_of(), 0, 10_000 * NS)
    action, _ = go(action, Gated(0, "permit", "R", "act", 10_000 * NS - 6 * 3600 * NS))
    assert (action.state, action.reason) == ("advised", "OLD_NEWS")


def test_compensation_goes_in_reverse_and_stops_at_the_first_undo_that_fails():
    action, _ = running(plan_of(step_of(A), step_of(B)))
    action, _ = go(action, Answered(0, A, 1, "applied"))
    again = Reserved(0, action.plan.digest, action.at_ns + 20 * NS, action.at_ns)
    action, _ = go(action, again, Renewed(0, B, 1), Answered(0, B, 1, "applied"), Measured(0, "regressed", 1.0, 1.0))
    undo_b = (Renewed(0, B, 2), Fenced(0, B, 2), Read(0, B, 2, "applied"), Answered(0, B, 2, "applied"))
    action, commands = go(action, *undo_b)
    assert action.state == "compensating" and TakeEpoch(A) in commands
    action, _ = go(action, Renewed(0, A, 2), Fenced(0, A, 2), Read(0, A, 2, "foreign"))
    assert (action.state, action.residue) == ("escalated", (Residue(0, "foreign"),))


def test_a_kill_before_anything_happened_fails_safe_and_after_it_hands_over():
    asked, _ = propose(plan_of(step_of(A), step_of(B)), 0, 1_000 * NS)
    assert go(asked, Killed(0))[0].state == "failed_safe"
    action, _ = running(plan_of(step_of(A), step_of(B)))
    action, _ = go(action, Killed(0), Renewed(0, A, 2), Fenced(0, A, 2), Read(0, A, 2, "applied"))
    assert (action.state, action.residue) == ("escalated", (Residue(0, "applied"),))


def test_an_unsafe_verb_always_waits_for_a_person():
    action, _ = propose(plan_of(step_of(effect_class="unsafe")), 0, 1_000 * NS)
    assert go(action, Gated(0, "permit", "R", "act", 1_000 * NS))[0].state == "awaiting_approval"


def test_the_key_names_the_physical_change_and_its_generation():
    plan = plan_of()
    assert action_key(plan, 0) == action_key(replace(plan, rollback_on_kill=True), 0) != action_key(plan, 1)
    assert isinstance(propose(plan, 0, 5)[0], Action)


def test_a_temporary_change_is_reverted_by_its_undos_in_reverse():
    reverted = revert_of(plan_of(step_of(A), step_of(B)))
    assert reverted.targets == (B, A) and reverted.steps[0].change.parameters == {"value": "v0"}
    with pytest.raises(ValueError):
        revert_of(plan_of(step_of(A, is_reversible=False)))


def crashed(ledger):
    ledger.crash()
    return ledger


@given(st.integers(0, 2**32))
@settings(max_examples=15, deadline=None)
def test_in_a_hostile_world_nothing_happens_twice_unsaid_or_after_the_end(seed):
    assert run_world(seed, ModelLedger(seal), crashed, steps=300).wrong == []


def test_the_same_seed_is_the_same_history():
    heads = [run_world(7, ModelLedger(seal), crashed, steps=200).ledger.head() for _ in range(2)]
    assert heads[0] == heads[1]


FOUND = {
    "no_fencing": 1, "read_without_fence": 1, "commands_before_commit": 0, "blind_retry": 0, "no_dedupe": 29,
    "thin_is_fine": 14, "kill_is_deaf": 2, "undo_without_looking": 38, "epoch_of_any_target": 16,
}  # fmt: skip
"""Seeds at which `python -m bench.machine --mutants` found each."""


@pytest.mark.parametrize("mutant", MUTANTS)
def test_the_oracle_sees_a_bug_put_in(mutant):
    assert run_world(FOUND[mutant], ModelLedger(seal), crashed, steps=600, mutant=mutant).wrong
