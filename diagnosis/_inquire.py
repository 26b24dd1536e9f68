"""What to ask about an open incident, and what became of each question. Pure: answers come in as records.

Answers come whenever they come; they have no place in event time of their own, and investigators make no watermarks
that anybody could wait for. So the diagnose stage itself gives an answer its place: at the next tick, from where on it
counts. It writes the answer again with that time, and a replay obeys what was written (ADR 8).
A question that nobody answered by its deadline is asked once more; then it is known to be unknown. All questions of an
incident, those asked once more included, end within one budget of time, counted from the first.
"""

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from diagnosis._contract import AsksOfAll, Candidate, Case, Exhibit, Parameters, Query, Suspect
from diagnosis._evidence import service_of
from diagnosis._observe import REASONED, Told, fits, told
from schemas import (
    Anomaly,
    Change,
    Hypothesis,
    Inquiry,
    Observation,
    Record,
    TopologyEdge,
    Unknown,
    canonical,
    record_id,
)  # fmt: skip
from schemas.core import NS

MOST_ASKED = 8
"""Questions of one incident."""
MOST_SUSPECTS = 3
MOST_AT_ONCE = 4
"""Asked together; what they find decides what is asked next, and whether."""
FIRST_PARTS, PARTS = 2, 3
"""Of the time that is left: a question gets so many parts, and if nobody answers, the others once more."""
LEAST_LEFT = 1 / 3
"""Of the whole time: with less left nothing new is asked; a choice, not tuned."""
OF_ITS_FAMILY, OF_ANY, OF_ANOTHER = 1.0, 0.75, 0.5
"""How much of what there is to learn a query may tell, by what it speaks for; a choice, not tuned."""
MOST_CANDIDATES, MOST_EXHIBITS = 5, 6
OPEN_SHARE = 0.2  # of the best score: closer than this, asking may change the order; a choice, not tuned
ATTEMPTS = 2
MOST_PLANNED = 10_000
PENDING, NOT_ANSWERED, NOT_RECORDED = "PENDING", "NOT_ANSWERED", "NOT_RECORDED"
Mode = Literal["off", "ask", "recorded"]
"""`ask`: live, with investigators. `recorded`: a replay, which knows only what was written down."""


@dataclass(slots=True)
class Question:
    """One question of an incident. inquiry: its last attempt. first_ns: when it was asked first. observation: what it
    was told, or the failure; reason: why it is not known. settled_ns: since when either is so, 0 while it is pending.
    is_reasoned: a language model's; nothing waits for it, and nothing is less complete without it.
    """

    service: str
    inquiry: Inquiry
    first_ns: int
    observation: Observation | None = None
    reason: str = PENDING
    settled_ns: int = 0
    is_reasoned: bool = False

    @property
    def is_pending(self) -> bool:
        return self.reason == PENDING

    def settle(self, observation: Observation) -> None:
        """Take an answer or a failure that has its place. Of a failure only its code goes further."""
        self.observation, self.settled_ns = observation, observation.effective_ns or 0
        code = observation.reason if re.fullmatch(r"[A-Z][A-Z0-9_]{0,39}", observation.reason) else "FAILED"
        self.reason = "" if observation.status == "answered" else code


@dataclass(slots=True)
class Investigation:
    """Everything that was asked, over all incidents, and what came but has no place in time yet.

    asked: by incident, its questions in the order asked. arrived: by inquiry. planned: by inquiry, with their place.
    """

    asked: dict[str, list[Question]] = field(default_factory=dict)
    arrived: dict[str, Observation] = field(default_factory=dict)
    planned: dict[str, Observation] = field(default_factory=dict)
    through_ns: int = 0

    def find(self, observation: Observation) -> Question | None:
        """The question that an observation answers, also if it was asked again since."""
        for question in self.asked.get(observation.incident_id, ()):
            first = replace_attempt(question.inquiry, 1, question.inquiry.asked_ns, 0)
            if fits(observation, question.inquiry) or fits(observation, first):
                return question
        return None


