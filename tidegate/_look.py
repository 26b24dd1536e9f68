"""A look at a Prometheus: what Tidegate would have raised in its last days, beside what did fire. Reads only.

The history is read in chunks of six hours and goes, as a recording would, through the very stages that run live; a
page is written after the last day or two already, so that there is something to see within minutes, and again after
the whole stretch, with baselines that have learned from it. Nothing is sent anywhere, nothing can act.
"""

import itertools
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

import schemas as sc
from schemas.core import NS, Message
from streams import KIND, SOURCE, RecordingWriter
from streams._columns import KIND as COLUMNS
from streams._columns import encode
from streams._prometheus_labels import service_of
from tidegate import _pipeline, _replay
from tidegate._instances import Silent, silent_of
from tidegate._look_read import CHUNK_S, Column, History, Plan, Raised
from tidegate._settings import Settings

SENDER = "prometheus/metrics"
SHIFT_S = 8 * 3600
_SLAB_STEPS = 60
_BEFORE_NS, _AFTER_NS = 1800 * NS, 600 * NS
Progress = Callable[[float], None]


@dataclass(frozen=True, slots=True)
class Found:
    """An incident that would have been raised, and the alert that fired beside it, if one did."""

    id: str
    title: str
    services: tuple[str, ...]
    start_ns: int
    end_ns: int
    cause: str
    severity: float
    alert: Raised | None = None
    ahead_s: float | None = None
    """How much earlier than the alert, negative if later."""


