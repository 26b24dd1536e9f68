"""Whose an incident is, what customers lose by it, and which figures of business it moves.

All of it from what people said of their services (`ServiceBook`) and from anomalies of the incident; what nobody said
is null, and nothing is guessed. A promise is missed by a window whose share of failed requests, or whose mean duration,
is above it. A business metric counts where a service of the incident or one that depends on it sends it, or where the
book says that it suffers with one of them; others that move at the same time are no business of this incident.
What is lost makes an incident more severe: a promise missed ten times over as much as a surprise of eight orders of
magnitude. That is a choice, and orders nothing but who is asked about first.
"""

import math
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from schemas import Anomaly, BusinessMoved, Incident, ObjectiveMissed, ServiceBook, ServiceFacts

MOST_TOLD = 10
MOST_NOTICED = 50
"""Business metrics of which an open incident keeps the least probable window."""
MOST_LOST = 16.0
"""That one service, or one business metric, adds to the severity; as much as its surprise may."""
PER_TENFOLD = 8.0
BUSINESS = "business"


class Impact(NamedTuple):
    """missed, moved: None where nobody said what there is to miss, or to move."""

    owner: str | None = None
    escalation: tuple[str, ...] = ()
    missed: tuple[ObjectiveMissed, ...] | None = None
    moved: tuple[BusinessMoved, ...] | None = None


class Book:
    """A `ServiceBook`, by tenant and service; what is said for one tenant stands before what is said for all."""

    def __init__(self, record: ServiceBook | None = None) -> None:
        self.record = record
        self._facts = {(facts.tenant, facts.service): facts for facts in (record.services if record else ())}

    def of(self, tenant: str, service: str) -> ServiceFacts | None:
        return self._facts.get((tenant, service)) or self._facts.get(("", service))


def notice(noticed: dict[str, Anomaly], anomalies: Iterable[Anomaly], gone: Iterable[str] = ()) -> bool:
    """Keep the least probable window of each business series; whether a series is new or one is gone."""
    lost = set(gone)
    keys = [key for key, one in noticed.items() if one.id in lost]
    for key in keys:
        del noticed[key]
    is_new = bool(keys)
    for one in (a for a in anomalies if a.signal == BUSINESS):
        kept = noticed.get(one.series)
        if kept is None:
            if len(noticed) >= MOST_NOTICED:
                continue
            is_new = True
        if kept is None or kept.id == one.id or (one.p_value, one.id) < (kept.p_value, kept.id):
            noticed[one.series] = one
    return is_new


def impact(
    book: Book, tenant: str, services: Iterable[str], members: Iterable[Anomaly], noticed: Mapping[str, Anomaly],
    near: frozenset[str] = frozenset(),
) -> Impact:  # fmt: skip
    """services: of the incident, most severe first. noticed: business anomalies by series. near: their callers.

    >>> impact(Book(), "default", ["cart"], [], {})
    Impact(owner=None, escalation=(), missed=None, moved=None)
    """
    order = list(services)
    facts = {service: known for service in order if (known := book.of(tenant, service)) is not None}
    first = facts.get(order[0]) if order else None
    return Impact(
        first.owner if first else None,
        tuple(first.escalation) if first else (),
        _missed(facts, members),
        _moved(facts, {*order, *near}, noticed),
    )


def _missed(facts: Mapping[str, ServiceFacts], members: Iterable[Anomaly]) -> tuple[ObjectiveMissed, ...] | None:
    promised = [(name, one) for name, known in facts.items() for one in known.objectives]
    if not promised:
        return None
    worst: dict[int, ObjectiveMissed] = {}
    told = [a for a in members if a.kind in ("error_ratio", "latency") and a.service in facts]
    for number, (name, objective) in enumerate(promised):
        for one in told:
            value = observed(one) if one.service == name and one.kind == objective.of else None
            if value is None or value <= objective.most:
                continue
            kept = worst.get(number)
            if kept is None or (-value, one.end_ns) < (-kept.observed, kept.end_ns):
                worst[number] = ObjectiveMissed(
                    service=name, of=objective.of, most=objective.most, observed=float(f"{value:.12g}"),
                    requests=one.requests, end_ns=one.end_ns, title=objective.title,
                )  # fmt: skip
    found = sorted(worst.values(), key=lambda one: (-one.observed / one.most, one.service, one.of, one.title))
    return tuple(found[:MOST_TOLD])


def observed(anomaly: Anomaly) -> float | None:
    """What an objective is held against: the share of requests that failed, or seconds; None where it cannot be told.

    A lost edge is no request of a customer, and self time is only a part of what they wait for.
    """
    if anomaly.observed is None or anomaly.name.endswith("self_time") or anomaly.labels.get("caller"):
        return None
    if anomaly.kind == "latency":
        return anomaly.observed if anomaly.unit == "s" else None
    return min(anomaly.observed / anomaly.requests, 1.0) if anomaly.requests else None


def _moved(
    facts: Mapping[str, ServiceFacts], near: set[str], noticed: Mapping[str, Anomaly]
) -> tuple[BusinessMoved, ...] | None:
    named = {name for known in facts.values() for name in known.business}
    mine = [one for one in noticed.values() if one.service in near or one.name in named]
    if not mine:
        return () if named else None
    mine.sort(key=lambda one: (one.p_value, one.id))
    return tuple(
        BusinessMoved(service=one.service, name=one.name, observed=one.observed, expected=one.expected, unit=one.unit,
                      p_value=one.p_value, end_ns=one.end_ns) for one in mine[:MOST_TOLD]
    )  # fmt: skip


def lost(told: Impact) -> float:
    """What it adds to the severity; 0 where nothing is known."""
    services: dict[str, float] = {}
    for one in told.missed or ():
        weight = min(PER_TENFOLD * math.log10(one.observed / one.most), MOST_LOST)
        services[one.service] = max(services.get(one.service, 0.0), weight)
    return math.fsum([*services.values(), *(min(-math.log10(one.p_value), MOST_LOST) for one in told.moved or ())])


def with_impact(incident: Incident, told: Impact) -> Incident:
    """The record with what is known of its impact; the same where nothing is."""
    if told == Impact():
        return incident
    return incident.model_copy(
        update={
            "owner": told.owner, "escalation": list(told.escalation),
            "customer_impact": None if told.missed is None else list(told.missed),
            "business": None if told.moved is None else list(told.moved),
            "severity": float(f"{incident.severity + lost(told):.12g}"),
        }
    )  # fmt: skip
