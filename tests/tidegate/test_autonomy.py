"""`tidegate autonomy`: reads the ledger, says what is missing, changes nothing."""

import asyncio
import json

import pytest
from support.act_place import POLICY, repository, run
from support.actions import plan_of, seal, step_of
from support.gateway import KEY, OTHER, PARAMETERS, TARGET, VERBS
from typer.testing import CliRunner

from actions import (
    NEUTRAL,
    Credit,
    CreditInvalid,
    Trial,
    load_policies,
    open_credit,
    replayed,
    seal_credit,
    simulate,
)
from actions._autonomy import earned
from actions._autonomy_kept import kept_trials
from actions._drive import open_action, prepare
from actions._ledger import write
from actions._ledger_sqlite import SqliteLedger
from actions._machine_types import Gated, Origin, Rejected
from actions._plans import version_of
from schemas import ActionEvent, Cause, Hypothesis
from schemas.core import NS
from tidegate.cli import app


def test_it_says_what_is_missing_and_leaves_the_ledger_as_it_is(tmp_path):
    ledger = SqliteLedger(tmp_path / "ledger", seal)
    opened = open_action(plan_of(step_of()), 0, NS, origin=Origin(tier="low", version="1"))
    write(ledger, opened.transaction)
    gated = prepare(opened.action, Gated(NS, "require_approval", "R", "act", NS))
    write(ledger, gated.transaction)
    write(ledger, prepare(gated.action, Rejected(2 * NS)).transaction)
    before = ledger.contents()
    result = CliRunner().invoke(app, ["autonomy", "--ledger", str(tmp_path / "ledger"), "--json"])
    (row,) = json.loads(result.stdout.splitlines()[-1])["verbs"]
    assert (row["verb"], row["tier"], row["level"], row["failures"]) == ("flag.set", "low", "approve", 1)
    assert row["missing"][0].endswith("at 59") and ledger.contents() == before


def test_without_any_outcome_people_approve_everything(tmp_path):
    SqliteLedger(tmp_path / "ledger", seal)
    result = CliRunner().invoke(app, ["autonomy", "--ledger", str(tmp_path / "ledger")])
    assert result.exit_code == 0 and "approved by people" in result.stdout


def test_without_a_ledger_it_says_what_is_missing():
    assert CliRunner().invoke(app, ["autonomy"]).exception.code == "SETTINGS_INVALID"


SNAPSHOT = NEUTRAL | {"verb": "gitops.revert", "tier": "low", "mode": "act", "has_executor": True}
CHANGE = VERBS.change("gitops.revert", TARGET, PARAMETERS, "r")
PERMIT = load_policies({"all.yaml": POLICY})
STRICT = load_policies({"all.yaml": POLICY.replace("effect: permit", "effect: deny")})
RENAMED = load_policies({"all.yaml": POLICY.replace("permit_all", "permit_everything")})
OLD = version_of([VERBS.get("gitops.revert")], "r", PERMIT.digest)


def decided(number, end="succeeded"):
    """What decide and the worker said of one action."""
    cause = Cause(entity="checkout", entity_id=TARGET, family="change")
    fields = {
        "action_id": f"a{number}", "incident_id": f"i{number}", "diagnosis_id": "d", "at_ns": number * NS,
        "change": CHANGE, "hypothesis": Hypothesis(cause=cause, score=1.0, reason="deploy"), "sequence": number,
    }  # fmt: skip
    gated = ActionEvent(id=f"g{number}", state="gated", decision=PERMIT.evaluate(SNAPSHOT), snapshot=SNAPSHOT, **fields)
    return [gated, ActionEvent(id=f"e{number}", state=end, idempotency_key="k", **fields)]


def judged_again(events, engine):
    return replayed(simulate(engine, [one for one in events if one.state == "gated"]), events, VERBS, engine.digest)


