"""The production gatekeeper with the real gateway core, real permits, policies and approvals: from record to effect."""

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from support.act import ACT, BEGIN_NS, NS, Stand, replace
from support.gateway import KEY, PARAMETERS, PLUGINS, TARGET, TRUST, VERBS, Locks, Shelf
from support.virtual_loop import run as run_virtually

from actions import NEUTRAL, EnrolledKey, KeyRing, Policies, Rule, seal, snapshot_digest
from actions._docket import hear, hearing, invite, inviting, load_docket
from actions._gatekeeper import PolicyGatekeeper
from actions._gateway_desk import GatewayDesk
from actions._gateway_store import SqliteGatewayStore
from actions._machine_types import Approved
from actions._permit import mint
from actions._plans import NotAskable, asked_of
from actions._view import View
from schemas import (
    DIAGNOSES,
    INCIDENTS,
    ActionEvent,
    CalendarEntry,
    Cause,
    Diagnosis,
    Hypothesis,
    Incident,
    LaterStep,
    Watermark,
    emit,
)
from schemas.core import Message

CAUSE = Cause(entity="checkout", entity_id=TARGET, family="change", change="chg-1")
PERSON, ROOT_S = "idp#ada", BEGIN_NS // NS - 1000
HERS = Ed25519PrivateKey.from_private_bytes(b"\x09" * 32)


def rule(effect="permit", **rest):
    body = {"id": "r", "text": "test", "when": "true", "effect": effect, "reason": "RULE", "priority": 1}
    return Rule.model_validate(body | rest)


def gated(effect="permit", **snapshot) -> ActionEvent:
    policies = Policies([rule(effect)])
    shot = NEUTRAL | {"target": TARGET, "verb": "gitops.revert", "has_executor": True, "mode": "act"} | snapshot
    hypothesis = Hypothesis(cause=CAUSE, score=1.0, reason="deploy")
    return ActionEvent(
        id="e2", action_id="a1", incident_id="inc-1", diagnosis_id="d1", sequence=1, state="gated", at_ns=BEGIN_NS,
        change=VERBS.change("gitops.revert", TARGET, PARAMETERS, "r"), hypothesis=hypothesis,
        decision=policies.evaluate(shot), snapshot=shot,
    )  # fmt: skip


def message(record, topic=DIAGNOSES):
    told = emit(topic, record, id="x", key="k", source="test", event_ns=BEGIN_NS)
    return Message(topic, 0, 0, told.key, told.value, told.headers, BEGIN_NS, BEGIN_NS)


def diagnosis(revision=0, as_of_ns=BEGIN_NS, cause=CAUSE, abstained=None):
    hypotheses = [Hypothesis(cause=cause, score=1.0, reason="deploy")]
    return Diagnosis(
        id=f"d{revision}", incident_id="inc-1", revision=revision, as_of_ns=as_of_ns, opened_ns=BEGIN_NS,
        entities=[TARGET], severity=9.0, abstained=abstained, hypotheses=hypotheses,
    )  # fmt: skip


class Real(Stand):
    """The stand with the gateway's core and the gatekeeper of production."""

    def __init__(self, policies):
        super().__init__(settings=ACT)
        self.shelf, self.view, self.ring, self.nonces = Shelf(), View(), KeyRing(), 0
        trust = replace(TRUST, evidence_limit_ns=None)
        self.desk = GatewayDesk(
            trust, VERBS, SqliteGatewayStore(":memory:"), self.shelf, self.kill, self.clock, Locks()
        )
        self.keeper = PolicyGatekeeper(
            self.clock, self.ledger, policies, self.view, lambda: self.ring, self.sign, "shop"
        )
        self.worker.performer.gateway, self.worker.performer.gatekeeper = self.desk, self.keeper

    def sign(self, request, people):
        self.nonces += 1
        told = {"audience": "shop", "nonce": f"{self.nonces:032x}", "kid": "decide-1", "key": KEY}
        return mint(request, now_ns=self.clock.now_ns(), approved_by=people, **told)

    async def open(self, event, policies):
        asked = asked_of(event, VERBS, policies.digest, None)
        assert await self.worker.take(asked) == "OPENED"
        return asked.plan


