"""The step from the machine to the ledger: one event becomes one transaction, and its commands come after it.

`prepare` builds, the caller commits (alone or in a group), and only what came out Committed may perform the commands.
What the transaction refuses has not happened; the commands are then thrown away with the action.
"""

from typing import NamedTuple

from actions._ledger import (
    ActionWrite,
    Committed,
    Free,
    Hold,
    Inbox,
    Intent,
    Keep,
    Ledger,
    Outbox,
    Priority,
    Refusal,
    Renew,
    Take,
    TargetWrite,
    Timer,
    Transaction,
    write,
)
from actions._machine import NOBODY, propose, step
from actions._machine_types import (
    Action,
    ActionCommand,
    ActionInput,
    Apply,
    Approved,
    Killed,
    Origin,
    Record,
    Rejected,
    Renewed,
    dump_action,
    load_action,
)
from actions._saga import Plan
from schemas import ACTIONS, Json, canonical, record_id, sha256


class With(NamedTuple):
    """What else belongs into the transaction: the record it was read from, budget, approvals and nonces used up.

    snapshot: the target's state before, for the intent. outbox, timers, keeps: beside what the move itself writes.
    """

    inbox: Inbox | None = None
    takes: tuple[Take, ...] = ()
    used_approvals: tuple[str, ...] = ()
    used_nonces: tuple[str, ...] = ()
    snapshot: bytes = b""
    outbox: tuple[Outbox, ...] = ()
    timers: tuple[Timer, ...] = ()
    keeps: tuple[Keep, ...] = ()


NOTHING_ELSE = With()


class Prepared(NamedTuple):
    """`commands` may be performed only after `transaction` was committed."""

    action: Action
    transaction: Transaction
    commands: tuple[ActionCommand, ...]
    records: tuple[Record, ...]


def open_action(
    plan: Plan,
    generation: int,
    at_ns: int,
    rest: With = NOTHING_ELSE,
    *,
    cool_down_ns: int = 0,
    origin: Origin = NOBODY,
) -> Prepared:
    """A new action. Asked for again it is refused: VERSION_MOVED, or DUPLICATE where the record was read before."""
    action, commands = propose(plan, generation, at_ns, origin)
    return _prepared(None, action, commands, None, rest, cool_down_ns)


def prepare(action: Action, event: ActionInput, rest: With = NOTHING_ELSE) -> Prepared:
    """What the event makes of the action. Raises IllegalTransition."""
    after, commands = step(action, event)
    return _prepared(action, after, commands, event, rest, 0)


def advance(
    ledger: Ledger, key: str, event: ActionInput, rest: With = NOTHING_ELSE
) -> tuple[tuple[ActionCommand, ...], Committed | Refusal]:
    """Read, step and commit; the commands, none if refused. Raises IllegalTransition, LedgerFault, KeyError."""
    prepared = prepare(read_action(ledger, key), event, rest)
    result = write(ledger, prepared.transaction)
    return prepared.commands if isinstance(result, Committed) else (), result


def read_action(ledger: Ledger, key: str) -> Action:
    """Raises KeyError if the ledger has no such action."""
    row = ledger.action(key)
    if row is None:
        raise KeyError(key)
    return load_action(row.body)


def _prepared(
    before: Action | None,
    after: Action,
    commands: tuple[ActionCommand, ...],
    event: ActionInput | None,
    rest: With,
    cool_down_ns: int,
) -> Prepared:
    plan, records = after.plan, [one for one in commands if isinstance(one, Record)]
    effects = [one for one in commands if isinstance(one, Apply)]
    told = tuple([_told(after, record) for record in records])
    is_ended = after.is_ended
    transaction = Transaction(
        at_ns=after.at_ns,
        priority=_priority(event, effects),
        action=ActionWrite(
            after.key, after.version - 1, plan.digest, plan.change_key, after.generation, after.state, is_ended,
            dump_action(after), cool_down_ns,
        ),
        targets=_targets(before, after, event),
        intent=_intent(after, effects[0], rest) if effects else None,
        closes=_closed(before, after),
        takes=rest.takes,
        gives_back=_given_back(before, after),
        used_approvals=rest.used_approvals,
        used_nonces=rest.used_nonces,
        leaves=told,
        inbox=rest.inbox,
        outbox=tuple([
            Outbox(ACTIONS, after.target, record_id("action-event", after.key, after.version, n), body)
            for n, body in enumerate(told)
        ])
        + rest.outbox,
        timers=(Timer(after.key, None if is_ended else after.due_ns), *rest.timers),
        keeps=rest.keeps,
    )  # fmt: skip
    return Prepared(after, transaction, tuple([one for one in commands if not isinstance(one, Record)]), tuple(records))


