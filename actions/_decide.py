"""Decide: diagnoses in, the life of actions out, up to the point where somebody or something would act.

For each diagnosis the top hypothesis chooses a runbook, the runbook yields exact changes, the policies judge each,
and the stage emits proposed, gated and then denied, advised, awaiting_approval or approved. An abstention, a cause
without a runbook and a change that cannot be built exactly go to the owner of the service with the reason.

What it does not do: nothing is executed here. A verb without an executor is at most advised (NO_EXECUTOR), and no
executor exists yet, so every `permit` ends as advice. Control records (kill switch, autonomy) are not read, because
no signature can be checked yet and an unsigned order is refused by every reader; nothing can act that would need one.

The same physical change (verb, target, exact parameters) is owned by one action for as long as somebody asks for it
within `ownership_ns`, whichever incident or revision asks, so merged, split or reopened incidents cannot act twice.
"""

from dataclasses import dataclass

from actions._decide_state import DecideState, Owner, Seen, dump, load
from actions._errors import ActionsError
from actions._policies import Policies
from actions._runbooks import Runbooks, facts_of
from actions._snapshot import is_abstained, snapshot_of
from actions._verbs import Verbs, service_of
from schemas import (
    ACTIONS,
    CALENDAR,
    CHANGES,
    DIAGNOSES,
    ActionEvent,
    ActionState,
    CalendarEntry,
    Cause,
    Change,
    Decision,
    Diagnosis,
    Effect,
    EvidencePointer,
    Hypothesis,
    ProposedChange,
    canonical,
    emit,
    read,
    record_id,
    record_type,
    sha256,
)
from schemas.core import NS, Emit, Event, Message, Output, Tick

