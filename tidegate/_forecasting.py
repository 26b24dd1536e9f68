"""Forecasts of the busiest series of a recording or of a stretch of Kafka, fitted in processes beside this one.

A fit that fails or takes too long is a row with its reason; it stops nothing. The interval is for planning: its upper
end is what a predictive scaler should have room for.
"""

import warnings
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures import TimeoutError as TooSlow
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

import schemas as sc
from diagnosis import Limit
from learning import MEMORY, MODELS, QUICK, Event, Interval, Outcome, choose, crossings, horizon, on_grid
from schemas.core import F64, I64, NS, Emit, Message
from streams import MemoryLog
from tidegate import _pipeline
from tidegate._replay import Run, replay
from tidegate._settings import Settings

TOPICS = (sc.SERIES, sc.FRAMES, sc.CALENDAR)
"""What forecasts are made of."""
_SOURCE = "tidegate/forecast"


@dataclass(frozen=True, slots=True)
class Wanted:
    """match: part of `service name`, any if empty. most: so many of the busiest. step_s: of the grid."""

    match: str = ""
    most: int = 50
    ahead_s: float = 900.0
    step_s: float = 300.0
    quick: bool = False
    patience_s: float = 120.0


@dataclass(frozen=True, slots=True)
class Points:
    definition: sc.SeriesDef
    t: I64
    v: F64


def points_of(messages: Iterable[Message], wanted: Wanted) -> tuple[list[Points], list[Event]]:
    """The series to forecast, busiest first, without histograms; and the events that are known."""
    known: dict[int, sc.SeriesDef] = {}
    columns: dict[str, list[Any]] = {"series": [], "t": [], "value": []}
    events: dict[str, Event] = {}
    for message in messages:
        kind = sc.record_type(message)
        if message.topic == sc.SERIES and kind == "series":
            definition = sc.SeriesDef.from_bytes(message.value)
            if not definition.is_histogram and wanted.match in f"{definition.service} {definition.name}":
                known[int(definition.id, 16)] = definition
        elif message.topic == sc.CALENDAR and kind == sc.CalendarEntry.TYPE:
            entry = sc.CalendarEntry.from_bytes(message.value)
            events[entry.id] = Event(f"{entry.kind} {entry.title}", entry.start_ns, entry.end_ns)
        elif message.topic == sc.FRAMES and not kind:
            frame = sc.decode_frame(message.value)
            for name, found in (("series", frame.series), ("t", frame.t), ("value", frame.value)):
                columns[name].append(found)
    if not columns["series"]:
        return [], []
    series, t, v = (np.concatenate(columns[name]) for name in ("series", "t", "value"))
    ids, counts = np.unique(series, return_counts=True)
    order = sorted((-n, i) for i, n in zip(ids.tolist(), counts.tolist(), strict=True) if i in known)
    points = [Points(known[i], t[series == i], v[series == i]) for _, i in order[: wanted.most]]
    return points, [events[name] for name in sorted(events)]


def forecasts(
    points: Sequence[Points], events: Sequence[Event], wanted: Wanted, jobs: int = 1
) -> Iterator[dict[str, Any]]:
    """A row a series, in the order given."""
    with ProcessPoolExecutor(max(jobs, 1)) as pool:
        waiting = [(p, pool.submit(_forecast, p.t, p.v, list(events), wanted)) for p in points]
        for point, future in waiting:
            d = point.definition
            owner = {"tenant": d.tenant, "entity_id": d.entity_id}
            row = owner | {"series": d.id, "service": d.service, "name": d.name, "labels": d.labels, "unit": d.unit}
            yield row | _waited(future, wanted.patience_s)


def record_of(row: dict[str, Any]) -> sc.Forecast | None:
    """A row as a record; None where there is no forecast."""
    if row["model"] is None:
        return None
    ends = {
        "now",
        "low",
        "high",
        "model",
        "loss",
        "naive_loss",
        "errors",
        "tenant",
        "entity_id",
        "series",
        "service",
        "name",
    }
    return sc.Forecast(
        id=sc.record_id("forecast", row["series"], row["at_ns"], row["as_of_ns"]), expected=row["middle"],
        **{key: row[key] for key in (*sorted(ends), "labels", "unit", "as_of_ns", "at_ns", "step_s")},
    )  # fmt: skip


def outcomes(
    points: Sequence[Points], events: Sequence[Event], wanted: Wanted, limits: Sequence[Limit], jobs: int = 1
) -> list[Outcome]:
    """How often the limits that these series would have been foreseen to reach were reached, from their own past."""
    found: list[Outcome] = []
    with ProcessPoolExecutor(max(jobs, 1)) as pool:
        waiting = []
        for p in points:
            of = [one for one in limits if one.is_of(_named(p.definition))]
            if of:
                waiting.append(pool.submit(_outcomes, p.t, p.v, list(events), wanted, of, p.definition.id))
        for future in waiting:
            found += future.result()
    return found


