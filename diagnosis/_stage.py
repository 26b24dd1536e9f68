"""The diagnose stage: anomalies, changes and topology in, incidents and diagnoses out.

What it does at an instant it does once time has passed that instant, and says so in `as_of_ns`; so the answer does not
depend on how often ticks come, and a live run and its replay agree to the bit.
"""

from collections.abc import Iterable, Iterator, Mapping
from heapq import heapify, heappop, heappush
from typing import Any

import schemas as sc
from diagnosis import _inquire
from diagnosis._confidence import PER_MISSING
from diagnosis._contract import Query
from diagnosis._contract_rules import Rule
from diagnosis._correlate import (
    Around,
    Group,
    Open,
    Settings,
    State,
    arrive,
    check,
    close,
    due_ns,
    incident_of,
    loudest,
)
from diagnosis._evidence import CHANGE_HORIZON_S, NO_HISTORY, evidence_table, service_of
from diagnosis._impact import Book, Impact, impact, with_impact
from diagnosis._inquire import ATTEMPTS, Mode, Question
from diagnosis._kinds import ends_of
from diagnosis._lost import LOST, lost_of, lost_share
from diagnosis._observe import Told
from diagnosis._rank import Circumstances, Ranking, ranking
from diagnosis._recurring import reasons, remember, take_up
from diagnosis._related import Topology
from diagnosis._rules import judgements, scene_of
from diagnosis._signs import History, missing_signals
from diagnosis._silences import edge_after, silenced
from diagnosis._state import DiagnoseState, dumped, loaded
from diagnosis._strong import is_strong
from diagnosis._unheard import Unheard, is_silence, may_show, note, unheard, unheard_of, unheard_share
from schemas.core import NS, Emit, Event, Message, Output, Tick

CODE = "12"
"""Changes whenever the same records may give another diagnosis."""
CHANGED_NS = 900 * NS
"""So long the callers of a changed service have a cause in common."""
EVIDENCE_BEFORE_S = 90.0
"""Windows that begin earlier belong to the incident, but are no evidence of its cause: most of them lie before it."""
SOURCE = "tidegate/diagnose"
NEVER = 2**63
Due = tuple[int, int, tuple[str, str], str, int]
"""At which time, what (see `_timers`), of which group and incident; the last says whether it still holds."""