def real(scene, policies=None):
    policies = policies or Policies([rule()])

    async def whole():
        world = Real(policies)
        await world.begin()
        await scene(world)
        await world.kill_it()
        assert not world.crew.raised and not world.worker.faults
        return world

    return run_virtually(whole())


def test_a_decided_record_becomes_one_effect_under_a_signed_permit():
    async def scene(world):
        await world.open(gated(), world.keeper.policies)
        await world.wait(20)

    world = real(scene)
    assert world.shelf.state == {"version": "v41"} and world.shelf.writes == 1
    assert world.states == ["verifying"]


def test_a_policy_that_says_no_by_now_gives_no_permit():
    async def scene(world):
        await world.open(gated(), world.keeper.policies)
        await world.wait(20)

    assert real(scene, Policies([rule("deny", reason="FREEZE")])).reasons == ["FREEZE"]


def test_a_freeze_that_began_since_the_decision_counts():
    policies = Policies([rule(), rule("deny", id="f", when="in_freeze", reason="FREEZE", priority=9)])

    async def scene(world):
        entry = CalendarEntry(id="c", kind="freeze", start_ns=BEGIN_NS - NS, end_ns=BEGIN_NS + 999 * NS, title="freeze")
        world.view.take(message(entry, "tidegate.calendar.v1"))
        await world.open(gated(), policies)
        await world.wait(20)

    world = real(scene, policies)
    assert world.reasons == ["FREEZE"] and world.shelf.writes == 0


def test_what_began_since_for_the_target_of_a_later_step_keeps_all_steps_from_beginning():
    policies = Policies([rule(), rule("deny", id="f", when="in_freeze", reason="FREEZE", priority=9)])
    event, other = gated(), "default/service/cart"
    change = VERBS.change("gitops.revert", other, PARAMETERS | {"service": "cart"}, "r")
    later = LaterStep(change=change, decision=event.decision, snapshot=event.snapshot | {"target": other})

    async def scene(world):
        entry = CalendarEntry(
            id="c", kind="freeze", start_ns=BEGIN_NS - NS, end_ns=BEGIN_NS + 999 * NS, title="freeze", services=["cart"]
        )
        world.view.take(message(entry, "tidegate.calendar.v1"))
        plan = await world.open(event.model_copy(update={"then": [later]}), policies)
        assert plan.targets == (TARGET, other)
        await world.wait(20)

    world = real(scene, policies)
    assert world.reasons == ["FREEZE"] and world.shelf.writes == 0


def test_a_later_step_is_judged_again_by_what_was_known_of_it_not_of_the_first():
    policies = Policies([rule(), rule("deny", id="b", when="'billing' in human_classes", reason="BILLING", priority=9)])
    event, other = gated(), "default/service/cart"
    change = VERBS.change("gitops.revert", other, PARAMETERS | {"service": "cart"}, "r")
    later = LaterStep(change=change, decision=event.decision, snapshot=event.snapshot | {"human_classes": ["billing"]})

    async def scene(world):
        await world.open(event.model_copy(update={"then": [later]}), policies)
        await world.wait(20)

    world = real(scene, policies)
    assert world.reasons == ["BILLING"] and world.shelf.writes == 0


def test_a_required_approval_is_asked_with_the_diff_and_counts_for_one_effect():
    policies = Policies([rule("require_approval", obligations=["quorum:1"])])

    async def scene(world):
        enrolled = EnrolledKey("ada-1", PERSON, HERS.public_key().public_bytes_raw(), "A", ROOT_S)
        world.ring = KeyRing().enrol(enrolled).with_roles(PERSON, frozenset({"operator"}))
        plan = await world.open(gated("require_approval"), policies)
        await world.wait(2)
        assert world.states == ["awaiting_approval"] and world.shelf.writes == 0
        await approve(world, plan)
        await world.wait(20)

    world = real(scene, policies)
    assert world.shelf.writes == 1 and len(world.ledger.contents().approvals) == 1


