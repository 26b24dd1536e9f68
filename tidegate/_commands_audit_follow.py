"""Commands between the ledger and the audit log: follow, anchors, reconstruct. Part of `tidegate audit`."""

import json
import time
from pathlib import Path
from typing import Annotated

import typer

from schemas import why
from tidegate._commands import Brokers, Config, Json, say
from tidegate._errors import AuditLogError
from tidegate._settings import Settings

TAMPERED, UNANCHORED = 2, 4
LedgerFile = Annotated[Path, typer.Option("--ledger", help="The SQLite ledger of `tidegate act`; it may be running.")]


def register(audit: typer.Typer) -> None:
    for command in (follow, anchors, reconstruct):
        audit.command(command.__name__)(command)


def follow(
    ledger: LedgerFile,
    log: Annotated[Path, typer.Option("--log", help="Directory of the audit log; made if it is not there.")],
    key_file: Annotated[Path, typer.Option("--key-file", help="PEM, Ed25519: signs the checkpoints.")],
    origin: Annotated[str, typer.Option(help="Name of the log, in every checkpoint.")] = "tidegate/audit",
    anchor_file: Annotated[
        list[Path] | None, typer.Option(help="Checkpoints are added to this file; repeat it.")
    ] = None,
    anchor_git: Annotated[list[Path] | None, typer.Option(help="And committed in this repository; repeat it.")] = None,
    anchor_kafka: Annotated[bool, typer.Option(help="And put on the topic of the audit log.")] = False,
    every_s: Annotated[float, typer.Option(min=0, max=86_400, help="Again after so many seconds; 0: once.")] = 0,
    settings: Config = None,
    brokers: Brokers = "",
    json_: Json = False,
) -> None:
    """Copy the ledger's entries into the audit log, sign, anchor. Exit code 2 if the ledger is not what the log has."""
    from actions import Sealer
    from actions._ledger_sqlite import SqliteLedger
    from tidegate._approve_settings import read_key
    from tidegate._audit_follow import FileAnchor, Follower, GitAnchor
    from tidegate._audit_log import AuditLog

    kept: list[FileAnchor | GitAnchor] = [FileAnchor(path) for path in anchor_file or ()]
    kept += [GitAnchor(path) for path in anchor_git or ()]
    more = []
    if anchor_kafka:
        from tidegate._anchor_kafka import KafkaAnchor

        more = [KafkaAnchor(Settings.read(settings).kafka.plain(brokers))]
    if not ledger.is_file():
        raise AuditLogError(
            "there is no ledger", where=str(ledger), todo="Give its file; PostgreSQL is followed by `act`"
        )
    with AuditLog(log, read_key(key_file, b"", "the key of the log"), origin=origin) as writer:
        source, follower = SqliteLedger(ledger, Sealer("reader")), Follower(writer, [*kept, *more])
        while True:
            try:
                found = follower.follow(source, now=True)
            except AuditLogError as error:
                if error.code != "LEDGER_WENT_BACK":
                    raise
                typer.echo(f"tidegate: {error} [{error.code}]", err=True)
                raise typer.Exit(TAMPERED) from error
            if json_:
                say(
                    {
                        "copied": found.copied,
                        "entries": writer.head.size,
                        "anchored": found.anchored,
                        "failed": found.failed,
                    }
                )
            else:
                typer.echo(f"{found.copied} entries copied, {writer.head.size} in all, {found.anchored} anchored")
            if not every_s:
                break
            time.sleep(every_s)
    if found.failed:
        raise typer.Exit(UNANCHORED)


def anchors(
    out: Annotated[Path, typer.Option(help="File for the checkpoints, for `audit verify --anchor`.")],
    settings: Config = None,
    brokers: Brokers = "",
    json_: Json = False,
) -> None:
    """Read the checkpoints that lie on the topic of the audit log."""
    from streams import kafka
    from tidegate._anchor_kafka import anchored

    plain = Settings.read(settings).kafka.plain(brokers)
    kafka.probe(plain)
    notes = anchored(plain)
    try:
        out.write_text("\n".join(notes))
    except OSError as error:
        raise AuditLogError(f"it cannot be written: {why(error)}", where=str(out)) from error
    if json_:
        say({"checkpoints": len(notes), "out": str(out)})
    else:
        typer.echo(f"{len(notes)} checkpoints: {out}")


def reconstruct(
    key: Annotated[str, typer.Argument(help="Idempotency key of the action.")],
    ledger: LedgerFile,
    diagnosis: Annotated[
        Path | None, typer.Option(help="The diagnosis it names, as JSON: versions of the models.")
    ] = None,
    json_: Json = False,
) -> None:
    """What was decided on what grounds by whom, held against the audit entries. Exit code 2 if something differs."""
    from actions import Sealer
    from actions._ledger_sqlite import SqliteLedger
    from schemas import Diagnosis
    from tidegate._reconstruct import reconstruct as put_together

    if not ledger.is_file():
        raise AuditLogError("there is no ledger", where=str(ledger), todo="Give its file")
    try:
        record = Diagnosis.from_bytes(diagnosis.read_bytes()) if diagnosis else None
    except OSError as error:
        raise AuditLogError(f"the diagnosis cannot be read: {why(error)}", where=str(diagnosis)) from error
    document = put_together(SqliteLedger(ledger, Sealer("reader")), key, record)
    if json_:
        say(document)
    else:
        typer.echo(json.dumps(document, indent=1))
    if document["faults"]:
        raise typer.Exit(TAMPERED)
