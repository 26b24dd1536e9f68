"""The command `trace`: the way of one incident through Kafka, hop by hop, and what of the latency budget each took."""

from typing import Annotated

import typer

from tidegate import __version__, _trace
from tidegate._commands import Brokers, Config, Json, say
from tidegate._errors import SettingsError
from tidegate._event_time import time_ns
from tidegate._settings import Settings
from tidegate._show import show_trace


def register(app: typer.Typer) -> None:
    app.command("trace")(trace)


def trace(
    incident: Annotated[
        str, typer.Argument(metavar="ID", help="As for `explain`; without one, the most severe incident.")
    ] = "",
    brokers: Brokers = "",
    fault_at: Annotated[
        str | None, typer.Option("--fault-at", help="When the fault began: 2026-01-01T12:00:00Z or epoch seconds.")
    ] = None,
    send: Annotated[bool, typer.Option("--send", help="Post the spans to shards.otlp_url as well.")] = False,
    settings: Config = None,
    json_: Json = False,
) -> None:
    """When each hop of an incident was written, from the fault to the decision, and its share of the 45 s budget."""
    read = Settings.read(settings)
    if send and not read.shards.otlp_url:
        raise SettingsError("nobody is named who collects traces", todo="Set shards.otlp_url, or leave --send out")
    from tidegate import _trace_kafka  # the extra `kafka` may be absent

    found = _trace_kafka.trace(read, brokers, incident, fault_ns=time_ns(fault_at) if fault_at else 0)
    if send:
        _trace.send(found, read.shards.otlp_url, __version__)
    if json_:
        say(found.document())
    else:
        show_trace(found.document())
