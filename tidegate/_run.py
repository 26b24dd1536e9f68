"""Run directories: what a replay, a demo or a live run left behind, as a recording with one document beside it.

`runs/<name>/run.json` holds what `replay --json` prints; the Parquet files hold anomalies, incidents, diagnoses and
actions, so `explain` and any Parquet reader can go from an action back to the windows that made it.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import schemas as sc
from schemas.core import NS, Message
from streams import Recording, RecordingWriter
from tidegate import __version__, _as_of
from tidegate._errors import NotFoundError, RunError
from tidegate._live import LOG, open_existing
from tidegate._replay import KEPT, Run

DOCUMENT = "run.json"
NEWEST = Path("runs/newest")


def claim(out: Path) -> None:
    """Make the place of a run before there is one to write: an hour's replay is not to end at a wrong path.

    Raises RunError if `out` is something else, OSError.
    """
    out.mkdir(parents=True, exist_ok=True)
    if any(out.iterdir()) and not (out / DOCUMENT).exists():
        raise RunError("is not a run directory and not empty", where=str(out), todo="Choose another --run")


def save(run: Run, out: Path, shaped: Mapping[str, Any] | None = None) -> None:
    """Write a run directory, replacing the one that is there. Raises RunError if `out` is something else.

    shaped: what was in force, see `_as_of.kept`.
    """
    claim(out)
    for file in out.glob("*"):
        file.unlink()
    with RecordingWriter(out, created_by=f"tidegate {__version__}") as writer:
        for message in run.messages:
            writer.append(message)
    (out / DOCUMENT).write_text(json.dumps(run.document(), indent=1))
    if shaped is not None:
        _as_of.write(shaped, out)


@dataclass(frozen=True, slots=True)
class Kept:
    """The records of a run, read back."""

    incidents: dict[str, sc.Incident]
    diagnoses: dict[str, sc.Diagnosis]
    actions: list[sc.ActionEvent]
    anomalies: list[sc.Anomaly]
    changes: dict[str, sc.Change]
    edges: list[sc.TopologyEdge]
    calendar: dict[str, sc.CalendarEntry] = field(default_factory=dict)
    alerts: dict[str, sc.Alert] = field(default_factory=dict)
    silences: dict[str, sc.Silence] = field(default_factory=dict)

    @classmethod
    def of(cls, messages: Iterable[Message]) -> "Kept":
        kept = cls({}, {}, [], [], {}, [])
        for message in messages:
            if sc.record_type(message) in ("", "watermark", "coverage", "dead-letter"):
                continue
            record = sc.read(message)
            if isinstance(record, sc.Incident):
                kept.incidents[record.id] = record
            elif isinstance(record, sc.Diagnosis):
                kept.diagnoses[record.incident_id] = record
            elif isinstance(record, sc.ActionEvent):
                kept.actions.append(record)
            elif isinstance(record, sc.Anomaly):
                kept.anomalies.append(record)
            elif isinstance(record, sc.Change):
                kept.changes[record.id] = record
            elif isinstance(record, sc.TopologyEdge):
                kept.edges.append(record)
            elif isinstance(record, sc.CalendarEntry):
                kept.calendar[record.id] = record
            elif isinstance(record, sc.Alert):
                kept.alerts[record.id] = record
            elif isinstance(record, sc.Silence):
                kept.silences[record.id] = record
        return kept


def read(directory: Path) -> Kept:
    """The records of a run directory, or of the log of `up`, also while it runs. Raises RunError or RecordingError."""
    if (directory / LOG).is_file():
        log = open_existing(directory)
        try:
            return Kept.of(log.messages(KEPT))
        finally:
            log.close()
    if not (directory / DOCUMENT).exists():
        raise RunError(
            "there is no run here", where=str(directory), todo="Run `tidegate replay R` or `tidegate demo` first"
        )
    return Kept.of(Recording.open(directory).messages())


def explain(kept: Kept, name: str) -> dict[str, Any]:
    """How an incident, diagnosis or action came about: what it rests on, which rules, versions, people, how old.

    name: an id or the beginning of one; empty for the most severe incident. Raises
    NotFoundError if it names nothing or more than one thing.
    """
    diagnosis, action = find(kept, name)
    incident = kept.incidents.get(diagnosis.incident_id)
    pointers = {e.pointer.sha256: e.pointer for h in diagnosis.hypotheses for e in h.evidence if e.pointer}
    used = [a for a in kept.anomalies if a.pointer.sha256 in pointers]
    causes = {h.cause.change for h in diagnosis.hypotheses if h.cause.change}
    changes = [kept.changes[change] for change in sorted(causes) if change in kept.changes]
    newest = max((p.t_max_ns for p in pointers.values()), default=diagnosis.as_of_ns)
    decision = action.decision if action else None
    return {
        "id": action.action_id if action else diagnosis.incident_id, "incident": diagnosis.incident_id,
        "title": incident.title if incident else "", "abstained": diagnosis.abstained,
        "suppressed_by": diagnosis.suppressed_by,
        "causes": [{"entity": h.cause.entity, "family": h.cause.family, "confidence": h.confidence,
                    "confidence_state": h.confidence_state, "reason": h.reason} for h in diagnosis.hypotheses[:3]],
        "samples": sum(a.count for a in used if a.signal == "metrics"),
        "log_lines": sum(a.count for a in used if a.signal == "logs"),
        "spans": sum(a.count for a in used if a.signal == "traces"),
        "evidence": len(pointers),
        "changes": [{"id": c.id, "title": c.title, "service": c.service, "at": sc.rfc3339(c.at_ns)} for c in changes],
        "policies": {"matched": decision.policies, "effect": decision.effect, "reason": decision.reason,
                     "digest": decision.policy_digest} if decision else {},
        "people": [],
        "versions": dict(diagnosis.versions),
        "ages_s": {
            "opened_to_diagnosis": (diagnosis.as_of_ns - diagnosis.opened_ns) / NS,
            "newest_evidence": (diagnosis.as_of_ns - newest) / NS,
            **{f"change {c.title}": (diagnosis.as_of_ns - c.at_ns) / NS for c in changes},
        },
    }  # fmt: skip


def find(kept: Kept, name: str) -> tuple[sc.Diagnosis, sc.ActionEvent | None]:
    """The diagnosis, and the decided action if there is one, that a name means. Raises NotFoundError."""
    if not name and not kept.diagnoses:
        raise NotFoundError("no incident was opened, so there is nothing to show", todo="Replay or send more telemetry")
    if not name:
        name = min(kept.diagnoses.values(), key=lambda d: (-d.severity, d.opened_ns, d.incident_id)).incident_id
    actions = {a.action_id: a for a in kept.actions if a.decision and a.action_id.startswith(name)}
    found = {d.incident_id: d for d in kept.diagnoses.values() if name == d.id or d.incident_id.startswith(name)}
    if len(actions) + len(found) > 1:
        raise NotFoundError(f"'{name}' names {len(actions) + len(found)} things", todo="Write more of the id")
    if actions:
        action = next(iter(actions.values()))
        if action.incident_id in kept.diagnoses:
            return kept.diagnoses[action.incident_id], action
    if found:
        diagnosis = next(iter(found.values()))
        last = [a for a in kept.actions if a.incident_id == diagnosis.incident_id and a.decision]
        return diagnosis, last[-1] if last else None
    known = ", ".join(sorted(kept.diagnoses)) or "none"
    raise NotFoundError(f"nothing is called '{name}'", todo=f"Incidents of this run: {known}")
