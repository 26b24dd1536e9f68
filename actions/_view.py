"""What the action worker must know of incidents now: is the evidence fresh, is it still the same cause, what day is it.

A fold over the diagnoses, incidents and calendar that the worker reads beside the actions. Evidence is as old as the
last moment at which the diagnosis named the same cause: while the incident is open and the newest diagnosis says so,
that is the watermark; from then on it stands still and grows old, and old news never acts.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from actions._services import STRANGER, ServiceProfile, hour_of, weekday_of
from actions._verbs import service_of
from schemas import (
    DIAGNOSES,
    ActionEvent,
    CalendarEntry,
    Cause,
    Diagnosis,
    Incident,
    Json,
    TopologyEdge,
    Watermark,
    read,
    record_type,
)
from schemas.core import NS, Message

KEEP_NS = 7 * 24 * 3600 * NS
_KINDS = {
    "freeze": "in_freeze", "maintenance": "in_maintenance", "peak": "in_peak", "business": "in_business_event",
}  # fmt: skip
_READ = (Diagnosis.TYPE, Incident.TYPE, CalendarEntry.TYPE, Watermark.TYPE, TopologyEdge.TYPE)


class Said(NamedTuple):
    """The newest diagnosis of an incident, and until when each cause was said."""

    revision: int
    as_of_ns: int
    cause: Cause | None
    until_ns: dict[tuple[str, str], int]


@dataclass(slots=True)
class View:
    """services: what settings say of them. through_ns: the watermark of the diagnoses."""

    services: Mapping[str, ServiceProfile] = field(default_factory=dict)
    through_ns: int = 0
    _said: dict[str, Said] = field(default_factory=dict)
    _opened: dict[tuple[str, str], int] = field(default_factory=dict)
    _ahead: set[str] = field(default_factory=set)
    _over: dict[str, int] = field(default_factory=dict)
    _began: dict[str, int] = field(default_factory=dict)
    _calendar: dict[str, CalendarEntry] = field(default_factory=dict)
    _seen: dict[str, int] = field(default_factory=dict)

    def take(self, message: Message) -> str:
        """The id of an incident that is over with this record, or an empty string. Raises RecordInvalid."""
        if record_type(message) not in _READ:
            return ""
        record = read(message)
        if isinstance(record, Diagnosis):
            self._diagnosed(record)
        elif isinstance(record, CalendarEntry):
            self._calendar[record.id] = record
        elif isinstance(record, TopologyEdge):
            for entity in (record.caller, record.callee):
                self._seen[entity] = max(self._seen.get(entity, 0), record.last_ns)
        elif isinstance(record, Watermark) and message.topic == DIAGNOSES:
            self.through_ns = max(self.through_ns, record.through_ns)
        elif isinstance(record, Incident) and record.state != "open":
            self._over[record.id] = record.updated_ns
            return record.id
        elif isinstance(record, Incident):
            self._over.pop(record.id, None)
            for entity in record.entities:
                name = (record.id, entity)
                self._opened[name] = max(self._opened.get(name, 0), record.updated_ns)
        return ""

    def opened_ns(self, incident_id: str) -> int:
        """When the incident began, 0 if nothing is known of it."""
        return self._began.get(incident_id, 0)

    def evidence_ns(self, event: ActionEvent) -> int:
        """Up to when the diagnosis of the event's incident is known to have named its cause."""
        cause = event.hypothesis.cause
        said = self._said.get(event.incident_id)
        if said is None:
            return event.at_ns
        if event.incident_id not in self._over and said.cause is not None and _same(said.cause) == _same(cause):
            return max(said.as_of_ns, self.through_ns)
        return said.until_ns.get(_same(cause), event.at_ns)

    def refreshed(self, event: ActionEvent, now_ns: int) -> dict[str, Json]:
        """The snapshot of the decision, with what time alone changes as of now."""
        services = {service_of(event.change.target), event.hypothesis.cause.entity}
        kinds = {
            entry.kind
            for entry in self._calendar.values()
            if entry.tenant == event.tenant
            and entry.start_ns <= now_ns < entry.end_ns
            and (not entry.services or services & set(entry.services))
        }
        profile = self.services.get(service_of(event.change.target), STRANGER)
        return {
            **event.snapshot,
            **{name: kind in kinds for kind, name in _KINDS.items()},
            "is_staffed": profile.is_staffed(now_ns),
            "hour_utc": hour_of(now_ns),
            "weekday": weekday_of(now_ns),
        }

    def ill(self, since_ns: int) -> frozenset[str]:
        """Services with an anomaly in an open incident since then; not those of which one is only foreseen."""
        rows = self._opened.items()
        return frozenset(service_of(to) for (id, to), at_ns in rows if at_ns >= since_ns and id not in self._ahead)

    def touched(self, since_ns: int) -> frozenset[str]:
        """Services in an open incident since then, whether they are ill or a forecast says that they will be."""
        return frozenset(service_of(entity) for (_, entity), at_ns in self._opened.items() if at_ns >= since_ns)

    def services_seen(self) -> int:
        """How many services the topology has; 0 where nothing is known of it."""
        return len({service_of(entity) for entity in self._seen})

    def replicas_seen(self, service: str) -> int:
        """How many instances of a service it has; 0 where it knows services only."""
        return sum(1 for entity in self._seen if entity.split("/")[1:3] == ["instance", service])

    def forget(self, before_ns: int) -> None:
        self._seen = {entity: at_ns for entity, at_ns in self._seen.items() if at_ns >= before_ns}
        self._said = {id: one for id, one in self._said.items() if one.as_of_ns >= before_ns}
        self._began = {id: at_ns for id, at_ns in self._began.items() if at_ns >= before_ns}
        self._over = {id: at_ns for id, at_ns in self._over.items() if at_ns >= before_ns}
        self._opened = {name: at_ns for name, at_ns in self._opened.items() if at_ns >= before_ns}
        self._ahead &= self._said.keys()
        self._calendar = {id: one for id, one in self._calendar.items() if one.end_ns >= before_ns}

    def _diagnosed(self, diagnosis: Diagnosis) -> None:
        self._began[diagnosis.incident_id] = diagnosis.opened_ns
        known = self._said.get(diagnosis.incident_id)
        if known is not None and diagnosis.revision <= known.revision:
            return
        is_ahead = bool(diagnosis.hypotheses) and diagnosis.hypotheses[0].cause.family.endswith("_ahead")
        (self._ahead.add if is_ahead else self._ahead.discard)(diagnosis.incident_id)
        until_ns = dict(known.until_ns) if known else {}
        if known and known.cause is not None:
            until_ns[_same(known.cause)] = max(known.as_of_ns, min(diagnosis.as_of_ns, self.through_ns))
        is_said = diagnosis.abstained is None and diagnosis.hypotheses
        cause = diagnosis.hypotheses[0].cause if is_said else None
        if cause is not None:
            until_ns[_same(cause)] = diagnosis.as_of_ns
        self._said[diagnosis.incident_id] = Said(diagnosis.revision, diagnosis.as_of_ns, cause, until_ns)


def _same(cause: Cause) -> tuple[str, str]:
    """Two diagnoses name the same cause if entity and family are the same."""
    return cause.entity_id, cause.family
