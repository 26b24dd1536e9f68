"""`tidegate detect`: what a threshold costs in pages, which one a number of pages buys, and whether detectors drift."""

import json
from math import isfinite
from pathlib import Path
from typing import Annotated, Any

import typer

import schemas as sc
from learning import drift as judged
from schemas.core import NS
from streams import Recording
from tidegate import _budget, _history, _pipeline, _replay
from tidegate._commands import Config, Json, say
from tidegate._errors import SettingsError
from tidegate._progress import bar
from tidegate._settings import Settings
from tidegate._show import console


def register(app: typer.Typer) -> None:
    detect = typer.Typer(no_args_is_help=True, help="What a threshold costs in pages, and what a budget of pages buys.")
    detect.command("fit")(fit)
    detect.command("explain")(explain)
    detect.command("drift")(drift)
    app.add_typer(detect, name="detect")


def fit(
    recording: Annotated[Path, typer.Argument(help="A recording of ordinary days: from `import` or `record`.")],
    pages: Annotated[
        float, typer.Option("--pages-per-shift", min=1e-6, max=1_000, help="False pages a team takes in a shift.")
    ] = (0.05),
    shift_h: Annotated[float, typer.Option("--shift-h", min=0.1, max=168, help="Hours of a shift.")] = 8.0,
    out: Annotated[Path | None, typer.Option("--out", help="File to write the fit to, for `detect explain`.")] = None,
    settings: Config = None,
    json_: Json = False,
) -> None:
    """The `diagnosis.open_p` at which chance pages a team so often, all services together; no labels are needed."""
    read = Settings.read(settings)
    read = read.model_copy(update={"detection": read.detection.model_copy(update={"emit_p": _budget.BAR_P})})
    run = _detected(recording, read, quiet=json_)
    services, begin, end = _stretch(run)
    begin += round((end - begin) * _budget.TAUGHT)
    found = _budget.seen(run.messages, services, begin, end)
    document = _budget.fit(found, recording.name, pages, shift_h)
    if out is not None:
        out.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    if json_:
        say(document)
        return
    lines = console()
    lines.print(
        f"diagnosis.open_p: {document['open_p']:.2g}   so {pages:g} chance pages are due in {shift_h:g} hours of "
        f"{document['services']} services."
    )
    lines.print(
        f"In {document['minutes']:,} service-minutes {document['due_in_stretch']:.1f} were due and "
        f"{document['seen_in_stretch']} seen; more than due are faults, or services that ran otherwise than before."
    )
    for name, n in document["loudest"].items():
        lines.print(f"  {name}: {n}")


def explain(
    fitted: Annotated[Path, typer.Argument(help="A file that `detect fit --out` wrote.")],
    p: Annotated[float, typer.Option("--p", min=0.0, max=1.0, help="A `diagnosis.open_p`, above 0.")] = 1e-6,
    json_: Json = False,
) -> None:
    """How many pages are due by chance where incidents open at this p."""
    if p == 0.0:
        raise SettingsError("nothing is as improbable as 0", where="--p", todo="Give a p above 0, for example 1e-6")
    document = _budget.explain(_budget.read(fitted), p)
    if json_:
        say(document)
        return
    lines = console()
    lines.print(
        f"At p = {p:.2g}: {document['pages_per_shift']:.3g} chance pages in {document['shift_h']:g} hours of "
        f"{document['services']} services, {document['pages_per_week']:.3g} a week."
    )
    if document["is_below_fit"]:
        lines.print(f"The fit begins at p = {document['fitted_above_p']:.2g}: it may be more.")


def drift(
    recording: Annotated[Path, typer.Argument(help="A recording of some days: from `import` or `record`.")],
    last_h: Annotated[int, typer.Option("--last-h", min=1, max=720, help="Hours at its end that are judged.")] = 24,
    settings: Config = None,
    json_: Json = False,
) -> None:
    """Whether each detector reports as often in the last hours as before; more, or less, is a fault of its own."""
    run = _detected(recording, Settings.read(settings), quiet=json_)
    _, begin, end = _stretch(run)
    begin += round((end - begin) * _budget.TAUGHT)
    found = {kind: judged(counts, last_h) for kind, counts in _budget.told_by_hour(run.messages, begin, end).items()}
    if json_:
        say({"last_h": last_h, "detectors": {kind: _finite(one._asdict()) for kind, one in found.items()}})
        return
    lines = console()
    if (end - begin) // _budget.HOUR_NS < 1:
        lines.print("There is no whole hour to judge: of a recording the first quarter teaches, the rest is counted.")
    elif not found:
        lines.print("No detector reported anything.")
    for kind, one in found.items():
        lines.print(
            f"{kind}: {one.verdict}   {one.recent_per_h:.2f} reports an hour, {one.before_per_h:.2f} before"
            + ("" if one.verdict == "unknown" else f"; {one.ratio:.2f} times (99% {one.low:.2f} to {one.high:.2f})")
        )


def _finite(row: dict[str, Any]) -> dict[str, Any]:
    return {key: None if isinstance(value, float) and not isfinite(value) else value for key, value in row.items()}


def _detected(recording: Path, read: Settings, *, quiet: bool) -> _replay.Run:
    """The recording up to the detectors, with their anomalies, the calendar and the series."""
    opened = Recording.open(recording)
    pipeline, partitions = _history.in_recording(_pipeline.build(read, last="detect"), read, opened)
    total = sum(topic.rows for topic in opened.topics().values())
    with bar(f"reading {recording.name}", quiet=quiet) as move:
        return _replay.replay(
            opened.messages(), pipeline, partitions=partitions, keep=(*_budget.TOPICS, sc.SERIES),
            on_progress=lambda n, _: move(n / max(total, 1)),
        )  # fmt: skip


def _stretch(run: _replay.Run) -> tuple[set[str], int, int]:
    """Services that have series, and the event time that was read: it ends with the last anomaly or watermark."""
    records = (sc.read(message) for message in run.messages if message.topic == sc.SERIES)
    services = {record.service for record in records if isinstance(record, sc.SeriesDef)}
    end = max((message.event_ns for message in run.messages if message.topic == sc.ANOMALIES), default=0)
    return services, end - round(run.event_time_s * NS), end