def _named(d: sc.SeriesDef) -> sc.Forecast:
    """A forecast of the series that says nothing yet."""
    return sc.Forecast(
        id="", tenant=d.tenant, entity_id=d.entity_id, service=d.service, series=d.id, name=d.name, labels=d.labels,
        unit=d.unit, as_of_ns=0, at_ns=0, step_s=0, now=None, expected=0, low=0, high=0, model="", loss=None,
        naive_loss=None,
    )  # fmt: skip


def _outcomes(t: I64, v: F64, events: list[Event], wanted: Wanted, limits: list[Limit], name: str) -> list[Outcome]:
    warnings.simplefilter("ignore")
    step = _step(t, wanted)
    models = QUICK if wanted.quick else MODELS
    return crossings(on_grid(t, v, step), models, events, horizon(step, wanted.ahead_s), limits, name)


def foreseen(
    settings: Settings, found: Sequence[sc.Forecast], calendar: Iterable[Message] = (), said_ns: int = 0
) -> Run:
    """What the pipeline makes of these forecasts and nothing else: incidents, hypotheses and decisions, by its own
    stages with these settings. said_ns: when they were said, the end of their newest value if 0.
    """
    at_ns = [max(said_ns, one.as_of_ns) for one in found]
    emits = [said(one, at) for one, at in zip(found, at_ns, strict=True)]
    end = sc.Watermark(stage="forecast", through_ns=max(at_ns, default=0) + 1, final=True)
    emits.append(sc.emit(sc.FORECASTS, end, id="end", key="forecast", source=_SOURCE, event_ns=end.through_ns))
    log = MemoryLog()
    log.append(emits, writer="forecast")
    pipeline = replace(_pipeline.build(settings, first="diagnose"), outside={sc.FORECASTS: ("forecast",)})
    known = [message for message in calendar if message.topic == sc.CALENDAR and sc.record_type(message) == "calendar"]
    return replay([*known, *log.messages(sc.FORECASTS)], pipeline)


def said(forecast: sc.Forecast, at_ns: int) -> Emit:
    """A forecast for its topic, said at a time: from then on it counts, live and in a replay."""
    return sc.emit(
        sc.FORECASTS, forecast, id=forecast.id, key=forecast.series, source=_SOURCE,
        event_ns=max(at_ns, forecast.as_of_ns),
    )  # fmt: skip


def _waited(future: "Future[dict[str, Any]]", patience_s: float) -> dict[str, Any]:
    try:
        return future.result(patience_s)
    except TooSlow:
        future.cancel()
        return {"model": None, "reason": "FIT_TOO_SLOW"}
    except (BrokenProcessPool, ValueError, ArithmeticError, RuntimeError, MemoryError) as error:
        return {"model": None, "reason": f"FIT_FAILED: {error}"[:200]}


def _forecast(t: I64, v: F64, events: list[Event], wanted: Wanted) -> dict[str, Any]:
    warnings.simplefilter("ignore")  # of optimisers: what does not converge loses
    step = _step(t, wanted)
    grid = on_grid(t, v, step)
    h = horizon(step, wanted.ahead_s)
    chosen = choose(QUICK if wanted.quick else MODELS, grid, events, h)
    if chosen is None:
        return {"model": None, "reason": "TOO_LITTLE_HISTORY"}
    last = len(grid.values) - 1
    middle = float(chosen.model.predict(grid.values, np.array([last]))[0])
    low, high = Interval(chosen.errors).around(middle)
    if not np.isfinite([middle, low, high]).all():
        return {"model": None, "reason": "TOO_LITTLE_HISTORY"}
    naive, best = chosen.losses["seasonal_naive"], chosen.losses[chosen.model.name]
    return {
        "model": chosen.model.name, "reason": "", "at": sc.rfc3339(grid.start_ns + (last + 1 + h) * step),
        "at_ns": grid.start_ns + (last + 1 + h) * step, "as_of_ns": grid.start_ns + (last + 1) * step,
        "step_s": step / NS, "ahead_s": h * step / NS, "now": _number(grid.values[last]), "middle": _number(middle),
        "low": _number(low), "high": _number(high), "loss": _number(best), "naive_loss": _number(naive),
        "errors": min(int(np.isfinite(chosen.errors).sum()), MEMORY),
    }  # fmt: skip


def _step(t: I64, wanted: Wanted) -> int:
    return round(max(wanted.step_s * NS, float(np.median(np.diff(np.sort(t)))) if len(t) > 1 else 0.0))


def _number(value: float) -> float | None:
    return float(f"{value:.6g}") if np.isfinite(value) else None
