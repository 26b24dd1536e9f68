"""What the machine of an action is made of: the action, what happens to it, what it asks for, and the drawn moves.

The drawing is DESIGN section 7; docs/actions.md has it with every reason. Moves that the drawing leaves open (refusals
on the second look, kills, withdrawals) are in `MOVES` too and argued in the decision records.
"""

import json
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, Literal, NamedTuple

from pydantic import TypeAdapter, ValidationError

from actions._machine_errors import RecordBroken
from actions._saga import Applied, Direction, Plan, Residue, action_key
from schemas import ActionState, Effect

Mode = Literal["shadow", "advise", "approve", "act"]
Phase = Literal["sent", "renewing", "fencing", "reading"]
Found = Literal["applied", "not_applied", "foreign", "unreadable"]
"""What a read of the target says: our mark; the state before us; somebody else's; nothing."""
Verdict = Literal["recovered", "not_recovered", "regressed", "inconclusive"]

TERMINAL: frozenset[ActionState] = frozenset({
    "denied", "advised", "shadowed", "expired", "rejected", "succeeded", "rolled_back", "escalated",
    "failed_not_applied", "failed_safe",
})  # fmt: skip

MOVES: dict[ActionState, frozenset[ActionState]] = {
    "proposed": frozenset({"gated", "expired", "failed_safe"}),
    "gated": frozenset({"denied", "advised", "shadowed", "awaiting_approval", "approved"}),
    "awaiting_approval": frozenset({"expired", "rejected", "approved", "failed_safe"}),
    "approved": frozenset({"reserved", "denied", "expired", "failed_safe"}),
    "reserved": frozenset({"executing", "approved", "executed", "expired", "failed_safe", "compensating", "escalated"}),
    "executing": frozenset({"executed", "unknown", "failed_not_applied", "compensating", "escalated"}),
    "unknown": frozenset({"executed", "escalated", "compensating"}),
    "executed": frozenset({"reserved", "verifying", "compensating", "escalated"}),
    "verifying": frozenset({"succeeded", "escalated", "compensating"}),
    "compensating": frozenset({"rolled_back", "escalated"}),
}


@dataclass(frozen=True, slots=True)
class Attempt:
    """The one thing that may be under way at a target. `is_sent`: the effect was commanded, so it may have happened.

    epoch: of the last renewal; 0 before the first.
    """

    step: int
    direction: Direction
    epoch: int
    phase: Phase
    is_sent: bool


@dataclass(frozen=True, slots=True)
class Origin:
    """Who asked, and as what; told again with every move. No part of key or digest: the change is the same.

    tier: of the service; version: of verb, runbook and policies together, to which trust is tied; reverts: key of the
    action that a timed revert takes back; asked: the record that asked, as JSON text. overrides: key of the action in
    whose place people put this one; barred: who chose its parameters, and so cannot approve it.
    """

    action_id: str = ""
    incident_id: str = ""
    tier: str = ""
    version: str = ""
    reverts: str = ""
    asked: str = ""
    overrides: str = ""
    barred: tuple[str, ...] = ()

    @property
    def family(self) -> str:
        """Of the cause for which it was asked, `unknown` where no record says it."""
        asked = json.loads(self.asked) if self.asked else {}
        return str(asked.get("hypothesis", {}).get("cause", {}).get("family", "unknown"))

    @property
    def is_foreseen(self) -> bool:
        """Whether the cause is a limit that a forecast says will be reached, so nothing is ill yet."""
        return self.family.endswith("_ahead")


@dataclass(frozen=True)
class Action:
    """Everything the machine knows about an action; the ledger keeps it as one body of bytes.

    version: one more with each accepted event. at_ns: the latest time it has heard of; time never goes back. due_ns:
    when silence becomes an event, 0 after the end. give_up_ns: when asking again ends. verdict: what was measured.
    """

    plan: Plan
    generation: int = 0
    state: ActionState = "proposed"
    reason: str = "PROPOSED"
    version: int = 0
    at_ns: int = 0
    due_ns: int = 0
    give_up_ns: int = 0
    step: int = 0
    applied: tuple[Applied, ...] = ()
    attempt: Attempt | None = None
    is_killed: bool = False
    residue: tuple[Residue, ...] = ()
    permit_until_ns: int = 0
    origin: Origin = Origin()
    verdict: Verdict | None = None

    @cached_property
    def key(self) -> str:
        return action_key(self.plan, self.generation)

    def changed(self, **changes: Any) -> "Action":
        """As `dataclasses.replace`, for fields other than plan and generation: the key stays known."""
        copy = object.__new__(Action)
        copy.__dict__.update(self.__dict__, **changes)
        return copy

    @property
    def is_ended(self) -> bool:
        return self.state in TERMINAL

    @property
    def target(self) -> str:
        """Where the next or current attempt is."""
        step = self.attempt.step if self.attempt else self.step
        return self.plan.steps[step].change.target


