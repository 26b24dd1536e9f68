"""What the production gatekeeper answers to each question alone; who decided, what was asked and the time are given."""

from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from support.gateway import NOW, PARAMETERS, TARGET, VERBS, Clock
from support.passkey import authenticator

from actions import NEUTRAL, EnrolledKey, KeyRing, Policies, Rule, Sealer, seal
from actions._approvals import challenge
from actions._docket import at_execution, hear, invite, load_docket, opening
from actions._drive import open_action
from actions._gatekeeper import PolicyGatekeeper
from actions._ledger import Transaction
from actions._ledger_model import ModelLedger
from actions._machine_types import Origin, Refused
from actions._ports import DryRun, EffectRequest
from actions._saga import Plan, Step
from actions._view import View
from schemas import ActionEvent, CalendarEntry, Cause, Hypothesis, canonical, emit
from schemas.core import NS, Message

DRY_RUN = DryRun("- v42\n+ v41", "sha256:" + "d" * 64, "7", canonical({"uid": "uid-1", "version": "7", "state": {}}))
CHANGE = VERBS.change("gitops.revert", TARGET, PARAMETERS, "r")
PEOPLE = {name: Ed25519PrivateKey.from_private_bytes(bytes([9 + n]) * 32) for n, name in enumerate(("ada", "bob"))}
CAUSE = Cause(entity="checkout", entity_id=TARGET, family="change")
PASSKEY = authenticator(5)
PERMIT = {"effect": "permit"}
ASK = {"effect": "require_approval", "obligations": ["quorum:2", "role:senior:1"]}


def rules(**last):
    freeze = {"id": "f", "when": "in_freeze", "effect": "deny", "reason": "FREEZE", "priority": 9}
    last = {"id": "r", "when": "true", "reason": "RULE", "priority": 1} | last
    return Policies([Rule.model_validate({"text": "test"} | body) for body in (freeze, last)])


def answer(coroutine):
    with pytest.raises(StopIteration) as end:
        coroutine.send(None)
    return end.value.value


class Desk:
    """One action before the gatekeeper. decides: the rule. mode: how far the action may go. rest: of its origin."""

    def __init__(self, decides, mode="act", kind="conditional", steps=1, is_final=False, **rest):
        policies = rules(**decides)
        shot = NEUTRAL | {"target": TARGET, "verb": CHANGE.verb, "has_executor": True, "mode": mode}
        event = ActionEvent(
            id="e", action_id="a", incident_id="i", diagnosis_id="d", sequence=1, state="gated", at_ns=NOW,
            change=CHANGE, decision=policies.evaluate(shot), snapshot=shot,
            hypothesis=Hypothesis(cause=CAUSE, score=1.0, reason="deploy"),
        )  # fmt: skip
        self.plan = Plan((Step(CHANGE, kind, point_of_no_return=is_final),) * steps)
        self.clock, self.ledger, self.view = Clock(), ModelLedger(Sealer("test")), View()
        self.signed = []
        self.ring = KeyRing().enrol(PASSKEY.enrolled("pass", "idp#pat", 0)).with_roles("idp#pat", frozenset({"senior"}))
        for name, role in (("ada", "operator"), ("bob", "senior")):
            key = EnrolledKey(name, f"idp#{name}", PEOPLE[name].public_key().public_bytes_raw(), "A", 0)
            self.ring = self.ring.enrol(key).with_roles(f"idp#{name}", frozenset({role}))
        opened = open_action(self.plan, 0, NOW, origin=Origin(**({"asked": event.model_dump_json()} | rest)))
        self.action = opened.action
        self.keep(opened.transaction)
        self.keeper = PolicyGatekeeper(
            self.clock, self.ledger, policies, self.view, lambda: self.ring, self._sign, "shop",
            barred=frozenset({"tidegate"}),
        )  # fmt: skip

    def _sign(self, request, people):
        self.signed.append((request.direction, people))
        return b"permit"

    def keep(self, transaction):
        self.ledger.submit(transaction)
        self.ledger.commit()

    def freeze(self):
        entry = CalendarEntry(id="c", kind="freeze", start_ns=NOW, end_ns=NOW + 999 * NS, title="freeze")
        told = emit("tidegate.calendar.v1", entry, id="x", key="k", source="test", event_ns=NOW)
        self.view.take(Message(told.topic, 0, 0, told.key, told.value, told.headers, NOW, NOW))
        return self

    def invite(self):
        self.keep(Transaction(NOW, keeps=answer(self.keeper.invite(self.action, DRY_RUN))))
        return self

    @property
    def docket(self):
        ((_, body),) = self.ledger.kept(f"docket/{self.action.key}")
        return load_docket(body)

    def approve(self, *names, roles=("operator", "senior")):
        now_s = NOW // NS
        for n, name in enumerate(names):
            role = roles[list(PEOPLE).index(name)]
            docket, approval = invite(self.docket, f"idp#{name}", role, name, f"{n + 1}" * 32, now_s)
            docket, verdict, _ = hear(docket, seal(approval, PEOPLE[name]), self.ring, now_s=now_s, audited_s=0)
            assert verdict.reason == "ACCEPTED"
            self.keep(Transaction(NOW, keeps=(opening(docket),)))
        return self

    def gate(self):
        found = answer(self.keeper.gate(self.action))
        return found.effect, found.reason, found.mode

    def reserve(self, step=0, dry_run=DRY_RUN):
        found = answer(self.keeper.reserve(self.action, step, dry_run))
        refused = isinstance(found.outcome, Refused)
        return (found.outcome.reason, found.outcome.is_final) if refused else len(found.used_approvals)

    def permit(self, direction="do", step=0, **more):
        fields = {
            "key": self.action.key, "plan_digest": self.plan.digest, "step": step, "direction": direction,
            "change": CHANGE, "effect_class": "conditional", "target": TARGET, "epoch": 1, "until_ns": NOW + 20 * NS,
            "evidence_ns": NOW, "expected_version": "7", "dry_run_digest": DRY_RUN.digest,
        }  # fmt: skip
        return answer(self.keeper.permit(EffectRequest(**(fields | more))))


