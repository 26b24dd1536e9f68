"""Commands that live: up, record, play."""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import structlog
import typer

from streams import Recording
from tidegate import _play
from tidegate._commands import Config, Json, say
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
    port: Annotated[int, typer.Option(help="0 lets the system choose.")] = PORT,
    webhook: Annotated[
        list[str] | None, typer.Option(help="URL that gets every action as a CloudEvent; may be repeated.")
    ] = None,
    insecure: Annotated[bool, typer.Option("--insecure", help="Listen beyond this machine without tokens.")] = False,
    rebuild: Annotated[bool, typer.Option("--rebuild", help="Make the state again from the log.")] = False,
    settings: Config = None,
    json_: Json = False,
) -> None:
    """The pipeline on your own telemetry: OTLP/HTTP in, events and webhooks out, no broker. Ctrl-C stops it."""
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    log = structlog.get_logger()

    def ready(url: str) -> None:
        if json_:
            typer.echo(json.dumps({"url": url}))
            return
        typer.echo(f"Tidegate takes OTLP/HTTP at {url} (POST {url}/v1/metrics, /v1/logs, /v1/traces)")
        typer.echo(f"  actions as they happen   curl -N {url}/v1/actions")
        typer.echo(f"  incidents                curl {url}/v1/incidents")
        typer.echo(f"  try it                   tidegate play runs/demo-recording --to {url} --speed 0")

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
    directory: Directory = LOG,
    topic: Annotated[list[str] | None, typer.Option(help="Only this topic; may be repeated.")] = None,
    final: Annotated[
        bool, typer.Option("--final", help="End each source, so that a replay closes every window.")
    ] = False,
    json_: Json = False,
) -> None:
    """What `up` took and made becomes a recording, also while it runs."""
    with bar(f"recording {directory}", quiet=json_) as move:
        counts = _play.record(
            directory, out, topics=tuple(topic) if topic else None, final=final,
            on_progress=lambda done, total: move(done / max(total, 1)),
        )  # fmt: skip
    if json_:
        say({"records": counts})
    else:
        typer.echo(f"{sum(counts.values()):,} records of {len(counts)} topics")
        typer.echo(f"Next: tidegate replay {out}")


def play(
    recording: Annotated[Path, typer.Argument(help="A recording of source messages.")],
    to: Annotated[str, typer.Option("--to", help="URL of a running `tidegate up`.")] = f"http://127.0.0.1:{PORT}",
    speed: Annotated[
        float, typer.Option(help="1 as it was received, 10 ten times faster, 0 as fast as is accepted.")
    ] = 1.0,
    token: Annotated[str, typer.Option(envvar="TIDEGATE_TOKEN", help="Bearer token of the source.")] = "",
    json_: Json = False,
) -> None:
    """Send a recording to a running `tidegate up`, spaced as it was received."""
    with bar(f"playing {recording.name}", quiet=json_) as move:
        played = _play.play(
            Recording.open(recording), to, speed=speed, token=token,
            on_progress=lambda done, total: move(done / max(total, 1)),
        )  # fmt: skip
    if json_:
        say(played.document())
        return
    typer.echo(
        f"{played.sent:,} messages sent, {played.bytes / 1e6:.1f} MB, {played.event_time_s:,.0f} s of event time"
    )
    if played.refused:
        typer.echo(f"{sum(played.refused.values()):,} refused, the first: {played.first_refusal}")
