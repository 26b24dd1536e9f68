"""What goes into the context store of a run: what its records say, and the runbooks in force.

A diagnosis goes in with what people said its cause was, or marked as not confirmed.
"""

from collections.abc import Mapping

import schemas as sc
from learning import settled
from tidegate._context import Entry
from tidegate._context_documents import title_of
from tidegate._labels import Told


def entries_of(told: Told) -> list[Entry]:
    """What the records of a run say."""
    kept, labels = told.kept, settled(told.labels)
    out = [
        Entry(f"change/{c.id}", "change", c.tenant, c.service, c.title,
              " ".join(str(part) for part in (c.kind, c.version_from, c.version_to, c.reference, c.author) if part),
              c.at_ns)
        for c in kept.changes.values()
    ]  # fmt: skip
    out += [
        Entry(f"calendar/{c.id}", "calendar", c.tenant, c.services[0] if len(c.services) == 1 else "", c.title,
              f"{c.kind} until {sc.rfc3339(c.end_ns)} {' '.join(c.services)}", c.start_ns)
        for c in kept.calendar.values()
    ]  # fmt: skip
    out += [
        Entry(f"alert/{a.id}", "alert", a.tenant, a.service, a.title,
              f"{a.kind} {a.name} {a.state} {a.severity} {a.system} {a.reference or ''}", a.at_ns)
        for a in kept.alerts.values()
    ]  # fmt: skip
    for name, diagnosis in kept.diagnoses.items():
        incident = kept.incidents.get(name)
        services = _services(diagnosis, incident)
        title = incident.title if incident else f"Incident of {', '.join(services[:3])}"
        body = f"{_cause(diagnosis, labels.get(name))} {' '.join(services)}"
        first = services[0] if services else ""
        out.append(Entry(f"incident/{name}", "incident", diagnosis.tenant, first, title, body, diagnosis.opened_ns))
    last = {event.action_id: event for event in kept.actions}
    for event in last.values():
        change = event.change
        out.append(Entry(f"action/{event.action_id}", "action", event.tenant, change.target.split("/")[-1],
                         f"{change.verb} on {change.target.split('/')[-1]}",
                         f"{event.state} {event.reason} {change.runbook} {event.hypothesis.cause.family}",
                         event.at_ns))  # fmt: skip
    return out


def _services(diagnosis: sc.Diagnosis, incident: sc.Incident | None) -> list[str]:
    named = list(incident.services) if incident else []
    return list(dict.fromkeys([*named, *(entity.split("/")[-1] for entity in diagnosis.entities)]))[:20]


def _cause(diagnosis: sc.Diagnosis, label: sc.Label | None) -> str:
    """The truth where somebody said it, else what was diagnosed, marked as such."""
    if label is not None and label.verdict == "cause":
        return f"cause {label.entity} {label.family} (said by {label.said_by})"
    if label is not None and label.verdict in ("no_fault", "unknown"):
        return f"{label.verdict.replace('_', ' ')} (said by {label.said_by})"
    if diagnosis.abstained or not diagnosis.hypotheses:
        return f"no cause named ({diagnosis.abstained or 'NO_HYPOTHESIS'})"
    first = diagnosis.hypotheses[0].cause
    return f"diagnosed {first.entity} {first.family}, not confirmed"


def services_of(told: Told) -> set[tuple[str, str]]:
    """Every service that the records name, by tenant."""
    ends = [(edge.tenant, end.split("/")[-1]) for edge in told.kept.edges for end in (edge.caller, edge.callee)]
    hurt = [(d.tenant, h.cause.entity) for d in told.kept.diagnoses.values() for h in d.hypotheses[:1]]
    return {pair for pair in (*ends, *hurt) if pair[1]}


def runbooks(texts: Mapping[str, str]) -> list[Entry]:
    """The runbooks in force, by the name of their file."""
    found = []
    for name, text in sorted(texts.items()):
        found.append(Entry(f"runbook/{name}", "runbook", "", "", title_of(text, name), text, 0))
    return found
