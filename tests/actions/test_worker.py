"""The action worker on a virtual clock: what it does alone, and what it does when the world fails."""

import pytest
from support.act import ACT, NS, asked, plan_of, replace, stand, step_of
from support.actions import seal

from actions._autonomy_kept import breach_of
from actions._budget import Limit, Limits
from actions._ledger import Free, Hold, Transaction, write
from actions._ledger_sqlite import SqliteLedger
from actions._machine_types import Action, Origin
from actions._ports import Answer, Illness
from actions._safety import EVERYWHERE, SafetySettings
from actions._worker import Asked, WorkerSettings
from schemas import ACTIONS, ActionEvent, Control, Feedback, FollowUp, read
from schemas.core import Message


def test_a_permitted_change_is_applied_once_and_verified():
    async def scene(world):
        assert await world.ask() == "OPENED"
        await world.wait(600)
        return world

    world = stand(scene)
    assert world.states == ["succeeded"] and [what for _, _, what in world.gateway.effects] == ["do"]


def test_what_made_it_worse_is_undone_and_what_did_not_help_too():
    for cures, verdict in (("regressed", "REGRESSED"), ("nothing", "NOT_RECOVERED")):

        async def scene(world, cures=cures):
            world.telemetry.cures = cures
            await world.ask()
            await world.wait(700)
            return world

        world = stand(scene)
        assert world.states == ["rolled_back"], verdict
        assert [what for _, _, what in world.gateway.effects] == ["do", "undo"]


@pytest.mark.parametrize(("after", "state"), [("recovered", "succeeded"), ("regressed", "rolled_back")])
def test_what_was_only_foreseen_may_not_make_anything_worse(after, state):
    async def scene(world):
        world.telemetry.is_ill, world.telemetry.cures = False, after
        await world.ask(family="load_ahead")
        await world.wait(900)
        return world

    assert stand(scene).states == [state]


def test_without_telemetry_nothing_is_a_success():
    async def scene(world):
        world.telemetry.missing = 0.5
        await world.ask()
        await world.wait(700)
        return world

    world = stand(scene)
    assert (world.states, world.reasons) == (["escalated"], ["THIN_TELEMETRY"])
    assert len(world.people.pages) == 1


def test_a_lost_answer_is_found_out_by_fence_and_read():
    async def scene(world):
        world.gateway.answers = [Answer("lost")]
        await world.ask()
        await world.wait(600)
        return world

    world = stand(scene)
    assert world.states == ["succeeded"] and len(world.gateway.effects) == 1
    assert world.gateway.epochs["t/service/a"] == 2


@pytest.mark.parametrize("seconds", [0, 0.05, 0.2, 3, 100, 300])
def test_a_restarted_worker_does_not_act_twice(seconds):
    async def scene(world):
        world.gateway.latency_ns = NS // 10
        await world.ask()
        await world.wait(seconds)
        await world.restart()
        await world.wait(900)
        return world

    world = stand(scene)
    assert (world.states, len(world.gateway.effects)) in ((["succeeded"], 1), (["escalated"], 0))


def test_the_same_change_asked_by_another_incident_is_one_action():
    async def scene(world):
        first, second = await world.ask(incident="i1"), await world.ask(incident="i2")
        await world.wait(5)
        return world, (first, second)

    world, said = stand(scene)
    assert said == ("OPENED", "OWNED") and len(world.gateway.effects) == 1


def test_a_withdrawn_incident_gives_up_only_what_no_other_asks_for():
    async def scene(world):
        world.gatekeeper.effect = "require_approval"
        await world.ask(incident="i1")
        await world.ask(incident="i2")
        await world.wait(1)
        await world.worker.withdraw("i1")
        before = list(world.states)
        await world.worker.withdraw("i2")
        return before, world.states

    assert stand(scene) == (["awaiting_approval"], ["expired"])