def test_a_version_that_decides_a_whole_look_of_history_the_same_keeps_what_the_old_one_earned():
    events = [one for number in range(59) for one in decided(number)]
    credit, (shown,) = judged_again(events, RENAMED)
    assert shown.missing == () and credit.same == (OLD,) and RENAMED.digest != PERMIT.digest
    assert {(one.kind, one.result) for one in credit.trials} == {("replay", "good")} and len(credit.trials) == 59
    own = [one._replace(kind="action", version=OLD, at_ns=(n + 1) * 10**15) for n, one in enumerate(credit.trials)]
    kept, lost = (earned(own, "gitops.revert", "low", "new", 10**18, same=same) for same in ((OLD,), ()))
    assert (kept.trials, lost.trials) == (59, 0)


@pytest.mark.parametrize(
    ("number", "engine", "why"),
    [(58, RENAMED, "1 more decisions"), (59, STRICT, "59 of 59 would be decided otherwise")],
)
def test_too_little_history_or_one_other_decision_keeps_nothing(number, engine, why):
    credit, (shown,) = judged_again([one for n in range(number) for one in decided(n)], engine)
    assert credit.same == () and why in shown.missing[0]


def test_what_agrees_with_a_failure_is_a_failure_and_what_would_not_be_done_says_nothing():
    events = [*decided(1, "rolled_back"), *decided(2, "rejected")]
    assert [one.result for one in judged_again(events, RENAMED)[0].trials] == ["rolled_back", "overridden"]
    assert judged_again(events, STRICT)[0].trials == ()


def test_a_credit_counts_only_signed_by_who_may_give_orders_and_for_this_deployment():
    trial = Trial("v", "low", "1", "code", NS, "good", "drill")
    keys = {"on-call": KEY.public_key()}
    right = seal_credit(Credit((trial,), ("old",)), "shop", "on-call", NS, KEY)
    assert open_credit(right, "shop", keys) == (Credit((trial,), ("old",)), "on-call")
    own = seal_credit(Credit((trial._replace(kind="action"),)), "shop", "on-call", NS, KEY)
    for envelope, aud in (
        (right, "other"), (own, "shop"), (right.replace(right[40:44], b"AAAA"), "shop"), (b"{}", "shop"),
        (seal_credit(Credit((trial,)), "shop", "on-call", NS, OTHER), "shop"),
        (seal_credit(Credit((trial,)), "shop", "nobody", NS, KEY), "shop"),
    ):  # fmt: skip
        with pytest.raises(CreditInvalid):
            open_credit(envelope, aud, keys)


def test_drills_of_another_deployment_are_handed_to_the_worker_once(tmp_path):
    staging = SqliteLedger(tmp_path / "staging", seal)
    opened = open_action(plan_of(step_of()), 0, NS, origin=Origin(tier="low", version="1"))
    write(staging, opened.transaction)
    gated = prepare(opened.action, Gated(NS, "require_approval", "R", "act", NS))
    write(staging, gated.transaction)
    write(staging, prepare(gated.action, Rejected(2 * NS)).transaction)
    staging.close()
    repository(tmp_path)

    async def scene(worker):
        url = f"http://127.0.0.1:{worker._listener.getsockname()[1]}"
        (tmp_path / "settings.yaml").write_text("approvals: {deployment: shop}\n")
        told = ["autonomy", "drill", "--from", str(tmp_path / "staging"), "--settings",
                str(tmp_path / "settings.yaml"), "--worker", url, "--issuer", "on-call", "--key",
                str(tmp_path / "permit.pem"), "--json"]  # fmt: skip
        results = [await asyncio.to_thread(CliRunner().invoke, app, told) for _ in range(2)]
        found = [json.loads(one.stdout.splitlines()[-1])["new"] for one in results]
        assert found == [1, 0] and [one.kind for one in worker.worker.safety.trials] == ["drill"]
        return worker

    run(tmp_path, scene)
    assert [one.kind for one in kept_trials(SqliteLedger(tmp_path / "ledger", seal))] == ["drill"]
