"""One event's way through the drawing: the moves that several rules of the machine share."""

from typing import Any

from actions._machine_errors import IllegalTransition
from actions._machine_types import (
    MOVES,
    Action,
    ActionCommand,
    ActionInput,
    Attempt,
    Record,
    Reserve,
    TakeEpoch,
    Verify,
)
from actions._saga import Applied, Direction, Left, Residue, why_not_undone
from schemas import ActionState


def illegal(action: Action, event: ActionInput, why: str) -> IllegalTransition:
    what = (
        f"action {action.key[:19]} is {action.state} at version {action.version} and got {type(event).__name__}: {why}"
    )
    return IllegalTransition(what, todo="Read the action again; nothing was changed")


class Walk:
    """One event's way through the drawing: the action so far and the commands so far."""

    def __init__(self, action: Action, event: ActionInput) -> None:
        self.event = event
        self.now = max(event.at_ns, action.at_ns)
        self.action = action.changed(version=action.version + 1, at_ns=self.now)
        self.commands: list[ActionCommand] = []

    def move(self, to: ActionState, reason: str, **changes: Any) -> None:
        if to not in MOVES[self.action.state]:
            raise self.illegal(f"there is no way to {to}")
        self.commands.append(Record(self.action.state, to, reason))
        self.action = self.action.changed(state=to, reason=reason, **changes)

    def stay(self, reason: str, **changes: Any) -> None:
        self.commands.append(Record(self.action.state, self.action.state, reason))
        self.action = self.action.changed(reason=reason, **changes)

    def end(self, to: ActionState, reason: str, residue: tuple[Residue, ...] = ()) -> None:
        self.move(to, reason, attempt=None, due_ns=0, give_up_ns=0, permit_until_ns=0, residue=residue)

    def illegal(self, why: str) -> IllegalTransition:
        return illegal(self.action, self.event, why)

    def wait(self, ns: int) -> int:
        return self.now + ns

    def attempt(self) -> Attempt:
        if self.action.attempt is None:
            raise self.illegal("nothing is under way")
        return self.action.attempt

    # Getting a permit, for the first step or a later one.

    def ask_permit(self, *, give_up_ns: int | None = None) -> None:
        """Ask the gate, for `permit_wait_ns` at most; a permit that ran out does not start that time anew."""
        times = self.action.plan.times
        until_ns = self.wait(times.permit_wait_ns) if give_up_ns is None else give_up_ns
        due_ns = min(self.wait(times.retry_ns), until_ns)
        self.action = self.action.changed(due_ns=due_ns, give_up_ns=until_ns, permit_until_ns=0)
        self.commands.append(Reserve(self.action.step))

    def no_permit(self, reason: str, to: ActionState) -> None:
        """A permit will not come: nothing was done yet, or what was done is taken back."""
        if self.action.applied:
            self.stop(reason)
        else:
            self.end(to, reason)

    # An effect and what becomes of it.

    def renew(self, reason: str, direction: Direction, *, is_sent: bool, **changes: Any) -> None:
        """Ask for a new epoch; `stay` in compensating, move to unknown otherwise."""
        index = self.attempt().step if self.action.attempt else self.action.applied[-1].step
        epoch = self.action.attempt.epoch if self.action.attempt else 0
        attempt = Attempt(index, direction, epoch, "renewing", is_sent)
        changes |= {"attempt": attempt, "due_ns": self.wait(self.action.plan.times.retry_ns)}
        if direction == "do" and self.action.state != "unknown":
            self.move("unknown", reason, **changes)
        else:
            self.stay(reason, **changes)
        self.commands.append(TakeEpoch(self.action.target))

    def reconcile(self, reason: str, direction: Direction) -> None:
        """The effect was commanded and nobody knows: new epoch, fence, read, from now on within `reconcile_ns`."""
        give_up_ns = self.wait(self.action.plan.times.reconcile_ns)
        self.renew(reason, direction, is_sent=True, give_up_ns=give_up_ns)

    def done(self, reason: str) -> None:
        """The step is known to be applied."""
        attempt = self.attempt()
        applied = (*self.action.applied, Applied(attempt.step, self.now, attempt.epoch))
        self.move("executed", reason, attempt=None, applied=applied, permit_until_ns=0, due_ns=0, give_up_ns=0)
        if len(applied) == len(self.action.plan.steps):
            self.move("verifying", "ALL_STEPS_APPLIED", due_ns=self.wait(self.action.plan.times.verify_ns))
            self.commands.append(Verify(self.now))
        elif self.action.is_killed:
            self.stop("KILLED")
        else:
            self.action = self.action.changed(step=attempt.step + 1)
            self.ask_permit()

    # Taking back.

    def stop(self, reason: str) -> None:
        """Go no further forward: undo in reverse what was applied, or hand it over with the exact list."""
        why = why_not_undone(self.action.plan, self.action.applied, self.now)
        if self.action.is_killed and not self.action.plan.rollback_on_kill:
            why = "KILLED"
        if why is not None:
            self.escalate(reason if why == reason else f"{reason}:{why}")
            return
        self.move("compensating", reason, attempt=None, permit_until_ns=0)
        self.undo_next("UNDO")

    def undo_next(self, reason: str) -> None:
        why = why_not_undone(self.action.plan, self.action.applied, self.now)
        if self.action.is_killed and not self.action.plan.rollback_on_kill:
            why = "KILLED"
        if why is not None:
            self.escalate(why)
            return
        self.action = self.action.changed(attempt=None)
        self.renew(reason, "undo", is_sent=False, give_up_ns=self.wait(self.action.plan.times.reconcile_ns))

    def undone(self, reason: str) -> None:
        """The last applied step is no longer on its target."""
        self.action = self.action.changed(applied=self.action.applied[:-1], attempt=None)
        if self.action.applied:
            self.undo_next(reason)
        else:
            self.end("rolled_back", reason)

    def escalate(self, reason: str, left: Left | None = None) -> None:
        """Hand over to a person. `left` says what is known of the step under way; the others applied are ours."""
        left_of: dict[int, Left] = {one.step: "applied" for one in self.action.applied}
        if left is not None:
            left_of[self.attempt().step] = left
        self.end("escalated", reason, tuple(Residue(index, left_of[index]) for index in sorted(left_of)))