def test_at_the_gate_the_policies_say_how_and_the_mode_how_far():
    assert Desk(PERMIT).gate() == ("permit", "RULE", "act")
    assert Desk(ASK, mode="approve").gate() == ("require_approval", "RULE", "approve")
    assert Desk(PERMIT, mode="nonsense").gate() == ("permit", "RULE", "advise")
    assert Desk(PERMIT).freeze().gate() == ("deny", "FREEZE", "act")


def test_parameters_that_people_chose_are_for_people_to_decide_and_no_more_than_that():
    assert Desk(PERMIT, barred=("idp#ada",)).gate() == ("permit", "RULE", "approve")
    assert Desk(PERMIT, mode="shadow", barred=("idp#ada",)).gate() == ("permit", "RULE", "shadow")


def test_a_timed_revert_was_decided_with_its_change():
    desk = Desk({"effect": "deny"}, reverts="sha256:b").freeze()
    assert desk.gate() == ("permit", "REVERT", "act")
    assert desk.reserve() == 0
    assert desk.permit() == b"permit" and desk.signed == [("do", 0)]


def test_a_reservation_holds_for_as_long_as_permits_of_its_plan():
    desk = Desk(PERMIT)
    held = answer(desk.keeper.reserve(desk.action, 0, DRY_RUN)).outcome
    assert (held.at_ns, held.digest) == (NOW, desk.plan.digest)
    assert held.permit_until_ns == NOW + desk.plan.times.permit_ns
    assert held.evidence_ns == answer(desk.keeper.gate(desk.action)).evidence_ns


@pytest.mark.parametrize(
    ("decides", "rest", "why"),
    [
        ({"effect": "deny"}, {}, "RULE"),
        ({"effect": "advise"}, {}, "RULE"),
        (PERMIT, {"mode": "advise"}, "RULE"),
        (PERMIT, {"mode": "shadow"}, "RULE"),
        (ASK, {}, "APPROVAL_MISSING"),
        (PERMIT, {"mode": "approve"}, "APPROVAL_MISSING"),
        (PERMIT, {"kind": "unsafe"}, "APPROVAL_MISSING"),
        (PERMIT, {"barred": ("idp#ada",)}, "APPROVAL_MISSING"),
    ],
)
def test_what_is_not_permitted_or_wants_people_that_nobody_asked_is_over(decides, rest, why):
    desk = Desk(decides, **rest)
    assert desk.reserve() == (why, True)
    assert desk.permit() == b"" and desk.signed == []


def test_what_was_approved_is_reserved_with_each_approval_once_and_signed_with_so_many_people():
    desk = Desk(ASK).invite().approve("ada", "bob")
    assert desk.reserve(step=0) == 2
    assert desk.permit() == b"permit" and desk.signed == [("do", 2)]


def test_the_approvals_of_a_plan_are_used_up_by_its_first_step_and_hold_for_the_rest():
    desk = Desk(ASK, steps=2).invite().approve("ada", "bob")
    other = DRY_RUN._replace(digest="sha256:" + "e" * 64, target_version="9")
    assert desk.reserve(step=0) == 2
    assert desk.reserve(step=1, dry_run=other) == 0
    assert desk.permit(step=1, expected_version="9", dry_run_digest=other.digest) == b"permit"


@pytest.mark.parametrize("names", [(), ("ada",)])
def test_too_few_people_give_neither_reservation_nor_permit(names):
    desk = Desk(ASK).invite().approve(*names)
    assert desk.reserve() == ("APPROVAL_LOST", True)
    assert desk.permit() == b""


