"""The gate of the simulation answers as that of production does: what the one shows, the other would have shown too.

Both get the same rules, people and times; each asks in its own way (the production gate binds approvals to a dry run
and wants passkeys where nothing can be undone, so everybody has one here). Reasons are compared where the policies
give them; evidence comes from elsewhere and is not compared.
"""

from dataclasses import replace
from types import SimpleNamespace

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from support.passkey import authenticator

from actions import NEUTRAL, EnrolledKey, KeyRing, Policies, Sealer, Verbs
from actions._approvals import cast_approval, challenge, issue_nonce
from actions._docket import load_docket, opening
from actions._drive import open_action
from actions._gatekeeper import PolicyGatekeeper
from actions._ledger import Transaction
from actions._ledger_model import ModelLedger
from actions._machine_types import Origin, Refused
from actions._permit import mint
from actions._ports import DryRun, EffectRequest
from actions._saga import Plan, Step
from actions._view import View
from schemas import ActionEvent, CalendarEntry, Cause, Hypothesis, canonical, emit
from schemas.core import NS, Message
from simulation._faults import Faults
from simulation._gatekeeper import RULES, Gate, Put
from simulation._loop import Loop
from simulation._people import AGENT, AGENT_KEY, AUDIENCE, PEOPLE, STRANGER, Person, public, signed
from simulation._plant import Plant
from simulation._scenario import START_NS, VERB_OF, Incident
from simulation._telemetry import Instruments
from simulation._verbs import VERBS, as_plugins

TARGET = "sim/service/s1"
CATALOGUE = Verbs(as_plugins(), [verb.name for verb in VERBS])
POLICIES = Policies(RULES)
DRY_RUN = DryRun("{}", "sha256:" + "0" * 64, "1", canonical({"uid": TARGET, "version": "1", "state": {}}))
SELF = Person(AGENT, "sre", "key-agent", AGENT_KEY)


PASSKEYS = {one.kid: authenticator(7 + n) for n, one in enumerate((*PEOPLE, SELF))}


def ring(grade):
    whole = KeyRing()
    for one in (*PEOPLE, SELF):
        own = EnrolledKey(one.kid, one.name, public(one.key), "A", 0)
        whole = whole.enrol(own if grade == "A" else PASSKEYS[one.kid].enrolled(one.kid, one.name, 0))
        whole = whole.with_roles(one.name, frozenset({one.role}))
    return whole.revoke("key-idp#mal", 0).with_roles("idp#mal", frozenset())


RINGS = {"A": ring("A"), "B": ring("B")}


def answer(coroutine):
    with pytest.raises(StopIteration) as end:
        coroutine.send(None)
    return end.value.value