def test_a_backlog_of_six_hours_makes_no_action_and_one_page():
    async def scene(world):
        world.gatekeeper.age_ns = 6 * 3600 * NS
        for number in range(300):
            await world.ask(f"t/service/s{number}", incident=f"i{number}")
            await world.wait(0.1)
        await world.wait(60)
        return world

    world = stand(scene)
    assert set(world.states) == {"advised"} and not world.gateway.effects
    assert [notice.group for notice in world.people.pages] == ["OLD_NEWS"]


def test_a_storm_of_incidents_stays_within_the_budgets_and_ten_pages():
    async def scene(world):
        for number in range(150):
            await world.ask(f"t/service/s{number}", incident=f"i{number}")
        await world.wait(599)
        return world

    world = stand(scene)
    assert 3 <= len(world.gateway.effects) <= 5
    assert len(world.people.pages) <= 10 and len(world.states) == 150


def test_a_plan_whose_last_step_has_no_budget_does_not_begin_and_one_that_ended_early_gives_its_shares_back():
    plan, budget = plan_of(step_of("t/service/a"), step_of("t/service/b")), replace(Limits(), verb=Limit(1, 3600 * NS))

    async def begun(world):
        await world.ask(plan=plan)
        await world.wait(1200)
        return world

    world = stand(begun, settings=WorkerSettings(replace(ACT.safety, limits=budget)))
    assert world.gateway.effects == [] and world.ledger.open_actions() == []
    assert world.reasons == ["NO_PERMIT"] and "expired (NO_PERMIT)" in world.people.told[-1].text
    assert world.ledger.spent(f"verb/{plan.steps[0].change.verb}", 0) == 0


def test_kill_stops_what_has_not_begun_and_hands_over_what_is_half_done():
    async def scene(world):
        plan = plan_of(step_of("t/service/a"), step_of("t/service/b"))
        world.gateway.latency_ns = 3 * NS
        await world.ask(plan=plan)
        await world.ask("t/service/c")
        await world.wait(1)
        world.kill.scopes = frozenset({"all"})
        await world.wait(60)
        return world

    world = stand(scene)
    assert world.states == ["escalated", "escalated"]
    assert "t/service/b" not in [target for _, target, _ in world.gateway.effects]


@pytest.mark.parametrize("trouble", ["stale", "silent", "killed"])
def test_nothing_new_starts_under_a_kill_a_stale_state_or_a_silent_supervisor(trouble):
    async def scene(world):
        if trouble == "stale":
            world.kill.stale_ns = 6 * NS
        elif trouble == "silent":
            world.kill.silent_ns = 11 * NS
        else:
            world.kill.scopes = frozenset({"verb:flag.set"})
        await world.ask()
        await world.wait(400)
        return world

    world = stand(scene)
    assert not world.gateway.effects and world.states == ["advised"]


def test_while_kafka_is_away_half_an_hour_actions_end_and_people_hear_of_them():
    async def scene(world):
        await world.ask()
        await world.wait(2)
        world.bus.is_down = True
        await world.wait(1800)
        told = [notice.group for notice in world.people.told]
        world.bus.is_down = False
        await world.wait(5)
        return world, told

    world, told = stand(scene)
    assert world.states == ["succeeded"] and told == ["succeeded:RECOVERED"]
    events = [read_event(one) for one in world.bus.sent if one.topic == ACTIONS]
    assert [one.sequence for one in events] == list(range(len(events)))
    assert events[-1].state == "succeeded" and len({one.id for one in events}) == len(events)


def read_event(record) -> ActionEvent:
    found = read(Message("tidegate.actions.v1", 0, 0, record.key, record.value, record.headers, record.event_ns, 0))
    assert isinstance(found, ActionEvent | FollowUp)
    return found


def test_people_who_cannot_be_reached_are_told_later():
    async def scene(world):
        world.people.is_away = True
        world.telemetry.cures = "regressed"
        await world.ask(plan=plan_of(step_of(is_reversible=False)))
        await world.wait(900)
        world.people.is_away = False
        await world.wait(2)
        return world

    world = stand(scene)
    assert world.states == ["escalated"] and len(world.people.pages) == 1