class Diagnose:
    """A `schemas.core.Stage`. Without a calibration diagnoses are UNCALIBRATED.

    history: what bystanders and causes showed in past incidents; calibration: from scores to probabilities, by tenant
    in `calibrations` where one has its own; both fitted elsewhere. rules: hard rules by kind. services: what people
    said of theirs.
    queries: what may be asked, by kind. mode: `off` asks nothing and reads no observations. The journal holds topics
    that it reads and also writes to, without marks: nobody waits for it there, least of all itself.
    """

    name = "diagnose"
    ordered = True
    makes_time = False

    def __init__(
        self, weights: sc.RankerWeights, settings: Settings | None = None, *,
        queries: Mapping[str, Query] | None = None, mode: Mode = "off", history: sc.EvidenceHistory | None = None,
        calibration: sc.CalibrationMap | None = None, calibrations: Mapping[str, sc.CalibrationMap] | None = None,
        rules: Mapping[str, Rule] | None = None, services: sc.ServiceBook | None = None,
    ) -> None:  # fmt: skip
        self._weights = weights
        self._settings = settings or Settings()
        self._mode: Mode = mode
        self._queries = dict(queries or {})
        self._history = History(history or NO_HISTORY)
        self._calibration, self._calibrations = calibration, dict(calibrations or {})
        self._rules = dict(rules or {})
        self._book = Book(services)
        self._versions = {"ranker": weights.digest, "code": CODE}
        if history is not None:
            self._versions["history"] = history.digest
        if calibration is not None:
            self._versions["calibration"] = calibration.digest
        self._versions |= {f"calibration.{name}": one.digest for name, one in sorted(self._calibrations.items())}
        if services is not None:
            self._versions["services"] = services.digest
        if mode != "off":
            self._versions |= {f"query.{kind}": query.version for kind, query in sorted(self._queries.items())}

    @property
    def inputs(self) -> tuple[str, ...]:
        return (sc.ANOMALIES, sc.CHANGES, sc.TOPOLOGY, sc.CALENDAR, sc.ALERTS, *self.journal)

    @property
    def outputs(self) -> tuple[str, ...]:
        return (sc.INCIDENTS, sc.DIAGNOSES, *((sc.INQUIRIES,) if self._mode != "off" else ()))

    @property
    def journal(self) -> tuple[str, ...]:
        return (sc.OBSERVATIONS,) if self._mode != "off" else ()

    def is_listening(self, state: DiagnoseState) -> bool:
        """Whether what it says depends on what had come by now, and not on the order of event time alone.

        A transport that may crash keeps a snapshot before it writes what such a state has said; also what went to the
        journal. Else it could say something else when it starts again and finds the answers already there.
        """
        asked = state.investigation.asked.values()
        return self._mode == "ask" and any(question.is_pending for questions in asked for question in questions)

    def initial(self) -> DiagnoseState:
        return DiagnoseState()

    def step(self, state: DiagnoseState, event: Event) -> tuple[DiagnoseState, list[Output]]:
        """Messages come sorted by event time; a tick says that all before `through_ns` came.

        A record that cannot be read is counted as `rejected`.
        """
        if isinstance(event, Tick):
            out = list(self._pass(state, event.through_ns if event.final else event.through_ns - 1))
            state.quiet_ns = 0
            if event.final:
                out += self._finish(state, event.through_ns)
            else:
                out += self._place(state, event.through_ns)
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
        if isinstance(record, sc.Gap) or is_silence(record):
            self._voice(state, record, message.event_ns)
        elif isinstance(record, sc.Anomaly):
            group = state.groups.setdefault((record.tenant, record.domain), Group())
            arrive(group, record, message.event_ns, self._settings)
            state.quiet_ns = min(state.quiet_ns, message.event_ns)
        elif isinstance(record, sc.TopologyEdge):
            if _keep(state, state.edges, record.id, record, self._settings.most_edges, "edges_dropped"):
                state.learn(record)
        elif isinstance(record, sc.Change):
            self._forget_changes(state, message.event_ns)
            _keep(state, state.changes, record.id, record, self._settings.most_changes, "changes_dropped")
            for open_ in (o for group in state.groups.values() for o in group.open):
                open_.changed_ns = open_.changed_ns or message.event_ns
            state.quiet_ns = 0
        elif isinstance(record, sc.Silence):
            self._silence(state, record, message.event_ns)
        elif isinstance(record, sc.Alert):
            take_up(state.people.setdefault(record.tenant, {}), record)
        elif isinstance(record, sc.Observation):
            state.quiet_ns = 0
            if counted := _inquire.arrive(state.investigation, record, self._mode):
                state.count(counted)
        else:
            state.count("ignored")

    def _voice(self, state: DiagnoseState, gap: sc.Gap | sc.Anomaly, now_ns: int) -> None:
        """A service that falls silent or is heard again changes how far open incidents are believed."""
        tenant = gap.entity_id.partition("/")[0]
        changed = note(state.voices.setdefault(tenant, {}), gap)
        if changed is None:
            state.count("voices_dropped")
        elif changed:
            for open_ in (o for key, group in state.groups.items() if key[0] == tenant for o in group.open):
                open_.changed_ns = open_.changed_ns or now_ns
            state.quiet_ns = 0

    def _silence(self, state: DiagnoseState, silence: sc.Silence, now_ns: int) -> None:
        """It counts from here on; incidents that it holds of, or held of, are said again."""
        state.silences = {i: one for i, one in state.silences.items() if one.end_ns >= now_ns}
        known = state.silences.get(silence.id)
        if known is not None and known.said_ns > silence.said_ns:
            return
        _keep(state, state.silences, silence.id, silence, self._settings.most_silences, "silences_dropped")
        for key, group in state.groups.items():
            for open_ in group.open if key[0] == silence.tenant else ():
                self._look(state, key, open_, now_ns)
        state.quiet_ns = 0

    def _look(self, state: DiagnoseState, key: tuple[str, str], open_: Open, at_ns: int) -> None:
        """Whether silences hold of an open incident as they did."""
        open_.looked_ns = max(open_.looked_ns, at_ns)
        if self._suppressing(state, key, open_, at_ns) != open_.suppressed_by:
            open_.changed_ns = open_.changed_ns or at_ns

    def _suppressing(self, state: DiagnoseState, key: tuple[str, str], open_: Open, at_ns: int) -> list[str]:
        """Why nobody need hear of it: what silences and habits leave would be no incident. Else nothing."""
        heard, why = silenced(open_.id, open_.members(), state.silences.values(), at_ns)
        habits = state.groups[key].habits
        if self._settings.suppress_recurring and habits and not self._impact(state, key, open_).missed:
            heard, more = reasons(heard, habits, state.people.get(key[0], {}))
            why += more
        return why if why and not is_strong(heard, self._settings) else []

    def _forget_changes(self, state: DiagnoseState, now_ns: int) -> None:
        """Keep what an incident that is open or opens now may still look back to."""
        begun = [open_.opened_ns for group in state.groups.values() for open_ in group.open]
        oldest = min([now_ns, *begun]) - int((CHANGE_HORIZON_S + self._settings.lookback_s) * NS)
        for identity in [i for i, change in state.changes.items() if change.at_ns < oldest]:
            del state.changes[identity]

    # --- time ---

    def _pass(self, state: DiagnoseState, through_ns: int) -> Iterator[Output]:
        """Do everything that is due up to and including `through_ns`, in order of time.

        What one thing changes for a whole group is looked up anew; else only what the incident itself waits for, or
        a thousand incidents at once would be looked through a thousand times.
        """
        if through_ns < state.quiet_ns:
            return
        due: list[Due] | None = None
        turn: dict[str, int] = {}
        while True:
            if due is None:
                turn.clear()
                due = [
                    (*timer, 0) for key, group in state.groups.items()
                    for timer in self._timers(key, group, group.open, state)
                ]  # fmt: skip
                heapify(due)
            while due and due[0][4] != turn.get(due[0][3], 0):
                heappop(due)
            planned = min((o.effective_ns or 0 for o in state.investigation.planned.values()), default=NEVER)
            state.quiet_ns = min(planned, due[0][0] if due else NEVER)
            if state.quiet_ns > through_ns:
                return
            if not due or planned <= due[0][0]:
                self._settle_planned(state, planned)
                due = None
                continue
            at, what, key, which, _ = heappop(due)
            group = state.groups[key]
            if what == 0:
                yield from self._check(state, key, group, at)
                due = None
                continue
            open_ = next(one for one in group.open if one.id == which)
            if what == 1:
                yield from self._deadline(state, open_, at)
            elif what == 2:
                yield from self._revise(state, key, open_, at)
            elif what == 3:
                yield from self._close(state, key, group, open_, at)
            else:
                self._look(state, key, open_, at)
            turn[which] = turn.get(which, 0) + 1
            for timer in self._timers(key, group, [open_] if what != 3 else [], state):
                if timer[1]:
                    heappush(due, (*timer, turn[which]))

    def _timers(
        self, key: tuple[str, str], group: Group, some: Iterable[Open], state: DiagnoseState
    ) -> Iterator[tuple[int, int, tuple[str, str], str]]:  # fmt: skip
        """What a group waits for: 0 the end of an instant, 1 an answer, 2 a revision, 3 a close, 4 the edge of a
        silence; of which incident.
        """
        if group.check_ns is not None:
            yield group.check_ns, 0, key, ""
        for open_ in some:
            asked = state.investigation.asked.get(open_.id, [])
            waiting = [q.inquiry.deadline_ns for q in asked if q.is_pending]
            if waiting:
                yield min(waiting), 1, key, open_.id
            if open_.changed_ns is not None:
                revised = open_.revised_ns + int(self._settings.revise_s * NS)
                news_ns = _inquire.news_ns(asked, open_.revised_ns)
                yield max(open_.changed_ns, revised if news_ns is None else news_ns), 2, key, open_.id
            yield due_ns(open_, self._settings), 3, key, open_.id
            edge = edge_after(state.silences.values(), key[0], open_.looked_ns) if state.silences else None
            if edge is not None:
                yield edge, 4, key, open_.id

    def _check(self, state: DiagnoseState, key: tuple[str, str], group: Group, at_ns: int) -> Iterator[Output]:
        tenant = key[0]
        changes = [change for change in state.changes.values() if change.tenant == tenant]
        settling: dict[str, list[tuple[int, int]]] = {}
        for change in changes:
            if change.settles_ns is not None:
                settling.setdefault(change.service, []).append((change.at_ns, change.settles_ns))
        lately = frozenset(change.service for change in changes if 0 <= at_ns - change.at_ns <= CHANGED_NS)
        around = Around(state.topology.get(tenant, Topology()), lately, settling)
        for gone, into in check(group, key, self._settings, around):
            yield from self._settle_all(state, gone, at_ns)
            gone.revision += 1
            yield _emitted(self._incident(state, key, gone, at_ns, said="merged", merged_into=into.id))

    # --- investigation ---

    def _place(self, state: DiagnoseState, through_ns: int) -> Iterator[Output]:
        """All before this tick is over: answers that came count from here on, and that is written down."""
        state.investigation.through_ns = through_ns
        for question, observation in _inquire.place(state.investigation, through_ns):
            self._changed(state, observation.incident_id, through_ns)
            yield self._written(question, observation)

    def _settle_planned(self, state: DiagnoseState, at_ns: int) -> None:
        """What has its place at this instant, from a replay or from before a restart."""
        planned = state.investigation.planned
        for identity in sorted(i for i, o in planned.items() if o.effective_ns == at_ns):
            observation = planned.pop(identity)
            question = state.investigation.find(observation)
            if question is not None and question.is_pending:
                question.settle(observation)
                self._changed(state, observation.incident_id, at_ns)
            else:
                state.count("observations_unexpected")

    def _changed(self, state: DiagnoseState, incident_id: str, at_ns: int) -> None:
        for open_ in (o for group in state.groups.values() for o in group.open if o.id == incident_id):
            open_.changed_ns = open_.changed_ns or at_ns

    def _deadline(self, state: DiagnoseState, open_: Open, at_ns: int) -> Iterator[Output]:
        """Ask once more, then know that it is not known."""
        for question in state.investigation.asked.get(open_.id, ()):
            if question.is_pending and question.inquiry.deadline_ns <= at_ns:
                if question.inquiry.attempt < ATTEMPTS:
                    yield self._asked(_inquire.ask_again(question, at_ns))
                else:
                    yield from self._give_up(question, at_ns)
                    open_.changed_ns = open_.changed_ns or at_ns

    def _give_up(self, question: Question, at_ns: int) -> Iterator[Output]:
        written = _inquire.give_up(question, at_ns, self._mode)
        if written is not None:
            yield self._written(question, written)

    def _asked(self, inquiry: sc.Inquiry) -> Emit:
        at, key = inquiry.asked_ns, inquiry.incident_id
        return sc.emit(sc.INQUIRIES, inquiry, id=inquiry.id, key=key, source=SOURCE, event_ns=at)

    def _written(self, question: Question, observation: sc.Observation) -> Emit:
        """Its event time is that of the question, so that whoever reads it again has it long before it counts."""
        at, key = question.first_ns, observation.incident_id
        return sc.emit(sc.OBSERVATIONS, observation, id=observation.id, key=key, source=SOURCE, event_ns=at)

    # --- incidents ---

    def _finish(self, state: DiagnoseState, through_ns: int) -> Iterator[Output]:
        for key, group in sorted(state.groups.items()):
            for open_ in group.open:
                if open_.changed_ns is not None:
                    yield from self._revise(state, key, open_, through_ns)

    def _settle_all(self, state: DiagnoseState, open_: Open, at_ns: int) -> Iterator[Output]:
        """Nobody waits any more for what was asked about it."""
        for question in state.investigation.asked.pop(open_.id, []):
            if question.is_pending:
                yield from self._give_up(question, at_ns)

    def _close(
        self, state: DiagnoseState, key: tuple[str, str], group: Group, open_: Open, at_ns: int
    ) -> Iterator[Output]:
        for question in (q for q in state.investigation.asked.get(open_.id, []) if q.is_pending):
            yield from self._give_up(question, at_ns)
            open_.changed_ns = open_.changed_ns or at_ns
        if open_.changed_ns is not None:
            yield from self._revise(state, key, open_, at_ns)
        open_.revision += 1
        yield _emitted(self._incident(state, key, open_, at_ns, said="closed"))
        state.investigation.asked.pop(open_.id, None)
        changed: dict[str, list[int]] = {}
        for change in (c for c in state.changes.values() if c.tenant == key[0]):
            changed.setdefault(change.service, []).append(change.at_ns)
        remember(group.habits, open_.members(), changed, at_ns)
        close(group, open_, at_ns, self._settings)

    def _revise(self, state: DiagnoseState, key: tuple[str, str], open_: Open, at_ns: int) -> Iterator[Output]:
        open_.revision += 1
        open_.revised_ns, open_.changed_ns = at_ns, None
        open_.suppressed_by = self._suppressing(state, key, open_, at_ns)
        incident = self._incident(state, key, open_, at_ns)
        yield _emitted(incident)
        members = open_.members()
        tenant = key[0]
        edges = [edge for edge in state.edges.values() if edge.tenant == tenant]
        changes = [change for change in state.changes.values() if change.tenant == tenant]
        questions = state.investigation.asked.get(open_.id, [])
        told = _inquire.findings(questions, self._queries)
        since = open_.opened_ns - int(EVIDENCE_BEFORE_S * NS)
        late = [anomaly for anomaly in members if anomaly.start_ns >= since]
        answered = _inquire.answered_share(questions)
        involved = {end for anomaly in late or members for end in (anomaly.service, *ends_of(anomaly))}
        silent = unheard(state.voices.get(tenant, {}), involved, state.topology.get(tenant, Topology()), at_ns)
        found, completeness = self._ranked(tenant, late or members, edges, changes, told, answered, silent)
        hypotheses, abstained = found.hypotheses, found.abstained
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
            completeness=completeness,
            versions=self._versions,
            unknown=[*_inquire.unknown(questions), *lost_of(late or members), *unheard_of(silent)],
            standing=None if found.standing is None else sc.Standing(**found.standing._asdict()),
            suppressed_by=open_.suppressed_by,
        )
        yield sc.emit(sc.DIAGNOSES, diagnosis, id=diagnosis.id, key=open_.id, source=SOURCE, event_ns=at_ns)
        budget = int(self._settings.deadline_s * NS)
        is_open = _inquire.is_open(hypotheses, abstained)
        if self._mode != "off" and is_open and _inquire.may_ask(questions, at_ns, budget):
            suspects = _inquire.suspects(tenant, hypotheses, members, edges, changes, at_ns)
            left = _inquire.left_ns(questions, at_ns, budget)
            case = _inquire.case_of(hypotheses, members, at_ns)
            asked = _inquire.plan(open_.id, incident.severity, suspects, self._queries, left, case, questions)
            if asked:
                state.investigation.asked[open_.id] = [*questions, *asked]
            yield from (self._asked(question.inquiry) for question in asked)

    def _ranked(
        self,
        tenant: str,
        members: list[sc.Anomaly],
        edges: list[sc.TopologyEdge],
        changes: list[sc.Change],
        told: list[Told],
        answered: float,
        silent: Unheard,
    ) -> tuple[Ranking, float]:
        """The ranking, and how complete what it rests on is: its windows, less what nobody answered, what
        is lost and who is silent."""
        table = evidence_table(members, edges, changes, told=told, history=self._history)
        calls = [(service_of(edge.caller), service_of(edge.callee)) for edge in edges]
        said = judgements(self._rules, scene_of(table, members, calls))
        seen = [anomaly.completeness for anomaly in members if anomaly.kind != LOST]
        whole = sum(seen) / len(seen) if seen else 1.0
        lost = lost_share(members)
        completeness = float(f"{whole * PER_MISSING ** (1 - answered):.12g}")
        missing = missing_signals(self._history.record, members)
        around = Circumstances(
            services=len({end for call in calls for end in call}), completeness=completeness, missing=missing,
            calibration=self._calibrations.get(tenant, self._calibration), lost=lost,
            unheard=frozenset(silent),
            may_show=may_show(self._history.record, self._weights, frozenset[str]().union(*silent.values()), missing),
        )  # fmt: skip
        of = max(around.services, len(table.candidates))
        there = (1 - lost) * (1 - unheard_share(sum(map(len, silent.values())), of))
        return ranking(table, self._weights, said, around), float(f"{completeness * there:.12g}")

    def _incident(
        self, state: DiagnoseState, key: tuple[str, str], open_: Open, at_ns: int, *, said: State = "open",
        merged_into: str | None = None,
    ) -> sc.Incident:  # fmt: skip
        record = incident_of(key, open_, at_ns, self._settings, state=said, merged_into=merged_into)
        return with_impact(record, self._impact(state, key, open_))

    def _impact(self, state: DiagnoseState, key: tuple[str, str], open_: Open) -> Impact:
        if self._book.record is None and not open_.noticed:
            return Impact()
        services = loudest(open_)
        calls = state.topology.get(key[0], Topology()).callers
        near = frozenset(caller for service in services for caller in calls.get(service, ()))
        return impact(self._book, key[0], services, open_.members(), open_.noticed, near)

    # --- snapshots ---

    def dump(self, state: DiagnoseState) -> bytes:
        return dumped(state)

    def load(self, data: bytes) -> DiagnoseState:
        """Raises StateInvalid if the bytes are not a snapshot of this format."""
        return loaded(data)


def _emitted(record: sc.Incident) -> Emit:
    said = sc.record_id("incident-revision", record.id, record.revision)
    return sc.emit(sc.INCIDENTS, record, id=said, key=record.id, source=SOURCE, event_ns=record.updated_ns)


def _keep(state: DiagnoseState, kept: dict[str, Any], identity: str, record: sc.Record, most: int, count: str) -> bool:
    if identity in kept or len(kept) < most:
        kept[identity] = record
        return True
    state.count(count)
    return False
