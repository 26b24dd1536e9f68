"""From a decision to a plan: what was asked for by a record, as the machine takes it, and who asked. Pure."""

from collections.abc import Sequence
from typing import get_args

from actions._contract import Verb
from actions._errors import ActionsError
from actions._ledger import Inbox
from actions._machine_types import Origin
from actions._names import Tier
from actions._saga import Plan, Step, Times
from actions._services import highest_tier
from actions._verbs import Verbs, checked_target, digest_of
from actions._worker import Asked
from schemas import ActionEvent, Json, ProposedChange, canonical, sha256
from schemas.core import NS

MEASURE_NS = 5 * 60 * NS
_TAKEN = ("approved", "awaiting_approval")


class NotAskable(ActionsError):
    """A record that says it was decided and cannot be acted upon; it goes to the dead letters."""

    code = "NOT_ASKABLE"


def plan_of(event: ActionEvent, verbs: Verbs) -> Plan:
    """The plan of the event's steps, which may be temporary. Raises NotAskable, UnknownVerb, SelectorInvalid."""
    changes = [event.change, *(step.change for step in event.then)]
    steps = tuple(_step(change, verbs, event.id) for change in changes)
    lasts = {change.revert_after_s for change in changes}
    if len(lasts) > 1:
        raise NotAskable("some steps are temporary and others are not, or not for as long", where=event.id)
    (revert_s,) = lasts
    if revert_s is not None and (fast := [one.change.verb for one in steps if not one.has_undo]):
        raise NotAskable(f"{fast[0]} cannot be undone, so it cannot be temporary", where=event.id)
    used = [verbs.get(change.verb) for change in changes]
    return Plan(
        steps, evidence_limit_ns=min(verb.evidence_limit_s for verb in used) * NS,
        revert_after_ns=None if revert_s is None else revert_s * NS,
        times=times_of(max(used, key=lambda verb: verb.settle_s)),
    )  # fmt: skip


def _step(change: ProposedChange, verbs: Verbs, where: str) -> Step:
    verb = verbs.get(change.verb, where)
    checked_target(change.target)
    if digest_of(change) != change.digest:
        raise NotAskable("the digest of the change is not the change's", where=where, todo="Decide again")
    verbs.parse(change.verb, change.parameters, where)
    return Step(change, verb.effect_class, verb.undo_valid_for_s * NS, undo_on_no_effect=verb.undo_on_no_effect)


def times_of(verb: Verb) -> Times:
    """How long its target needs to settle, then so long is measured, and the watermark gets as long again to come."""
    settle_ns = verb.settle_s * NS
    return Times(settle_ns=settle_ns, measure_ns=MEASURE_NS, verify_ns=settle_ns + 2 * MEASURE_NS)


def asked_of(event: ActionEvent, verbs: Verbs, policy_digest: str, inbox: Inbox | None) -> Asked | None:
    """What the worker takes; None where the record asks for nothing (another state, or it was only advice).

    It is the event `gated`, which carries decision and snapshot, so that one record is enough to begin and to judge
    again. Raises as `plan_of`.
    """
    if event.state != "gated" or event.decision is None or event.decision.effect in ("deny", "advise"):
        return None
    snapshots = [event.snapshot, *(step.snapshot for step in event.then)]
    if any(snapshot.get("mode") == "advise" for snapshot in snapshots):
        return None
    plan = plan_of(event, verbs)
    tiers: list[Tier] = [tier for one in snapshots for tier in get_args(Tier) if tier == one.get("tier")]
    origin = Origin(
        action_id=event.action_id, incident_id=event.incident_id, tier=highest_tier(tiers),
        version=version_of([verbs.get(one.change.verb) for one in plan.steps], event.change.runbook, policy_digest),
        asked=event.model_dump_json(),
    )  # fmt: skip
    return Asked(plan, origin, inbox)


def version_of(verbs: Sequence[Verb], runbook: str, policy_digest: str) -> str:
    """What trust is tied to: the verbs as they are declared, the runbook that chose them and the policies that let
    them.
    """
    parts: list[Json] = [part for verb in verbs for part in (verb.name, verb.version, verb.effect_class)]
    return sha256(canonical([*parts, runbook, policy_digest]))
