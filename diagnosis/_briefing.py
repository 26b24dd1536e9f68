"""A briefing: what a person needs to judge an incident in a minute, as plain text in sections.

What broke, since when, how far it reaches, ranked causes with bars and intervals, evidence for and against, what was
ruled out and how, what is not known, what is proposed and whether it can be undone. Nothing is made up: what no record
says is listed as not known. A confidence is only called one where it is calibrated; a score is never drawn as one.

Telemetry is written by whoever can write telemetry. All text goes through `plain`, which takes out everything that
could steer a terminal or reorder what is read; the renderers escape what is left.
"""

import re
import unicodedata
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from diagnosis._lost import SPANS_LOST
from diagnosis._unheard import SERVICE_SILENT
from schemas import ActionEvent, Anomaly, Change, Diagnosis, Evidence, Hypothesis, Incident, TopologyEdge, rfc3339

HEADLINE = 200
WIDTHS = ((40, 30, True), (26, 16, True), (20, 12, False), (14, 10, False))
"""How the first line is made shorter, until it fits; the last one always does."""
LONGEST = 300
CAUSES = 3
PIECES = 6
NO_FAULT, UNKNOWN = "no_fault", "unknown"
NOVEL = "NOVEL"
LIKE_NOTHING = 0.3  # likeness to confirmed causes below which it is said; a choice, not tuned
PRECEDENTS = ("incident", "postmortem")
OWNER = "owner"
_NOT_ASKED = (SPANS_LOST, SERVICE_SILENT)
MOST_FOUND = 3
_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,59}")
MOST_NOTICED = 5
BASIS = {
    "UNCALIBRATED": "not calibrated: the score orders, and is not a probability",
    "TRANSFERRED": "fitted on public incidents, not on yours: for advice only",
    "OWN": "fitted on your own outcomes",
}


class Line(NamedTuple):
    """One line. bar: 0 to 1, or None. interval: around the bar. depth: 0, or 1 below the line before."""

    text: str
    bar: float | None = None
    interval: tuple[float, float] | None = None
    depth: int = 0


class Section(NamedTuple):
    title: str
    lines: tuple[Line, ...]


class Briefing(NamedTuple):
    """headline: at most 200 characters, without control characters. Sections in the order in which they are read."""

    incident_id: str
    headline: str
    sections: tuple[Section, ...]


class Found(NamedTuple):
    """Something on record that may help. kind: `incident`, `postmortem`, `runbook`, `slo`, `owner` and so on."""

    kind: str
    title: str
    text: str = ""
    at_ns: int = 0


class Known(NamedTuple):
    """The records of one incident. actions: its events in the order of writing. changes, edges: may hold others.

    found: what the context store holds of it, best first; None where nobody searched. business: anomalies of business
    metrics of its time, whoever they are about; None where nobody looked.
    """

    diagnosis: Diagnosis
    incident: Incident | None = None
    actions: tuple[ActionEvent, ...] = ()
    changes: Mapping[str, Change] = {}
    edges: tuple[TopologyEdge, ...] = ()
    found: tuple[Found, ...] | None = None
    business: tuple[Anomaly, ...] | None = None


def brief(known: Known) -> Briefing:
    """The briefing on the records that there are; a pure function of them."""
    sections = (
        Section("What and since when", tuple(_what(known))),
        Section("Impact", tuple(_impact(known))),
        Section("Probable causes", tuple(_causes(known))),
        Section("Ruled out, or spoken against", tuple(_against(known))),
        Section("Seen before", tuple(_precedent(known))),
        Section("Not known", tuple(_unknown(known))),
        Section("Proposed", tuple(_proposed(known))),
        Section("Look further", tuple(_further(known))),
    )
    return Briefing(known.diagnosis.incident_id, headline(known), sections)


def headline(known: Known) -> str:
    """What broke, since when, the cause with its confidence or "unknown", the proposal, reversible or not.

    Where that is longer than 200 characters, names are cut and the state of the proposal is left out, never the rest.
    """
    return next(said for widths in WIDTHS if len(said := _said(known, *widths)) <= HEADLINE)


