"""Commands over topics on Kafka: create, describe, acl. Each looks at the broker first and says what is wrong."""

import re
from collections import Counter
from typing import TYPE_CHECKING, Annotated, Any

import typer

from streams import KafkaSettings
from tidegate import _access
from tidegate._commands import Config, Json, say
from tidegate._errors import SettingsError
from tidegate._settings import Settings

if TYPE_CHECKING:
    from streams import kafka

CHECK_FAILED = 4
Brokers = Annotated[str, typer.Option("--brokers", help="HOST:PORT,HOST:PORT of Kafka; wins over kafka.brokers.")]
Partitions = Annotated[
    int | None,
    typer.Option(min=1, max=1024, help="Of the telemetry topics; without it as they are, or streams.partitions."),
]


def register(app: typer.Typer) -> None:
    topics = typer.Typer(no_args_is_help=True, help="Topics on Kafka: make them, compare them, who may use them.")
    topics.command("create")(create)
    topics.command("describe")(describe)
    topics.command("acl")(acl)
    topics.command("grow")(grow)
    app.add_typer(topics, name="topics")


def create(
    settings: Config = None,
    brokers: Brokers = "",
    partitions: Partitions = None,
    alter: Annotated[
        bool, typer.Option("--alter", help="Also end differences where nothing that is stored goes away by it.")
    ] = False,
    json_: Json = False,
) -> None:
    """Make the topics that are missing, with what the table says of each; doing it twice changes nothing."""
    from streams import kafka

    read = Settings.read(settings)
    plain = read.kafka.plain(brokers)
    kafka.probe(plain)
    client = kafka.admin(plain)
    rows = kafka.create(client, plain, _partitions(read, partitions), alter=alter)
    copies = kafka.copies_of(client, plain)
    if json_:
        say({"brokers": plain.brokers, "replication": copies, "topics": [_document(row) for row in rows]})
        return
    _show(rows)
    counts = Counter(row.state for row in rows)
    typer.echo(", ".join(f"{n} {state}" for state, n in counts.items()))
    if copies < 3 and plain.replication is None:
        typer.echo(f"{copies} cop{'y' if copies == 1 else 'ies'} of each topic: the cluster has no more brokers.")


def describe(
    settings: Config = None, brokers: Brokers = "", partitions: Partitions = None, json_: Json = False
) -> None:
    """Compare every topic with what it should be; changes nothing, and exits 4 if one is missing or different."""
    from streams import kafka

    read = Settings.read(settings)
    plain = read.kafka.plain(brokers)
    found = kafka.probe(plain)
    rows = kafka.describe(kafka.admin(plain), plain, _partitions(read, partitions))
    ok = all(row.state == "kept" for row in rows)
    if json_:
        say({"ok": ok, "cluster": found.described(), "topics": [_document(row) for row in rows]})
    else:
        typer.echo(found.described())
        _show(rows)
    if not ok:
        raise typer.Exit(CHECK_FAILED)


def acl(
    settings: Config = None,
    brokers: Brokers = "",
    role: Annotated[
        list[str] | None, typer.Option("--role", help="A stage or another role; may be repeated; all without.")
    ] = None,
    principal: Annotated[
        str, typer.Option(help="Template, e.g. 'User:CN={role}'; 'User:{prefix}-{role}' without.")
    ] = "",
    apply: Annotated[bool, typer.Option("--apply", help="Add what is lacking on the broker.")] = False,
    json_: Json = False,
) -> None:
    """The least that each stage and role needs, as `kafka-acls.sh` commands; nothing is ever taken away."""
    from streams import kafka

    read = Settings.read(settings)
    for name in re.findall(r"\{[^{}]*\}?", principal):
        if name not in ("{role}", "{prefix}"):
            todo = "Known: {role}, {prefix}"
            raise SettingsError(f"'{name}' stands for nothing", where="--principal", todo=todo)
    plain = read.kafka.plain(brokers)
    wanted = [
        one
        for access in _access.chosen(read, role or [])
        for one in kafka.acls(access, plain, kafka.principal_of(access.role, plain, principal))
    ]
    added, beyond = _apply(plain, wanted) if apply else ([], [])
    if json_:
        rows = [kafka.document(one) for one in wanted]
        say({"acls": rows, "added": [kafka.document(one) for one in added], "beyond": beyond})
        return
    for line in [] if apply else kafka.commands(wanted, plain):
        typer.echo(line)
    if apply:
        typer.echo(f"{len(added)} added, {len(wanted) - len(added)} were there.")
        for line in beyond:
            typer.echo(f"beyond its needs: {line}")


def _apply(plain: KafkaSettings, wanted: list[Any]) -> tuple[list[Any], list[str]]:
    from streams import kafka

    kafka.probe(plain)
    return kafka.apply(kafka.admin(plain), plain, wanted)


def _partitions(settings: Settings, asked: int | None) -> int | None:
    """As typed, else as written in the settings; the default of one process is no wish."""
    if asked is None and "partitions" in settings.streams.model_fields_set:
        return settings.streams.partitions
    return asked


def _document(row: "kafka.TopicState") -> dict[str, Any]:
    return row._asdict() | {"differences": [difference._asdict() for difference in row.differences]}


def _show(rows: list["kafka.TopicState"]) -> None:
    for row in rows:
        size = f"{row.partitions} x {row.replication}" if row.partitions else "-"
        typer.echo(f"{row.state:<11}{row.name:<32}{size}")
        for difference in row.differences:
            typer.echo(f"    {difference.what} is {difference.found}, wanted {difference.wanted}")
            typer.echo(f"    -> {difference.todo}")


def grow(
    partitions: Annotated[int, typer.Option(min=2, max=1024, help="A multiple of what there is.")],
    settings: Config = None,
    brokers: Brokers = "",
    json_: Json = False,
) -> None:
    """More partitions for a pipeline that stands still: its shards move there with their state."""
    from tidegate._grow import grow as move

    found = move(
        Settings.read(settings), partitions, brokers=brokers, on_step=lambda t: None if json_ else typer.echo(t)
    )
    if json_:
        say({"before": found.before, "after": found.after, "snapshots": found.tasks})
    else:
        typer.echo("Now start the processes again.")