def _intent(after: Action, effect: Apply, rest: With) -> Intent:
    return Intent(effect.target, after.key, effect.step, effect.direction, effect.epoch, rest.snapshot)


def _priority(event: ActionInput | None, effects: list[Apply]) -> Priority:
    if isinstance(event, Killed):
        return Priority.KILL
    if isinstance(event, (Approved, Rejected)):
        return Priority.APPROVAL
    return Priority.INTENT if effects else Priority.OTHER


def _targets(before: Action | None, after: Action, event: ActionInput | None) -> tuple[TargetWrite, ...]:
    """All targets of the plan are held from the first permit to the end, so two plans never wait for each other."""
    plan, writes = after.plan, list[TargetWrite]()
    was = before.state if before else None
    if was == "approved" and after.state == "reserved":
        writes += [Hold(target, after.key) for target in plan.targets]
    if isinstance(event, Renewed) and before and after.attempt and after.attempt.epoch == event.epoch:
        writes.append(Renew(after.target, after.key, event.epoch))
    if after.is_ended:
        writes += [Free(target, after.key, _effective(after), _blocked(after, target)) for target in plan.targets]
    elif was == "reserved" and after.state == "approved":
        writes += [Free(target, after.key) for target in plan.targets]
    return tuple(writes)


def _effective(after: Action) -> bool | None:
    """Whether it helped; None where nothing was done."""
    if after.state == "succeeded":
        return True
    return False if after.state in ("rolled_back", "escalated") else None


def _blocked(after: Action, target: str) -> str:
    """A target on which we do not know what is left is for people."""
    left = {one.left for one in after.residue if after.plan.steps[one.step].change.target == target}
    return "UNKNOWN_LEFT" if left & {"unknown", "foreign"} else ""


def _closed(before: Action | None, after: Action) -> tuple[str, ...]:
    """The target whose intent has found its outcome with this event."""
    attempt = before.attempt if before else None
    if before is None or attempt is None or not attempt.is_sent:
        return ()
    now = after.attempt
    if now is not None and now.is_sent and (now.step, now.direction) == (attempt.step, attempt.direction):
        return ()
    return (before.target,)


def _given_back(before: Action | None, after: Action) -> tuple[str, ...]:
    """The budget of a permit that ran out unused or was never used, of steps that will not be reached any more, and at
    the end the place among those under way.
    """
    lands = (share(after.key, 0, "flight"),) if after.state == "verifying" or after.is_ended else ()
    is_unused = before is not None and before.state == "reserved" and after.state != "executing"
    first = after.step if is_unused else after.step + 1
    if before is None or not (is_unused or after.is_ended):
        return lands
    steps = range(first, len(after.plan.steps))
    return tuple(share(after.key, step, scope) for step in steps for scope in SCOPES) + lands


SCOPES = ("target", "type", "global", "blast", "fleet", "flight")
"""The kinds of budgets a permit takes a share of. `flight`, a place among the actions under way, has step 0."""


def share(key: str, step: int, scope: str) -> str:
    """The id of what one step of an action takes of one kind of budget."""
    return f"{key}/{step}/{scope}"


def _told(action: Action, record: Record) -> bytes:
    attempt = action.attempt
    said: dict[str, Json] = {
        "action": action.key, "version": action.version, "from": record.from_state, "to": record.to_state,
        "reason": record.reason, "at_ns": action.at_ns, "plan": action.plan.digest, "step": action.step,
        "epoch": attempt.epoch if attempt else None,
        "residue": [[one.step, one.left] for one in action.residue],
    }  # fmt: skip
    if record.reason == "PROPOSED" and action.origin.asked:
        # What asked (inputs, decision, evidence) is bound by the first entry, whatever becomes of the row.
        said["asked"] = sha256(action.origin.asked.encode())
        if action.origin.barred:
            said |= {"overrides": action.origin.overrides, "by": [*action.origin.barred]}
    return canonical(said)