def is_open(hypotheses: Sequence[Hypothesis], abstained: str | None) -> bool:
    """Whether the ranking leaves the cause open: it abstains, the best two are close, or the family is unknown."""
    if abstained is not None or not hypotheses:
        return True
    first = hypotheses[0]
    rivals = len(hypotheses) > 1 and first.score - hypotheses[1].score < OPEN_SHARE * first.score
    return rivals or first.cause.family == "unknown"


def suspects(
    tenant: str, hypotheses: Sequence[Hypothesis], members: Sequence[Anomaly], edges: Iterable[TopologyEdge],
    changes: Iterable[Change], at_ns: int,
) -> list[Suspect]:  # fmt: skip
    """The best candidates, best first, with what is known of them."""
    calls: dict[str, set[str]] = {}
    for edge in edges:
        calls.setdefault(service_of(edge.caller), set()).add(service_of(edge.callee))
    known = {change.id: change for change in changes}
    onset = min((a.start_ns for a in members), default=at_ns)
    found = []
    scores = [math.exp(h.score - hypotheses[0].score) for h in hypotheses]
    for hypothesis, score in zip(hypotheses[:MOST_SUSPECTS], scores, strict=False):
        service = hypothesis.cause.entity
        own = sorted((a for a in members if a.service == service), key=lambda a: (a.p_value, a.id))
        callees = tuple(sorted(calls.get(service, set()) - {service}))
        change = known.get(hypothesis.cause.change or "")
        share = score / math.fsum(scores)
        doubt = float(f"{share * (1 - share):.9g}")
        found.append(Suspect(tenant, service, own[0] if own else None, callees, change, onset, at_ns, doubt,
                             hypothesis.cause.family))  # fmt: skip
    return found


def case_of(hypotheses: Sequence[Hypothesis], members: Sequence[Anomaly], at_ns: int) -> Case:
    """The best candidates with their strongest evidence, under names that a reply can be held to."""
    onset = min((a.start_ns for a in members), default=at_ns)
    count, candidates = 0, []
    for n, hypothesis in enumerate(hypotheses[:MOST_CANDIDATES], 1):
        pieces = sorted(hypothesis.evidence, key=lambda e: -abs(e.weight))[:MOST_EXHIBITS]
        exhibits = tuple(Exhibit(f"e{count + i}", e.text) for i, e in enumerate(pieces, 1))
        count += len(exhibits)
        candidates.append(Candidate(f"c{n}", hypothesis.cause.entity, hypothesis.cause.family, exhibits))
    return Case(tuple(candidates), onset, at_ns)


def gain(query: Query, suspect: Suspect) -> float:
    """What an answer may tell for its cost: the doubt about the suspect, less where it speaks of other faults."""
    families = {speaks.family for speaks in query.evidence.values()}
    told = OF_ITS_FAMILY if suspect.family in families else OF_ANY if "" in families else OF_ANOTHER
    return suspect.doubt * told / query.cost


def left_ns(asked: Sequence[Question], at_ns: int, budget_ns: int) -> int:
    """What is left of the time that all questions of an incident have."""
    return budget_ns - (at_ns - min((q.first_ns for q in asked), default=at_ns))


def may_ask(asked: Sequence[Question], at_ns: int, budget_ns: int) -> bool:
    """Whether more may be asked: nothing is pending, there is room, and time is left."""
    is_room = len(asked) < MOST_ASKED and left_ns(asked, at_ns, budget_ns) >= LEAST_LEFT * budget_ns
    return is_room and not is_waiting(asked)


def is_waiting(asked: Sequence[Question]) -> bool:
    """Whether something that was asked has not come to an end."""
    return any(q.is_pending for q in asked if not q.is_reasoned)


def news_ns(asked: Sequence[Question], since_ns: int) -> int | None:
    """When, after an instant, all that was asked had come to an end, so that nobody need wait longer to be told."""
    last = max((q.settled_ns for q in asked), default=0)
    return None if is_waiting(asked) or last <= since_ns else last


