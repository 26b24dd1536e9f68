"""The production gatekeeper: policies judged again, approvals checked again, fresh evidence, signed permits.

It stands in the decision process and holds the key that signs permits; the worker asks it at the gate, before each
permit and right before each effect. The policies see the snapshot of the decision with what time has changed since. An
approval is looked at three times by the one function of `_approvals.py`: when it comes, at the reservation, and when
the permit is signed, each time against the target, the dry run and the keys as they are then.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace

from actions._approvals import Ask, Standing
from actions._decide import judged, lowest_mode, strictest
from actions._docket import PREFIX, Docket, action_digest, approval_ids, at_execution, load_docket, opening, shown_of
from actions._keyring import KeyRing
from actions._ledger import Keep, Ledger
from actions._machine_types import Action, Gated, Mode, Refused, Reserved, load_action
from actions._modes import Bound, lowest
from actions._policies import PolicyEngine, approvers_of
from actions._ports import Clock, DryRun, EffectRequest, Reservation
from actions._view import View
from schemas import ActionEvent, Decision
from schemas.core import NS

Sign = Callable[[EffectRequest, int], bytes]
"""(the request, by how many people it was approved) -> the signed permit; empty where it has run out."""


@dataclass(slots=True)
class PolicyGatekeeper:
    """deployment: who we are, in every approval. ring: read anew each time, so that a revocation counts at once.

    roles: who may decide where the policy names no role. barred: our own names, which may never approve.
    """

    clock: Clock
    ledger: Ledger
    policies: PolicyEngine
    view: View
    ring: Callable[[], KeyRing]
    sign: Sign
    deployment: str
    roles: frozenset[str] = frozenset({"operator"})
    barred: frozenset[str] = frozenset({"tidegate"})

    async def gate(self, action: Action) -> Gated:
        """Reverts of temporary changes were decided with the change itself, so their evidence is the clock."""
        now = self.clock.now_ns()
        if action.origin.reverts:
            return Gated(now, "permit", "REVERT", "act", now)
        event = _event(action)
        decision, mode = self._decision(event, now)
        if action.origin.barred:  # people chose the parameters, so people decide on them
            mode = lowest([Bound(mode, ""), Bound("approve", "")]).mode
        return Gated(now, decision.effect, decision.reason, mode, self.view.evidence_ns(event))

    async def invite(self, action: Action, dry_run: DryRun) -> tuple[Keep, ...]:
        """What lies before people from the move on that makes the action wait for them."""
        event = _event(action)
        decision, _ = self._decision(event, self.clock.now_ns())
        service = event.hypothesis.cause.entity
        summary = f"{service}: {event.hypothesis.reason}; {decision.reason}"
        return (opening(Docket(self._ask(action, decision, dry_run), shown_of(action.plan, dry_run, summary))),)

    async def reserve(self, action: Action, step: int, dry_run: DryRun) -> Reservation:
        now, plan = self.clock.now_ns(), action.plan
        if action.origin.reverts:
            return Reservation(Reserved(now, plan.digest, now + plan.times.permit_ns, now))
        event = _event(action)
        decision, mode = self._decision(event, now)
        docket, approvals = self._docket(action.key), tuple[str, ...]()
        if why := _why_not(action, decision, mode, docket):
            return Reservation(Refused(now, why, True))
        if docket is not None:
            ask = self._ask(action, decision, dry_run) if step == 0 else replace(docket.ask, plan_digest=plan.digest)
            found = self._standing(docket, ask)
            if found.state != "approved":
                return Reservation(Refused(now, "APPROVAL_LOST", True))
            approvals = approval_ids(docket, found) if step == 0 else ()
        evidence_ns = self.view.evidence_ns(event)
        return Reservation(Reserved(now, plan.digest, now + plan.times.permit_ns, evidence_ns), approvals)

    async def permit(self, request: EffectRequest) -> bytes:
        """An undo needs no approval of its own: it was shown and signed with the change. What goes forward is judged
        once more: a freeze may have begun since the reservation.
        """
        docket = self._docket(request.key)
        people = 0
        if request.direction == "do" and not self._is_permitted_now(request.key, docket):
            return b""
        if docket is not None:
            ask = replace(docket.ask, plan_digest=request.plan_digest)
            if request.direction == "do" and request.step == 0:
                version, digest = request.expected_version, request.dry_run_digest
                ask = replace(ask, target_version=version, dryrun_digest=digest)
            found = self._standing(docket, ask)
            people = len(found.people)
            if request.direction == "do" and found.state != "approved":
                return b""
        return self.sign(request, people)

    def _is_permitted_now(self, key: str, docket: Docket | None) -> bool:
        row = self.ledger.action(key)
        if row is None:
            return False
        action = load_action(row.body)
        if action.origin.reverts:
            return True
        decision, mode = self._decision(_event(action), self.clock.now_ns())
        return not _why_not(action, decision, mode, docket)

    def _decision(self, event: ActionEvent, now_ns: int) -> tuple[Decision, Mode]:
        """A record without a snapshot was written by an older version: nobody can judge it again."""
        seen = [self.view.refreshed(event, now_ns)]
        for step in event.then:
            later = event.model_copy(update={"change": step.change, "snapshot": step.snapshot})
            seen.append(self.view.refreshed(later, now_ns))
        mode = lowest_mode(str(snapshot.get("mode")) for snapshot in seen)
        return strictest([judged(self.policies, snapshot) for snapshot in seen]), mode

    def _ask(self, action: Action, decision: Decision, dry_run: DryRun) -> Ask:
        """Where it cannot be undone: a passkey, and five minutes."""
        plan = action.plan
        approvers = approvers_of(decision.obligations)
        is_final = any(step.point_of_no_return or not step.has_undo for step in plan.steps)
        return Ask(
            aud=self.deployment, action_id=action.key, action_digest=action_digest(plan), plan_digest=plan.digest,
            dryrun_digest=dry_run.digest, policy_digest=decision.policy_digest, target_uid=_uid(dry_run),
            target_version=dry_run.target_version, barred=self.barred.union(action.origin.barred),
            roles=self.roles | set(approvers.required), quorum=approvers.quorum, required=approvers.required,
            grade="B" if is_final else "A", lifetime_s=300 if is_final else 900,
        )  # fmt: skip

    def _docket(self, key: str) -> Docket | None:
        found = [value for name, value in self.ledger.kept(PREFIX + key) if name == PREFIX + key]
        return load_docket(found[0]) if found else None

    def _standing(self, docket: Docket, ask: Ask) -> Standing:
        now_s, audited_s = self.clock.now_ns() // NS, self.ledger.last_ns() // NS
        return at_execution(docket, ask, self.ring(), now_s=now_s, audited_s=audited_s)


def _why_not(action: Action, decision: Decision, mode: Mode, docket: Docket | None) -> str:
    """Why there is no permit whatever people say, or an empty string."""
    if decision.effect in ("deny", "advise") or mode in ("shadow", "advise"):
        return decision.reason
    wants_people = decision.effect == "require_approval" or mode == "approve" or action.plan.is_unsafe
    return "APPROVAL_MISSING" if docket is None and (wants_people or action.origin.barred) else ""


def _uid(dry_run: DryRun) -> str:
    """The target's own id, as the gateway read it."""
    return str(json.loads(dry_run.snapshot)["uid"])


def _event(action: Action) -> ActionEvent:
    return ActionEvent.model_validate_json(action.origin.asked)
