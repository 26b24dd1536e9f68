"""Commands over recordings and runs: import, replay, explain, demo, dead-letters."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

import schemas as sc
from streams import Recording, import_
from tidegate import _as_of, _catalogue, _dead_letters, _demo, _event_time, _history, _pipeline, _replay, _run
from tidegate._errors import SettingsError
from tidegate._journal import journals_first
from tidegate._progress import bar
from tidegate._settings import Settings
from tidegate._show import show_explanation, show_letters, show_run

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object as the last line.")]
Config = Annotated[Path | None, typer.Option("--settings", help="YAML file with settings; defaults without.")]
RunDir = Annotated[Path, typer.Option("--run", help="A run directory, or the --dir of `up`, also while it runs.")]
RunOut = Annotated[Path, typer.Option("--run", help="Run directory to write; one that is there is replaced.")]

Brokers = Annotated[str, typer.Option("--brokers", help="HOST:PORT,HOST:PORT of Kafka; wins over kafka.brokers.")]
Begin = Annotated[str | None, typer.Option("--from", help="Event time: 2026-01-01T12:00:00Z or epoch seconds.")]
End = Annotated[str | None, typer.Option("--to", help="Event time at which to stop, not included.")]


def say(document: dict[str, Any]) -> None:
    typer.echo(json.dumps(document))


def register(app: typer.Typer) -> None:
    app.command("demo")(demo)
    app.command("import")(import_command)
    app.command("replay")(replay)
    app.command("explain")(explain)
    letters = typer.Typer(no_args_is_help=True, help="What could not be used, and trying it again.")
    letters.command("list")(letters_list)
    letters.command("replay")(letters_replay)
    app.add_typer(letters, name="dead-letters")


def demo(
    seed: Annotated[int, typer.Option(min=0, help="Another seed is other customers and other noise.")] = 7,
    day: Annotated[str, typer.Option("--day", help="What happens; --list says what there is.")] = _demo.USUAL,
    list_: Annotated[bool, typer.Option("--list", help="The days, one line each, and nothing else.")] = False,
    run: RunOut = _run.NEWEST,
    json_: Json = False,
) -> None:
    """A simulated shop, a bad day, the whole pipeline: telemetry, anomaly, ranked causes, decision, CloudEvent."""
    if not list_:
        document = _demo.demo(seed, run, quiet=json_, day=day)
    else:
        document = {"days": [{"name": name, "about": about} for name, about in _demo.listed().items()]}
        for one in () if json_ else document["days"]:
            typer.echo(f"{one['name']:22}{one['about']}")
    if json_:
        say(document)


def import_command(
    kind: Annotated[
        str, typer.Argument(help="csv, parquet, prometheus, otlp_json, loki, elasticsearch, or a data set.")
    ],
    src: Annotated[Path, typer.Argument(help="File, archive or directory.")],
    out: Annotated[Path, typer.Option("--out", help="Directory of the new recording.")],
    option: Annotated[
        list[str] | None,
        typer.Option("--option", "-o", help="NAME=VALUE for the importer (docs/cli.md); may be repeated."),
    ] = None,
    json_: Json = False,
) -> None:
    """Turn a data set or a file into a recording of source bytes, which `replay` reads."""
    importers = _catalogue.find("importers")
    if kind not in importers:
        raise SettingsError(f"there is no importer '{kind}'", todo=f"Importers: {', '.join(importers)}")
    for pair in option or []:
        if "=" not in pair:
            raise SettingsError(f"'{pair}' is no option of an importer", where="-o", todo="Write -o NAME=VALUE")
    options = {name: value for name, _, value in (pair.partition("=") for pair in option or [])}
    with bar(f"importing {src.name}", quiet=json_) as move:
        counts = import_(importers[kind], src, out, options, lambda share, _: move(share))
    if json_:
        say(counts)
    else:
        typer.echo(", ".join(f"{n:,} {name.replace('_', ' ')}" for name, n in counts.items()))
        if counts.get("dead_lettered"):
            typer.echo(f"What could not be used: tidegate dead-letters list {out}")
        typer.echo(f"Next: tidegate replay {out}")


def replay(
    recording: Annotated[
        Path | None, typer.Argument(help="A recording: from `import`, `record`, or a run directory. None: Kafka.")
    ] = None,
    from_stage: Annotated[
        str, typer.Option("--from-stage", help=f"First stage to run: {', '.join(_pipeline.ORDER)}.")
    ] = "normalise",
    brokers: Brokers = "",
    begin: Begin = None,
    end: End = None,
    by_content: Annotated[
        bool, typer.Option("--by-content", help="Source messages have the time of what is in them, not of Kafka.")
    ] = False,
    final: Annotated[
        bool, typer.Option("--final", help="On Kafka: end each source at the end, so that every window closes.")
    ] = False,
    run: RunOut = _run.NEWEST,
    settings: Config = None,
    as_of: Annotated[
        Path | None,
        typer.Option(
            "--as-of",
            help="With what was in force in this run, or this `up` --dir; `kafka`, `kafka:DIGEST`: there, then.",
        ),
    ] = None,
    verify: Annotated[bool, typer.Option(help="Check the checksums of the recording first.")] = False,
    json_: Json = False,
) -> None:
    """Replay a recording or a stretch of Kafka through the pipeline by event time; the same digest each time."""
    now = Settings.read(settings)
    stretch = _event_time.stretch_of(begin, end, by_content=by_content)
    with _in_force(now, brokers, as_of, stretch.to_ns) as found_settings:
        read = found_settings.model_copy(update={"kafka": now.kafka})
        pipeline = _pipeline.build(read, first=from_stage)
        shaped = _as_of.kept(read)
        _run.claim(run)
        if recording is None:
            if not (brokers or read.kafka.brokers):
                raise SettingsError("nothing to replay is named", todo="Give a recording, or --brokers HOST:PORT")
            found = _history.replay(pipeline, read, brokers, stretch, final=final, quiet=json_)
        elif brokers or begin or end or by_content or final:
            raise SettingsError(
                "--brokers, --from, --to, --by-content and --final are for Kafka, and a recording is named",
                todo="Leave one of them out; `tidegate record --brokers` makes a recording of a stretch",
            )
        else:
            opened = Recording.open(recording, verify=verify)
            pipeline, partitions = _history.in_recording(pipeline, read, opened)
            total = sum(topic.rows for topic in opened.topics().values())
            with bar(f"replaying {recording.name}", quiet=json_) as move:
                found = _replay.replay(
                    journals_first(pipeline.stages, opened.topics(), opened.messages), pipeline, partitions=partitions,
                    on_progress=lambda n, _: move(n / max(total, 1)),
                )  # fmt: skip
    _run.save(found, run, shaped)
    if json_:
        say(found.document())
    else:
        show_run(found, run)


@contextmanager
def _in_force(now: Settings, brokers: str, as_of: Path | None, until_ns: int) -> Iterator[Settings]:
    """The settings to replay with."""
    if as_of is None:
        yield now
    elif str(as_of).partition(":")[0] != "kafka" or as_of.exists():
        with _as_of.settings_of(as_of) as read:
            yield read
    else:
        from tidegate import _as_of_kafka

        with _as_of_kafka.settings_of(now, brokers, str(as_of), until_ns) as (read, record):
            typer.echo(f"tidegate: as of {sc.rfc3339(record.at_ns)[:19]}Z, {record.sha256[:19]}", err=True)
            yield read


def explain(
    name: Annotated[
        str,
        typer.Argument(
            metavar="ID",
            help="Incident, diagnosis or action; the beginning is enough; without one, the most severe incident.",
        ),
    ] = "",
    run: RunDir = _run.NEWEST,
    brokers: Annotated[
        str, typer.Option("--brokers", help="HOST:PORT,HOST:PORT: of what lies on Kafka, not of a run.")
    ] = "",
    settings: Config = None,
    json_: Json = False,
) -> None:
    """Which data, rules, versions and people an incident or action rests on, and how old they were."""
    kept = _history.kept(Settings.read(settings), brokers, name) if brokers else _run.read(run)
    found = _run.explain(kept, name)
    if json_:
        say(found)
    else:
        show_explanation(found)


def letters_list(
    place: Annotated[Path, typer.Argument(help="A recording or run directory.")] = _run.NEWEST, json_: Json = False
) -> None:
    """Dead letters by reason and source, with the sentence that says what was wrong."""
    found = _dead_letters.summary(Recording.open(place))
    if json_:
        say({"letters": sum(row["letters"] for row in found), "rows": found})
    else:
        show_letters(found)


def letters_replay(
    place: Annotated[Path, typer.Argument(help="A recording or run directory.")] = _run.NEWEST,
    settings: Config = None,
    json_: Json = False,
) -> None:
    """Try dead letters again with today's code, up to anomalies. No action stage is there, so none can be triggered."""
    found = _dead_letters.again(Recording.open(place), Settings.read(settings))
    if json_:
        say(found)
    else:
        typer.echo(
            f"{found['letters']} sent again: {found['decoded']} decode now, {found['dead_lettered']} still do not."
        )
