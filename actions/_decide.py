"""Decide: diagnoses in, the life of actions out, up to the point where somebody or something would act.

For each diagnosis the top hypothesis chooses a runbook, the runbook yields exact changes, the policies judge each,
and the stage emits proposed, gated and then denied, advised, awaiting_approval or approved. An abstention, a cause
without a runbook and a change that cannot be built exactly go to the owner of the service with the reason.

What it does not do: nothing is executed here. A verb without an executor is at most advised (NO_EXECUTOR), and no
executor exists yet, so every `permit` ends as advice. Control records (kill switch, autonomy) are not read, because
no signature can be checked yet and an unsigned order is refused by every reader; nothing can act that would need one.

The same physical change (verb, target, exact parameters) is owned by one action for as long as somebody asks for it
within `ownership_ns`, whichever incident or revision asks, so merged, split or reopened incidents cannot act twice.

The event `gated` carries the snapshot, so a decision can be looked into and simulated from the topic alone.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from actions._decide_state import DecideState, Owner, Seen, dump, load
from actions._errors import ActionsError
from actions._machine_types import Mode
from actions._modes import ORDER
from actions._policies import PolicyEngine, combined, snapshot_digest
from actions._runbooks import Runbooks, facts_of
from actions._selectors import selector_fault
from actions._services import STRANGER, ServiceProfile
from actions._snapshot import Surroundings, is_abstained, kinds_around, snapshot_of
from actions._verbs import Verbs, service_of
from schemas import (
    ACTIONS,
    CALENDAR,
    CHANGES,
    DIAGNOSES,
    TOPOLOGY,
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
    Json,
    LaterStep,
    ProposedChange,
    TopologyEdge,
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
_TAKEN: tuple[ActionState, ...] = ("approved", "awaiting_approval")
_STRICTEST_FIRST: tuple[Effect, ...] = ("deny", "advise", "require_approval", "permit")


@dataclass(frozen=True, slots=True)
class DecideSettings:
    """critical_services: plain names, of tier critical whatever `services` says. modes: by `verb@tier`, `verb`,
    `@tier`, `*`. Times are event time.
    """

    critical_services: frozenset[str] = frozenset()
    services: Mapping[str, ServiceProfile] = field(default_factory=dict)
    modes: Mapping[str, Mode] = field(default_factory=dict)
    ownership_ns: int = 3600 * NS
    retention_ns: int = 7 * 24 * 3600 * NS
    """How long changes, calendar entries and decided revisions are remembered; at least `ownership_ns`."""

    def __post_init__(self) -> None:
        if not 0 < self.ownership_ns <= self.retention_ns:
            raise ValueError(f"ownership_ns {self.ownership_ns} is not between 0 and retention_ns {self.retention_ns}")


class Decide:
    """The stage. Verbs, runbooks and policies are arguments; scanning folders for them is the roof's work."""

    name = "decide"
    inputs = (DIAGNOSES, CHANGES, CALENDAR, TOPOLOGY)
    outputs = (ACTIONS,)
    ordered = True
    makes_time = False

    def __init__(
        self, verbs: Verbs, runbooks: Runbooks, policies: PolicyEngine, settings: DecideSettings | None = None
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
        if record_type(message) not in (Diagnosis.TYPE, Change.TYPE, CalendarEntry.TYPE, TopologyEdge.TYPE):
            return []
        record = read(message)
        if isinstance(record, Change):
            state.changes[record.id] = record
        elif isinstance(record, CalendarEntry):
            state.calendar[record.id] = record
        elif isinstance(record, TopologyEdge):
            state.called(record.caller, record.callee, record.first_ns, record.last_ns)
        elif isinstance(record, Diagnosis) and self._is_news(state, record):
            asked = self._asked(state, record)
            acted = self._acted(state, record)
            state.seen[record.incident_id] = Seen(record.revision, record.as_of_ns, acted)
            return self._decided(state, record, asked)
        return []

    def _seen(self, state: DecideState, diagnosis: Diagnosis) -> Seen | None:
        """What was decided of the incident before, as far as it is not too old to be remembered."""
        seen = state.seen.get(diagnosis.incident_id)
        return seen if seen and seen.as_of_ns >= diagnosis.as_of_ns - self.settings.retention_ns else None

    def _is_news(self, state: DecideState, diagnosis: Diagnosis) -> bool:
        seen = self._seen(state, diagnosis)
        return seen is None or diagnosis.revision > seen.revision

    def _acted(self, state: DecideState, diagnosis: Diagnosis) -> int:
        seen = self._seen(state, diagnosis)
        return seen.acted if seen else 0

    def _asked(self, state: DecideState, diagnosis: Diagnosis) -> list[ProposedChange]:
        """The exact changes to judge, in order; empty where nothing is wrong, or the incident is silenced."""
        if diagnosis.suppressed_by:
            return []
        cause = top(diagnosis).cause
        change = self._change(state, cause, diagnosis)
        if is_abstained(diagnosis):
            return self._handed_over(diagnosis, cause, change, "ABSTAINED")
        if cause.family == NO_FAULT:
            return []
        facts = self._facts(diagnosis, cause, change, "")
        around = kinds_around(state.calendar.values(), diagnosis, {cause.entity})
        runbook = self.runbooks.choose(cause, change, around, facts)
        if runbook is self.runbooks.otherwise:
            unknown = cause.change is not None and change is None
            return self._handed_over(diagnosis, cause, change, "CHANGE_UNKNOWN" if unknown else "NO_RUNBOOK")
        try:
            return runbook.proposals(facts, self.verbs)
        except ActionsError as refused:
            return self._handed_over(diagnosis, cause, change, refused.code)

    def _handed_over(
        self, diagnosis: Diagnosis, cause: Cause, change: Change | None, reason: str
    ) -> list[ProposedChange]:
        """The `otherwise` runbook; if even the service has no usable name, it is addressed to the incident itself."""
        facts = self._facts(diagnosis, cause, change, reason)
        try:
            return self.runbooks.otherwise.proposals(facts, self.verbs)
        except ActionsError as refused:
            incident = f"{diagnosis.tenant}/incident/{diagnosis.incident_id}"
            facts |= {"cause.service": "unknown", "cause.service_id": incident, "cause.entity_id": incident}
            return self.runbooks.otherwise.proposals(facts | {"reason": refused.code}, self.verbs)

    def _facts(self, diagnosis: Diagnosis, cause: Cause, change: Change | None, reason: str) -> dict[str, Json]:
        known = self.settings.services.get(cause.entity, STRANGER).facts
        return facts_of(
            cause, change, tenant=diagnosis.tenant, incident_id=diagnosis.incident_id, reason=reason, known=known
        )

    def _change(self, state: DecideState, cause: Cause, diagnosis: Diagnosis) -> Change | None:
        """The change record of the cause, as of the diagnosis; None if unknown, of another tenant, or too old."""
        change = state.changes.get(cause.change or "")
        if change is None or change.tenant != diagnosis.tenant:
            return None
        age_ns = diagnosis.as_of_ns - change.at_ns
        return change if 0 <= age_ns <= self.settings.retention_ns else None

    def _decided(self, state: DecideState, diagnosis: Diagnosis, asked: list[ProposedChange]) -> list[Emit]:
        """One action of all steps: the strictest decision and the lowest mode of any of them hold for the whole."""
        if not asked:
            return []
        parts: list[Json] = [[change.target, change.verb, change.parameters] for change in asked]
        key = sha256(canonical(parts[0] if len(parts) == 1 else parts))
        owner, emitted = state.owners.get(key), list[Emit]()
        if owner is None or owner.asked_ns < diagnosis.as_of_ns - self.settings.ownership_ns:
            steps = [self._judged(state, diagnosis, change) for change in asked]
            decision = strictest([step.decision for step in steps if step.decision])
            mode = lowest_mode(str(step.snapshot["mode"]) for step in steps)
            id = record_id("action", asked[0].target, asked[0].verb, key, diagnosis.as_of_ns)
            owner = Owner(id, diagnosis.as_of_ns, outcome(decision.effect, mode))
            emitted = _life(state, diagnosis, steps, decision, owner)
            if owner.state in _TAKEN:
                seen = state.seen[diagnosis.incident_id]
                state.seen[diagnosis.incident_id] = seen._replace(acted=seen.acted + 1)
        state.owners[key] = owner._replace(asked_ns=max(owner.asked_ns, diagnosis.as_of_ns))
        return emitted

    def _judged(self, state: DecideState, diagnosis: Diagnosis, change: ProposedChange) -> LaterStep:
        snapshot = self._snapshot(state, diagnosis, change)
        fault = selector_fault(change.target, change.parameters, self.verbs.get(change.verb))
        decision = refused(self.policies, snapshot, fault) if fault else judged(self.policies, snapshot)
        return LaterStep(change=change, decision=decision, snapshot=snapshot)

    def _snapshot(self, state: DecideState, diagnosis: Diagnosis, change: ProposedChange) -> dict[str, Json]:
        hypothesis, now = top(diagnosis), diagnosis.as_of_ns
        service = f"{diagnosis.tenant}/service/{service_of(change.target)}"
        around = Surroundings(
            has_executor=change.verb in self.verbs.executors,
            services=self.settings.services,
            critical_services=self.settings.critical_services,
            calendar=state.calendar.values(),
            change=self._change(state, hypothesis.cause, diagnosis),
            attempt=state.seen[diagnosis.incident_id].acted + 1,
            blast_radius=len(state.reach(service, now, now - self.settings.retention_ns)),
            modes=self.settings.modes,
        )
        return snapshot_of(diagnosis, hypothesis, change, self.verbs.get(change.verb), around)


def judged(policies: PolicyEngine, snapshot: Mapping[str, Json]) -> Decision:
    """What the policies say; a verb that nothing can perform is at most advised (NO_EXECUTOR)."""
    decision = policies.evaluate(snapshot)
    if snapshot.get("has_executor") is True or decision.effect in ("advise", "deny"):
        return decision
    return decision.model_copy(update={"effect": "advise", "reason": "NO_EXECUTOR", "obligations": []})


def judged_again(policies: PolicyEngine, event: ActionEvent) -> Decision:
    """What the policies say of all steps of a `gated` event, by the snapshots that it carries."""
    return strictest([judged(policies, one) for one in (event.snapshot, *(step.snapshot for step in event.then))])


def refused(policies: PolicyEngine, snapshot: Mapping[str, Json], fault: str) -> Decision:
    """The denial of a change that is not aimed at exactly one thing; no rule is asked."""
    return Decision(
        effect="deny",
        reason="SELECTOR_INVALID",
        resolution=fault,
        policy_digest=policies.digest,
        snapshot_digest=snapshot_digest(snapshot),
    )


def strictest(decisions: Sequence[Decision]) -> Decision:
    """Of the steps of one plan, in their order: the strictest, with the obligations of all that are as strict.

    The digests are those of the first step, whose snapshot stands beside it. `decisions` is never empty.
    """
    if len(decisions) == 1:
        return decisions[0]
    effect = min((one.effect for one in decisions), key=_STRICTEST_FIRST.index)
    held = [one for one in decisions if one.effect == effect]
    place = decisions.index(held[0]) + 1
    return held[0].model_copy(update={
        "obligations": combined([o for one in held for o in one.obligations]),
        "policies": list(dict.fromkeys(name for one in held for name in one.policies)),
        "resolution": f"step {place} of {len(decisions)} is the strictest",
        "policy_digest": decisions[0].policy_digest, "snapshot_digest": decisions[0].snapshot_digest,
    })  # fmt: skip


def lowest_mode(modes: Iterable[str]) -> Mode:
    """A mode that nobody knows is advice."""
    known: dict[str, Mode] = {mode: mode for mode in ORDER}
    return min((known.get(mode, "advise") for mode in modes), key=ORDER.index)


def outcome(effect: Effect, mode: str) -> ActionState:
    """Where a decision leads under the autonomy of the verb; the same as in the machine of actions."""
    if effect == "deny":
        return "denied"
    if mode == "shadow":
        return "shadowed"
    if effect == "advise" or mode == "advise":
        return "advised"
    return "awaiting_approval" if effect == "require_approval" or mode == "approve" else "approved"


def top(diagnosis: Diagnosis) -> Hypothesis:
    """The first hypothesis, or an unknown cause at the most anomalous entity where the diagnosis has none."""
    if diagnosis.hypotheses:
        return diagnosis.hypotheses[0]
    entity = diagnosis.entities[0] if diagnosis.entities else ""
    cause = Cause(entity=service_of(entity), entity_id=entity, family="unknown")
    return Hypothesis(cause=cause, score=0.0, reason=diagnosis.abstained or "no hypothesis")


def _life(
    state: DecideState, diagnosis: Diagnosis, steps: list[LaterStep], decision: Decision, owner: Owner
) -> list[Emit]:
    hypothesis, first, then = top(diagnosis), steps[0], steps[1:]
    change, told = first.change, [LaterStep(change=step.change) for step in then]
    emitted = []
    life: list[tuple[ActionState, Decision | None]] = [("proposed", None), ("gated", decision), (owner.state, decision)]
    for name, said in life:
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
            then=then if name == "gated" else told,
            hypothesis=hypothesis,
            evidence=_pointers(hypothesis),
            decision=said,
            snapshot=first.snapshot if name == "gated" else {},
        )
        suffix = f".{name}"
        emitted.append(
            emit(ACTIONS, record, id=id, key=change.target, source=SOURCE, event_ns=record.at_ns, type_suffix=suffix)
        )
    return emitted


def _pointers(hypothesis: Hypothesis) -> list[EvidencePointer]:
    return list(dict.fromkeys(e.pointer for e in hypothesis.evidence if e.pointer is not None))
