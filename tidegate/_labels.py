"""Where labels lie, and where they come from: people, resolved tickets, outcomes of actions.

They go where the run lies: into the log of `up`, onto the topic on Kafka, or, for a replay (whose records are made
again each time), into a file beside its directory, `NAME.labels.sqlite`; ids of incidents are the same in every
replay. What outcomes of actions say is worked out when it is read, and never written down.
"""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError

import schemas as sc
from learning import labels_of_actions
from schemas.core import NS, Emit, Message
from streams import EmbeddedLog
from tidegate import __version__, _history, _run
from tidegate._errors import NotFoundError, RunError, SettingsError
from tidegate._event_time import time_ns
from tidegate._live import LOG
from tidegate._run import Kept
from tidegate._settings import Settings

SOURCE = "tidegate/label"
AROUND_NS = 600 * NS
"""How far a ticket may be from the incident that it is about."""
_KAFKA = (sc.INCIDENTS, sc.DIAGNOSES, sc.ACTIONS, sc.TOPOLOGY, sc.FEEDBACK)


@dataclass(frozen=True, slots=True)
class Told:
    """The records of a run and every label: those that were written, and those of actions."""

    kept: Kept
    labels: list[sc.Label]


class Place:
    """A run directory, a directory of `up`, or Kafka. Each call opens it and lets go of it again."""

    def __init__(self, directory: Path, settings: Settings | None = None, brokers: str = "") -> None:
        self._directory, self._settings, self._brokers = directory, settings or Settings(), brokers

    def read(self, more: Sequence[str] = ()) -> Told:
        """more: topics of records that are wanted besides. Raises RunError, RecordingError, TransportError."""
        if self._brokers:
            with _history.open_history(self._settings, self._brokers) as history:
                existing = history.partitions()
                messages = list(history.messages(topic for topic in (*_KAFKA, *more) if topic in existing))
            kept = Kept.of(messages)
        else:
            kept, messages = _run.read(self._directory), []
            file = self._file()
            if file.is_file():
                log = EmbeddedLog(file, code=__version__)
                try:
                    messages = list(log.messages([sc.FEEDBACK]))
                finally:
                    log.close()
        written = [record for message in messages if isinstance(record := _record(message), sc.Label)]
        return Told(kept, [*written, *labels_of_actions(kept.actions)])

    def write(self, labels: Sequence[sc.Label], received_ns: int) -> None:
        """Append them; durable on return. Raises TransportError."""
        emits = [
            sc.emit(sc.FEEDBACK, label, id=label.id, key=label.incident_id, source=SOURCE, event_ns=label.said_ns)
            for label in labels
        ]
        self.send(emits, received_ns, writer="label")

    def send(self, emits: Sequence[Emit], received_ns: int, *, writer: str) -> None:
        """Append records to their topics; durable on return. Raises TransportError."""
        if self._brokers:
            from streams import kafka  # the extra `kafka` may be absent

            plain = self._settings.kafka.plain(self._brokers)
            kafka.probe(plain)
            with kafka.KafkaWriter(plain) as topics:
                for emit in emits:
                    topics.write(_message(emit, received_ns), 0)
            return
        log = EmbeddedLog(self._file(), code=__version__)
        try:
            log.append(emits, writer=writer, received_ns=received_ns)
        finally:
            log.close()

    @property
    def is_running(self) -> bool:
        """Whether what is written here is read by a pipeline: Kafka, or a directory of `up`."""
        return bool(self._brokers) or (self._directory / LOG).is_file()

    def _file(self) -> Path:
        live = self._directory / LOG
        place = self._directory.resolve()  # `runs/..` has no name
        return live if live.is_file() else place.with_name(f"{place.name}.labels.sqlite")


def _record(message: Message) -> sc.Record | None:
    return sc.read(message) if sc.record_type(message) == sc.Label.TYPE else None


def _message(emit: Emit, received_ns: int) -> Message:
    return Message(emit.topic, 0, 0, emit.key, emit.value, emit.headers, emit.event_ns, received_ns)


