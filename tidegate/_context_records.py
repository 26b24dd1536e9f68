"""What goes into the context store: what the records of a run say, and the documents that people keep.

A record says what happened and when; a document says who owns a service, what it promises, what to do and what was
learned. A diagnosis goes in with what people said its cause was, or marked as not confirmed.
"""

import re
from collections.abc import Mapping
from pathlib import Path

import schemas as sc
from learning import settled
from tidegate._context import FOLDERS, Entry
from tidegate._errors import RunError
from tidegate._labels import Told

_SUFFIXES = (".md", ".txt", ".yaml", ".yml")
_MOST_BYTES = 256 * 1024
_SERVICE = re.compile(r"^service:\s*([A-Za-z0-9._/-]{1,200})\s*$", re.MULTILINE)
_TITLE = re.compile(r"^(?:#\s+|title:\s*)(.{1,200})$", re.MULTILINE)


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


def documents(folder: Path, tenant: str = "") -> list[Entry]:
    """Files of people: `postmortems/`, `runbooks/`, `slos/`, `owners/`, in Markdown, text or YAML.

    A line `service: NAME` says of which service; else the name of the file does. Raises RunError.
    """
    if not folder.is_dir():
        raise RunError("is no folder of documents", where=str(folder), todo=f"With folders: {', '.join(FOLDERS)}")
    out = []
    for name, kind in FOLDERS.items():
        for file in sorted((folder / name).glob("**/*")):
            if file.suffix not in _SUFFIXES or not file.is_file():
                continue
            try:
                text = file.read_bytes()[:_MOST_BYTES].decode("utf-8", "replace")
            except OSError as error:
                raise RunError(f"cannot be read: {error}", where=str(file), todo="Make it readable") from error
            service, title = _SERVICE.search(text), _TITLE.search(text)
            out.append(Entry(f"document/{tenant}/{name}/{file.relative_to(folder / name)}", kind, tenant,
                             service.group(1) if service else file.stem, title.group(1) if title else file.stem,
                             text, 0))  # fmt: skip
    return out


def runbooks(texts: Mapping[str, str]) -> list[Entry]:
    """The runbooks in force, by the name of their file."""
    found = []
    for name, text in sorted(texts.items()):
        title = _TITLE.search(text)
        found.append(Entry(f"runbook/{name}", "runbook", "", "", title.group(1) if title else name, text, 0))
    return found