def test_while_kafka_and_every_way_to_people_are_away_half_an_hour_an_action_still_ends_rightly():
    async def scene(world):
        await world.ask()
        await world.wait(2)
        world.bus.is_down = world.people.is_away = True
        await world.wait(1800)
        ended = list(world.states)
        world.bus.is_down = world.people.is_away = False
        await world.wait(30)
        return world, ended

    world, ended = stand(scene)
    assert ended == ["succeeded"] and [notice.group for notice in world.people.told] == ["succeeded:RECOVERED"]
    assert not world.ledger.unsent(9, ACTIONS) and not world.ledger.unsent(9, "people")


def test_a_breaker_that_tripped_is_open_after_a_restart():
    async def scene(world):
        world.telemetry.cures = "regressed"
        await world.ask()
        await world.wait(900)
        await world.restart()
        world.telemetry.cures = "recovered"
        await world.ask(value="v2")
        await world.wait(100)
        return world

    world = stand(scene)
    assert sorted(zip(world.states, world.reasons, strict=True))[0] == ("advised", "BREAKER_OPEN")


def test_after_a_trip_three_right_decisions_in_the_shadow_let_people_approve_again():
    async def scene(world):
        world.telemetry.cures = "regressed"
        await world.ask()
        await world.wait(900)
        for number in range(3):
            await world.ask(value=f"w{number}")
            await world.wait(700)
            fields = {"id": f"f{number}", "incident_id": "i1", "action_id": "a1", "verdict": "right", "said_by": "ada"}
            said = Feedback.model_validate(fields | {"said_ns": world.worker.now})
            await world.worker.hear(said)
            await world.worker.hear(said)
        await world.restart()
        await world.ask(value="v9")
        await world.wait(5)
        return world

    world = stand(scene)
    assert sorted(world.states) == ["advised", "advised", "advised", "awaiting_approval", "rolled_back"]
    assert "BREAKER_HALF_OPEN" in world.reasons


def test_a_signed_reset_closes_a_breaker_and_frees_a_target_and_stays_through_a_restart():
    async def scene(world):
        world.telemetry.cures = "regressed"
        await world.ask()
        await world.wait(900)
        now = world.worker.now
        write(world.ledger, Transaction(now, targets=(Hold("t/service/a", "x"), Free("t/service/a", "x", None, "WHY"))))
        for id, scope in (("1", "breaker:flag.set@a"), ("2", "target:t/service/a")):
            fields = {"id": id, "kind": "resume", "scope": scope, "issued_ns": now, "issuer": "o", "signature": "s"}
            await world.worker.heed(Control.model_validate(fields))
            await world.worker.heed(Control.model_validate(fields))
        await world.restart()
        return world

    world = stand(scene)
    assert not world.worker.safety.breakers["flag.set", "a"].is_open
    assert world.ledger.target("t/service/a").blocked == "" and len(world.ledger.kept("order/")) == 2


def test_three_actions_without_effect_block_the_target_and_page():
    async def scene(world):
        world.telemetry.cures = "nothing"
        for number in range(4):
            world.worker.safety.breakers.clear()
            await world.ask(plan=plan_of(step_of("t/service/a", f"v{number + 1}")))
            await world.wait(4 * 3600)
        return world

    world = stand(scene)
    blocked = [notice for notice in world.people.pages if notice.group == "blocked:t/service/a"]
    assert len(blocked) == 1 and len(world.gateway.effects) == 3


def test_a_change_that_goes_back_within_the_hour_is_refused_and_blocks_its_target():
    async def scene(world):
        await world.ask(value="v1")
        await world.wait(1800)
        await world.ask(value="v0")
        await world.wait(100)
        return world

    world = stand(scene)
    assert sorted(world.states) == ["denied", "succeeded"]
    assert world.ledger.target("t/service/a").blocked == "OSCILLATION"


def test_where_a_third_of_a_group_is_ill_nothing_acts():
    async def scene(world):
        world.telemetry.groups = (Illness("zone:a", 4, 10),)
        await world.ask()
        await world.wait(100)
        return world

    assert stand(scene).reasons == ["MASS_ILLNESS"]


