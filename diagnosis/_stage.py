"""The diagnose stage: anomalies, changes and topology in, incidents and diagnoses out.

What it does at an instant it does once time has passed that instant, and says so in `as_of_ns`; so the answer does not
depend on how often ticks come, and a live run and its replay agree to the bit.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import schemas as sc
from diagnosis._correlate import Group, Open, Settings, arrive, check, incident_of
from diagnosis._errors import StateInvalid
from diagnosis._evidence import CHANGE_HORIZON_S, evidence_table
from diagnosis._rank import rank
from schemas.core import NS, Emit, Event, Message, Output, Tick

CODE = "1"
"""Changes whenever the same records may give another diagnosis."""
FORMAT = 1
SOURCE = "tidegate/diagnose"


@dataclass(slots=True)
class DiagnoseState:
    """groups: by (tenant, domain). Reference data is bounded; what did not fit or could not be read is counted."""

    groups: dict[tuple[str, str], Group] = field(default_factory=dict)
    edges: dict[str, sc.TopologyEdge] = field(default_factory=dict)
    changes: dict[str, sc.Change] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)

    def count(self, what: str) -> None:
        self.counts[what] = self.counts.get(what, 0) + 1


class Diagnose:
    """A `schemas.core.Stage`. Diagnoses are UNCALIBRATED: this stage knows no calibration yet."""

    name = "diagnose"
    inputs = (sc.ANOMALIES, sc.CHANGES, sc.TOPOLOGY)
    outputs = (sc.INCIDENTS, sc.DIAGNOSES)
    ordered = True
    makes_time = False

    def __init__(self, weights: sc.RankerWeights, settings: Settings | None = None) -> None:
        self._weights = weights
        self._settings = settings or Settings()
        self._versions = {"ranker": weights.digest, "code": CODE}

    def initial(self) -> DiagnoseState:
        return DiagnoseState()

    def step(self, state: DiagnoseState, event: Event) -> tuple[DiagnoseState, list[Output]]:
        """Messages come sorted by event time; a tick says that all before `through_ns` came.

        A record that cannot be read is counted as `rejected`.
        """
        if isinstance(event, Tick):
            out = list(self._pass(state, event.through_ns if event.final else event.through_ns - 1))
            if event.final:
                out += self._finish(state, event.through_ns)
            return state, out
        out = list(self._pass(state, event.event_ns - 1))
        self._take(state, event)
        return state, out

    def _take(self, state: DiagnoseState, message: Message) -> None:
        try:
            record = sc.read(message)
        except sc.RecordInvalid:
            state.count("rejected")
            return
        if isinstance(record, sc.Anomaly):
            group = state.groups.setdefault((record.tenant, record.domain), Group())
            arrive(group, record, message.event_ns, self._settings)
        elif isinstance(record, sc.TopologyEdge):
            _keep(state, state.edges, record.id, record, self._settings.most_edges, "edges_dropped")
        elif isinstance(record, sc.Change):
            self._forget_changes(state, message.event_ns)
            _keep(state, state.changes, record.id, record, self._settings.most_changes, "changes_dropped")
            for group in state.groups.values():
                if group.open is not None:
                    group.open.changed_ns = group.open.changed_ns or message.event_ns
        else:
            state.count("ignored")

    def _forget_changes(self, state: DiagnoseState, now_ns: int) -> None:
        """Keep what an incident that is open or opens now may still look back to."""
        begun = [g.open.opened_ns for g in state.groups.values() if g.open is not None]
        oldest = min([now_ns, *begun]) - int((CHANGE_HORIZON_S + self._settings.lookback_s) * NS)
        for identity in [i for i, change in state.changes.items() if change.at_ns < oldest]:
            del state.changes[identity]

    # --- time ---

    def _pass(self, state: DiagnoseState, through_ns: int) -> Iterator[Output]:
        """Do everything that is due up to and including `through_ns`, in order of time."""
        while True:
            due = sorted(
                (at, what, key)
                for key, group in state.groups.items()
                for at, what in self._timers(group)
                if at <= through_ns
            )
            if not due:
                return
            at, what, key = due[0]
            group = state.groups[key]
            if what == 0:
                check(group, key, self._settings)
            elif what == 1:
                yield from self._revise(state, key, group, at)
            else:
                yield from self._close(state, key, group, at)

    def _timers(self, group: Group) -> Iterator[tuple[int, int]]:
        """What a group waits for: 0 the end of an instant, 1 a revision, 2 its close."""
        if group.check_ns is not None:
            yield group.check_ns, 0
        if group.open is not None:
            if group.open.changed_ns is not None:
                yield max(group.open.changed_ns, group.open.revised_ns + int(self._settings.revise_s * NS)), 1
            yield group.open.strong_ns + int(self._settings.quiet_s * NS), 2

    def _finish(self, state: DiagnoseState, through_ns: int) -> Iterator[Output]:
        for key, group in sorted(state.groups.items()):
            if group.open is not None and group.open.changed_ns is not None:
                yield from self._revise(state, key, group, through_ns)

    def _close(self, state: DiagnoseState, key: tuple[str, str], group: Group, at_ns: int) -> Iterator[Output]:
        if group.open is not None:
            if group.open.changed_ns is not None:
                yield from self._revise(state, key, group, at_ns)
            group.open.revision += 1
            yield self._incident(key, group.open, at_ns, closed=True)
        group.open, group.recent = None, []

    def _revise(self, state: DiagnoseState, key: tuple[str, str], group: Group, at_ns: int) -> Iterator[Output]:
        open_ = group.open
        if open_ is None:
            return
        open_.revision += 1
        open_.revised_ns, open_.changed_ns = at_ns, None
        incident = incident_of(key, open_, at_ns, self._settings, closed=False)
        yield self._incident(key, open_, at_ns, closed=False)
        members = open_.members()
        tenant = key[0]
        edges = [edge for edge in state.edges.values() if edge.tenant == tenant]
        changes = [change for change in state.changes.values() if change.tenant == tenant]
        hypotheses, abstained = rank(evidence_table(members, edges, changes), self._weights)
        seen = [anomaly.completeness for anomaly in members]
        diagnosis = sc.Diagnosis(
            id=sc.record_id("diagnosis", open_.id, open_.revision),
            incident_id=open_.id,
            tenant=tenant,
            revision=open_.revision,
            as_of_ns=at_ns,
            opened_ns=open_.opened_ns,
            entities=incident.entities,
            severity=incident.severity,
            abstained=abstained,
            hypotheses=hypotheses,
            completeness=float(f"{sum(seen) / len(seen):.12g}") if seen else 1.0,
            versions=self._versions,
        )
        yield sc.emit(sc.DIAGNOSES, diagnosis, id=diagnosis.id, key=open_.id, source=SOURCE, event_ns=at_ns)

    def _incident(self, key: tuple[str, str], open_: Open, at_ns: int, *, closed: bool) -> Emit:
        record = incident_of(key, open_, at_ns, self._settings, closed=closed)
        said = sc.record_id("incident-revision", open_.id, open_.revision)
        return sc.emit(sc.INCIDENTS, record, id=said, key=open_.id, source=SOURCE, event_ns=at_ns)

    # --- snapshots ---

    def dump(self, state: DiagnoseState) -> bytes:
        groups = [{"key": list(key), **_group_out(group)} for key, group in sorted(state.groups.items())]
        document = {
            "format": FORMAT,
            "groups": groups,
            "edges": [_out(edge) for _, edge in sorted(state.edges.items())],
            "changes": [_out(change) for _, change in sorted(state.changes.items())],
            "counts": state.counts,
        }
        return json.dumps(document, sort_keys=True).encode()

    def load(self, data: bytes) -> DiagnoseState:
        """Raises StateInvalid if the bytes are not a snapshot of this format."""
        try:
            document = json.loads(data)
            if document["format"] != FORMAT:
                raise StateInvalid(f"the snapshot has format {document['format']}, this code reads {FORMAT}")
            state = DiagnoseState(counts=document["counts"])
            state.edges = {e["id"]: sc.TopologyEdge.model_validate(e) for e in document["edges"]}
            state.changes = {c["id"]: sc.Change.model_validate(c) for c in document["changes"]}
            for item in document["groups"]:
                state.groups[item["key"][0], item["key"][1]] = _group_in(item)
        except (ValueError, KeyError, TypeError) as error:
            raise StateInvalid(
                f"the snapshot cannot be read: {error}", todo="Rebuild the state from the topics"
            ) from error
        return state


def _keep(state: DiagnoseState, kept: dict[str, Any], identity: str, record: sc.Record, most: int, count: str) -> None:
    if identity in kept or len(kept) < most:
        kept[identity] = record
    else:
        state.count(count)


def _out(record: sc.Record) -> dict[str, Any]:
    return record.model_dump(mode="json")


def _anomaly(value: Any) -> sc.Anomaly:
    return sc.Anomaly.model_validate(value)


def _group_out(group: Group) -> dict[str, Any]:
    out: dict[str, Any] = {
        "recent": [_out(a) for a in group.recent], "pending": [_out(a) for a in group.pending],
        "check_ns": group.check_ns, "dropped": group.dropped, "open": None,
    }  # fmt: skip
    if group.open is not None:
        o = group.open
        out["open"] = {name: getattr(o, name) for name in o.__slots__ if name not in ("first", "kept")} | {
            "first": {key: _out(a) for key, a in o.first.items()},
            "kept": {key: [_out(a) for a in kept] for key, kept in o.kept.items()},
        }
    return out


def _group_in(item: dict[str, Any]) -> Group:
    group = Group(check_ns=item["check_ns"], dropped=item["dropped"])
    group.recent = [_anomaly(a) for a in item["recent"]]
    group.pending = [_anomaly(a) for a in item["pending"]]
    if item["open"] is not None:
        traits = dict(item["open"])
        traits["first"] = {key: _anomaly(a) for key, a in traits["first"].items()}
        traits["kept"] = {key: [_anomaly(a) for a in kept] for key, kept in traits["kept"].items()}
        group.open = Open(**traits)
    return group