def _said(known: Known, names: int, more: int, has_state: bool) -> str:
    """names: most characters of the names of services and of the verb, more: of the family and of a reason."""
    services = _services(known)
    what = plain(services[0], names) if services else "something"
    others = f" and {len(services) - 1} more" if len(services) > 1 else ""
    since = rfc3339(_onset(known))[:19] + "Z"
    proposal = _last(known)
    if proposal is None:
        todo = "no proposal"
    else:
        undo = "reversible" if proposal.change.is_reversible else "not reversible"
        state = f", {proposal.state.replace('_', ' ')}" if has_state else ""
        todo = f"proposed: {plain(proposal.change.verb, names)}, {undo}{state}"
    how = "not ill yet, foreseen" if _is_foreseen(known.diagnosis) else "disturbed"
    return f"{what}{others} {how} since {since}; {_short_cause(known.diagnosis, names, more)}; {todo}"


def _is_foreseen(diagnosis: Diagnosis) -> bool:
    return bool(diagnosis.hypotheses) and diagnosis.hypotheses[0].cause.family.endswith("_ahead")


def plain(text: str, longest: int = LONGEST) -> str:
    """One line of visible characters, cut, `?` for none: no control, format, surrogate or private ones."""
    visible = "".join(" " if c.isspace() else c for c in text if c.isspace() or unicodedata.category(c)[0] != "C")
    line = " ".join(visible.split()) or "?"
    return line if len(line) <= longest else line[: longest - 3] + "..."


def _short_cause(diagnosis: Diagnosis, names: int, more: int) -> str:
    if diagnosis.abstained == NOVEL:
        return "cause unknown, without precedent"
    if diagnosis.abstained is not None or not diagnosis.hypotheses:
        return f"cause unknown ({plain(diagnosis.abstained or 'NO_HYPOTHESIS', more)})"
    first = diagnosis.hypotheses[0]
    if first.cause.family == NO_FAULT:
        return f"probably no fault ({_confidence(first)})"
    if first.cause.family == UNKNOWN:
        return f"cause unknown ({_confidence(first)})"
    return f"cause {plain(first.cause.entity, names)} ({plain(first.cause.family, more)}), {_confidence(first)}"


def _confidence(hypothesis: Hypothesis) -> str:
    if hypothesis.confidence is None:
        return "not calibrated"
    low, high = hypothesis.interval or (hypothesis.confidence, hypothesis.confidence)
    basis = ", public data" if hypothesis.confidence_state == "TRANSFERRED" else ""
    return f"confidence {hypothesis.confidence:.2f} [{low:.2f}, {high:.2f}]{basis}"


def _services(known: Known) -> list[str]:
    """Plain names, most anomalous first; of instances and others only where no service is known."""
    incident = known.incident
    entities = (incident.entities if incident else []) or known.diagnosis.entities
    services = [entity for entity in entities if "/service/" in entity] or entities
    return list(dict.fromkeys(entity.split("/")[-1] for entity in services))


def _onset(known: Known) -> int:
    """When the first window ended that speaks for the top cause; else when the incident opened."""
    causes = known.diagnosis.hypotheses[:1]
    ends = [e.pointer.t_max_ns for h in causes for e in h.evidence if e.pointer and e.supports]
    return min([known.diagnosis.opened_ns, *ends])


def _what(known: Known) -> Iterable[Line]:
    diagnosis = known.diagnosis
    if known.incident is not None:
        yield Line(plain(known.incident.title))
    yield Line(
        f"first sign {rfc3339(_onset(known))[:19]}Z, opened {rfc3339(diagnosis.opened_ns)[:19]}Z, "
        f"as of {rfc3339(diagnosis.as_of_ns)[:19]}Z (revision {diagnosis.revision})"
    )
    if known.incident is not None and known.incident.state != "open":
        yield Line(f"the incident is {known.incident.state}")