SOURCE = "tidegate/decide"
NO_FAULT = "no_fault"
OUTCOMES: dict[Effect, ActionState] = {
    "permit": "approved", "require_approval": "awaiting_approval", "advise": "advised", "deny": "denied",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class DecideSettings:
    """critical_services: plain names. Times are event time."""

    critical_services: frozenset[str] = frozenset()
    ownership_ns: int = 3600 * NS
    retention_ns: int = 7 * 24 * 3600 * NS
    """How long changes, calendar entries and decided revisions are remembered; at least `ownership_ns`."""

    def __post_init__(self) -> None:
        if not 0 < self.ownership_ns <= self.retention_ns:
            raise ValueError(f"ownership_ns {self.ownership_ns} is not between 0 and retention_ns {self.retention_ns}")


class Decide:
    """The stage. Verbs, runbooks and policies are arguments; scanning folders for them is the roof's work."""

    name = "decide"
    inputs = (DIAGNOSES, CHANGES, CALENDAR)
    outputs = (ACTIONS,)
    ordered = True
    makes_time = False

    def __init__(
        self, verbs: Verbs, runbooks: Runbooks, policies: Policies, settings: DecideSettings | None = None
    ) -> None:
        self.verbs, self.runbooks, self.policies = verbs, runbooks, policies
        self.settings = settings or DecideSettings()

    def initial(self) -> DecideState:
        return DecideState()

    def step(self, state: DecideState, event: Event) -> tuple[DecideState, list[Output]]:
        """Raises RecordInvalid for a record that does not fit, or SelectorInvalid for a diagnosis whose tenant or
        incident has no usable name; the state is then unchanged.
        """
        if isinstance(event, Tick):
            state.forget(event.through_ns - self.settings.retention_ns)
            return state, []
        return state, [*self._take(state, event)]

    def dump(self, state: DecideState) -> bytes:
        return dump(state)

    def load(self, data: bytes) -> DecideState:
        return load(data)

    def _take(self, state: DecideState, message: Message) -> list[Emit]:
        if record_type(message) not in (Diagnosis.TYPE, Change.TYPE, CalendarEntry.TYPE):
            return []
        record = read(message)
        if isinstance(record, Change):
            state.changes[record.id] = record
        elif isinstance(record, CalendarEntry):
            state.calendar[record.id] = record
        elif isinstance(record, Diagnosis) and self._is_news(state, record):
            asked = self._asked(state, record)
            state.seen[record.incident_id] = Seen(record.revision, record.as_of_ns)
            return self._decided(state, record, asked)
        return []

    def _is_news(self, state: DecideState, diagnosis: Diagnosis) -> bool:
        seen = state.seen.get(diagnosis.incident_id)
        forgotten = seen is None or seen.as_of_ns < diagnosis.as_of_ns - self.settings.retention_ns
        return forgotten or seen is None or diagnosis.revision > seen.revision

    def _asked(self, state: DecideState, diagnosis: Diagnosis) -> list[ProposedChange]:
        """The exact changes to judge, in order; empty where the diagnosis says that nothing is wrong."""
        cause = top(diagnosis).cause
        change = self._change(state, cause, diagnosis)
        if is_abstained(diagnosis):
            return self._handed_over(diagnosis, cause, change, "ABSTAINED")
        if cause.family == NO_FAULT:
            return []
        runbook = self.runbooks.choose(cause, change)
        if runbook is self.runbooks.otherwise:
            unknown = cause.change is not None and change is None
            return self._handed_over(diagnosis, cause, change, "CHANGE_UNKNOWN" if unknown else "NO_RUNBOOK")
        try:
            return runbook.proposals(_facts(diagnosis, cause, change, ""), self.verbs)
        except ActionsError as refused:
            return self._handed_over(diagnosis, cause, change, refused.code)

    def _handed_over(
        self, diagnosis: Diagnosis, cause: Cause, change: Change | None, reason: str
    ) -> list[ProposedChange]:
        """The `otherwise` runbook; if even the service has no usable name, it is addressed to the incident itself."""
        facts = _facts(diagnosis, cause, change, reason)
        try:
            return self.runbooks.otherwise.proposals(facts, self.verbs)
        except ActionsError as refused:
            incident = f"{diagnosis.tenant}/incident/{diagnosis.incident_id}"
            facts |= {"cause.service": "unknown", "cause.service_id": incident, "cause.entity_id": incident}
            return self.runbooks.otherwise.proposals(facts | {"reason": refused.code}, self.verbs)

    def _change(self, state: DecideState, cause: Cause, diagnosis: Diagnosis) -> Change | None:
        """The change record of the cause, as of the diagnosis; None if unknown, of another tenant, or too old."""
        change = state.changes.get(cause.change or "")
        if change is None or change.tenant != diagnosis.tenant:
            return None
        age_ns = diagnosis.as_of_ns - change.at_ns
        return change if 0 <= age_ns <= self.settings.retention_ns else None

    def _decided(self, state: DecideState, diagnosis: Diagnosis, asked: list[ProposedChange]) -> list[Emit]:
        """The steps in order; a later step waits unless all before it are advice, since its turn would come later."""
        emitted: list[Emit] = []
        for change in asked:
            key = sha256(canonical([change.target, change.verb, change.parameters]))
            owner = state.owners.get(key)
            if owner is None or owner.asked_ns < diagnosis.as_of_ns - self.settings.ownership_ns:
                decision = self._judged(state, diagnosis, change)
                id = record_id("action", change.target, change.verb, key, diagnosis.as_of_ns)
                owner = Owner(id, diagnosis.as_of_ns, OUTCOMES[decision.effect])
                emitted += _life(state, diagnosis, change, decision, owner)
            state.owners[key] = owner._replace(asked_ns=max(owner.asked_ns, diagnosis.as_of_ns))
            if owner.state != "advised":
                break
        return emitted

    def _judged(self, state: DecideState, diagnosis: Diagnosis, change: ProposedChange) -> Decision:
        has_executor = change.verb in self.verbs.executors
        snapshot = snapshot_of(
            diagnosis,
            top(diagnosis),
            change,
            self.verbs.get(change.verb),
            has_executor=has_executor,
            critical_services=self.settings.critical_services,
            calendar=state.calendar.values(),
        )
        decision = self.policies.evaluate(snapshot)
        if has_executor or decision.effect in ("advise", "deny"):
            return decision
        return decision.model_copy(update={"effect": "advise", "reason": "NO_EXECUTOR", "obligations": []})


def top(diagnosis: Diagnosis) -> Hypothesis:
    """The first hypothesis, or an unknown cause at the most anomalous entity where the diagnosis has none."""
    if diagnosis.hypotheses:
        return diagnosis.hypotheses[0]
    entity = diagnosis.entities[0] if diagnosis.entities else ""
    cause = Cause(entity=service_of(entity), entity_id=entity, family="unknown")
    return Hypothesis(cause=cause, score=0.0, reason=diagnosis.abstained or "no hypothesis")


def _facts(diagnosis: Diagnosis, cause: Cause, change: Change | None, reason: str) -> dict[str, str]:
    return facts_of(cause, change, tenant=diagnosis.tenant, incident_id=diagnosis.incident_id, reason=reason)


def _life(
    state: DecideState, diagnosis: Diagnosis, change: ProposedChange, decision: Decision, owner: Owner
) -> list[Emit]:
    hypothesis = top(diagnosis)
    emitted = []
    life: list[tuple[ActionState, Decision | None]] = [("proposed", None), ("gated", decision), (owner.state, decision)]
    for name, judged in life:
        sequence = state.sequences.get(change.target, 0)
        state.sequences[change.target] = sequence + 1
        id = record_id("action-event", owner.action_id, name)
        record = ActionEvent(
            id=id,
            action_id=owner.action_id,
            incident_id=diagnosis.incident_id,
            diagnosis_id=diagnosis.id,
            tenant=diagnosis.tenant,
            sequence=sequence,
            state=name,
            at_ns=diagnosis.as_of_ns,
            change=change,
            hypothesis=hypothesis,
            evidence=_pointers(hypothesis),
            decision=judged,
        )
        suffix = f".{name}"
        emitted.append(
            emit(ACTIONS, record, id=id, key=change.target, source=SOURCE, event_ns=record.at_ns, type_suffix=suffix)
        )
    return emitted


def _pointers(hypothesis: Hypothesis) -> list[EvidencePointer]:
    return list(dict.fromkeys(e.pointer for e in hypothesis.evidence if e.pointer is not None))
