"""The names of the snapshot: the closed set that policies may use, with type, domain and neutral value of each.

A closed set, because a rule over a name that nobody fills is a rule that never holds, and nobody would notice. The
domains make the checks exact: `tidegate policy check` searches them, the type checker refuses a literal outside them.
"""

from typing import Literal, NamedTuple

from schemas import Json

Tier = Literal["low", "standard", "critical"]
HumanClass = Literal[
    "billing", "schema", "authentication", "production_data", "customer_communication", "dr_failover"
]  # fmt: skip
"""Kinds of change that are for people alone, whatever the confidence."""

Kind = Literal["bool", "int", "double", "string", "list"]


class Name(NamedTuple):
    """One name. values: the closed set of a string, or of the items of a list; open where it is empty.

    low and high: bounds of a number, None where there is none.
    """

    kind: Kind
    neutral: Json
    text: str
    values: tuple[str, ...] = ()
    low: float | None = None
    high: float | None = None


_CHANGES = ("deploy", "rollback", "config", "flag", "scale", "infrastructure", "schema", "other")

NAMES: dict[str, Name] = {
    "verb": Name("string", "gitops.revert", "what would be done"),
    "target": Name("string", "default/service/checkout", "entity id of the target"),
    "service": Name("string", "checkout", "plain service name of the target"),
    "tenant": Name("string", "default", "tenant of the incident"),
    "risk": Name("string", "medium", "of the verb; none: it changes no system", ("none", "low", "medium", "high")),
    "effect_class": Name(
        "string", "conditional", "why a repeat has no effect, or unsafe",
        ("conditional", "keyed", "naturally_idempotent", "unsafe"),
    ),
    "is_reversible": Name("bool", True, "there is an exact undo"),
    "has_executor": Name("bool", False, "something can perform the verb"),
    "human_classes": Name(
        "list", [], "kinds of change that are for people alone, from verb, change and service",
        ("billing", "schema", "authentication", "production_data", "customer_communication", "dr_failover"),
    ),
    "blast_radius": Name("int", 1, "services that can be affected: the target's and all that call it", low=1),
    "mode": Name(
        "string", "act", "autonomy of the verb on this tier", ("shadow", "advise", "approve", "act")
    ),
    "corroboration": Name(
        "double", 0.5, "share of the evidence that is left without its weightiest sender; 0: one alone said it",
        low=0.0, high=1.0,
    ),
    "attempt": Name("int", 1, "one more than the actions that this incident had, approved or put to people", low=1),
    "family": Name("string", "change", "fault family of the top hypothesis"),
    "has_change": Name("bool", True, "the cause is a change"),
    "change_kind": Name(
        "string", "deploy", "kind of that change; none: no change, unknown: its record is not there",
        (*_CHANGES, "none", "unknown"),
    ),
    "severity": Name("double", 0.0, "of the incident, only for sorting", low=0.0),
    "completeness": Name("double", 1.0, "seen of expected samples, 0 to 1", low=0.0, high=1.0),
    "is_abstained": Name("bool", False, "the diagnosis names no cause"),
    "has_business_impact": Name("bool", False, "a business signal is among the evidence"),
    "confidence_low": Name(
        "double", 0.0, "lower end of the interval; 0.0 unless fitted on own outcomes; never null", low=0.0, high=1.0
    ),
    "is_calibrated": Name("bool", False, "confidence_low is a measured probability"),
    "confidence_state": Name(
        "string", "UNCALIBRATED", "whose outcomes it was fitted on", ("UNCALIBRATED", "TRANSFERRED", "OWN")
    ),
    "tier": Name("string", "standard", "the higher of target's and cause's service", ("low", "standard", "critical")),
    "is_critical": Name("bool", False, "tier is critical"),
    "labels": Name("list", [], "compliance labels of the services: pci, hipaa, ..."),
    "is_staffed": Name("bool", True, "somebody who answers for the target is at work or on call at that time"),
    "in_freeze": Name("bool", False, "the calendar says freeze"),
    "in_maintenance": Name("bool", False, "the calendar says maintenance"),
    "in_peak": Name("bool", False, "the calendar says peak"),
    "in_business_event": Name("bool", False, "the calendar says business: a launch, a sale, a quarter end"),
    "hour_utc": Name("int", 12, "hour of the event time, 0 to 23", low=0, high=23),
    "weekday": Name("int", 1, "day of the event time in UTC, 1 is Monday, 7 is Sunday", low=1, high=7),
}  # fmt: skip

NEUTRAL: dict[str, Json] = {name: spec.neutral for name, spec in NAMES.items()}
"""Every name that a rule may use, with the value it has in a case that says nothing else."""

INVARIANTS: tuple[str, ...] = (
    'is_critical == (tier == "critical")',
    'has_change == (change_kind != "none")',
    "is_calibrated || confidence_low == 0.0",
    '!is_calibrated || confidence_state == "OWN"',
    'change_kind != "schema" || "schema" in human_classes',
)
"""What holds in every snapshot that decide can make, as CEL; a contradiction outside of it is not reachable."""
