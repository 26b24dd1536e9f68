"""A plan of steps, each with its undo, and in which order and under what conditions it is taken back.

A plan is a saga (Garcia-Molina & Salem 1987): what was applied is undone in reverse order. An undo restores the
business meaning, not bytes, so it has conditions: the target must still carry our mark (the probe says so), the time
in which the undo is right must not be over, and no step may have been a point of no return. Where one of them does
not hold a person gets the exact list of what is left.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Literal, NamedTuple

from pydantic import TypeAdapter

from actions._contract import EffectClass
from schemas import Json, ProposedChange, canonical, sha256
from schemas.core import NS

Direction = Literal["do", "undo"]
Left = Literal["applied", "unknown", "foreign"]
"""What a step left on its target: our effect; nobody could read it; somebody else has changed it since."""


@dataclass(frozen=True, slots=True)
class Times:
    """How long each wait may last, in nanoseconds. A permit is bound to its reservation and checked by the gateway."""

    gate_ns: int = 60 * NS
    approval_ns: int = 15 * 60 * NS
    permit_wait_ns: int = 5 * 60 * NS
    permit_ns: int = 20 * NS
    answer_ns: int = 30 * NS
    retry_ns: int = 5 * NS
    reconcile_ns: int = 60 * NS
    verify_ns: int = 10 * 60 * NS
    settle_ns: int = 60 * NS
    """After the effect, before anything is measured: what the verb does to the system has to calm down."""
    measure_ns: int = 5 * 60 * NS


@dataclass(frozen=True)
class Step:
    """One exact change and what undoes it. `undo_valid_for_ns` counts from when the effect was known.

    point_of_no_return: once applied, nothing of the plan is undone by us. undo_on_no_effect: undo it also where it
    neither helped nor harmed.
    """

    change: ProposedChange
    effect_class: EffectClass
    undo_valid_for_ns: int = 3600 * NS
    point_of_no_return: bool = False
    undo_on_no_effect: bool = False

    @cached_property
    def goal(self) -> bytes:
        """The state that its change sets."""
        return goal_of(self.change)

    @cached_property
    def origin(self) -> bytes:
        """The state that its undo sets back."""
        return origin_of(self.change)

    @property
    def has_undo(self) -> bool:
        return self.change.is_reversible and self.change.undo_verb is not None


@dataclass(frozen=True)
class Plan:
    """One or more steps, verified as a whole after the last.

    evidence_limit_ns: a permit needs evidence not older than this, so catching up never acts. rollback_on_kill: a
    kill switch also undoes what was applied, without asking a person. revert_after_ns: the change is temporary.
    """

    steps: tuple[Step, ...]
    evidence_limit_ns: int = 180 * NS
    rollback_on_kill: bool = False
    revert_after_ns: int | None = None
    times: Times = Times()

    def __post_init__(self) -> None:
        if not self.steps:
            raise ValueError("a plan has at least one step")

    @cached_property
    def targets(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(step.change.target for step in self.steps))

    @cached_property
    def change_key(self) -> str:
        """Names the physical change, whichever incident asks for it: targets, verbs and absolute parameters."""
        parts: list[Json] = [[s.change.target, s.change.verb, s.change.parameters] for s in self.steps]
        return sha256(canonical(parts))

    @cached_property
    def body(self) -> bytes:
        """The plan as JSON, as the ledger keeps it within its action."""
        return _PLAN.dump_json(self)

    @property
    def document(self) -> list[Json]:
        """Everything a permit and an approval are bound to: each step's digest and its conditions."""
        steps: list[Json] = [
            [s.change.digest, s.effect_class, s.undo_valid_for_ns, s.point_of_no_return, s.undo_on_no_effect]
            for s in self.steps
        ]
        rest: list[Json] = [self.evidence_limit_ns, self.rollback_on_kill, self.revert_after_ns]
        return [steps, rest]

    @cached_property
    def digest(self) -> str:
        """Over `document`."""
        return sha256(canonical(self.document))

    @property
    def is_unsafe(self) -> bool:
        """A repeat of some step would have an effect, so it never runs without a person."""
        return any(step.effect_class == "unsafe" for step in self.steps)


_PLAN = TypeAdapter(Plan)


class Applied(NamedTuple):
    """A step known to be applied, when that was known, and the epoch that carried it."""

    step: int
    at_ns: int
    epoch: int


class Residue(NamedTuple):
    """What a person finds on the target of a step when an action was handed over."""

    step: int
    left: Left


def goal_of(change: ProposedChange) -> bytes:
    """The state a change sets: verb and absolute parameters."""
    return canonical([change.verb, change.parameters])


def origin_of(change: ProposedChange) -> bytes:
    """The state its undo sets back; that of no change where there is no undo."""
    return canonical([change.undo_verb, change.undo_parameters])


def action_key(plan: Plan, generation: int) -> str:
    """The idempotency key of an action: the physical change and its generation; no incident, offset or clock.

    The ledger admits generation g + 1 only after g has ended and cooled down.
    """
    return sha256(canonical([plan.change_key, generation]))


def why_not_undone(plan: Plan, applied: tuple[Applied, ...], now_ns: int) -> str | None:
    """Why the last applied step may not be undone, or None. Nothing applied needs nothing."""
    if not applied:
        return None
    if any(plan.steps[one.step].point_of_no_return for one in applied):
        return "POINT_OF_NO_RETURN"
    last = applied[-1]
    if not plan.steps[last.step].has_undo:
        return "NO_UNDO"
    if now_ns > last.at_ns + plan.steps[last.step].undo_valid_for_ns:
        return "UNDO_TOO_LATE"
    return None


def revert_of(plan: Plan) -> Plan:
    """The plan that takes a temporary change back: the undos, in reverse, each with the change itself as its undo.

    It is an action of its own, gated and reserved like any other; its probe finds whether our mark is still there.
    Raises ValueError where a step has no undo.
    """
    return Plan(
        steps=tuple(_inverted(step) for step in reversed(plan.steps)),
        evidence_limit_ns=plan.evidence_limit_ns,
        times=plan.times,
    )


def _inverted(step: Step) -> Step:
    change = step.change
    if not step.has_undo or change.undo_verb is None:
        raise ValueError(f"{change.verb} on {change.target} has no undo, so it cannot be temporary")
    body: dict[str, Json] = {
        "verb": change.undo_verb,
        "target": change.target,
        "parameters": change.undo_parameters,
        "undo_verb": change.verb,
        "undo_parameters": change.parameters,
        "is_reversible": True,
        "runbook": change.runbook,
    }
    return Step(ProposedChange.model_validate(body | {"digest": sha256(canonical(body))}), step.effect_class)