def _impact(known: Known) -> Iterable[Line]:
    services = _services(known)
    if services:
        yield Line(f"disturbed: {', '.join(plain(name, 60) for name in services[:10])}{_rest(len(services), 10)}")
    ill, callers = set(services), set[str]()
    for edge in known.edges:
        if edge.callee.split("/")[-1] in ill and edge.caller.split("/")[-1] not in ill:
            callers.add(edge.caller.split("/")[-1])
    if callers:
        found = sorted(callers)
        yield Line(f"they are called by {', '.join(plain(name, 60) for name in found[:10])}{_rest(len(found), 10)}")
    yield from _promised(known)
    yield from _noticed(known)
    incident = known.incident
    if incident is not None and incident.owner is not None:
        asked = ", then ".join(plain(name, 60) for name in incident.escalation[:5])
        yield Line(f"owner: {plain(incident.owner, 100)}{f'; escalation: {asked}' if asked else ''}")
    for one in known.found or ():
        if one.kind == OWNER and (incident is None or one.title != incident.owner):
            yield Line(f"owner: {plain(one.title, 100)}{_text(one)}")
    yield Line(
        f"severity {known.diagnosis.severity:.1f} (sum of the strongest surprise of each service{_more(incident)}, "
        "for sorting)"
    )


def _more(incident: Incident | None) -> str:
    is_lost = incident is not None and (incident.customer_impact or incident.business)
    return ", and what customers and business lose" if is_lost else ""


def _promised(known: Known) -> Iterable[Line]:
    """What customers were promised and do not get."""
    for one in (known.incident.customer_impact if known.incident else None) or ():
        named = f" ({plain(one.title, 60)})" if one.title else ""
        if one.of == "latency":
            what = f"requests took {one.observed:.3g} s, promised are {one.most:.3g} s at most"
        else:
            of = f" of {one.requests}" if one.requests else ""
            what = f"{one.observed:.2%}{of} requests failed, promised are {one.most:.3g} of all at most"
        yield Line(
            f"customers: {plain(one.service, 60)}{named}: {what}, {one.observed / one.most:.3g} times as much, at "
            f"{rfc3339(one.end_ns)[:19]}Z"
        )


def _noticed(known: Known) -> Iterable[Line]:
    """The least probable window of each business metric; those of the disturbed services and their callers first."""
    ill = set(_services(known))
    near = ill | {e.caller.split("/")[-1] for e in known.edges if e.callee.split("/")[-1] in ill}
    worst: dict[str, Anomaly] = {}
    for one in known.business or ():
        kept = worst.get(one.series)
        if kept is None or (one.p_value, one.id) < (kept.p_value, kept.id):
            worst[one.series] = one
    order = sorted(worst.values(), key=lambda one: (one.service not in near, one.p_value, one.id))
    for one in order[:MOST_NOTICED]:
        labels = "".join(f", {plain(name, 30)} {plain(value, 30)}" for name, value in sorted(one.labels.items())[:3])
        unit = f" {plain(one.unit, 20)}" if one.unit not in ("", "1") else ""
        elsewhere = "" if one.service in near else "; not of these services, but at the same time"
        yield Line(
            f"business: {plain(one.name, 60)} of {plain(one.service, 60)}{labels}: {_number(one.observed)} instead of "
            f"{_number(one.expected)}{unit} at {rfc3339(one.end_ns)[:19]}Z{elsewhere}"
        )
    if len(order) > MOST_NOTICED:
        yield Line(f"business: {len(order) - MOST_NOTICED} more metrics out of the ordinary")


def _number(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.4g}"