def test_an_approval_of_another_dry_run_or_version_holds_at_neither_look():
    desk = Desk(ASK).invite().approve("ada", "bob")
    assert desk.reserve(dry_run=DRY_RUN._replace(digest="sha256:" + "e" * 64)) == ("APPROVAL_LOST", True)
    assert desk.reserve(dry_run=DRY_RUN._replace(target_version="8")) == ("APPROVAL_LOST", True)
    assert desk.permit(dry_run_digest="sha256:" + "e" * 64) == b""
    assert desk.permit(expected_version="8") == b""
    assert desk.permit(plan_digest="sha256:" + "e" * 64) == b""
    assert desk.permit(step=1, plan_digest="sha256:" + "e" * 64) == b""
    assert desk.signed == []


def test_a_key_that_is_revoked_after_the_reservation_counts_for_nothing():
    desk = Desk(ASK).invite().approve("ada", "bob")
    assert desk.reserve() == 2
    desk.ring = desk.ring.revoke("bob", NOW // NS)
    assert desk.permit() == b"" and desk.reserve() == ("APPROVAL_LOST", True)


def test_an_approval_ends_by_the_clock_and_by_the_latest_time_that_the_ledger_knows():
    desk = Desk(ASK).invite().approve("ada", "bob")
    desk.clock.ns += 899 * NS
    assert desk.permit() == b"permit"
    desk.clock.ns += 2 * NS
    assert desk.permit() == b""
    desk.clock.ns = NOW
    assert desk.permit() == b"permit"
    desk.keep(Transaction(NOW + 2000 * NS))
    assert desk.permit() == b""


def test_a_freeze_that_began_since_the_reservation_stops_what_goes_forward_and_no_undo():
    desk = Desk(PERMIT)
    assert desk.reserve() == 0
    desk.freeze()
    assert desk.permit() == b"" and desk.signed == []
    assert desk.permit("undo") == b"permit" and desk.signed == [("undo", 0)]


def test_an_undo_needs_no_approval_of_its_own():
    desk = Desk(ASK).invite().approve("ada", "bob")
    desk.ring = desk.ring.revoke("bob", NOW // NS)
    assert desk.permit("undo", plan_digest="sha256:" + "e" * 64) == b"permit"


def test_nobody_gets_a_permit_for_an_action_that_the_ledger_does_not_know():
    desk = Desk(PERMIT)
    assert desk.permit(key="sha256:" + "0" * 64) == b"" and desk.signed == []


def test_people_are_asked_about_this_action_this_diff_and_this_target():
    desk = Desk(ASK).invite()
    ask, shown = desk.docket.ask, desk.docket.shown
    assert (ask.aud, ask.action_id, ask.plan_digest) == ("shop", desk.action.key, desk.plan.digest)
    assert (ask.action_digest, ask.dryrun_digest) == (CHANGE.digest, DRY_RUN.digest)
    assert (ask.target_uid, ask.target_version) == ("uid-1", "7")
    assert ask.policy_digest == desk.keeper.policies.digest
    assert (ask.quorum, ask.required, ask.roles) == (2, {"senior": 1}, frozenset({"operator", "senior"}))
    assert shown["diff"] == DRY_RUN.diff and shown["summary"] == "checkout: deploy; RULE"


def test_neither_we_nor_who_chose_the_parameters_may_approve():
    assert Desk(ASK, barred=("idp#ada",)).invite().docket.ask.barred == {"tidegate", "idp#ada"}
    assert Desk(ASK).invite().docket.ask.barred == {"tidegate"}


def test_what_can_be_undone_wants_a_key_for_fifteen_minutes_and_what_cannot_a_passkey_for_five():
    asked = [Desk(ASK, is_final=one).invite().docket.ask for one in (False, True)]
    assert [(ask.grade, ask.lifetime_s) for ask in asked] == [("A", 900), ("B", 300)]


def test_a_key_in_a_file_does_not_approve_what_cannot_be_undone_and_a_passkey_does():
    desk = Desk({"effect": "require_approval", "obligations": ["role:senior:1"]}, is_final=True).invite()
    with pytest.raises(AssertionError):
        desk.approve("bob")
    now_s = NOW // NS
    docket, _ = invite(desk.docket, "idp#pat", "senior", "pass", "9" * 32, now_s)
    envelope = PASSKEY.assert_over(challenge(docket.ask, "idp#pat", "senior", "pass", "9" * 32, now_s, "approve"))
    docket, verdict, _ = hear(docket, envelope, desk.ring, now_s=now_s, audited_s=0)
    assert verdict.reason == "ACCEPTED"
    desk.keep(Transaction(NOW, keeps=(opening(docket),)))
    assert desk.reserve() == 1
    assert at_execution(docket, replace(docket.ask, grade="A"), desk.ring, now_s=now_s, audited_s=0).people
