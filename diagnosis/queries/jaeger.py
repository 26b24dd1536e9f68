"""Jaeger: where in the traces of the suspect do errors begin, and where is time spent since the onset?

Recent traces of the service are read whole. A span that failed though none of its children did is where the failure
began; a suspect whose failed spans all have failed children only passes it on. So this confirms an origin and
eliminates those above it: their strength is 0.
Source: Jaeger query service, `GET /api/traces` (the JSON of its user interface; OpenTelemetry `otel.status_code`).
"""

from collections.abc import Mapping
from typing import Any

from diagnosis._contract import Answer, Context, Onset, Parameters, QueryFailed, Speaks, Suspect
from diagnosis.queries._numbers import LEAST, at, compared, items, mean, needed, number, shown

MOST_TRACES = 40
UNREADABLE = "JAEGER_UNREADABLE"


class Jaeger:
    """Counts failed spans of the service that no failed child explains, and compares how long its spans take."""

    kind = "jaeger_origin"
    subsystem = "jaeger"
    version = "1"
    about = "that failures begin in a service, and that its own spans got slower"
    evidence: Mapping[str, Speaks] = {
        "asked_error_origin": Speaks("error", "is where failed traces begin to fail"),
        "asked_span_time": Speaks("latency", "spends more time in its own spans than before"),
    }
    cost = 4.0
    timeout_s = 15.0
    parameters: type[Parameters] = Onset

    def ask(self, suspect: Suspect) -> Onset | None:
        return Onset.of(suspect)

    async def run(self, parameters: Parameters, tenant: str, context: Context) -> Answer:
        """Two reads, before and after. Raises QueryFailed."""
        reader = context.jaeger
        if reader is None or not isinstance(parameters, Onset):
            raise QueryFailed("JAEGER_NOT_SET_UP", "no address of a Jaeger query service is set")
        onset, end = parameters.onset_ns // 1000, max(parameters.end_ns, parameters.onset_ns + 1) // 1000
        read: list[_Seen] = []
        for low, high in ((onset - 900_000_000, onset), (onset, end)):
            query = {"service": parameters.service, "start": str(low), "end": str(high), "limit": str(MOST_TRACES)}
            document: Any = await reader.get("/api/traces", query)
            read.append(_seen(needed(document, UNREADABLE, "data"), parameters.service))
        before, after = read
        found, asked = [], parameters
        if after.spans:
            share = after.began / after.failed if after.failed else 0.0
            found.append(shown("asked_error_origin", asked.service, share, float(after.began), after.spans,
                               asked.onset_ns, asked.end_ns, before=float(after.failed)))  # fmt: skip
        if min(len(before.own_us), len(after.own_us)) >= LEAST:
            found.append(compared("asked_span_time", asked.service, mean(before.own_us), mean(after.own_us),
                                  len(after.own_us), asked.onset_ns, asked.end_ns))  # fmt: skip
        return Answer(findings=found, cost=2.0)


class _Seen:
    """spans of the service, how many failed, how many of those began it, and the time in themselves (us)."""

    def __init__(self) -> None:
        self.spans = self.failed = self.began = 0
        self.own_us: list[float] = []


def _seen(traces: list[Any], service: str) -> _Seen:
    seen = _Seen()
    for trace in traces[:MOST_TRACES]:
        spans = [span for span in items(trace, "spans") if isinstance(at(span, "spanID"), str)]
        below: dict[str, list[Any]] = {}
        for span in spans:
            for told in items(span, "references"):
                if at(told, "refType") == "CHILD_OF" and isinstance(at(told, "spanID"), str):
                    below.setdefault(told["spanID"], []).append(span)
        for span in spans:
            process = at(span, "processID")
            named = at(trace, "processes", process, "serviceName") if isinstance(process, str) else None
            took = number(at(span, "duration"))
            if named != service or took is None or took < 0:
                continue
            children = below.get(span["spanID"], [])
            seen.spans += 1
            inside = sum(max(number(at(child, "duration")) or 0.0, 0.0) for child in children)
            seen.own_us.append(max(took - inside, 0.0))
            if _failed(span):
                seen.failed += 1
                seen.began += not any(_failed(child) for child in children)
    return seen


def _failed(span: Any) -> bool:
    return any(
        (at(tag, "key") == "error" and at(tag, "value") in (True, "true"))
        or (at(tag, "key") == "otel.status_code" and at(tag, "value") == "ERROR")
        for tag in items(span, "tags", most=100)
    )


PLUGIN = Jaeger