def _causes(known: Known) -> Iterable[Line]:
    diagnosis = known.diagnosis
    if diagnosis.abstained is not None:
        yield Line(f"no cause is named: {plain(diagnosis.abstained)}")
    shown = diagnosis.hypotheses[:CAUSES]
    for rank, hypothesis in enumerate(shown, 1):
        cause = hypothesis.cause
        change = known.changes.get(cause.change or "")
        named = f": {plain(change.title, 80)} at {rfc3339(change.at_ns)[:19]}Z" if change else ""
        yield Line(
            f"{rank}. {plain(cause.entity, 80)}, {plain(cause.family, 40)}{named} ({_confidence(hypothesis)})",
            hypothesis.confidence, hypothesis.interval,
        )  # fmt: skip
        pieces = sorted((e for e in hypothesis.evidence if e.supports), key=lambda e: -e.weight)
        yield from (_piece(evidence) for evidence in pieces[:PIECES])
        if len(pieces) > PIECES:
            yield Line(f"{len(pieces) - PIECES} weaker pieces of evidence", depth=1)
    if shown:
        yield Line(BASIS[shown[0].confidence_state])


def _piece(evidence: Evidence) -> Line:
    return Line(f"{evidence.weight:+.2f} {plain(evidence.text)}", depth=1)


def _against(known: Known) -> Iterable[Line]:
    found = False
    for hypothesis in known.diagnosis.hypotheses:
        pieces = [evidence for evidence in hypothesis.evidence if not evidence.supports]
        if pieces:
            found = True
            yield Line(f"{plain(hypothesis.cause.entity, 80)}, {plain(hypothesis.cause.family, 40)}")
            yield from (_piece(evidence) for evidence in sorted(pieces, key=lambda e: e.weight)[:PIECES])
    if not found:
        yield Line("nothing speaks against any of the causes, and nothing was ruled out")


def _precedent(known: Known) -> Iterable[Line]:
    """Whether anything like it is confirmed, and what is on record of these services."""
    diagnosis = known.diagnosis
    likeness = diagnosis.standing.likeness if diagnosis.standing else None
    of_one = "" if likeness is None else f" (likeness {likeness:.2f} of 1)"
    if diagnosis.abstained == NOVEL:
        yield Line(f"WITHOUT PRECEDENT: it resembles no confirmed cause{of_one}; nothing that was learned applies")
    elif likeness is not None and likeness < LIKE_NOTHING:
        yield Line(f"it hardly resembles any confirmed cause{of_one}")
    elif likeness is not None:
        yield Line(f"it resembles confirmed causes{of_one}")
    if known.found is None:
        yield Line("past incidents were not searched (tidegate brief --context FILE)")
        return
    past = [one for one in known.found if one.kind in PRECEDENTS]
    for one in past[:MOST_FOUND]:
        when = f"{rfc3339(one.at_ns)[:10]} " if one.at_ns else ""
        yield Line(f"{when}{plain(one.kind, 20)}: {plain(one.title, 120)}")
        if one.text:
            yield Line(plain(one.text, 200), depth=1)
    if not past:
        yield Line("no past incident of these services is on record")


def _unknown(known: Known) -> Iterable[Line]:
    diagnosis = known.diagnosis
    if diagnosis.completeness < 1:
        is_asked = any(one.reason not in _NOT_ASKED for one in diagnosis.unknown)
        and_more = " or was asked for and not answered" if is_asked else ""
        yield Line(f"{1 - diagnosis.completeness:.0%} of the expected telemetry is missing{and_more}")
    lost = [one for one in diagnosis.unknown if one.reason == SPANS_LOST]
    if lost:
        share = f"{diagnosis.standing.lost:.0%} of the" if diagnosis.standing is not None else "some"
        names = ", ".join(plain(one.service, 60) for one in lost[:5])
        yield Line(f"spans are lost: {share} calls of {names} lack the span of their caller")
    silent = [one for one in diagnosis.unknown if one.reason == SERVICE_SILENT]
    for signal in dict.fromkeys(one.subsystem for one in silent):
        hushed = [plain(one.service, 60) for one in silent if one.subsystem == signal]
        more = f" and {len(hushed) - 5} more" if len(hushed) > 5 else ""
        yield Line(f"{signal} fell silent of {', '.join(hushed[:5])}{more}: the worst is taken of what they would show")
    asked = [one for one in diagnosis.unknown if one.reason not in _NOT_ASKED]
    for question in asked[:10]:
        yield Line(
            f"{plain(question.query, 60)} of {plain(question.service, 60)} ({plain(question.subsystem, 40)}): "
            f"{plain(question.reason, 60)}"
        )
    if len(asked) > 10:
        yield Line(f"{len(asked) - 10} more questions without an answer")
    incident = known.incident
    if incident is None or incident.customer_impact is None:
        yield Line("objectives: none of these services is on record")
    elif not incident.customer_impact:
        yield Line("objectives: no window was seen to miss one")
    if (incident is None or incident.owner is None) and not any(one.kind == OWNER for one in known.found or ()):
        yield Line("owner: nobody has said whose these services are")
    if not known.business:
        looked = "no business metric was out of the ordinary" if known.business is not None else "no record says"
        yield Line(f"what customers notice: {looked}")