@dataclass(slots=True)
class Look:
    """What was seen. missed: alerts beside which nothing would have been raised."""

    start_ns: int
    end_ns: int
    step_s: int
    plan: Plan
    samples: int = 0
    found: list[Found] = field(default_factory=list)
    alerts: list[Raised] = field(default_factory=list)
    missed: list[Raised] = field(default_factory=list)
    candidates: list[tuple[str, str, int]] = field(default_factory=list)
    """Verb, service, how often it would have been proposed; most often first."""
    silent: Silent = field(default_factory=lambda: Silent([], []))
    cpu_s: float = 0.0
    wall_s: float = 0.0

    @property
    def shifts(self) -> float:
        return max((self.end_ns - self.start_ns) / NS / SHIFT_S, 1e-9)

    def document(self) -> dict[str, Any]:
        """The JSON object that `tidegate look --json` prints."""
        ahead = sorted(f.ahead_s for f in self.found if f.ahead_s is not None)
        return {
            "from": sc.rfc3339(self.start_ns), "to": sc.rfc3339(self.end_ns), "step_s": self.step_s,
            "series": self.plan.series, "metrics": len(self.plan.metrics), "metrics_left": len(self.plan.left),
            "samples": self.samples, "incidents": len(self.found), "alerts": len(self.alerts),
            "alerts_missed": len(self.missed), "beside_an_alert": len(ahead),
            "ahead_s_median": ahead[len(ahead) // 2] if ahead else None,
            "pages_per_shift": round(len(self.found) / self.shifts, 3),
            "alerts_per_shift": round(len(self.alerts) / self.shifts, 3),
            "found": [
                {
                    "id": f.id, "title": f.title, "services": list(f.services), "opened": sc.rfc3339(f.start_ns),
                    "closed": sc.rfc3339(f.end_ns), "cause": f.cause, "alert": f.alert.name if f.alert else None,
                    "ahead_s": f.ahead_s,
                }
                for f in self.found
            ],
            "missed": [{"alert": m.name, "service": m.service, "at": sc.rfc3339(m.start_ns)} for m in self.missed],
            "candidates": [{"verb": v, "service": s, "times": n} for v, s, n in self.candidates],
            "instances_lost": [
                {"instance": one.entity_id, "series": one.series, "since": sc.rfc3339(one.since_ns)}
                for one in self.silent.lost
            ],
            "instances_replaced": [
                {"instance": one.entity_id, "by": one.aliases, "since": sc.rfc3339(one.last_ns)}
                for one in self.silent.replaced
            ],
            "cpu_s": round(self.cpu_s, 1), "wall_s": round(self.wall_s, 1),
        }  # fmt: skip


def look(
    history: History, settings: Settings, *, start_ns: int, end_ns: int, step_s: int, most: int,
    alerts: Sequence[Raised] | None = None, keep: Path | None = None, on_progress: Progress = lambda share: None,
) -> Look:  # fmt: skip
    """One pass over [start, end). alerts: those of an export, else the `ALERTS` series are asked. keep: a recording.

    Raises LookError, RecordingError.
    """
    began = time.monotonic()
    start_ns, end_ns = (ns // (step_s * NS) * step_s * NS for ns in (start_ns, end_ns))
    plan = history.plan(end_ns, most)
    seen = Look(start_ns, end_ns, step_s, plan)
    if alerts is None:
        alerts = history.alerts(start_ns, end_ns, max(step_s, 60), service_of)
    seen.alerts = [raised for raised in alerts if raised.end_ns > start_ns and raised.start_ns < end_ns]
    messages = _messages(history, seen, on_progress)
    if keep is None:
        run = _replay.replay(messages, _pipeline.build(settings))
    else:
        with RecordingWriter(keep, created_by="tidegate look") as writer:
            run = _replay.replay(_kept(messages, writer), _pipeline.build(settings))
    _judge(seen, run)
    seen.silent = silent_of(run.messages)
    seen.cpu_s, seen.wall_s = run.cpu_s, time.monotonic() - began
    return seen


def _messages(history: History, seen: Look, on_progress: Progress) -> Iterator[Message]:
    """Columns in order of time, an hour of steps a message, and the mark that nothing more comes."""
    number = itertools.count()
    last = seen.start_ns
    width = CHUNK_S * NS
    for begin in range(seen.start_ns, seen.end_ns, width):
        end = min(begin + width, seen.end_ns)
        columns = list(history.chunk(seen.plan, begin, end, seen.step_s))
        for body, newest, samples in _slabs(columns, seen.plan, seen.step_s):
            seen.samples += samples
            last = newest
            yield _message(next(number), body, newest)
        on_progress((end - seen.start_ns) / (seen.end_ns - seen.start_ns))
    mark = sc.Watermark(stage=f"source:{SENDER}", through_ns=last, final=True)
    said = sc.emit(sc.RAW, mark, id=sc.record_id("watermark", SENDER, last), key="", source="look", event_ns=last)
    yield Message(sc.RAW, 0, next(number), said.key, said.value, said.headers, last, last)


def _slabs(columns: list[Column], plan: Plan, step_s: int) -> Iterator[tuple[bytes, int, int]]:
    """Body, newest time and samples of each stretch of `_SLAB_STEPS` steps that holds any."""
    if not columns:
        return
    series = [(column.labels, plan.kinds.get(column.labels.get("__name__", ""), "")) for column in columns]
    which = np.repeat(np.arange(len(columns), dtype=np.int32), [len(column.t) for column in columns])
    t = np.concatenate([column.t for column in columns])
    value = np.concatenate([column.value for column in columns])
    order = np.argsort(t, kind="stable")
    which, t, value = which[order], t[order], value[order]
    slab = (t - t[0]) // (_SLAB_STEPS * step_s * NS)
    for piece in np.split(np.arange(len(t)), np.flatnonzero(np.diff(slab)) + 1):
        yield encode(series, which[piece], t[piece], value[piece]), int(t[piece[-1]]), len(piece)


def _message(number: int, body: bytes, newest_ns: int) -> Message:
    headers = ((KIND, COLUMNS.encode()), (SOURCE, SENDER.encode()))
    return Message(sc.RAW, 0, number, b"", body, headers, newest_ns, newest_ns)


def _kept(messages: Iterator[Message], writer: RecordingWriter) -> Iterator[Message]:
    for message in messages:
        writer.append(message)
        yield message


def _judge(seen: Look, run: _replay.Run) -> None:
    """Put incidents beside alerts: one is found if an incident of its service is open while it fires, or was shortly
    before; without a service in common, an alert whose service Tidegate does not know counts by time alone.
    """
    incidents = sorted(run.incidents.values(), key=lambda incident: (incident.opened_ns, incident.id))
    known = {name for incident in incidents for name in _services(incident)}
    taken: set[int] = set()
    for incident in incidents:
        if incident.state == "merged":
            continue
        services, end = _services(incident), incident.closed_ns or incident.updated_ns
        beside = [
            (number, raised)
            for number, raised in enumerate(seen.alerts)
            if raised.start_ns - _BEFORE_NS <= end
            and incident.opened_ns <= raised.end_ns + _AFTER_NS
            and (raised.service in services or raised.service not in known)
        ]
        taken.update(number for number, _ in beside)
        alert = min((raised for _, raised in beside), key=lambda raised: raised.start_ns, default=None)
        ahead = None if alert is None else round((alert.start_ns - incident.opened_ns) / NS, 3)
        seen.found.append(Found(
            incident.id, incident.title, services, incident.opened_ns, end, _cause(run.diagnoses.get(incident.id)),
            incident.severity, alert, ahead,
        ))  # fmt: skip
    seen.missed = [raised for number, raised in enumerate(seen.alerts) if number not in taken]
    proposed = Counter(
        (event.change.verb, event.hypothesis.cause.entity)
        for event in {event.action_id: event for event in run.actions}.values()
        if not event.change.verb.startswith("notify")
    )
    seen.candidates = [(verb, service, n) for (verb, service), n in proposed.most_common(10)]


def _services(incident: sc.Incident) -> tuple[str, ...]:
    if incident.services:
        return tuple(incident.services)
    return tuple(dict.fromkeys(entity.split("/")[2] for entity in incident.entities if entity.count("/") >= 2))


def _cause(diagnosis: sc.Diagnosis | None) -> str:
    if diagnosis is None or diagnosis.abstained is not None or not diagnosis.hypotheses:
        return ""
    cause = diagnosis.hypotheses[0].cause
    return f"{cause.family} of {cause.entity}"