def label_of(
    kept: Kept, name: str, verdict: sc.Verdict, *, entity: str = "", family: str = "", said_by: str,
    is_elsewhere: bool = False, basis: sc.Basis = "person", now_ns: Callable[[], int] = time.time_ns,
) -> sc.Label:  # fmt: skip
    """A label for an incident, named as `tidegate explain` takes it. Raises NotFoundError.

    is_elsewhere: the cause is nothing that telemetry knows of; else a name that nobody knows is refused, because a
    misspelt one would count as a wrong diagnosis for ever.
    """
    diagnosis, _ = _run.find(kept, name)
    known = services_of(kept, diagnosis)
    if entity and entity not in known and not is_elsewhere:
        import difflib

        near = difflib.get_close_matches(entity, known, 3) or sorted(known)[:8]
        raise NotFoundError(
            f"no service is called '{entity[:80]}'", where=diagnosis.incident_id,
            todo=f"Near to it: {', '.join(near)}. Or add --elsewhere if telemetry does not know it",
        )  # fmt: skip
    said = now_ns()
    return sc.Label(
        id=sc.record_id("label", diagnosis.incident_id, basis, said_by, said), incident_id=diagnosis.incident_id,
        tenant=diagnosis.tenant, verdict=verdict, entity=entity, family=family, basis=basis, said_by=said_by,
        said_ns=said,
    )  # fmt: skip


def services_of(kept: Kept, diagnosis: sc.Diagnosis) -> set[str]:
    """Plain names that a cause of this incident may have: its candidates, its entities, and what calls what."""
    entities = [*diagnosis.entities, *(end for edge in kept.edges for end in (edge.caller, edge.callee))]
    return {h.cause.entity for h in diagnosis.hypotheses} | {entity.split("/")[-1] for entity in entities}


class Ticket(BaseModel):
    """One line of a file of resolved tickets. Either it names the incident, or a service and when it was opened."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    ticket: str = Field(min_length=1, max_length=200)
    incident: str = ""
    service: str = ""
    opened: str = ""
    resolved: str = Field(min_length=1)
    cause: str = ""
    family: str = ""
    verdict: sc.Verdict | None = None


class Matched(NamedTuple):
    """labels: of tickets that are about exactly one incident; unmatched: numbers of the others, with the reason."""

    labels: list[sc.Label]
    unmatched: dict[str, str]


def labels_of_tickets(kept: Kept, lines: Iterable[str], where: str) -> Matched:
    """What resolved tickets say, one JSON object a line. Raises RunError naming the line that cannot be read."""
    found = Matched([], {})
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            ticket = Ticket.model_validate_json(line)
            resolved_ns, opened_ns = time_ns(ticket.resolved), time_ns(ticket.opened) if ticket.opened else 0
        except (ValidationError, SettingsError) as error:
            what = f"line {number} is no resolved ticket: {str(error).splitlines()[0]}"
            todo = 'One JSON object a line: "ticket", "resolved", "cause", and "incident" or "service" and "opened"'
            raise RunError(what, where=where, code="TICKET_INVALID", todo=todo) from error
        about = _about(kept, ticket, opened_ns)
        if len(about) != 1:
            found.unmatched[ticket.ticket] = "NO_INCIDENT" if not about else "SEVERAL_INCIDENTS"
            continue
        verdict: sc.Verdict = ticket.verdict or ("cause" if ticket.cause else "unknown")
        if verdict in ("cause", "not_cause") and ticket.cause not in services_of(kept, kept.diagnoses[about[0]]):
            found.unmatched[ticket.ticket] = "CAUSE_NOT_KNOWN"
            continue
        found.labels.append(
            sc.Label(
                id=sc.record_id("label", about[0], "ticket", ticket.ticket, resolved_ns), incident_id=about[0],
                tenant=kept.diagnoses[about[0]].tenant, verdict=verdict, entity=ticket.cause, family=ticket.family,
                basis="ticket", said_by=ticket.ticket, said_ns=resolved_ns,
            )
        )  # fmt: skip
    return found


def _about(kept: Kept, ticket: Ticket, opened_ns: int) -> list[str]:
    if ticket.incident:
        return [name for name in kept.diagnoses if name.startswith(ticket.incident)]
    found = []
    for name, diagnosis in kept.diagnoses.items():
        incident = kept.incidents.get(name)
        end = incident.updated_ns if incident else diagnosis.as_of_ns
        is_near = diagnosis.opened_ns - AROUND_NS <= opened_ns <= end + AROUND_NS
        if is_near and any(entity.split("/")[-1] == ticket.service for entity in diagnosis.entities):
            found.append(name)
    return found


def by_tenant(diagnoses: Mapping[str, sc.Diagnosis]) -> dict[str, dict[str, sc.Diagnosis]]:
    """The diagnoses of each tenant, in the order of their names."""
    out: dict[str, dict[str, sc.Diagnosis]] = {}
    for name, diagnosis in diagnoses.items():
        out.setdefault(diagnosis.tenant, {})[name] = diagnosis
    return dict(sorted(out.items()))
