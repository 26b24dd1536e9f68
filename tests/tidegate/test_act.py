"""The worker as it runs: records of the embedded log, a gateway process over its socket, people at the desk, a file."""

import asyncio

import pytest
from support.act_place import (
    COLLEAGUE,
    HIS,
    PERSON,
    add_app,
    approve,
    gated_now,
    gateway_of,
    git,
    order,
    repository,
    run,
    settings_of,
    states,
    tell,
    told_by_worker,
    until,
)
from support.actions import seal as chain
from support.gateway import KEY, PARAMETERS, VERBS
from typer.testing import CliRunner

from actions import ActionsError, Rejected, With, override_kept
from actions._ledger import Keep, Transaction, write
from actions._ledger_model import ModelLedger
from actions._ledger_open import open_ledger
from schemas import Control, LaterStep
from schemas.core import NS
from streams import TransportError
from tidegate._act import ActWorker
from tidegate._act_ports import Orders
from tidegate._commands_act_worker import places
from tidegate._errors import SettingsError
from tidegate.cli import app

OTHER = {"service": "other", "change": "chg-2", "from_version": "v2", "to_version": "v1"}


@pytest.fixture
def gateway(tmp_path):
    repository(tmp_path)
    with gateway_of(tmp_path) as place:
        yield place


def test_a_decided_revert_is_approved_done_by_the_gateway_and_told(gateway):
    tell(gateway, gated_now())

    async def scene(worker):
        await until(lambda: states(worker) == ["awaiting_approval"])
        await approve(worker)
        await until(lambda: states(worker) == ["verifying"])
        await until(lambda: any(one.state == "verifying" for one in told_by_worker(gateway)))

    run(gateway, scene)
    assert "v41" in git("show", "HEAD:apps/checkout/kustomization.yaml", cwd=gateway / "bare.git")
    events = told_by_worker(gateway)
    assert [one.sequence for one in events] == list(range(len(events)))
    assert {"gated", "awaiting_approval", "approved", "executing", "executed"} <= {one.state for one in events}


def test_what_was_taken_is_not_taken_again_by_the_next_worker(gateway):
    tell(gateway, gated_now())

    async def scene(worker):
        await until(lambda: states(worker) == ["awaiting_approval"])

    async def again(worker):
        tell(gateway, gated_now(1, target="default/service/other", parameters=OTHER))
        await until(lambda: len(states(worker)) == 2)
        await asyncio.sleep(0.5)
        return len(worker.ledger.contents().actions)

    run(gateway, scene)
    assert run(gateway, again) == 2


def test_old_news_and_a_forged_record_make_no_action(gateway):
    tell(gateway, gated_now(age_s=3600))
    bad = gated_now(1, target="default/service/other", parameters=OTHER)
    change = bad.change.model_copy(update={"parameters": OTHER | {"to_version": "v9"}})
    tell(gateway, bad.model_copy(update={"change": change}))

    async def scene(worker):
        await until(lambda: states(worker) == ["advised"])
        await until(lambda: ("people", "refused:NOT_ASKABLE", 1) in worker.ledger.contents().told)
        assert states(worker) == ["advised"]

    run(gateway, scene)


def test_an_order_in_the_file_stops_what_waits_and_stays_through_a_restart(gateway):
    tell(gateway, gated_now())

    async def scene(worker):
        await until(lambda: states(worker) == ["awaiting_approval"])
        with (gateway / "worker-kill.jsonl").open("ab") as file:
            file.write(order().to_bytes() + b"\n")
        await until(lambda: states(worker) == ["failed_safe"])
        await until(lambda: worker.ledger.kept("order/"))
        (gateway / "worker-kill.jsonl").write_text("")

    async def again(worker):
        tell(gateway, gated_now(1, target="default/service/other", parameters=OTHER))
        await until(lambda: sorted(states(worker)) == ["advised", "failed_safe"])

    run(gateway, scene)
    run(gateway, again)


def test_each_place_stops_alone_and_none_takes_a_stop_of_another_back(tmp_path):
    ledger, file = ModelLedger(chain), tmp_path / "kill"
    orders = Orders(file, ledger, {"on-call": KEY.public_key()}, now_ns=lambda: 9 * NS)
    assert orders.look().scopes == frozenset() and "kill" in orders.fault
    write(ledger, Transaction(NS, keeps=(Keep("order/1", order(scope="verb:v").to_bytes()),)))
    assert orders.look().scopes == {"verb:v"}
    assert orders.hear(order(scope="service:s")) and not orders.hear(forged())
    file.write_bytes(order().to_bytes() + b"\n")
    assert orders.look().scopes == {"verb:v", "service:s", "all"} and orders.fault == ""
    file.write_bytes(order("resume").to_bytes() + b"\n")
    assert orders.look().scopes == {"verb:v", "service:s"}
    file.write_bytes(b"torn")
    assert orders.look().scopes == {"verb:v", "service:s"} and orders.fault


def test_a_worker_whose_key_is_revoked_stops_everything_and_another_goes_on(tmp_path):
    file = tmp_path / "kill"
    file.write_bytes(order(scope="key:decide-1").to_bytes() + b"\n")
    keys = {"on-call": KEY.public_key()}
    revoked, other = (Orders(file, ModelLedger(chain), keys, signer=name) for name in ("decide-1", "decide-2"))
    assert "all" in revoked.look().scopes and other.look().scopes == {"key:decide-1"}


def forged() -> Control:
    return order().model_copy(update={"scope": "service:other"})