@pytest.mark.parametrize("change", ["key revoked", "target moved"])
def test_an_approval_that_does_not_hold_at_the_reservation_gives_no_permit(change):
    policies = Policies([rule("require_approval")])

    async def scene(world):
        enrolled = EnrolledKey("ada-1", PERSON, HERS.public_key().public_bytes_raw(), "A", ROOT_S)
        world.ring = KeyRing().enrol(enrolled).with_roles(PERSON, frozenset({"operator"}))
        plan = await world.open(gated("require_approval"), policies)
        await world.wait(2)
        if change == "key revoked":
            await approve(world, plan, then=lambda: world.ring.revoke("ada-1", BEGIN_NS // NS))
        else:
            world.shelf.somebody_sets(other="x")
            await approve(world, plan)
        await world.wait(20)

    world = real(scene, policies)
    assert world.shelf.writes == 0 and world.reasons == ["APPROVAL_LOST"]


async def approve(world, plan, then=None):
    (name, body), *_ = world.ledger.kept("docket/")
    docket, now_s = load_docket(body), world.clock.now_ns() // NS
    asked, approval = invite(docket, PERSON, "operator", "ada-1", "1" * 32, now_s)
    await world.worker.commit(inviting(asked, approval, world.worker.now))
    heard, verdict, standing = hear(asked, seal(approval, HERS), world.ring, now_s=now_s, audited_s=now_s)
    assert (verdict.reason, standing.state) == ("ACCEPTED", "approved")
    key = name.removeprefix("docket/")
    version = world.worker.read(key).version
    await world.worker.commit(hearing(asked, heard, verdict, version, world.worker.now))
    if then:
        world.ring = then()
    await world.worker.feed(key, Approved(world.worker.now, plan.digest))


def test_evidence_is_the_watermark_while_the_same_cause_is_said_and_stands_still_after():
    view, event = View(), gated()
    assert view.evidence_ns(event) == BEGIN_NS
    view.take(message(diagnosis()))
    view.take(message(Watermark(stage="diagnose", through_ns=BEGIN_NS + 60 * NS)))
    assert view.evidence_ns(event) == BEGIN_NS + 60 * NS
    view.take(message(diagnosis(1, BEGIN_NS + 70 * NS, CAUSE.model_copy(update={"family": "network"}))))
    view.take(message(Watermark(stage="diagnose", through_ns=BEGIN_NS + 900 * NS)))
    assert view.evidence_ns(event) == BEGIN_NS + 60 * NS


def test_an_incident_that_is_over_keeps_no_evidence_fresh_and_is_named():
    view, event = View(), gated()
    view.take(message(diagnosis()))
    over = Incident(
        id="inc-1", state="merged", opened_ns=BEGIN_NS, updated_ns=BEGIN_NS, entities=[TARGET], severity=1, title="x"
    )
    assert view.take(message(over, INCIDENTS)) == "inc-1"
    view.take(message(Watermark(stage="diagnose", through_ns=BEGIN_NS + 900 * NS)))
    assert view.evidence_ns(event) == BEGIN_NS


def test_only_a_gated_record_that_lets_something_happen_is_taken():
    policies = Policies([rule()])
    for event in (gated("advise"), gated("deny"), gated(mode="advise")):
        assert asked_of(event, VERBS, policies.digest, None) is None
    proposed = gated().model_copy(update={"state": "proposed"})
    assert asked_of(proposed, VERBS, policies.digest, None) is None
    assert asked_of(gated(), VERBS, policies.digest, None).plan.evidence_limit_ns == 180 * NS


def test_a_record_whose_change_is_not_what_its_digest_says_is_refused():
    event = gated()
    forged = event.change.model_copy(update={"parameters": PARAMETERS | {"to_version": "v1"}})
    with pytest.raises(NotAskable):
        asked_of(event.model_copy(update={"change": forged}), VERBS, "", None)
    assert PLUGINS and snapshot_digest(event.snapshot) == event.decision.snapshot_digest
