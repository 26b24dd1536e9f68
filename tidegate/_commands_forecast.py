"""`tidegate forecast`: what the busiest series will be in a quarter of an hour."""

import os
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from schemas.core import Message
from streams import Recording
from tidegate import _event_time, _forecasting, _history, _pipeline, _replay
from tidegate._commands import Begin, Brokers, Config, End, Json, say
from tidegate._errors import SettingsError
from tidegate._progress import bar
from tidegate._settings import Settings
from tidegate._show import console


def register(app: typer.Typer) -> None:
    app.command("forecast")(forecast)


def forecast(
    recording: Annotated[
        Path | None, typer.Argument(help="A recording: from `import` or `record`. None: Kafka.")
    ] = None,
    brokers: Brokers = "",
    begin: Begin = None,
    end: End = None,
    series: Annotated[str, typer.Option("--series", help="Part of `service name`; all series if empty.")] = "",
    most: Annotated[int, typer.Option("--most", min=1, max=10_000, help="So many of the busiest.")] = 50,
    ahead_s: Annotated[float, typer.Option("--ahead-s", min=1, help="How far ahead, in seconds.")] = 900.0,
    step_s: Annotated[float, typer.Option("--step-s", min=1, help="Means over so many seconds are forecast.")] = 300.0,
    quick: Annotated[bool, typer.Option("--quick", help="Without statsmodels and Prophet.")] = False,
    jobs: Annotated[int, typer.Option("--jobs", min=1, help="Processes that fit.")] = max((os.cpu_count() or 2) - 1, 1),
    publish: Annotated[
        bool, typer.Option("--publish", help="Write them to tidegate.forecasts.v1 of the brokers.")
    ] = False,
    settings: Config = None,
    json_: Json = False,
) -> None:
    """What the busiest series will be, with an interval that is kept."""
    if not quick:
        _require()
    if publish and recording is not None:
        raise SettingsError("a recording is named, and --publish is for Kafka", todo="Leave one of them out")
    wanted = _forecasting.Wanted(series, most, ahead_s, step_s, quick)
    read = Settings.read(settings)
    if recording is None:
        messages = _of_kafka(read, brokers, begin, end)
    else:
        if brokers or begin or end:
            raise SettingsError("--brokers, --from and --to are for Kafka, and a recording is named",
                                todo="Leave one of them out")  # fmt: skip
        messages = _of_recording(read, recording, quiet=json_)
    points, events = _forecasting.points_of(messages, wanted)
    with bar(f"fitting {len(points)} series", quiet=json_) as move:
        rows = []
        for row in _forecasting.forecasts(points, events, wanted, jobs):
            rows.append(row)
            move(len(rows) / max(len(points), 1))
    if publish:
        _publish(read, brokers, rows)
    if json_:
        say({"series": len(rows), "forecast": sum(row["model"] is not None for row in rows), "rows": rows})
    else:
        show(rows)


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


def _publish(settings: Settings, brokers: str, rows: list[dict[str, Any]]) -> None:
    from tidegate._forecast_kafka import publish  # the extra `kafka` may be absent

    publish(settings.kafka.plain(brokers), [found for row in rows if (found := _forecasting.record_of(row))])


def _require() -> None:
    for name in ("statsmodels", "prophet"):
        if find_spec(name) is None:
            raise SettingsError(
                f"{name} is not installed", code="FORECAST_MISSING",
                todo="pip install 'tidegate[forecast]', or --quick for models that need neither",
            )  # fmt: skip