def test_a_port_that_raises_is_silence_and_people_hear_of_it_once():
    async def scene(world):
        async def broken(action):
            raise RuntimeError("policy engine")

        world.gatekeeper.gate = broken
        await world.ask()
        await world.ask("t/service/b")
        await world.wait(100)
        return world

    world = stand(scene)
    assert set(world.states) == {"expired"} and len(world.people.pages) == 1


def test_it_runs_on_the_durable_ledger_with_commits_shared(tmp_path):
    async def scene(world):
        for number in range(20):
            await world.ask(f"t/service/s{number}")
        await world.wait(500)
        return world

    loose = WorkerSettings(replace(ACT.safety, limits=replace(ACT.safety.limits, at_once=50)))
    world = stand(scene, SqliteLedger(tmp_path / "ledger", seal), loose)
    assert world.states.count("succeeded") == 5


def test_unset_levels_ask_people():
    async def scene(world):
        await world.ask()
        await world.wait(2)
        return world

    world = stand(scene, settings=WorkerSettings(SafetySettings(has_canary=False, must_earn=False)))
    assert world.states == ["awaiting_approval"]


def test_a_stop_without_an_order_is_kept_through_a_restart_until_a_signed_order_lifts_it():
    async def scene(world):
        await world.worker.trip("AUDIT_FAILED", "the log cannot be written")
        await world.restart()
        tripped = world.worker.safety.breakers[EVERYWHERE].is_open
        fields = {"id": "r", "kind": "resume", "scope": "breaker:*@*", "issuer": "o", "signature": "s"}
        await world.worker.heed(Control(**fields, issued_ns=world.worker.now + 1))
        await world.restart()
        return world, tripped

    world, tripped = stand(scene)
    assert tripped and not world.worker.safety.breakers[EVERYWHERE].is_open and not world.worker.ledger.kept("trip/")


@pytest.mark.parametrize(("reason", "is_breach"), [("AUDIT_ALTERED", True), ("AUDIT_FAILED", False)])
def test_what_was_earned_before_a_breach_of_safety_stays_lost_when_an_order_has_lifted_the_stop(reason, is_breach):
    async def scene(world):
        await world.worker.trip(reason, "the log is not the one that was anchored")
        at_once = world.worker.safety.breach_ns
        fields = {"id": "r", "kind": "resume", "scope": "breaker:*@*", "issuer": "o", "signature": "s"}
        await world.worker.heed(Control(**fields, issued_ns=world.worker.now + 1))
        lifted = world.worker.safety.breach_ns
        await world.restart()
        return at_once, lifted, world.worker.safety.breach_ns, breach_of(world.worker.ledger)

    found = stand(scene)
    assert len(set(found)) == 1 and (found[0] > 0) is is_breach


def test_people_who_overrule_too_much_stop_everything_once():
    async def scene(world):
        for n in range(10):
            state = "rejected" if n < 3 else "succeeded"
            done = Action(plan_of(step_of(f"t/flag/{n}")), state=state, origin=Origin(action_id=f"a{n}"), at_ns=n)
            world.worker.safety.learn(done)
        for _ in range(2):
            await world.worker._count()
        return world

    world = stand(scene)
    assert [name for name, reason in world.worker.ledger.kept("trip/") if reason == b"OVERRULED"]
    assert len(world.worker.ledger.kept("trip/")) == 1


def test_a_worker_brakes_by_what_another_has_done_since_it_began():
    """Found by the simulation, seed 1394: the one woke up and changed what the other had just finished with."""

    async def scene(world):
        sleeper = world._worker()
        await sleeper.begin()
        await world.ask()
        await world.wait(600)
        again = plan_of(step_of("t/service/a", "v2", undo_on_no_effect=True))
        await sleeper.take(Asked(again, Origin("a2", "i2", "standard", "v1", asked=asked(again))))
        await world.wait(4)
        return world

    world = stand(scene)
    assert len(world.gateway.effects) == 1 and sorted(world.states) == ["approved", "succeeded"]
