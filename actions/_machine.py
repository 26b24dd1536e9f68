"""The machine of an action: what may happen in which state, and what is asked for next. Pure; time is in the events.

An effect is asked for only together with a durable intent, under an epoch of its target that was never used before.
When its outcome is not known, nothing is sent again: a new epoch, a fence, then a read (a read without the fence
races the late request). Undoing is an attempt like any other: renewed, fenced, read, and only then sent, so the same
code guards both directions. Source: DESIGN section 7 and the crash table of docs/actions.md.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from actions._machine_types import (
    Action,
    ActionCommand,
    ActionInput,
    Answered,
    Apply,
    Approved,
    Attempt,
    Due,
    Fence,
    Fenced,
    Found,
    Gate,
    Gated,
    Killed,
    Measured,
    Origin,
    Probe,
    Read,
    Record,
    Recovered,
    Refused,
    Rejected,
    Renewed,
    Reserve,
    Reserved,
    TakeEpoch,
    Verify,
    Withdrawn,
)
from actions._machine_walk import Walk, illegal
from actions._saga import Left, Plan
from schemas import ActionState

NOBODY = Origin()
COMPLETE_ENOUGH = 0.8
"""Share of the expected samples without which nothing counts as success; from the notes on Argo's analysis runs."""


def propose(
    plan: Plan, generation: int, at_ns: int, origin: Origin = NOBODY
) -> tuple[Action, tuple[ActionCommand, ...]]:
    """A new action, at version 1, and its first command."""
    action = Action(plan, generation, version=1, at_ns=at_ns, due_ns=at_ns + plan.times.gate_ns, origin=origin)
    return action, (Record("proposed", "proposed", "PROPOSED"), Gate())


def step(action: Action, event: ActionInput) -> tuple[Action, tuple[ActionCommand, ...]]:
    """The action after the event, and what it asks for; at least one `Record`, since every change leaves a leaf.

    Raises IllegalTransition, with the action as it was, if the event does not belong in this state, is of another
    epoch or digest, or comes before its time. The caller may take that as "too late" and go on.
    """
    rule = _RULES.get((action.state, type(event)))
    if rule is None:
        raise illegal(action, event, "it does not belong there")
    walk = Walk(action, event)
    rule(walk, event)
    return walk.action, tuple(walk.commands)


def _gated(walk: Walk, event: Gated) -> None:
    plan, effect, reason = walk.action.plan, event.effect, event.reason
    walk.move("gated", reason)
    if effect == "deny":
        walk.end("denied", reason)
    elif event.mode == "shadow":
        walk.end("shadowed", reason)
    elif effect == "advise" or event.mode == "advise":
        walk.end("advised", reason)
    elif walk.now - event.evidence_ns > plan.evidence_limit_ns:
        walk.end("advised", "OLD_NEWS")
    elif effect == "require_approval" or event.mode == "approve" or plan.is_unsafe:
        why = "UNSAFE_NEEDS_APPROVAL" if effect == "permit" and event.mode == "act" else reason
        walk.move("awaiting_approval", why, due_ns=walk.wait(plan.times.approval_ns))
    else:
        walk.move("approved", reason)
        walk.ask_permit()


def _approved(walk: Walk, event: Approved) -> None:
    if event.digest != walk.action.plan.digest:
        raise walk.illegal("the approvals are for another digest")
    if walk.now >= walk.action.due_ns:
        walk.end("expired", "APPROVAL_EXPIRED")
        return
    walk.move("approved", "QUORUM")
    walk.ask_permit()


def _rejected(walk: Walk, event: Rejected) -> None:
    walk.end("rejected", "REJECTED")


def _reserved(walk: Walk, event: Reserved) -> None:
    plan = walk.action.plan
    if event.digest != plan.digest:
        raise walk.illegal("the permit is for another digest")
    if walk.now - event.evidence_ns > plan.evidence_limit_ns:
        walk.no_permit("STALE_EVIDENCE", "expired")
        return
    until_ns = min(event.permit_until_ns, walk.wait(plan.times.permit_ns))
    if until_ns <= walk.now:
        raise walk.illegal("the permit has run out already")
    walk.move("reserved", "PERMIT", due_ns=until_ns, permit_until_ns=until_ns)
    walk.commands.append(TakeEpoch(walk.action.target))


def _refused(walk: Walk, event: Refused) -> None:
    if event.is_final:
        walk.no_permit(event.reason, "denied")
    else:
        due_ns = min(walk.wait(walk.action.plan.times.retry_ns), walk.action.give_up_ns)
        walk.stay(event.reason, due_ns=due_ns)


def _begin(walk: Walk, event: Renewed) -> None:
    _check_target(walk, event)
    if walk.now >= walk.action.permit_until_ns:
        _release(walk, "PERMIT_RAN_OUT")
        return
    attempt = Attempt(walk.action.step, "do", event.epoch, "sent", is_sent=True)
    due_ns = walk.wait(walk.action.plan.times.answer_ns)
    walk.move("executing", "INTENT", attempt=attempt, due_ns=due_ns, give_up_ns=0)
    _apply(walk, walk.action.permit_until_ns)