def plan(
    incident_id: str, severity: float, found: Sequence[Suspect], queries: Mapping[str, Query], left_ns: int,
    case: Case | None = None, before: Sequence[Question] = (),
) -> list[Question]:  # fmt: skip
    """The questions that may tell most for their cost, and with the first ones what asks of all; none twice.

    At most `MOST_AT_ONCE`, of an incident `MOST_ASKED`. left_ns: what is left of its time, in event time, of which the
    first asking gets `FIRST_PARTS`. before: what was asked about it already.
    """
    deadline_ns = left_ns * FIRST_PARTS // PARTS
    order = sorted(queries.values(), key=lambda query: (query.cost, query.kind))
    of_all = [(q, q.ask_all(case)) for q in order if isinstance(q, AsksOfAll) and case is not None]
    last = [(case.candidates[0].service, q, p) for q, p in of_all if p is not None and case is not None]
    last = [] if before else last
    known = {(q.inquiry.query, q.service) for q in before}
    room = min(MOST_AT_ONCE, MOST_ASKED - len(before)) - len(last)
    every = sorted(
        ((-gain(query, suspect), query.kind, i, query, suspect) for query in order for i, suspect in enumerate(found)),
        key=lambda one: one[:3],
    )
    asked: list[tuple[str, Query, Parameters]] = []
    for _, kind, _, query, suspect in every:
        if len(asked) < room and (kind, suspect.service) not in known:
            parameters = query.ask(suspect)
            if parameters is not None:
                asked.append((suspect.service, query, parameters))
    at = max((s.as_of_ns for s in found), default=case.as_of_ns if case else 0)
    tenant = found[0].tenant if found else "default"
    out: list[Question] = []
    for service, query, parameters in [*asked, *last]:
        inquiry = Inquiry(
            id="", incident_id=incident_id, tenant=tenant, subsystem=query.subsystem, query=query.kind,
            parameters=parameters.model_dump(mode="json"), asked_ns=at, deadline_ns=at + deadline_ns,
            severity=severity,
        )  # fmt: skip
        is_reasoned = all(kind.startswith(REASONED) for kind in query.evidence)
        out.append(Question(service, replace_attempt(inquiry, 1, at, deadline_ns), at, is_reasoned=is_reasoned))
    return out


def replace_attempt(inquiry: Inquiry, attempt: int, asked_ns: int, deadline_ns: int) -> Inquiry:
    """The same question as another attempt, with the id that names it."""
    identity = record_id(
        "inquiry", inquiry.incident_id, inquiry.subsystem, inquiry.query,
        canonical(inquiry.parameters).decode(), attempt,
    )  # fmt: skip
    changed = {"id": identity, "attempt": attempt, "asked_ns": asked_ns, "deadline_ns": asked_ns + deadline_ns}
    return inquiry.model_copy(update=changed)


def arrive(investigation: Investigation, observation: Observation, mode: Mode) -> str:
    """Note an observation; returns under which name it is counted, or an empty string.

    With a place in time it is kept until then. Without one it waits for the next tick, unless it comes from outside
    in a replay, or nobody asked.
    """
    identity = observation.inquiry_id
    if observation.effective_ns is not None:
        question = investigation.find(observation)
        is_settled = question is not None and not question.is_pending
        if is_settled or (question is None and observation.effective_ns < investigation.through_ns):
            return ""  # our own, read back
        if len(investigation.planned) >= MOST_PLANNED:
            return "observations_dropped"
        investigation.planned.setdefault(identity, observation)
        investigation.arrived.pop(identity, None)
        return ""
    if mode != "ask":
        return "observations_unplaced"
    question = investigation.find(observation)
    if question is None or not question.is_pending or identity in investigation.planned:
        return "observations_unexpected"
    investigation.arrived.setdefault(identity, observation)
    return ""


def place(investigation: Investigation, through_ns: int) -> Iterator[tuple[Question, Observation]]:
    """Give everything that arrived its place: all before `through_ns` is over, so it counts from there."""
    arrived, investigation.arrived = investigation.arrived, {}
    for _, observation in sorted(arrived.items()):
        question = investigation.find(observation)
        if question is not None and question.is_pending:
            placed = placed_at(observation, through_ns)
            question.settle(placed)
            yield question, placed