_ACTION = TypeAdapter(Action)
_PLAN_ALONE = {"plan"}


def dump_action(action: Action) -> bytes:
    """As JSON. The plan, which is most of it, stays the same and is written once."""
    rest = _ACTION.dump_json(action, exclude=_PLAN_ALONE)
    return b'{"plan":' + action.plan.body + b"," + rest[1:]


@lru_cache(maxsize=2048)
def load_action(body: bytes) -> Action:
    """Raises RecordBroken if the bytes are no action. What was read lately is not read again: it cannot change."""
    try:
        return _ACTION.validate_json(body)
    except ValidationError as error:
        raise RecordBroken(f"a body in the ledger is no action: {str(error)[:200]}") from error


class Gated(NamedTuple):
    """The policies have decided. `evidence_ns`: how far the telemetry behind it was complete."""

    at_ns: int
    effect: Effect
    reason: str
    mode: Mode
    evidence_ns: int


class Approved(NamedTuple):
    """The quorum is complete, for exactly this digest of the plan."""

    at_ns: int
    digest: str


class Rejected(NamedTuple):
    at_ns: int


class Reserved(NamedTuple):
    """Policies, approvals, budget and target version were looked at again; a permit holds until `permit_until_ns`."""

    at_ns: int
    digest: str
    permit_until_ns: int
    evidence_ns: int


class Refused(NamedTuple):
    """No permit; final, or not now (budget spent, target held by another action)."""

    at_ns: int
    reason: str
    is_final: bool


class Renewed(NamedTuple):
    """The ledger gives a new epoch for the target, in the transaction that keeps this event.

    Epochs count per target, so here and below an answer is told apart by both: the late answer of one step must not
    pass for that of the next.
    """

    at_ns: int
    target: str
    epoch: int


class Answered(NamedTuple):
    """The gateway's answer to an effect: applied; refused before anything happened; or lost."""

    at_ns: int
    target: str
    epoch: int
    result: Literal["applied", "not_applied", "lost"]


class Fenced(NamedTuple):
    """The target refuses everything older than this epoch."""

    at_ns: int
    target: str
    epoch: int


class Read(NamedTuple):
    """What a read after the fence found."""

    at_ns: int
    target: str
    epoch: int
    found: Found


class Measured(NamedTuple):
    """What closed windows say beside a control, and how much of both was seen (0 to 1; NaN is nothing)."""

    at_ns: int
    verdict: Verdict
    completeness: float
    control_completeness: float


class Due(NamedTuple):
    """The action's timer has rung."""

    at_ns: int


class Killed(NamedTuple):
    """The kill switch covers this action."""

    at_ns: int


class Withdrawn(NamedTuple):
    """Nobody asks for it any more: the incident was withdrawn, merged or ended."""

    at_ns: int


class Recovered(NamedTuple):
    """A worker has taken the action up from the ledger: whatever was commanded before may or may not have happened."""

    at_ns: int


ActionInput = (
    Gated | Approved | Rejected | Reserved | Refused | Renewed | Answered | Fenced | Read | Measured
    | Due | Killed | Withdrawn | Recovered
)  # fmt: skip


class Record(NamedTuple):
    """A move with its reason: an audit leaf and an outbox record, in the same transaction as the state."""

    from_state: ActionState
    to_state: ActionState
    reason: str


class Gate(NamedTuple):
    """Ask the policies."""


class Reserve(NamedTuple):
    """Ask for a permit for the step: policies, approvals, budget, fresh evidence, target version, all again."""

    step: int


class TakeEpoch(NamedTuple):
    target: str


class Apply(NamedTuple):
    """The effect. Given out once for an action, step, direction and epoch, after its intent is durable."""

    step: int
    direction: Direction
    target: str
    epoch: int
    until_ns: int


class Fence(NamedTuple):
    target: str
    epoch: int


class Probe(NamedTuple):
    """Read the target for the mark of the step's `do`."""

    step: int
    target: str
    epoch: int


class Verify(NamedTuple):
    """Measure from `since_ns` on whether it helped."""

    since_ns: int


ActionCommand = Record | Gate | Reserve | TakeEpoch | Apply | Fence | Probe | Verify
