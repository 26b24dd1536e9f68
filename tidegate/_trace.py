"""One trace an incident: when each hop on its way was written, from the topics alone, and what of the budget it took.

Kafka keeps when a record was written, and every record of ours says which event time it is of; so the way of an
incident can be read afterwards, without any clock in a stage. The trace id is the id of the incident, and every
control record carries it as `traceparent` (W3C Trace Context), for whoever acts on it to go on with the same trace.

    fault -> received (-> normalised) -> framed -> time passed -> anomaly -> incident -> diagnosis -> decision

`normalised` is there where the series is derived from logs or spans. `time passed` is when the last writer of the
partition had said that the window is complete: lateness is spent there.
"""

import json
import urllib.request
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

import schemas as sc
from schemas import why
from schemas._events import span_id, trace_id
from schemas.core import NS, U64, Message
from streams import FROM, PANE_NS, made_of
from tidegate._errors import NotFoundError, TidegateError
from tidegate._run import Kept, find

BUDGET_S = {"anomaly": 25.0, "decision": 45.0}
"""From the fault to this hop, p95."""
PLAYED_S = 3600.0  # a wait longer than this is no latency: somebody played what was recorded before


class Hop(NamedTuple):
    """name: what was reached. at_ns: wall time. record: where it can be found."""

    name: str
    at_ns: int
    record: str = ""


@dataclass(frozen=True, slots=True)
class Trace:
    incident_id: str
    title: str
    hops: tuple[Hop, ...]
    notes: tuple[str, ...] = ()

    def document(self) -> dict[str, Any]:
        """Hops with what each took, and the budgets they are to keep."""
        at = {hop.name: hop.at_ns for hop in self.hops}
        start = self.hops[0].at_ns
        whole_s = BUDGET_S["decision"]
        took = [0.0, *((b.at_ns - a.at_ns) / NS for a, b in pairwise(self.hops))]
        hops = [
            {"hop": hop.name, "at": sc.rfc3339(hop.at_ns), "took_s": round(s, 3),
             "since_s": round((hop.at_ns - start) / NS, 3), "share_of_budget": round(s / whole_s, 4),
             "record": hop.record}
            for hop, s in zip(self.hops, took, strict=True)
        ]  # fmt: skip
        budgets = [
            {"until": name, "limit_s": limit, "took_s": round((at[name] - start) / NS, 3),
             "is_kept": (at[name] - start) / NS <= limit}
            for name, limit in BUDGET_S.items() if name in at
        ]  # fmt: skip
        return {
            "incident": self.incident_id, "trace_id": trace_id(self.incident_id), "title": self.title, "hops": hops,
            "budget": budgets, "notes": list(self.notes),
        }  # fmt: skip

    def otlp(self, version: str) -> dict[str, Any]:
        """The same as spans, one a hop below the whole, as OTLP/HTTP takes them in JSON (opentelemetry-proto 1.x)."""
        trace, root = trace_id(self.incident_id), span_id(self.incident_id)
        first, last = self.hops[0], self.hops[-1]
        spans = [_span(trace, root, "", "incident", first.at_ns, last.at_ns,
                       {"incident_id": self.incident_id, "title": self.title})]  # fmt: skip
        for before, hop in pairwise(self.hops):
            named = span_id(f"{self.incident_id}/{hop.name}")
            spans.append(_span(trace, named, root, hop.name, before.at_ns, hop.at_ns, {"record": hop.record}))
        scope = {"scope": {"name": "tidegate", "version": version}, "spans": spans}
        return {"resourceSpans": [{"resource": {"attributes": _attributes({"service.name": "tidegate"})},
                                   "scopeSpans": [scope]}]}  # fmt: skip


