"""`tidegate forecast`: what the busiest series will be in a quarter of an hour."""

import os
import time
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

import schemas as sc
from learning import OWN_OUTCOMES, Event, fit_calibration
from schemas.core import Message
from streams import Recording
from tidegate import _event_time, _forecasting, _history, _pipeline, _replay
from tidegate._commands import Begin, Brokers, Config, End, Json, say
from tidegate._errors import SettingsError
from tidegate._live import LOG, open_existing
from tidegate._progress import bar
from tidegate._settings import Settings
from tidegate._show import console


def register(app: typer.Typer) -> None:
    app.command("forecast")(forecast)


def forecast(
    recording: Annotated[
        Path | None, typer.Argument(help="A recording, or the directory of `up`. None: Kafka.")
    ] = None,
    brokers: Brokers = "",
    begin: Begin = None,
    end: End = None,
    series: Annotated[str, typer.Option("--series", help="Part of `service name`; all series if empty.")] = "",
    most: Annotated[int, typer.Option("--most", min=1, max=10_000, help="So many of the busiest.")] = 50,
    ahead_s: Annotated[float, typer.Option("--ahead-s", min=1, max=604_800, help="How far ahead, in seconds.")] = 900.0,
    step_s: Annotated[
        float, typer.Option("--step-s", min=1, max=86_400, help="Means over so many seconds are forecast.")
    ] = 300.0,
    quick: Annotated[bool, typer.Option("--quick", help="Without statsmodels and Prophet.")] = False,
    jobs: Annotated[int, typer.Option("--jobs", min=1, max=1_024, help="Processes that fit.")] = max(
        (os.cpu_count() or 2) - 1, 1
    ),
    publish: Annotated[
        bool, typer.Option("--publish", help="Write them to tidegate.forecasts.v1 of the brokers, or of `up`.")
    ] = False,
    fit_limits: Annotated[
        Path | None, typer.Option("--fit-limits", help="Write how often foreseen limits were reached to this file.")
    ] = None,
    settings: Config = None,
    json_: Json = False,
) -> None:
    """What the busiest series will be, with an interval that is kept."""
    if not quick:
        _require()
    is_log = recording is not None and (recording / LOG).is_file()
    if publish and recording is not None and not is_log:
        raise SettingsError(
            "a recording is named, and --publish is for Kafka or the directory of `up`", todo="Leave one of them out"
        )
    wanted = _forecasting.Wanted(series, most, ahead_s, step_s, quick)
    read = Settings.read(settings)
    if recording is None:
        messages = _of_kafka(read, brokers, begin, end)
    else:
        if brokers or begin or end:
            raise SettingsError("--brokers, --from and --to are for Kafka, and a recording is named",
                                todo="Leave one of them out")  # fmt: skip
        messages = _of_log(recording) if is_log else _of_recording(read, recording, quiet=json_)
    calendar: list[Message] = []
    points, events = _forecasting.points_of(_kept(messages, calendar), wanted)
    if fit_limits is not None:
        _fit(points, events, wanted, read, jobs, fit_limits, json_)
        return
    with bar(f"fitting {len(points)} series", quiet=json_) as move:
        rows = []
        for row in _forecasting.forecasts(points, events, wanted, jobs):
            rows.append(row)
            move(len(rows) / max(len(points), 1))
    found = [one for row in rows if (one := _forecasting.record_of(row))]
    if publish and recording is not None:
        _append(recording, found)
    elif publish:
        _publish(read, brokers, found)
    run = _forecasting.foreseen(read, found, calendar) if read.forecasts.limits and found else None
    ahead = {} if run is None else {
        "incidents": _replay.incidents_document(run.diagnoses.values(), run.incidents),
        "actions": _replay.actions_document(run.actions),
    }  # fmt: skip
    if json_:
        say({"series": len(rows), "forecast": len(found), "rows": rows, **ahead})
    else:
        show(rows)
        show_ahead(ahead)


