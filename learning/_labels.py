"""Labels and diagnoses become outcomes: was the first candidate the cause, and with which confidence was it named?

People come before tickets, tickets before actions: that a rollback helped speaks for its cause, that somebody looked
speaks louder. An outcome of an action is no fair sample (only what seemed likely was acted upon), so how many labels
rest on what is counted and shown. Nobody is asked about incidents that nothing was said of; they are counted too.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from diagnosis import Standing
from learning._calibrate import Outcome
from schemas import ActionEvent, Diagnosis, Label, record_id

_RANK = {"person": 2, "ticket": 1, "action": 0}
_NO_FAULT = "no_fault"
_TOLD = {"RECOVERED": "cause", "NOT_RECOVERED": "not_cause", "REGRESSED": "not_cause"}
_CHANGES_NOTHING = "notify."


class Judged(NamedTuple):
    """One diagnosis whose truth is known. confidence: as it was said then, None where it was not calibrated.

    ranker: digest of the weights that its score is of; scores of different rankers are not one scale.
    """

    outcome: Outcome
    tenant: str
    confidence: float | None
    state: str
    ranker: str


class Coverage(NamedTuple):
    """incidents: that were diagnosed. labelled: of which somebody said something; judging: that say right or wrong."""

    incidents: int
    labelled: int
    judging: int
    by_basis: dict[str, int]

    @property
    def share(self) -> float:
        """Of incidents whose truth is known, 0 to 1."""
        return self.judging / self.incidents if self.incidents else 0.0


def labels_of_actions(events: Iterable[ActionEvent]) -> list[Label]:
    """What the measured outcomes of actions say of the causes that they were taken for, in order of action.

    Only the last word on an action counts. An outcome that was inconclusive, a notice, an action that somebody
    stopped: they say nothing.
    """
    last: dict[str, ActionEvent] = {}
    for event in events:
        known = last.get(event.action_id)
        told = _TOLD.get(event.reason)
        if told is None or event.change.verb.startswith(_CHANGES_NOTHING):
            continue
        if known is None or (event.at_ns, event.sequence) >= (known.at_ns, known.sequence):
            last[event.action_id] = event
    return [_label_of(event) for _, event in sorted(last.items())]


def _label_of(event: ActionEvent) -> Label:
    cause = event.hypothesis.cause
    verdict = _TOLD[event.reason]
    return Label(
        id=record_id("label", "action", event.action_id), incident_id=event.incident_id, tenant=event.tenant,
        verdict="cause" if verdict == "cause" else "not_cause", entity=cause.entity,
        family=cause.family if verdict == "cause" else "", basis="action", said_by=event.action_id,
        said_ns=event.at_ns,
    )  # fmt: skip


def settled(labels: Iterable[Label]) -> dict[str, Label]:
    """The label that counts, by incident: the best founded, of those the latest."""
    out: dict[str, Label] = {}
    for label in labels:
        known = out.get(label.incident_id)
        if known is None or _standing(label) > _standing(known):
            out[label.incident_id] = label
    return out


def _standing(label: Label) -> tuple[int, int, str]:
    return _RANK[label.basis], label.said_ns, label.id


def is_right(diagnosis: Diagnosis, label: Label) -> bool | None:
    """Whether the first candidate was the cause; None where the label does not tell."""
    if not diagnosis.hypotheses or label.verdict == "unknown":
        return None
    first = diagnosis.hypotheses[0].cause
    if label.verdict == "no_fault":
        return first.family == _NO_FAULT
    if label.verdict == "cause":
        return first.entity == label.entity and first.family != _NO_FAULT
    return False if first.entity == label.entity else None


def judged(diagnoses: Mapping[str, Diagnosis], labels: Iterable[Label]) -> list[Judged]:
    """Every diagnosis whose first candidate is known to be right or wrong, in order of opening."""
    said = settled(labels)
    out = []
    for diagnosis in sorted(diagnoses.values(), key=lambda d: (d.opened_ns, d.incident_id)):
        label = said.get(diagnosis.incident_id)
        right = None if label is None else is_right(diagnosis, label)
        if label is None or right is None or diagnosis.standing is None:
            continue
        first, stood = diagnosis.hypotheses[0], diagnosis.standing
        standing = Standing(**{name: getattr(stood, name) for name in Standing._fields})
        group = label.entity or first.cause.entity
        out.append(
            Judged(
                Outcome(diagnosis.incident_id, group, standing, right), diagnosis.tenant, first.confidence,
                first.confidence_state, diagnosis.versions.get("ranker", ""),
            )
        )  # fmt: skip
    return out


def coverage(diagnoses: Mapping[str, Diagnosis], labels: Iterable[Label]) -> Coverage:
    """How many of the diagnosed incidents anything is known of."""
    said = {name: label for name, label in settled(labels).items() if name in diagnoses}
    judging = sum(is_right(diagnoses[name], label) is not None for name, label in said.items())
    return Coverage(len(diagnoses), len(said), judging, dict(Counter(label.basis for label in said.values())))
