"""What our own detection makes of it: incidents that open by themselves, and those that should not."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import schemas as sc
from bench.diagnosis._model import RULES, Model
from bench.diagnosis._sets import Found, Incident
from diagnosis import Diagnose
from schemas.core import NS, Event, Message, Tick

EARLY_S, LATE_S = 120, 900
"""An incident belongs to a fault if it opens in this stretch around the labelled time."""


def diagnoses(
    anomalies: Sequence[sc.Anomaly], edges: Sequence[sc.TopologyEdge], model: Model, curve: sc.CalibrationMap
) -> list[sc.Diagnosis]:
    """The last revision of each incident that opens by itself, as the diagnose stage says it."""
    stage = Diagnose(model.weights, history=model.history.record, calibration=curve, rules=RULES)
    events = [_message(sc.TOPOLOGY, e, e.id, e.first_ns) for e in edges]
    events += [_message(sc.ANOMALIES, a, a.id, a.end_ns - 1) for a in anomalies]
    events.sort(key=lambda m: (m.event_ns, m.topic, m.header("ce_id")))
    state = stage.initial()
    last: dict[str, sc.Diagnosis] = {}
    through = max((m.event_ns for m in events), default=0)
    last_tick: list[Event] = [Tick(through, final=True)]
    for event in [*events, *last_tick]:
        state, out = stage.step(state, event)
        for emit in out:
            if isinstance(emit, sc.core.Emit) and emit.topic == sc.DIAGNOSES:
                record = sc.read(Message(emit.topic, 0, 0, emit.key, emit.value, emit.headers, emit.event_ns, 0))
                if isinstance(record, sc.Diagnosis):
                    last[record.incident_id] = record
    return sorted(last.values(), key=lambda d: (d.opened_ns, d.id))


def end_to_end(incidents: Sequence[Incident], models: Mapping[str, Model], curve: sc.CalibrationMap) -> dict[str, Any]:
    """ac1: share of all incidents that open by themselves and name the cause first. opened: share that opens.

    before: incidents that opened earlier than the fault.
    """
    opened, right, before = 0, 0, 0
    for one in incidents:
        found = diagnoses(one.everything, one.edges, models[one.id], curve)
        low, high = one.at_ns - EARLY_S * NS, one.at_ns + LATE_S * NS
        mine = [d for d in found if low <= d.opened_ns <= high]
        before += sum(d.opened_ns < low for d in found)
        opened += bool(mine)
        right += bool(mine) and bool(mine[0].hypotheses) and mine[0].hypotheses[0].cause.entity == one.cause
    n = max(len(incidents), 1)
    return {"ac1": round(right / n, 4), "opened": round(opened / n, 4), "opened_before_the_fault": before}


def specificity(
    found: Found, models: Mapping[str, Model], curve: sc.CalibrationMap
) -> tuple[float | None, int, list[float] | None]:
    """Share of fault-free windows in which no cause is named, how many there are, 95 % Wilson interval."""
    windows = named = 0
    for quiet in found.quiet:
        model = models.get(_cause_of(found, quiet.name)) or models[min(models)]
        said = diagnoses(quiet.anomalies, quiet.edges, model, curve)
        times = [d.opened_ns for d in said if d.abstained is None and d.hypotheses]
        for start, end in quiet.windows:
            windows += 1
            named += any(start <= t < end for t in times)
    if not windows:
        return None, 0, None
    share = 1 - named / windows
    return round(share, 4), windows, [round(v, 4) for v in wilson(windows - named, windows)]


def wilson(right: int, n: int, z: float = 1.959963984540054) -> tuple[float, float]:
    """Wilson 1927, two-sided 95 %."""
    p, d = right / n, 1 + z * z / n
    middle, half = (p + z * z / (2 * n)) / d, z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / d
    return max(middle - half, 0.0), min(middle + half, 1.0)


def _cause_of(found: Found, name: str) -> str:
    """The group that an incident's own fault-free stretch belongs to, so that its model has not seen it."""
    return next((one.cause for one in found.incidents if one.id == name), "")


def _message(topic: str, record: sc.Record, id: str, at_ns: int) -> Message:
    emit = sc.emit(topic, record, id=id, key="", source="bench", event_ns=at_ns)
    return Message(emit.topic, 0, 0, emit.key, emit.value, emit.headers, at_ns, at_ns)
