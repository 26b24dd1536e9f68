"""What this deployment may read, ask and change, and who may stop it or approve: the answer for an auditor, from the
settings that are in force and nothing else.
"""

from typing import Any

from actions import Executor, Rule, Verb, approvers_of, load_policies
from tidegate import _catalogue, _pipeline
from tidegate._action_gateway_settings import ActGateway
from tidegate._settings import Settings


def boundaries(settings: Settings, gateway: ActGateway | None) -> dict[str, Any]:
    """gateway: None where none is deployed, and then nothing may be changed. Raises SettingsError, PolicyError."""
    by_verb = gateway.open_executors() if gateway else {}
    verbs: dict[str, Verb] = _catalogue.find("verbs")
    policies = load_policies(_pipeline.texts(settings.actions.policies, "policies"))
    prometheus = settings.investigate.prometheus.url
    return {
        "may_read": {
            "telemetry": sorted(_catalogue.find("sources")),
            "brokers": settings.kafka.brokers,
            "prometheus": prometheus or None,
        },
        "may_ask": sorted(_pipeline.asked(settings)),
        "may_change": [_change(verbs[name], by_verb[name], gateway) for name in sorted(by_verb) if gateway],
        "may_never_change": sorted(set(verbs) - set(by_verb)),
        "may_stop": sorted(gateway.control_keys) if gateway else [],
        "may_permit": sorted(gateway.permit_keys) if gateway else [],
        "must_be_approved": [_rule(rule) for rule in policies.rules if rule.effect == "require_approval"],
        "policy_digest": policies.digest,
    }


def _change(verb: Verb, executor: Executor, gateway: ActGateway) -> dict[str, Any]:
    limit_s: float = verb.evidence_limit_s
    if gateway.evidence_limit_s is not None:
        limit_s = min(limit_s, gateway.evidence_limit_s)
    return {
        "verb": verb.name, "executor": executor.kind, "risk": verb.risk, "is_reversible": verb.is_reversible,
        "effect_class": verb.effect_class, "only_on": list(gateway.scopes), "only_kinds": list(verb.target_kinds),
        "evidence_limit_s": limit_s, "capacity_floor": verb.capacity_floor, "owner": verb.owner,
        "permissions": list(verb.permissions), "people_always_decide": list(verb.human_classes),
    }  # fmt: skip


def _rule(rule: Rule) -> dict[str, Any]:
    quorum, required = approvers_of(rule.obligations)
    return {"rule": rule.id, "when": rule.when, "people": quorum, "roles": required, "why": rule.text}


def told(document: dict[str, Any]) -> str:
    """For people: one line a fact."""
    read = document["may_read"]
    lines = [f"may read    telemetry: {', '.join(read['telemetry'])}"]
    lines += [f"may read    {name}: {read[name]}" for name in ("brokers", "prometheus") if read[name]]
    lines += [f"may ask     {name}" for name in document["may_ask"]]
    for one in document["may_change"]:
        where = ", ".join(one["only_on"]) or "nothing: no scopes are set"
        undo = "can be undone" if one["is_reversible"] else "cannot be undone"
        lines.append(f"may change  {one['verb']} by {one['executor']}: risk {one['risk']}, {undo}, on {where}")
    if not document["may_change"]:
        lines.append("may change  nothing")
    lines += [f"may stop    {name}" for name in document["may_stop"]]
    for one in document["must_be_approved"]:
        roles = "".join(f", {count} {role}" for role, count in sorted(one["roles"].items()))
        lines.append(f"people      {one['people']}{roles} where {one['when']} ({one['rule']})")
    return "\n".join(lines)
