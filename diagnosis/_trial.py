"""A model on trial: a share of the incidents is told by the candidate, and it is taken back by itself once it is worse.

Both models see everything and each is right, silent or wrong about every incident whose truth somebody said. Only
incidents on which they differ count. Were the candidate no worse, the known model would win at most every second of
those; the evidence against that is a bet that pays e times its stake, and may be looked at after every label: it ever
reaches 20 with a chance of at most 5 % (Ville). The bet is spread evenly over all chances from a half to one, so 7 of 7
suffice, or 16 of 20. From then on the known model speaks about everything, in the same incidents, and people are told
by an incident of its own. Only people bring a candidate back: by naming another one, or the same as the known one.
Sources: Ville 1939; Ramdas et al. 2023 (game-theoretic statistics), testing by betting.
"""

import hashlib
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, Protocol

import schemas as sc
from diagnosis._errors import StateInvalid
from diagnosis._stage import SOURCE, Diagnose
from diagnosis._state import DiagnoseState
from schemas.core import Emit, Event, Output, Stage, Tick

TAKEN_BACK_AT = 20.0
MOST = 2000
"""Incidents that are remembered until somebody says what they were."""
_MOST_WON = 1_000_000
SERVICE = "tidegate"
_NO_FAULT = "no_fault"
_RANK = {"person": 2, "ticket": 1, "action": 0}
_TOLD = (sc.INCIDENTS, sc.DIAGNOSES)


class Said(NamedTuple):
    """What both models last said of an incident: plain name of the cause, empty where they abstained."""

    known: str = ""
    candidate: str = ""


class Truth(NamedTuple):
    """The label that counts: the best founded, of those the latest."""

    rank: int
    said_ns: int
    verdict: str
    entity: str


@dataclass(slots=True)
class TrialState:
    """trial: digest of the candidate. revisions: told so far, by topic and incident. over_ns: taken back, 0 if not."""

    known: DiagnoseState
    candidate: DiagnoseState
    trial: str
    said: dict[str, Said] = field(default_factory=dict)
    truths: dict[str, Truth] = field(default_factory=dict)
    revisions: dict[str, int] = field(default_factory=dict)
    over_ns: int = 0
    through_ns: int = 0

    @property
    def silences(self) -> dict[str, sc.Silence]:
        return self.known.silences

    def count(self, what: str) -> None:
        self.known.count(what)


class Diagnosing(Stage[Any], Protocol):
    """The diagnose stage, with one model or two."""

    @property
    def journal(self) -> tuple[str, ...]: ...

    def is_listening(self, state: Any) -> bool: ...


