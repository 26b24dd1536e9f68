"""The snapshot that policies see: flat, without nulls, everything as of the event time of the diagnosis."""

from collections.abc import Iterable

from actions._contract import Verb
from actions._verbs import service_of
from schemas import CalendarEntry, Diagnosis, Hypothesis, Json, ProposedChange


def snapshot_of(
    diagnosis: Diagnosis,
    hypothesis: Hypothesis,
    change: ProposedChange,
    verb: Verb,
    *,
    has_executor: bool,
    critical_services: frozenset[str],
    calendar: Iterable[CalendarEntry],
) -> dict[str, Json]:
    """One value for each name of `NEUTRAL`. It is critical, frozen and so on if the target or the cause is."""
    services = {service_of(change.target), hypothesis.cause.entity}
    kinds = {
        entry.kind
        for entry in calendar
        if entry.tenant == diagnosis.tenant
        and entry.start_ns <= diagnosis.as_of_ns < entry.end_ns
        and (not entry.services or services & set(entry.services))
    }
    low = confidence_low(hypothesis)
    return {
        "verb": change.verb,
        "target": change.target,
        "service": service_of(change.target),
        "tenant": diagnosis.tenant,
        "risk": verb.risk,
        "effect_class": verb.effect_class,
        "is_reversible": change.is_reversible,
        "has_executor": has_executor,
        "family": hypothesis.cause.family,
        "has_change": hypothesis.cause.change is not None,
        "severity": diagnosis.severity,
        "completeness": diagnosis.completeness,
        "is_abstained": is_abstained(diagnosis),
        "confidence_low": low or 0.0,
        "is_calibrated": low is not None,
        "confidence_state": hypothesis.confidence_state,
        "is_critical": bool(services & critical_services),
        "in_freeze": "freeze" in kinds,
        "in_maintenance": "maintenance" in kinds,
        "in_peak": "peak" in kinds,
    }


def confidence_low(hypothesis: Hypothesis) -> float | None:
    """The lower end of the interval, or None unless the calibration was fitted on own outcomes and says one."""
    if hypothesis.confidence_state != "OWN" or hypothesis.confidence is None or hypothesis.interval is None:
        return None
    return min(hypothesis.interval[0], hypothesis.confidence)


def is_abstained(diagnosis: Diagnosis) -> bool:
    return diagnosis.abstained is not None or not diagnosis.hypotheses