def _apply(walk: Walk, until_ns: int) -> None:
    attempt = walk.attempt()
    walk.commands.append(Apply(attempt.step, attempt.direction, walk.action.target, attempt.epoch, until_ns))


def _release(walk: Walk, reason: str) -> None:
    """Give the permit back and ask for another, for which everything is looked at again."""
    walk.move("executed" if walk.action.applied else "approved", reason)
    walk.ask_permit(give_up_ns=walk.action.give_up_ns)


def _renewed(walk: Walk, event: Renewed) -> None:
    _check_target(walk, event)
    attempt = walk.attempt()
    if attempt.phase != "renewing":
        raise walk.illegal("no epoch was asked for")
    if event.epoch <= attempt.epoch:
        raise walk.illegal(f"epoch {event.epoch} is not newer than {attempt.epoch}")
    attempt = replace(attempt, epoch=event.epoch, phase="fencing")
    walk.stay("EPOCH", attempt=attempt, due_ns=walk.wait(walk.action.plan.times.retry_ns))
    walk.commands.append(Fence(walk.action.target, event.epoch))


def _fenced(walk: Walk, event: Fenced) -> None:
    attempt = _current(walk, event, "fencing")
    walk.stay("FENCED", attempt=replace(attempt, phase="reading"), due_ns=walk.wait(walk.action.plan.times.retry_ns))
    walk.commands.append(Probe(attempt.step, walk.action.target, attempt.epoch))


def _current(walk: Walk, event: Answered | Fenced | Read, phase: str) -> Attempt:
    attempt = walk.attempt()
    if (event.target, event.epoch, phase) != (walk.action.target, attempt.epoch, attempt.phase):
        raise walk.illegal(f"{event.target} at epoch {event.epoch} answers, which is not what is under way")
    return attempt


def _check_target(walk: Walk, event: Renewed) -> None:
    if event.target != walk.action.target:
        raise walk.illegal(f"the epoch is of {event.target}")


def _answered(walk: Walk, event: Answered) -> None:
    _current(walk, event, "sent")
    if event.result == "applied":
        walk.done("APPLIED")
    elif event.result == "lost":
        walk.reconcile("ANSWER_LOST", "do")
    elif walk.action.applied:
        walk.stop("STEP_NOT_APPLIED")
    else:
        walk.end("failed_not_applied", "NOT_APPLIED")


def _undo_answered(walk: Walk, event: Answered) -> None:
    _current(walk, event, "sent")
    if event.result == "applied":
        walk.undone("UNDONE")
    elif event.result == "lost":
        walk.reconcile("UNDO_ANSWER_LOST", "undo")
    else:
        walk.escalate("UNDO_REFUSED")


def _read(walk: Walk, event: Read) -> None:
    """The unknown outcome is known now. Nothing is ever sent again: what was not applied is not tried again."""
    _current(walk, event, "reading")
    found: Found = event.found
    if found == "applied":
        walk.done("FOUND_APPLIED")
    elif found == "unreadable":
        _again(walk, "UNREADABLE")
    elif found == "not_applied" and walk.action.applied:
        walk.stop("FOUND_NOT_APPLIED")
    elif found == "not_applied":
        walk.escalate("FOUND_NOT_APPLIED")
    else:
        walk.escalate("FOUND_FOREIGN", "foreign")


def _undo_read(walk: Walk, event: Read) -> None:
    attempt, found = _current(walk, event, "reading"), event.found
    if found == "not_applied":
        walk.undone("FOUND_UNDONE" if attempt.is_sent else "NOTHING_TO_UNDO")
    elif found == "unreadable":
        _again(walk, "UNREADABLE")
    elif found == "foreign":
        walk.escalate("FOUND_FOREIGN", "foreign")
    elif attempt.is_sent:
        walk.escalate("UNDO_NOT_APPLIED")
    else:
        times = walk.action.plan.times
        walk.stay(
            "UNDO_INTENT", attempt=replace(attempt, phase="sent", is_sent=True), due_ns=walk.wait(times.answer_ns)
        )
        _apply(walk, walk.wait(times.permit_ns))


def _again(walk: Walk, reason: str) -> None:
    """Fence and read once more under a new epoch, until `give_up_ns`; then a person gets what is not known.

    Only time in which somebody listened counts: what a clock jumps over, a lost effect has not had time to land in.
    """
    attempt, unheard_ns = walk.attempt(), max(0, walk.now - walk.action.due_ns)
    give_up_ns = walk.action.give_up_ns + unheard_ns
    if walk.now >= give_up_ns:
        left: Left | None = "unknown" if attempt.is_sent else None
        walk.escalate(f"{reason}:GAVE_UP", left)
    else:
        walk.renew(reason, attempt.direction, is_sent=attempt.is_sent, give_up_ns=give_up_ns)


