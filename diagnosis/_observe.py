"""What observations say, for the ranker: typed findings about candidates, each with where it comes from.

An answer is checked again when it is read, because anybody with access to the topic may have written it: it has to fit
the schema, carry the digest of the question that was asked, and speak of kinds of evidence that its query declares.
"""

from collections.abc import Mapping
from typing import NamedTuple

from pydantic import ValidationError

from diagnosis._contract import Answer, Query
from diagnosis._redact import redacted
from schemas import EvidencePointer, Inquiry, Observation, canonical, sha256

ASKED_WEIGHT = 5.0  # of a kind without a fitted weight; the same prior as for kinds that no fit has seen
FIRST_HAND = frozenset({"kubernetes", "postgres"})
"""Subsystems that say how they are themselves, not what somebody sent them, so they are witnesses of their own."""
REASONED = "reasoned_"
"""What the names of kinds begin with that nobody measured: a language model's. They have no say (`_rank.py`)."""
LONGEST_NOTE = 160


class Told(NamedTuple):
    """One finding as evidence. strength: 0 to 1. family: of faults, empty if it only says where."""

    service: str
    kind: str
    strength: float
    family: str
    text: str
    pointer: EvidencePointer


def fits(observation: Observation, inquiry: Inquiry) -> bool:
    """Whether it answers this very question."""
    return (
        observation.inquiry_id == inquiry.id
        and observation.incident_id == inquiry.incident_id
        and observation.request_sha256 == inquiry.request_sha256
    )


def told(observation: Observation, inquiry: Inquiry, queries: Mapping[str, Query]) -> list[Told] | None:
    """The findings of an answer, strongest first; None if it is not an answer that this query may give."""
    query = queries.get(inquiry.query)
    if query is None:
        return None
    try:
        answer = Answer.model_validate(observation.answer)
    except ValidationError:
        return None
    if any(finding.kind not in query.evidence for finding in answer.findings):
        return None
    digest = sha256(canonical(observation.answer))
    found = []
    for finding in answer.findings:
        speaks = query.evidence[finding.kind]
        is_seen = inquiry.subsystem in FIRST_HAND and speaks.family != "change"
        pointer = EvidencePointer(
            signal="metrics", subject=f"{inquiry.tenant}/service/{finding.service}", t_min_ns=finding.start_ns,
            t_max_ns=finding.end_ns, sha256=digest, sender=f"asked:{inquiry.subsystem}" if is_seen else "",
        )  # fmt: skip
        numbers = ((finding.now, "now"), (finding.before, "compared"))
        seen = ", ".join(f"{number:.4g} {word}" for number, word in numbers if number is not None)
        text = f"{finding.service} {speaks.words}{f' ({seen})' if seen else ''}, asked of {inquiry.subsystem}"
        if finding.kind.startswith(REASONED) and answer.note:
            text += f"; in the model's own words: \u201c{redacted(answer.note)[:LONGEST_NOTE]}\u201d"
        strength = finding.strength * speaks.most
        found.append(Told(finding.service, finding.kind, strength, speaks.family, text, pointer))
    return sorted(found, key=lambda t: (-t.strength, t.kind, t.service))