class Both:
    """One action before both gates, at one time."""

    def __init__(self, kind, confidence_low, is_critical, freeze):
        self.loop = Loop(START_NS, lambda node, place: False)
        parameters = {"value": "v2", "before": "v1", "takes": 0}
        change = CATALOGUE.change(VERB_OF[kind], TARGET, parameters, "simulation")
        self.plan = Plan((Step(change, kind),))
        shot = NEUTRAL | {
            "target": TARGET, "verb": change.verb, "has_executor": True, "mode": "act", "effect_class": kind,
            "confidence_low": confidence_low, "is_critical": is_critical,
        }  # fmt: skip
        cause = Cause(entity="s1", entity_id=TARGET, family="change")
        event = ActionEvent(
            id="e", action_id="a", incident_id="incident-1", diagnosis_id="d", sequence=1, state="gated",
            at_ns=START_NS, change=change, hypothesis=Hypothesis(cause=cause, score=1.0, reason="test"),
            decision=POLICIES.evaluate(shot), snapshot=shot,
        )  # fmt: skip
        self.ledger = ModelLedger(Sealer("test"))
        opened = open_action(self.plan, 0, START_NS, origin=Origin(asked=event.model_dump_json()))
        self.action = opened.action
        self.keep(opened.transaction)
        self._simulated(confidence_low, is_critical, freeze)
        self._productive(freeze)

    def _simulated(self, confidence_low, is_critical, freeze):
        faults = Faults(0)
        instruments = Instruments(self.loop, Plant([]), faults)
        self.gate = Gate(self.loop, faults, instruments, (freeze,))
        incident = Incident("incident-1", 0, 0, (), confidence_low, is_critical, True, True, True, False, False)
        self.gate.put[self.action.key] = Put(incident, self.plan)

    def _productive(self, freeze):
        view = View()
        entry = CalendarEntry(id="c", kind="freeze", start_ns=freeze[0], end_ns=freeze[1], title="freeze")
        told = emit("tidegate.calendar.v1", entry, id="x", key="k", source="test", event_ns=START_NS)
        view.take(Message(told.topic, 0, 0, told.key, told.value, told.headers, START_NS, START_NS))
        clock = SimpleNamespace(now_ns=lambda: self.loop.now_ns)
        self.ring = RINGS["A" if self.plan.steps[0].has_undo else "B"]
        self.keeper = PolicyGatekeeper(
            clock, self.ledger, POLICIES, view, lambda: self.ring, self._sign, AUDIENCE,
            roles=frozenset({"sre", "service-owner"}), barred=frozenset({AGENT}),
        )  # fmt: skip

    def _sign(self, request, people):
        return mint(
            request, audience=AUDIENCE, now_ns=self.loop.now_ns, nonce="0" * 32, kid="permit", key=AGENT_KEY,
            approved_by=people,
        )  # fmt: skip

    def keep(self, transaction):
        self.ledger.submit(transaction)
        self.ledger.commit()

    def invite(self):
        self.keep(Transaction(self.loop.now_ns, keeps=answer(self.keeper.invite(self.action, DRY_RUN))))

    def hear(self, who, word):
        """The same person says the same to both."""
        key, now_s, nonce = self.action.key, self.loop.now_ns // NS, self.gate.nonce()
        ((_, body),) = self.ledger.kept(f"docket/{key}")
        docket = load_docket(body)
        panel = issue_nonce(docket.panel, nonce)
        envelope = said(who, word, docket.ask, nonce, now_s)
        panel, _ = cast_approval(panel, envelope, docket.ask, self.ring, now_s=now_s, audited_s=0)
        self.keep(Transaction(self.loop.now_ns, keeps=(opening(replace(docket, panel=panel)),)))
        panel, ask = issue_nonce(self.gate.panel(key), nonce), self.gate.ask(key)
        envelope = said(who, word, ask, nonce, now_s)
        self.gate.panels[key], _ = cast_approval(panel, envelope, ask, RINGS["A"], now_s=now_s, audited_s=0)

    def at_the_gate(self):
        theirs = answer(self.keeper.gate(self.action))
        ours = self.gate._gated(self.action)
        return (ours.effect, ours.reason, ours.mode), (theirs.effect, theirs.reason, theirs.mode)

    def at_the_reservation(self):
        ours = self.gate._reserved(self.action)
        return told(ours), told(answer(self.keeper.reserve(self.action, 0, DRY_RUN)))

    def at_the_effect(self, direction):
        taken = self.plan.steps[0]
        request = EffectRequest(
            self.action.key, self.plan.digest, 0, direction, taken.change, taken.effect_class, TARGET, 1,
            self.loop.now_ns + 20 * NS, self.loop.now_ns, "1", DRY_RUN.digest,
        )  # fmt: skip
        return bool(self.gate._signed(request)), bool(answer(self.keeper.permit(request)))


def said(who, word, ask, nonce, now_s):
    ask, who = replace(ask, lifetime_s=300), SELF if word == "self" else who
    if word == "other plan":
        ask = replace(ask, plan_digest="sha256:" + "1" * 64)
    decision = "reject" if word == "reject" else "approve"
    if ask.grade == "B":
        passkey = authenticator(99) if word == "forged" else PASSKEYS[who.kid]
        return passkey.assert_over(challenge(ask, who.name, who.role, who.kid, nonce, now_s, decision))
    who = who._replace(key=STRANGER.key) if word == "forged" else who
    return signed(who, ask, nonce, now_s, decision)


def told(reservation):
    """Approvals that are missing have names of their own in each gate."""
    outcome, count = reservation.outcome, len(reservation.used_approvals)
    if not isinstance(outcome, Refused):
        return "reserved", bool(count)
    reason = "APPROVALS" if outcome.reason.startswith("APPROVAL") else outcome.reason
    return "refused", reason, outcome.is_final


WORDS = ["approve", "approve", "approve", "reject", "self", "forged", "other plan"]
SAYING = st.tuples(st.sampled_from(PEOPLE), st.sampled_from(WORDS), st.integers(0, 200))


@given(
    st.sampled_from(["conditional", "keyed", "naturally_idempotent", "unsafe"]),
    st.sampled_from([0.0, 0.69, 0.7, 0.95]), st.booleans(), st.integers(-100, 900), st.lists(SAYING, max_size=4),
    st.tuples(st.integers(0, 350), st.integers(0, 120)),
)  # fmt: skip
@example("conditional", 0.7, False, 1, [], (0, 1))  # a freeze that begins after the reservation
@settings(max_examples=150, deadline=None)
def test_both_gates_give_the_same_answers(kind, confidence_low, is_critical, freeze_s, sayings, waits_s):
    begin = START_NS + freeze_s * NS
    both = Both(kind, confidence_low, is_critical, (begin, begin + 60 * NS))
    ours, theirs = both.at_the_gate()
    assert ours == theirs
    if ours[0] == "require_approval":
        both.invite()
        for who, word, wait_s in sayings:
            both.loop.now_ns += wait_s * NS
            both.hear(who, word)
    both.loop.now_ns += waits_s[0] * NS
    ours, theirs = both.at_the_reservation()
    assert ours == theirs
    both.loop.now_ns += waits_s[1] * NS
    directions = ("do", "undo") if both.plan.steps[0].has_undo else ("do",)
    for direction in directions if ours[0] == "reserved" else ():
        ours, theirs = both.at_the_effect(direction)
        assert ours == theirs, direction