def _measured(walk: Walk, event: Measured) -> None:
    plan = walk.action.plan
    # `not >=` and not `<`, so that NaN is thin too.
    thin = not (event.completeness >= COMPLETE_ENOUGH and event.control_completeness >= COMPLETE_ENOUGH)
    walk.action = walk.action.changed(verdict="inconclusive" if thin else event.verdict)
    if thin or event.verdict == "inconclusive":
        walk.escalate("THIN_TELEMETRY" if thin else "INCONCLUSIVE")
    elif event.verdict == "regressed":
        walk.stop("REGRESSED")
    elif event.verdict == "recovered":
        walk.end("succeeded", "RECOVERED")
    elif all(step.undo_on_no_effect for step in plan.steps):
        walk.stop("NOT_RECOVERED")
    else:
        walk.escalate("NOT_RECOVERED")


def _due(walk: Walk, event: Due) -> None:
    action = walk.action
    if walk.now < action.due_ns:
        raise walk.illegal(f"its timer rings at {action.due_ns}")
    attempt = action.attempt
    if action.state == "proposed":
        walk.end("expired", "GATE_SILENT")
    elif action.state == "awaiting_approval":
        walk.end("expired", "APPROVAL_EXPIRED")
    elif action.state in ("approved", "executed"):
        if walk.now >= action.give_up_ns:
            walk.no_permit("NO_PERMIT", "expired")
        else:
            walk.stay("ASK_AGAIN", due_ns=min(walk.wait(action.plan.times.retry_ns), action.give_up_ns))
            walk.commands.append(Reserve(action.step))
    elif action.state == "reserved":
        _release(walk, "PERMIT_RAN_OUT")
    elif action.state == "verifying":
        walk.escalate("VERIFY_SILENT")
    elif attempt is not None and attempt.phase == "sent":
        walk.reconcile("ANSWER_LATE", attempt.direction)
    else:
        _again(walk, "NO_ANSWER")


def _killed(walk: Walk, event: Killed) -> None:
    """Nothing goes forward any more; what may have happened is still found out, by reads."""
    action = walk.action
    if action.is_killed:
        raise walk.illegal("it is killed already")
    walk.action = action = action.changed(is_killed=True)
    attempt = action.attempt
    if action.state == "executing":
        walk.reconcile("KILLED", "do")
    elif action.state in ("unknown", "verifying"):
        walk.stay("KILLED")
    elif action.state == "compensating":
        if action.plan.rollback_on_kill or (attempt and attempt.is_sent):
            walk.stay("KILLED")
        else:
            walk.escalate("KILLED")
    elif action.applied:
        walk.stop("KILLED")
    else:
        walk.end("failed_safe", "KILLED")


def _withdrawn(walk: Walk, event: Withdrawn) -> None:
    if walk.action.applied:
        raise walk.illegal("a step is applied, so it runs on to its verification")
    walk.end("expired", "WITHDRAWN")


def _recovered(walk: Walk, event: Recovered) -> None:
    action = walk.action
    attempt = action.attempt
    if action.state == "reserved":
        _release(walk, "TAKEN_UP")
    elif attempt is not None and attempt.phase == "sent":
        walk.reconcile("TAKEN_UP", attempt.direction)
    elif attempt is not None:  # how long others have waited is told by their clock, so it is waited anew
        give_up_ns = walk.wait(action.plan.times.reconcile_ns)
        walk.renew("TAKEN_UP", attempt.direction, is_sent=attempt.is_sent, give_up_ns=give_up_ns)
    else:
        walk.stay("TAKEN_UP")
        if action.state == "proposed":
            walk.commands.append(Gate())
        elif action.state in ("approved", "executed"):
            walk.commands.append(Reserve(action.step))
        elif action.state == "verifying":
            walk.commands.append(Verify(action.applied[-1].at_ns))


_OPEN: tuple[ActionState, ...] = (
    "proposed", "awaiting_approval", "approved", "reserved", "executing", "unknown", "executed", "verifying",
    "compensating",
)  # fmt: skip
_Rule = Callable[[Walk, Any], None]
_RULES: dict[tuple[ActionState, type[Any]], _Rule] = {
    ("proposed", Gated): _gated,
    ("awaiting_approval", Approved): _approved,
    ("awaiting_approval", Rejected): _rejected,
    ("approved", Reserved): _reserved,
    ("approved", Refused): _refused,
    ("executed", Reserved): _reserved,
    ("executed", Refused): _refused,
    ("reserved", Renewed): _begin,
    ("executing", Answered): _answered,
    ("unknown", Renewed): _renewed,
    ("unknown", Fenced): _fenced,
    ("unknown", Read): _read,
    ("verifying", Measured): _measured,
    ("compensating", Renewed): _renewed,
    ("compensating", Fenced): _fenced,
    ("compensating", Read): _undo_read,
    ("compensating", Answered): _undo_answered,
    **{(state, Due): _due for state in _OPEN},
    **{(state, Killed): _killed for state in _OPEN},
    **{(state, Recovered): _recovered for state in _OPEN},
    **{(state, Withdrawn): _withdrawn for state in ("proposed", "awaiting_approval", "approved", "reserved")},
}
"""What may happen in which state; everything else is an IllegalTransition."""