def test_revoke_signs_one_order_and_tells_every_place(gateway):
    settings = settings_of(gateway)
    told_to = places(settings, order(scope="verb:gitops.revert", key=KEY))
    assert told_to == {"file": "", "gateway": ""}
    assert b"gitops.revert" in (gateway / "kill.jsonl").read_bytes()
    assert b"gitops.revert" in (gateway / "worker-kill.jsonl").read_bytes()


def test_revoke_wants_exactly_one_scope(tmp_path):
    told_it = ["revoke", "--key", str(tmp_path / "k"), "--issuer", "a", "--all", "--verb", "v"]
    result = CliRunner().invoke(app, told_it)
    assert isinstance(result.exception, SettingsError) and result.exception.code == "SCOPE_UNCLEAR"


async def ask_for(worker, version):
    """Ada wants another version than the one that waits; the key of what takes its place."""
    await until(lambda: states(worker) == ["awaiting_approval"])
    (docket,) = worker.desk.waiting()
    key = await worker.desk.override(docket.ask.action_id, {"to_version": version}, PERSON)
    await until(lambda: [one.ask.action_id for one in worker.desk.waiting()] == [key])
    return key


def test_other_parameters_wait_for_somebody_else_and_are_what_is_done(gateway):
    tell(gateway, gated_now())

    async def scene(worker):
        key = await ask_for(worker, "v40")
        assert (await approve(worker)).verdict.reason == "SELF_APPROVAL"
        assert (await approve(worker, COLLEAGUE, "ben-1", HIS)).standing.people == (COLLEAGUE,)
        await until(lambda: worker.worker.read(key).state == "verifying")
        return worker.worker.read(key)

    action = run(gateway, scene)
    assert "v40" in git("show", "HEAD:apps/checkout/kustomization.yaml", cwd=gateway / "bare.git")
    assert action.origin.barred == (PERSON,) and action.plan.steps[0].change.undo_parameters["to_version"] == "v42"


def test_another_parameter_of_the_second_step_is_shown_signed_and_kept_from_who_chose_it(gateway):
    add_app(gateway, "other")
    event, told = gated_now(), PARAMETERS | {"service": "other"}
    second = VERBS.change("gitops.revert", "default/service/other", told, "r")
    tell(gateway, event.model_copy(update={"then": [LaterStep(change=second, snapshot=event.snapshot)]}))

    async def scene(worker):
        await until(lambda: states(worker) == ["awaiting_approval"])
        (docket,) = worker.desk.waiting()
        key = await worker.desk.override(docket.ask.action_id, {"2.to_version": "v39"}, PERSON)
        await until(lambda: [one.ask.action_id for one in worker.desk.waiting()] == [key])
        shown = [change["parameters"]["to_version"] for change in worker.desk.docket(key).shown["changes"]]
        assert shown == ["v41", "v39"]
        assert (await approve(worker)).verdict.reason == "SELF_APPROVAL"
        assert (await approve(worker, COLLEAGUE, "ben-1", HIS)).standing.people == (COLLEAGUE,)
        # In so small a fleet one service may be changed in ten minutes, so a plan for two does not begin.
        await until(lambda: worker.worker.read(key).reason == "BUDGET_SPENT")

    run(gateway, scene)
    assert "v42" in git("show", "HEAD:apps/checkout/kustomization.yaml", cwd=gateway / "bare.git")


@pytest.mark.parametrize("wanted", [{"to_version": "v41"}, {"to_version": ""}, {"more": 1}, {"service": "*"}])
def test_parameters_that_do_not_fit_are_refused_and_what_waits_goes_on_waiting(gateway, wanted):
    tell(gateway, gated_now())

    async def scene(worker):
        await until(lambda: states(worker) == ["awaiting_approval"])
        (docket,) = worker.desk.waiting()
        with pytest.raises(ActionsError):
            await worker.desk.override(docket.ask.action_id, wanted, PERSON)
        assert states(worker) == ["awaiting_approval"]

    run(gateway, scene)


def test_parameters_that_were_wanted_when_the_worker_died_are_proposed_by_the_next(gateway):
    tell(gateway, gated_now())

    async def scene(worker):
        await until(lambda: states(worker) == ["awaiting_approval"])
        (key,) = worker.ledger.open_actions()
        wanted = override_kept(key, {"to_version": "v40"}, PERSON)
        await worker.worker.feed(key, Rejected(worker.worker.now), With(keeps=(wanted,)))

    async def again(worker):
        await until(lambda: sorted(states(worker)) == ["awaiting_approval", "rejected"])
        (docket,) = worker.desk.waiting()
        assert PERSON in docket.ask.barred and not worker.ledger.kept("override/")

    run(gateway, scene)
    run(gateway, again)


def nowhere(positions):
    raise TransportError("no broker answers", code="BROKER_AWAY", todo="Start one")


def test_a_start_that_fails_leaves_no_ledger_behind_and_keeps_one_that_was_there(tmp_path):
    settings = settings_of(tmp_path)
    with pytest.raises(TransportError):
        ActWorker(settings, nowhere)
    assert not list(tmp_path.glob("ledger*"))
    write(open_ledger(str(tmp_path / "ledger"), chain), Transaction(NS, keeps=(Keep("kept", b"x"),)))
    with pytest.raises(TransportError):
        ActWorker(settings, nowhere)
    assert open_ledger(str(tmp_path / "ledger"), chain).kept("kept")
