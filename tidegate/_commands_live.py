"""Commands that live: up, record, play."""

import json
import math
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import structlog
import typer

from streams import Recording
from tidegate import _as_of, _event_time, _history, _play
from tidegate._commands import Begin, Brokers, Config, End, Json, say
from tidegate._errors import PlayError, SettingsError
from tidegate._progress import bar
from tidegate._settings import Settings
from tidegate._up import PORT, run_up

Directory = Annotated[Path, typer.Option("--dir", help="Directory of the embedded log.")]
LOG = Path("tidegate-log")


def register(app: typer.Typer) -> None:
    app.command("up")(up)
    app.command("record")(record)
    app.command("play")(play)


def up(
    directory: Directory = LOG,
    host: Annotated[
        str, typer.Option(help="Address to listen on; beyond this machine tokens are needed.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 lets the system choose.")] = PORT,
    webhook: Annotated[
        list[str] | None, typer.Option(help="URL that gets every action as a CloudEvent; may be repeated.")
    ] = None,
    insecure: Annotated[bool, typer.Option("--insecure", help="Listen beyond this machine without tokens.")] = False,
    rebuild: Annotated[bool, typer.Option("--rebuild", help="Make the state again from the log.")] = False,
    settings: Config = None,
    json_: Json = False,
) -> None:
    """The pipeline on your own telemetry: OTLP/HTTP in, events and webhooks out, no broker. Ctrl-C stops it."""
    log = structlog.get_logger()

    def ready(url: str) -> None:
        if json_:
            typer.echo(json.dumps({"url": url}))
            return
        typer.echo(f"Tidegate takes OTLP/HTTP at {url} (POST {url}/v1/metrics, /v1/logs, /v1/traces)")
        typer.echo(f"  actions as they happen   curl -N {url}/v1/actions")
        typer.echo(f"  incidents                curl {url}/v1/incidents")
        typer.echo(f"  try it                   tidegate play runs/demo-recording --to {url} --speed max")

    def event(text: str, facts: Mapping[str, Any]) -> None:
        log.info(text, **facts)

    found = run_up(
        directory, Settings.read(settings), host=host, port=port, webhooks=webhook or (), insecure=insecure,
        rebuild=rebuild, on_ready=ready, on_event=event,
    )  # fmt: skip
    if json_:
        say(found)
    else:
        typer.echo("Stopped; state is kept in " + str(directory))


def record(
    out: Annotated[Path, typer.Option("--out", help="Directory of the new recording.")],
    directory: Annotated[
        Path | None, typer.Option("--dir", help=f"Directory of `up`; {LOG} if nothing is said.")
    ] = None,
    brokers: Brokers = "",
    begin: Begin = None,
    end: End = None,
    topic: Annotated[list[str] | None, typer.Option(help="Only this topic; may be repeated.")] = None,
    final: Annotated[
        bool, typer.Option("--final", help="End each source, so that a replay closes every window.")
    ] = False,
    settings: Config = None,
    json_: Json = False,
) -> None:
    """What `up` took and made becomes a recording, also while it runs; with --brokers, what lies on Kafka."""
    if brokers and directory:
        raise SettingsError("--dir names a log of `up` and --brokers Kafka", todo="Leave one of them out")
    topics = tuple(topic) if topic else None
    with bar(f"recording {brokers or directory or LOG}", quiet=json_) as move:

        def moved(done: int, total: int) -> None:
            move(done / max(total, 1))

        if brokers:
            from tidegate import _as_of_kafka, _play_kafka

            stretch = _event_time.stretch_of(begin, end)
            with _history.open_history(Settings.read(settings), brokers) as history:
                counts = _play_kafka.record(history, out, stretch, topics=topics, final=final, on_progress=moved)
                shaped = _as_of_kafka.document_of(history, stretch.to_ns)
            if shaped is not None:
                _as_of.write(shaped, out)
        elif begin or end:
            raise SettingsError("--from and --to are for Kafka", todo="Add --brokers, or leave them out")
        else:
            counts = _play.record(directory or LOG, out, topics=topics, final=final, on_progress=moved)
    if json_:
        say({"records": counts})
    else:
        typer.echo(f"{sum(counts.values()):,} records of {len(counts)} topics")
        typer.echo(f"Next: tidegate replay {out}")


def play(
    recording: Annotated[Path, typer.Argument(help="A recording of source messages.")],
    to: Annotated[str, typer.Option("--to", help="URL of a running `tidegate up`.")] = f"http://127.0.0.1:{PORT}",
    brokers: Annotated[
        str, typer.Option("--brokers", help="HOST:PORT,HOST:PORT: into the source topics of Kafka instead.")
    ] = "",
    speed: Annotated[
        str, typer.Option(help="1 as it was received, 60 sixty times faster, max as fast as is accepted.")
    ] = "1",
    resume: Annotated[
        bool, typer.Option("--resume", help="On Kafka: go on behind what an earlier play has written.")
    ] = False,
    token: Annotated[str, typer.Option(envvar="TIDEGATE_TOKEN", help="Bearer token of the source.")] = "",
    wait: Annotated[
        float, typer.Option("--wait", min=0, max=86_400, help="Seconds to try again where --to is not reached.")
    ] = _play.WAIT_S,
    settings: Config = None,
    json_: Json = False,
) -> None:
    """Send a recording to a running `tidegate up`, or to Kafka, spaced as it was received."""
    opened, times = Recording.open(recording), _speed(speed)

    def waits(what: str, left_s: float | None) -> None:
        said = f"{what}; sent again until it is taken"
        if left_s is not None:
            until = datetime.now(UTC) + timedelta(seconds=left_s)
            said = (
                f"not reached: {what}. Is `tidegate up` running there? Tried again until {until:%H:%M:%S} UTC (--wait)"
            )
        typer.echo(f"tidegate: {to}: {said}.", err=True)

    with bar(f"playing {recording.name}", quiet=json_) as move:

        def moved(done: int, total: int) -> None:
            move(done / max(total, 1))

        if brokers:
            from streams import kafka
            from tidegate import _play_kafka

            read = Settings.read(settings)
            with (
                _history.open_history(read, brokers) as history,
                kafka.KafkaWriter(read.kafka.plain(brokers)) as writer,
            ):
                played = _play_kafka.play(opened, history, writer, speed=times, resume=resume, on_progress=moved)
        elif resume:
            raise SettingsError("--resume is for Kafka, which tells what it has", todo="Add --brokers, or leave it out")
        else:
            played = _play.play(opened, to, speed=times, token=token, wait_s=wait, on_progress=moved, on_wait=waits)
    if json_:
        say(played.document())
        return
    typer.echo(
        f"{played.sent:,} messages sent, {played.bytes / 1e6:.1f} MB, {played.event_time_s:,.0f} s of event time"
    )
    if played.resumed:
        typer.echo(f"{played.resumed:,} were there already")
    if played.refused:
        typer.echo(f"{sum(played.refused.values()):,} refused, the first: {played.first_refusal}")


def _speed(text: str) -> float:
    """How many times faster than it was; 0 for as fast as is accepted."""
    try:
        times = 0.0 if text == "max" else float(text)
    except ValueError:
        times = math.nan
    if not 0 <= times < math.inf:
        raise PlayError(f"'{text[:40]}' is no speed", todo="Give a number from 0 on, or max")
    return times