def _proposed(known: Known) -> Iterable[Line]:
    last: dict[str, ActionEvent] = {event.action_id: event for event in known.actions}
    for event in last.values():
        change, decision = event.change, event.decision
        undo = f"undo: {plain(change.undo_verb or '', 60)}" if change.is_reversible else "cannot be undone"
        yield Line(f"{plain(change.verb, 60)} on {plain(change.target, 120)}: {event.state.replace('_', ' ')}; {undo}")
        exact = ", ".join(f"{name} = {value}" for name, value in sorted(change.parameters.items()))
        yield Line(plain(f"exactly: {exact or 'no parameters'} (runbook {change.runbook})"), depth=1)
        if decision is not None:
            rules = ", ".join(decision.policies) or "no rule"
            must = f"; needs {', '.join(decision.obligations)}" if decision.obligations else ""
            yield Line(plain(f"policy: {decision.effect}, {decision.reason} by {rules}{must}"), depth=1)
    if not last:
        yield Line("nothing: no runbook applies, or no decision was made yet")


def _further(known: Known) -> Iterable[Line]:
    name = known.diagnosis.incident_id[:8]
    for one in [one for one in known.found or () if one.kind not in (*PRECEDENTS, OWNER)][: 2 * MOST_FOUND]:
        yield Line(f"{plain(one.kind, 20)}: {plain(one.title, 100)}{_text(one)}")
    yield from _labels(known, name)
    yield Line(f"tidegate explain {name}: data, rules, versions and people behind it")
    yield Line(f"tidegate trace {name}: when each hop was written (on Kafka)")
    for version, digest in sorted(known.diagnosis.versions.items()):
        yield Line(f"{plain(version, 40)} {plain(digest, 90)}")


def _labels(known: Known, name: str) -> Iterable[Line]:
    """What to copy once the cause is known. A name that a shell could read as more than a word is not offered."""
    for one in known.diagnosis.hypotheses[:CAUSES]:
        if _WORD.fullmatch(one.cause.entity) and _WORD.fullmatch(one.cause.family):
            family = "" if one.cause.family == UNKNOWN else f" --family {one.cause.family}"
            yield Line(f"it was {one.cause.entity}: tidegate label {name} --cause {one.cause.entity}{family}")
    yield Line(f"it was nothing, or nobody found out: tidegate label {name} --no-fault, or --unknown")


def _text(found: Found) -> str:
    return f": {plain(found.text, 160)}" if found.text else ""


def _last(known: Known) -> ActionEvent | None:
    """The last state of the first change that would change a system, else of the first proposal."""
    last: dict[str, ActionEvent] = {event.action_id: event for event in known.actions}
    events = list(last.values())
    return next(
        (event for event in events if not event.change.verb.startswith("notify.")), events[0] if events else None
    )


def _rest(number: int, shown: int) -> str:
    return f" and {number - shown} more" if number > shown else ""