def _fit(
    points: list[_forecasting.Points], events: list[Event], wanted: _forecasting.Wanted, settings: Settings, jobs: int,
    out: Path, json_: bool,
) -> None:  # fmt: skip
    """`--fit-limits`: the calibration of the limits of the settings, from what these series did."""
    limits = settings.forecasts.core()
    if not limits:
        raise SettingsError("no limit is named", todo="Name some in `forecasts.limits` (docs/forecasts.md)")
    found = _forecasting.outcomes(points, events, wanted, limits, jobs)
    if not found:
        raise SettingsError(
            "none of the limits was foreseen in the second half of these histories", code="NO_OUTCOMES",
            todo="Take a longer history, or limits that are reached at times",
        )  # fmt: skip
    curve = fit_calibration(found, data="foreseen limits of one's own series", own=True)
    out.write_bytes(curve.to_bytes())
    reached = sum(one.is_right for one in found)
    told = {"foreseen": len(found), "reached": reached, "state": curve.state, "file": str(out)}
    if json_:
        say(told)
    else:
        need = "" if curve.state == "OWN" else f"; {OWN_OUTCOMES} make it your own, until then it is advice"
        typer.echo(f"{len(found)} limits were foreseen, {reached} of them reached within the lead{need}: {out}")


def show(rows: list[dict[str, Any]]) -> None:
    out = console()
    if not rows:
        out.print("No series matches, or there are no samples.")
        return
    table = Table("series", "now", "expected", "low", "high", "at", "model", box=None, pad_edge=False)
    for row in rows:
        name = escape(f"{row['service']} {row['name']}"[:60])
        if row["model"] is None:
            table.add_row(name, "", "", "", "", "", row["reason"])
        else:
            cells = (f"{row[key]:.4g}" if row[key] is not None else "" for key in ("now", "middle", "low", "high"))
            table.add_row(name, *cells, row["at"][:16] + "Z", row["model"])
    out.print(table)


def show_ahead(ahead: dict[str, Any]) -> None:
    """What is foreseen to be reached, and what the pipeline proposes."""
    out = console()
    for one in ahead.get("incidents", []):
        first = one["hypotheses"][0]
        sure = "no confidence" if first["confidence"] is None else f"confidence {first['confidence']:.2f}"
        out.print(escape(f"{one['title']}: {first['reason']} ({sure})"))
    for one in ahead.get("actions", []):
        said = f"  {one['verb']} {one['target']}: {one['state']}, {one['decision']['reason']}"
        out.print(escape(f"{said}, {one['change']['parameters']}"))


def _of_recording(settings: Settings, place: Path, *, quiet: bool) -> Iterable[Message]:
    opened = Recording.open(place)
    pipeline, partitions = _history.in_recording(_pipeline.build(settings, last="derive-spans"), settings, opened)
    total = sum(topic.rows for topic in opened.topics().values())
    with bar(f"reading {place.name}", quiet=quiet) as move:
        run = _replay.replay(
            opened.messages(), pipeline, partitions=partitions, keep=_forecasting.TOPICS,
            on_progress=lambda n, _: move(n / max(total, 1)),
        )  # fmt: skip
    return run.messages


def _kept(messages: Iterable[Message], calendar: list[Message]) -> Iterable[Message]:
    """The messages as they come, with those of the calendar put aside: telemetry of months need not be held."""
    for message in messages:
        if message.topic == sc.CALENDAR:
            calendar.append(message)
        yield message


def _of_log(directory: Path) -> Iterable[Message]:
    """What `up` has in its log, also while it runs."""
    log = open_existing(directory)
    try:
        yield from log.messages(_forecasting.TOPICS)
    finally:
        log.close()


def _append(directory: Path, found: list[sc.Forecast]) -> None:
    """Into the log of `up`; durable on return. Raises TransportError."""
    log, now_ns = open_existing(directory), time.time_ns()
    try:
        log.append([_forecasting.said(one, now_ns) for one in found], writer="forecast", received_ns=now_ns)
    finally:
        log.close()


def _of_kafka(settings: Settings, brokers: str, begin: str | None, end: str | None) -> Iterable[Message]:
    if not (brokers or settings.kafka.brokers):
        raise SettingsError("nothing to forecast is named", todo="Give a recording, or --brokers HOST:PORT")
    stretch = _event_time.stretch_of(begin, end)
    with _history.open_history(settings, brokers) as history:
        existing = history.partitions()
        for topic in _forecasting.TOPICS:
            if topic in existing:
                within = stretch if topic == "tidegate.frames.v1" else None
                yield from history.messages([topic], within)


def _publish(settings: Settings, brokers: str, found: list[sc.Forecast]) -> None:
    from tidegate._forecast_kafka import publish  # the extra `kafka` may be absent

    publish(settings.kafka.plain(brokers), found, time.time_ns())


def _require() -> None:
    for name in ("statsmodels", "prophet"):
        if find_spec(name) is None:
            raise SettingsError(
                f"{name} is not installed", code="FORECAST_MISSING",
                todo="pip install 'tidegate[forecast]', or --quick for models that need neither",
            )  # fmt: skip