@dataclass(slots=True)
class Way:
    """What the topics hold of one incident, before the telemetry behind it was looked up."""

    incident: sc.Incident
    hops: list[Hop]
    first: sc.Anomaly | None
    """The anomaly that was written first."""
    fault_ns: int = 0
    notes: list[str] = field(default_factory=list)

    @property
    def stretch(self) -> tuple[int, int]:
        """Event time whose telemetry is of interest."""
        at = self.first
        return (at.start_ns, at.end_ns) if at else (0, 0)

    @property
    def series(self) -> U64:
        """Ids (n,) of the series that was anomalous first, and of those that the windower made it of."""
        if (at := self.first) is None:
            return np.empty(0, np.uint64)
        return np.append(np.uint64(int(at.series, 16)), made_of(at.tenant, at.entity_id, at.name, at.labels))


def way_of(control: Iterable[Message], anomalies: Iterable[Message], name: str, *, fault_ns: int = 0) -> Way:
    """Hops from the anomaly to the decision. name: as `tidegate explain` takes it. fault_ns: when it is known.

    Otherwise the fault is taken to begin with the last pane of the window that was anomalous first: windows that ended
    earlier were not. Of what was written twice the first counts. Raises NotFoundError.
    """
    messages = list(control)
    diagnosis, _ = find(Kept.of(messages), name)
    identity = diagnosis.incident_id
    incidents = _of(messages, sc.Incident, lambda record: record.id == identity)
    diagnoses = _of(messages, sc.Diagnosis, lambda record: record.incident_id == identity)
    decisions = _of(messages, sc.ActionEvent, lambda r: r.incident_id == identity and r.decision is not None)
    if not incidents:
        raise NotFoundError(f"there is no record of incident {identity}", todo="Is it older than the topic keeps?")
    used = {e.pointer.sha256 for d, _ in diagnoses for h in d.hypotheses for e in h.evidence if e.pointer}
    opened = incidents[0][0]
    told = _of(anomalies, sc.Anomaly, lambda a: a.pointer.sha256 in used or a.entity_id in opened.entities)
    hops, notes = [], []
    first = _opener(told, opened, used)
    if first is None:
        notes.append("no anomaly of this incident is kept any more, so its fault and telemetry are not known")
    else:
        fault_ns = fault_ns or max(first[0].start_ns, first[0].end_ns - PANE_NS)
        hops.append(hop_of("anomaly", first[1]))
    for step, records in (("incident", incidents), ("diagnosis", diagnoses), ("decision", decisions)):
        if records:
            hops.append(hop_of(step, records[0][1]))
        else:
            notes.append(f"there is no {step} (yet)")
    return Way(incidents[0][0], hops, first[0] if first else None, fault_ns, notes)


def _opener(
    told: list[tuple[sc.Anomaly, Message]], incident: sc.Incident, used: set[str]
) -> tuple[sc.Anomaly, Message] | None:
    """The anomaly with which the incident began, and its message; None if none is kept.

    Of those that are evidence the one that was written first; but what ended after the incident had opened cannot
    have opened it. If only such ones are evidence, then the last one of its entities before the opening.
    """
    before = [pair for pair in told if pair[0].end_ns <= incident.opened_ns]
    evidence = [pair for pair in before if pair[0].pointer.sha256 in used]
    if evidence:
        return min(evidence, key=lambda pair: (pair[1].received_ns, pair[0].end_ns, pair[0].id))
    if before:
        return min(before, key=lambda pair: (-pair[0].end_ns, pair[1].received_ns, pair[0].id))
    return min(told, key=lambda pair: (pair[1].received_ns, pair[0].end_ns, pair[0].id), default=None)


def telemetry_hops(way: Way, frames: Iterable[Message], partition: int) -> tuple[list[Hop], dict[str, Message]]:
    """When the points of the first anomaly were framed, and time had passed them; and the last frame of each writer.

    Time had passed when the last writer said so, or said that it is idle and holds nothing back. What was written
    after the anomaly was not waited for: a writer that came later.

    frames: messages of the frames topic around the window. Both are missing where the series is not in frames.
    """
    if way.first is None:
        return [], {}
    start, end = way.stretch
    series = way.series
    framed: dict[str, Message] = {}
    passed: dict[bytes, Message] = {}
    for message in frames:
        if message.partition != partition or message.received_ns > way.hops[0].at_ns:
            continue
        if sc.record_type(message) == "watermark":
            mark = sc.read(message)
            if isinstance(mark, sc.Watermark):
                if mark.through_ns >= end or mark.idle:
                    passed.setdefault(message.key, message)
                else:
                    passed.pop(message.key, None)  # it holds time back, perhaps once more
        elif not sc.record_type(message):
            frame = sc.decode_frame(message.value)
            if (np.isin(frame.series, series) & (frame.t >= start) & (frame.t < end)).any():
                framed[message.header(FROM)] = _later(framed.get(message.header(FROM)), message)
    hops = [hop_of(name, newest(found)) for name, found in (("framed", framed), ("time passed", passed)) if found]
    return hops, framed