def placed_at(observation: Observation, effective_ns: int) -> Observation:
    """The observation as the diagnose stage writes it again."""
    identity = record_id("observation-placed", observation.inquiry_id)
    return observation.model_copy(update={"id": identity, "effective_ns": effective_ns})


def give_up(question: Question, at_ns: int, mode: Mode) -> Observation | None:
    """Know that it is not known. Live this is written down as well, so that a replay says the same."""
    question.reason, question.settled_ns = NOT_ANSWERED if mode == "ask" else NOT_RECORDED, at_ns
    if mode != "ask":
        return None
    asked = question.inquiry
    nothing = Observation(
        id="", inquiry_id=asked.id, incident_id=asked.incident_id, status="timeout", reason=NOT_ANSWERED,
        request_sha256=asked.request_sha256, observed_ns=at_ns, age_s=(at_ns - asked.asked_ns) / NS,
    )  # fmt: skip
    return placed_at(nothing, at_ns)


def ask_again(question: Question, at_ns: int) -> Inquiry:
    """The next attempt, with what the first left of their time."""
    asked = question.inquiry
    rest = (asked.deadline_ns - asked.asked_ns) * (PARTS - FIRST_PARTS) // FIRST_PARTS
    question.inquiry = replace_attempt(asked, asked.attempt + 1, at_ns, rest)
    return question.inquiry


def findings(questions: Iterable[Question], queries: Mapping[str, Query]) -> list[Told]:
    """All that was answered, in the order asked."""
    out: list[Told] = []
    for question in questions:
        if question.observation is not None and question.observation.status == "answered":
            found = told(question.observation, question.inquiry, queries)
            if found is None:
                question.reason = "ANSWER_INVALID"
            else:
                out += found
    return out


def unknown(questions: Iterable[Question]) -> list[Unknown]:
    """What was asked and is not known, in the order asked."""
    return [
        Unknown(subsystem=q.inquiry.subsystem, query=q.inquiry.query, service=q.service, reason=q.reason)
        for q in questions
        if q.reason
    ]


def answered_share(questions: Iterable[Question]) -> float:
    """Of what was asked and came to an end, the share that was answered; 1 if nothing was."""
    ended = [not q.reason for q in questions if not (q.is_pending or q.is_reasoned)]
    return sum(ended) / len(ended) if ended else 1.0


def dumped(investigation: Investigation) -> dict[str, Any]:
    """As JSON, for a snapshot."""

    def out(record: Record | None) -> Any:
        return None if record is None else record.model_dump(mode="json")

    return {
        "through_ns": investigation.through_ns,
        "asked": {
            incident: [
                {
                    "service": q.service,
                    "inquiry": out(q.inquiry),
                    "first_ns": q.first_ns,
                    "observation": out(q.observation),
                    "reason": q.reason,
                    "settled_ns": q.settled_ns,
                    "is_reasoned": q.is_reasoned,
                }
                for q in questions
            ]
            for incident, questions in sorted(investigation.asked.items())
        },
        "arrived": [out(o) for _, o in sorted(investigation.arrived.items())],
        "planned": [out(o) for _, o in sorted(investigation.planned.items())],
    }


def loaded(document: Any) -> Investigation:
    """Back from `dumped`; None gives an empty one. Raises KeyError, TypeError, ValueError."""
    if document is None:
        return Investigation()
    kept = {name: [Observation.model_validate(o) for o in document[name]] for name in ("arrived", "planned")}
    return Investigation(
        {
            incident: [
                Question(
                    q["service"], Inquiry.model_validate(q["inquiry"]), q["first_ns"],
                    None if q["observation"] is None else Observation.model_validate(q["observation"]), q["reason"],
                    q.get("settled_ns", 0), q.get("is_reasoned", False),
                )
                for q in questions
            ]
            for incident, questions in document["asked"].items()
        },
        {o.inquiry_id: o for o in kept["arrived"]}, {o.inquiry_id: o for o in kept["planned"]}, document["through_ns"],
    )  # fmt: skip