class Trial:
    """The diagnose stage with two models. share: of incidents that the candidate tells, 0 to 1, by their ids."""

    name = Diagnose.name
    ordered = True
    makes_time = False

    def __init__(self, known: Diagnose, candidate: Diagnose, digest: str, share: float) -> None:
        self._known, self._candidate, self._digest, self._share = known, candidate, digest, share

    @property
    def inputs(self) -> tuple[str, ...]:
        return (*self._known.inputs, sc.FEEDBACK)

    @property
    def outputs(self) -> tuple[str, ...]:
        return self._known.outputs

    @property
    def journal(self) -> tuple[str, ...]:
        return self._known.journal

    def is_listening(self, state: TrialState) -> bool:
        return self._known.is_listening(state.known) or self._candidate.is_listening(state.candidate)

    def initial(self) -> TrialState:
        return TrialState(self._known.initial(), self._candidate.initial(), self._digest)

    def step(self, state: TrialState, event: Event) -> tuple[TrialState, list[Output]]:
        """As of `Diagnose`; labels are taken at the time at which they were said."""
        if isinstance(event, Tick):
            state.through_ns = event.through_ns
        elif event.topic == sc.FEEDBACK:
            return state, list(self._labelled(state, event))
        state.known, known = self._known.step(state.known, event)
        state.candidate, candidate = self._candidate.step(state.candidate, event)
        return state, [*self._told(state, known, "known"), *self._told(state, candidate, "candidate", known)]

    def dump(self, state: TrialState) -> bytes:
        """What the known model keeps and the trial beside it, so that a stage without a trial reads it too.

        What was met first is forgotten first, so the order is kept.
        """
        document = json.loads(self._known.dump(state.known))
        document["trial"] = {
            "of": state.trial, "candidate": json.loads(self._candidate.dump(state.candidate)),
            "said": [*state.said.items()], "truths": [*state.truths.items()], "revisions": [*state.revisions.items()],
            "over_ns": state.over_ns, "through_ns": state.through_ns,
        }  # fmt: skip
        return json.dumps(document, sort_keys=True).encode()

    def load(self, data: bytes) -> TrialState:
        """Where there was no trial, or one of another candidate, this one begins with what is open. Raises
        StateInvalid.
        """
        known = self._known.load(data)
        try:
            kept: dict[str, Any] = json.loads(data).get("trial") or {}
            if kept.get("of") != self._digest:
                return TrialState(known, self._candidate.load(data), self._digest)
            candidate = self._candidate.load(json.dumps(kept["candidate"]).encode())
            said = {name: Said(*row) for name, row in dict(kept["said"]).items()}
            truths = {name: Truth(*row) for name, row in dict(kept["truths"]).items()}
            return TrialState(
                known, candidate, self._digest, said, truths, dict(kept["revisions"]), int(kept["over_ns"]),
                int(kept["through_ns"]),
            )  # fmt: skip
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise StateInvalid(f"the snapshot cannot be read: {error}", todo="Rebuild it from the topics") from error

    def speaks(self, state: TrialState, incident_id: str) -> Literal["known", "candidate"]:
        """Which model tells an incident, now."""
        part = int.from_bytes(hashlib.sha256(incident_id.encode()).digest()[:4], "big") / 2**32
        return "known" if state.over_ns or part >= self._share else "candidate"

    def _told(
        self,
        state: TrialState,
        out: Sequence[Output],
        who: Literal["known", "candidate"],
        before: Sequence[Output] = (),
    ) -> Iterator[Output]:
        """What one model said: of incidents if it speaks and never an older revision, else what the other did not."""
        asked = {_identity(one) for one in before}
        for one in out:
            if not isinstance(one, Emit) or one.topic not in _TOLD:
                if _identity(one) not in asked:
                    yield one
                continue
            incident_id = one.key.decode()
            record = _read(one)
            if isinstance(record, sc.Diagnosis):
                _remember(state, record, who)
            place, revision = f"{one.topic}/{incident_id}", record.revision
            if self.speaks(state, incident_id) == who and revision > state.revisions.get(place, -1):
                state.revisions.pop(place, None)
                state.revisions[place] = revision
                while len(state.revisions) > 2 * MOST:
                    del state.revisions[next(iter(state.revisions))]
                yield one

    def _labelled(self, state: TrialState, message: Event) -> Iterator[Output]:
        assert not isinstance(message, Tick)
        try:
            label = sc.read(message)
        except sc.RecordInvalid:
            state.count("rejected")
            return
        if not isinstance(label, sc.Label) or label.verdict == "unknown" or label.incident_id not in state.said:
            return
        truth = Truth(_RANK[label.basis], label.said_ns, label.verdict, label.entity)
        if truth[:2] < state.truths.get(label.incident_id, Truth(-1, 0, "", ""))[:2]:
            return
        state.truths[label.incident_id] = truth
        against, for_it = discordant(state)
        if not state.over_ns and evidence(against, for_it) >= TAKEN_BACK_AT:
            state.over_ns = max(message.event_ns, state.through_ns)
            yield from _notice(state, label.tenant, against, for_it)


def discordant(state: TrialState) -> tuple[int, int]:
    """Labelled incidents of which the known model was the better one, and the candidate: right before silent before
    wrong.
    """
    against = for_it = 0
    for incident_id, truth in state.truths.items():
        said = state.said.get(incident_id)
        if said is not None:
            known, candidate = _worth(said.known, truth), _worth(said.candidate, truth)
            against, for_it = against + (known > candidate), for_it + (candidate > known)
    return against, for_it


