"""The command `gateway`: what senders post goes to Kafka."""

import json
from typing import Annotated

import typer

from tidegate._commands import Brokers, Config, Json, say
from tidegate._settings import Settings
from tidegate._up import PORT


def register(app: typer.Typer) -> None:
    app.command("gateway")(gateway)


def gateway(
    brokers: Brokers = "",
    host: Annotated[
        str, typer.Option(help="Address to listen on; beyond this machine tokens are needed.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 lets the system choose.")] = PORT,
    insecure: Annotated[bool, typer.Option("--insecure", help="Listen beyond this machine without tokens.")] = False,
    settings: Config = None,
    json_: Json = False,
) -> None:
    """Takes telemetry, webhooks and events over HTTP and puts them on Kafka for `tidegate run`. SIGTERM stops it."""
    from tidegate._gateway_kafka import run_gateway  # only here, because it needs a server

    def ready(url: str) -> None:
        said = json.dumps({"url": url}) if json_ else f"Tidegate takes what is posted to {url} and keeps it on Kafka"
        typer.echo(said)

    found = run_gateway(
        Settings.read(settings), brokers=brokers, host=host, port=port, insecure=insecure, on_ready=ready
    )  # fmt: skip
    if json_:
        say(found)
    else:
        typer.echo(f"Stopped; {found['messages']:,} messages were kept")
