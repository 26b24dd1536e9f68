"""The snapshot that policies see: flat, without nulls, everything as of the event time of the diagnosis."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from actions._contract import Verb
from actions._machine_types import Mode
from actions._names import HumanClass
from actions._services import STRANGER, ServiceProfile, highest_tier, hour_of, mode_of, weekday_of
from actions._verbs import service_of
from schemas import CalendarEntry, Change, Diagnosis, Evidence, Hypothesis, Json, ProposedChange

_ANYBODY = frozenset({"", "?"})
"""Senders that proved no name."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a snapshot needs beyond the diagnosis and the change itself.

    change: the record of the change that is the cause, None if there is none or it is not known. attempt: this is
    the n-th action of the incident, from 1. blast_radius: services that can be affected, at least 1.
    """

    has_executor: bool = False
    services: Mapping[str, ServiceProfile] = field(default_factory=dict)
    critical_services: frozenset[str] = frozenset()
    calendar: Iterable[CalendarEntry] = ()
    change: Change | None = None
    attempt: int = 1
    blast_radius: int = 1
    modes: Mapping[str, Mode] = field(default_factory=dict)


def snapshot_of(
    diagnosis: Diagnosis, hypothesis: Hypothesis, change: ProposedChange, verb: Verb, around: Surroundings
) -> dict[str, Json]:
    """One value for each of `NAMES`. It is critical, labelled, frozen and so on if the target or the cause is."""
    target = service_of(change.target)
    services = {target, hypothesis.cause.entity}
    profiles = [around.services[name] for name in sorted(services) if name in around.services]
    kinds = kinds_around(around.calendar, diagnosis, services)
    low = confidence_low(hypothesis)
    is_critical = bool(services & around.critical_services)
    tier = "critical" if is_critical else highest_tier(profile.tier for profile in profiles)
    change_kind = change_kind_of(hypothesis, around.change)
    classes: set[HumanClass] = set(getattr(verb, "human_classes", ()))
    if verb.risk != "none":
        classes.update(name for profile in profiles for name in profile.human_only)
    if change_kind == "schema":
        classes.add("schema")
    return {
        "verb": change.verb,
        "target": change.target,
        "service": target,
        "tenant": diagnosis.tenant,
        "risk": verb.risk,
        "effect_class": verb.effect_class,
        "is_reversible": change.is_reversible,
        "has_executor": around.has_executor,
        "human_classes": [*sorted(classes)],
        "blast_radius": around.blast_radius,
        "mode": mode_of(around.modes, change.verb, tier),
        "attempt": around.attempt,
        "family": hypothesis.cause.family,
        "has_change": hypothesis.cause.change is not None,
        "change_kind": change_kind,
        "severity": diagnosis.severity,
        "completeness": diagnosis.completeness,
        "is_abstained": is_abstained(diagnosis),
        "has_business_impact": any(
            e.pointer is not None and e.pointer.signal == "business" for e in hypothesis.evidence
        ),
        "corroboration": corroboration(hypothesis.evidence),
        "confidence_low": low or 0.0,
        "is_calibrated": low is not None,
        "confidence_state": hypothesis.confidence_state,
        "tier": tier,
        "is_critical": tier == "critical",
        "labels": [*sorted({label for profile in profiles for label in profile.labels})],
        "is_staffed": around.services.get(target, STRANGER).is_staffed(diagnosis.as_of_ns),
        "in_freeze": "freeze" in kinds,
        "in_maintenance": "maintenance" in kinds,
        "in_peak": "peak" in kinds,
        "in_business_event": "business" in kinds,
        "hour_utc": hour_of(diagnosis.as_of_ns),
        "weekday": weekday_of(diagnosis.as_of_ns),
    }


def kinds_around(calendar: Iterable[CalendarEntry], diagnosis: Diagnosis, services: set[str]) -> frozenset[str]:
    """Kinds of the calendar's entries for any of these services at the time of the diagnosis."""
    return frozenset(
        entry.kind
        for entry in calendar
        if entry.tenant == diagnosis.tenant
        and entry.start_ns <= diagnosis.as_of_ns < entry.end_ns
        and (not entry.services or services & set(entry.services))
    )


def change_kind_of(hypothesis: Hypothesis, change: Change | None) -> str:
    """The kind of the change that is the cause; `none` without one, `unknown` where its record is not there."""
    if hypothesis.cause.change is None:
        return "none"
    return change.kind if change is not None else "unknown"


def confidence_low(hypothesis: Hypothesis) -> float | None:
    """The lower end of the interval, or None unless the calibration was fitted on own outcomes and says one."""
    if hypothesis.confidence_state != "OWN" or hypothesis.confidence is None or hypothesis.interval is None:
        return None
    return min(hypothesis.interval[0], hypothesis.confidence)


def is_abstained(diagnosis: Diagnosis) -> bool:
    return diagnosis.abstained is not None or not diagnosis.hypotheses


def corroboration(evidence: Iterable[Evidence]) -> float:
    """Share of the supporting weight, 0 to 1, that stays if any one sender is not believed; of the worst such sender.

    Only what was observed counts, not that something was changed, so a true change does not bear out a forged symptom.
    What several write to, each of them may have said; what nobody signed, anybody.
    """
    said = [
        (e.weight, frozenset(e.pointer.sender.split(","))) for e in evidence if e.supports and e.pointer is not None
    ]
    total = math.fsum(weight for weight, _ in said)
    named = [(weight, senders) for weight, senders in said if not senders & _ANYBODY]
    if total <= 0 or not named:
        return 0.0
    suspects = frozenset[str]().union(*(senders for _, senders in named))
    left = (math.fsum(weight for weight, senders in named if suspect not in senders) for suspect in suspects)
    return float(f"{min(left) / total:.6g}")