def evidence(against: int, for_it: int) -> float:
    """What a bet against "the known model wins at most every second" has become of its stake; a million at most.

    The mean, over all chances p from a half to one, of p^against (1 - p)^for_it, beside a half to the power of both.

    >>> [round(evidence(n, 0), 1) for n in (0, 4, 6, 7)], round(evidence(16, 4), 1), round(evidence(3, 9), 2)
    ([1.0, 6.2, 18.1, 31.9], 20.5, 0.13)
    """
    n = against + for_it  # whole numbers, because each of both is too large for a float from a thousand labels on
    won, stake = sum(math.comb(n + 1, k) for k in range(against + 1)), (n + 1) * math.comb(n, against)
    return min(won, _MOST_WON * stake) / stake


def _worth(named: str, truth: Truth) -> int:
    """2 right, 1 silent or not to be told, 0 wrong. `no_fault` is named as such."""
    if not named:
        return 1
    if truth.verdict == "no_fault":
        return 2 if named == _NO_FAULT else 0
    if truth.verdict == "cause":
        return 2 if named == truth.entity else 0
    return 0 if named == truth.entity else 1


def _remember(state: TrialState, diagnosis: sc.Diagnosis, who: Literal["known", "candidate"]) -> None:
    first = None if diagnosis.abstained or not diagnosis.hypotheses else diagnosis.hypotheses[0].cause
    named = "" if first is None else _NO_FAULT if first.family == _NO_FAULT else first.entity
    before = state.said.get(diagnosis.incident_id, Said())
    state.said[diagnosis.incident_id] = (
        before._replace(known=named) if who == "known" else before._replace(candidate=named)
    )
    while len(state.said) > MOST:
        oldest = next(iter(state.said))
        del state.said[oldest]
        state.truths.pop(oldest, None)


def _notice(state: TrialState, tenant: str, against: int, for_it: int) -> Iterator[Output]:
    """People hear of it by the same way as of everything: an incident whose cause is the model."""
    entity, at_ns = f"{tenant}/service/{SERVICE}", state.over_ns
    text = (
        f"the model on trial ({state.trial[:12]}) was worse than the known one in {against} of {against + for_it} "
        "incidents on which they differed: it is taken back"
    )
    id = sc.record_id("model-taken-back", tenant, state.trial)
    incident = sc.Incident(
        id=id, tenant=tenant, state="open", opened_ns=at_ns, updated_ns=at_ns, entities=[entity], severity=0.0,
        title=f"{SERVICE}: the model on trial is taken back", opened_by="label", services=[SERVICE],
    )  # fmt: skip
    closed = incident.model_copy(update={"revision": 1, "state": "closed", "closed_ns": at_ns})
    cause = sc.Cause(entity=SERVICE, entity_id=entity, family="model")
    diagnosis = sc.Diagnosis(
        id=sc.record_id("diagnosis", id, 0), incident_id=id, tenant=tenant, as_of_ns=at_ns, opened_ns=at_ns,
        entities=[entity], severity=0.0, hypotheses=[sc.Hypothesis(cause=cause, score=0.0, reason=text)],
    )  # fmt: skip
    for record in (incident, closed):
        said = sc.record_id("incident-revision", id, record.revision)
        yield sc.emit(sc.INCIDENTS, record, id=said, key=id, source=SOURCE, event_ns=at_ns)
    yield sc.emit(sc.DIAGNOSES, diagnosis, id=diagnosis.id, key=id, source=SOURCE, event_ns=at_ns)


def _read(emit: Emit) -> sc.Incident | sc.Diagnosis:
    kind = sc.Diagnosis if emit.topic == sc.DIAGNOSES else sc.Incident
    return kind.from_bytes(emit.value)


def _identity(one: Output) -> tuple[str, bytes, bytes]:
    if not isinstance(one, Emit):
        return ("", b"", b"")
    return one.topic, one.key, dict(one.headers).get("ce_id", b"")
