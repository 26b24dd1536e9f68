"""From a decision to a plan: what was asked for by a record, as the machine takes it, and who asked. Pure."""

from collections.abc import Mapping

from actions._contract import Verb
from actions._errors import ActionsError
from actions._ledger import Inbox
from actions._machine_types import Origin
from actions._saga import Plan, Step, Times
from actions._verbs import Verbs, checked_target, digest_of
from actions._worker import Asked
from schemas import ActionEvent, Json, canonical, sha256
from schemas.core import NS

MEASURE_NS = 5 * 60 * NS
_TAKEN = ("approved", "awaiting_approval")


class NotAskable(ActionsError):
    """A record that says it was decided and cannot be acted upon; it goes to the dead letters."""

    code = "NOT_ASKABLE"


def plan_of(event: ActionEvent, verbs: Verbs) -> Plan:
    """The plan of the event's one change. Raises NotAskable, UnknownVerb, SelectorInvalid."""
    change = event.change
    verb = verbs.get(change.verb, event.id)
    checked_target(change.target)
    if digest_of(change) != change.digest:
        raise NotAskable("the digest of the change is not the change's", where=event.id, todo="Decide again")
    verbs.parse(change.verb, change.parameters, event.id)
    step = Step(change, verb.effect_class, verb.undo_valid_for_s * NS, undo_on_no_effect=verb.undo_on_no_effect)
    return Plan((step,), evidence_limit_ns=verb.evidence_limit_s * NS, times=times_of(verb))


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
    snapshot: Mapping[str, Json] = event.snapshot
    if snapshot.get("mode") == "advise":
        return None
    plan = plan_of(event, verbs)
    origin = Origin(
        action_id=event.action_id, incident_id=event.incident_id, tier=str(snapshot.get("tier", "standard")),
        version=version_of(verbs.get(event.change.verb), event.change.runbook, policy_digest),
        asked=event.model_dump_json(),
    )  # fmt: skip
    return Asked(plan, origin, inbox)


def version_of(verb: Verb, runbook: str, policy_digest: str) -> str:
    """What trust is tied to: the verb as it is declared, the runbook that chose it and the policies that let it."""
    parts: list[Json] = [verb.name, verb.version, verb.effect_class, runbook, policy_digest]
    return sha256(canonical(parts))