def last_by(
    messages: Iterable[Message], log_of: Callable[[Message], str], holds: Callable[[Message], bool]
) -> dict[str, Message]:
    """The last message of each log, in the order of writing, of those of which `holds` says yes."""
    found: dict[str, Message] = {}
    for message in messages:
        known = found.get(log := log_of(message))
        if _later(known, message) is message and holds(message):
            found[log] = message
    return found


def _later(known: Message | None, message: Message) -> Message:
    return message if known is None or message.received_ns > known.received_ns else known


def newest(messages: Mapping[Any, Message]) -> Message:
    """The one that was written last."""
    return max(messages.values(), key=lambda message: message.received_ns)


def traced(way: Way, telemetry: Iterable[Hop]) -> Trace:
    """Everything in order. Where telemetry was played long after it happened, that wait is left out and noted."""
    hops = [*telemetry, *way.hops]
    notes = list(way.notes)
    if way.fault_ns:
        hops.insert(0, Hop("fault", way.fault_ns))
    for n, (before, after) in enumerate(pairwise(hops)):
        if abs(after.at_ns - before.at_ns) / NS > PLAYED_S:
            notes.append(
                f"{(after.at_ns - before.at_ns) / NS:,.0f} s lie between '{before.name}' and '{after.name}': the "
                f"telemetry was played, or the pipeline caught up; the trace begins with '{after.name}'"
            )
            hops = hops[n + 1 :]
            break
    return Trace(way.incident.id, way.incident.title, tuple(hops), tuple(notes))


def send(trace: Trace, url: str, version: str) -> None:
    """Post the spans to OTLP/HTTP. Raises TidegateError TRACE_NOT_TAKEN."""
    body = json.dumps(trace.otlp(version)).encode()
    place = f"{url.rstrip('/')}/v1/traces"
    request = urllib.request.Request(place, body, {"Content-Type": "application/json"}, method="POST")
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            answer.read(1 << 16)
    except OSError as error:
        raise TidegateError(
            f"the trace was not taken: {why(error)}", where=place, todo="Check shards.otlp_url", code="TRACE_NOT_TAKEN"
        ) from error


def _of(messages: Iterable[Message], kind: Any, is_meant: Callable[[Any], bool]) -> list[tuple[Any, Message]]:
    """Records of a kind with their messages, in the order in which they were written first."""
    found = []
    for message in messages:
        if sc.record_type(message) == kind.TYPE:
            record = sc.read(message)
            if is_meant(record):
                found.append((record, message))
    return sorted(found, key=lambda pair: (pair[1].received_ns, pair[1].offset))


def hop_of(name: str, message: Message) -> Hop:
    """Reached when this record was written."""
    return Hop(name, message.received_ns, f"{message.topic}/{message.partition}@{message.offset}")


def _attributes(values: Mapping[str, str]) -> list[dict[str, Any]]:
    return [{"key": key, "value": {"stringValue": value}} for key, value in values.items()]


def _span(
    trace: str, span: str, parent: str, name: str, start_ns: int, end_ns: int, values: Mapping[str, str]
) -> dict[str, Any]:
    return {
        "traceId": trace, "spanId": span, **({"parentSpanId": parent} if parent else {}), "name": name, "kind": 1,
        "startTimeUnixNano": str(start_ns), "endTimeUnixNano": str(max(end_ns, start_ns)),
        "attributes": _attributes(values),
    }  # fmt: skip
