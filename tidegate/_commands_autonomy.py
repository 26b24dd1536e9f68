"""`tidegate autonomy`: what every verb has earned in every tier, and what is missing; credit for drills and replays."""

import time
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from actions import (
    NAMES,
    Credit,
    Earned,
    Policies,
    Sealer,
    drilled,
    names_read,
    open_ledger,
    replayed,
    seal_credit,
    simulate,
    standings,
)
from actions._machine_types import load_action
from schemas import why
from schemas.signatures import private_key
from tidegate import _pipeline, _run
from tidegate._approve_client import Office
from tidegate._commands import Begin, Brokers, Config, End, Json, RunDir, say
from tidegate._commands_policy import events_of
from tidegate._errors import SettingsError
from tidegate._settings import Settings
from tidegate._show import console

Key = Annotated[Path | None, typer.Option("--key", help="Your private key: hand it to the worker, signed.")]
Issuer = Annotated[str, typer.Option("--issuer", help="Your name in `control.keys`.")]
To = Annotated[str, typer.Option("--worker", help="Address of the worker; by itself that of this machine.")]


def register(app: typer.Typer) -> None:
    own = typer.Typer(
        invoke_without_command=True, help="How far each verb may go by itself; drills and replays that count for it."
    )
    own.callback()(autonomy)
    own.command("drill")(drill)
    own.command("replay")(replay)
    app.add_typer(own, name="autonomy")


def autonomy(
    context: typer.Context,
    ledger: Annotated[str, typer.Option("--ledger", help="The ledger of actions: a file, or postgresql://...")] = "",
    json_: Json = False,
) -> None:
    """How far each verb may go by itself, by verb and tier, and what is missing for more; nothing is changed."""
    if context.invoked_subcommand:
        return
    if not ledger:
        raise SettingsError("it is not said whose", where="--ledger", todo="Give the ledger of actions")
    if "://" not in ledger and not Path(ledger).is_file():
        raise SettingsError(
            "there is no ledger", where=ledger, todo="Give the file of the worker, or postgresql://USER@HOST/DB"
        )
    found = standings(open_ledger(ledger, Sealer("reader")), time.time_ns())
    if json_:
        say({"verbs": [_row(one) for one in found]})
        return
    table = Table("verb", "tier", "level", "reason", "trials", "failed", "bound", "missing", box=None)
    for one in found:
        when = f" (about {one.days:.0f} days)" if one.days is not None else ""
        missing = escape("; ".join(one.missing) + when)
        bound = f"{one.lower:.3f}" if one.lower else "-"
        table.add_row(
            one.verb, one.tier, one.level, one.reason, f"{one.trials} + {one.borrowed:g}", str(one.failures), bound,
            missing,
        )  # fmt: skip
    out = console()
    out.print(table if found else "No action has had a measured outcome yet, so everything is approved by people.")


def drill(
    drills: Annotated[Path, typer.Option("--from", help="Ledger of the deployment in which it was practised.")],
    config: Config = None, key: Key = None, issuer: Issuer = "", worker: To = "", json_: Json = False,
) -> None:  # fmt: skip
    """Count what was measured in drills of another deployment, each half a trial. Without --key it is only shown."""
    if not drills.is_file():
        raise SettingsError("there is no ledger", where=str(drills), todo="Give the file of its worker")
    rows = open_ledger(str(drills), Sealer("reader")).ended(-1, 1 << 30)
    credit = Credit(drilled(load_action(row.body) for row in rows))
    shown = Counter((one.verb, one.tier, one.result) for one in credit.trials)
    said = [{"verb": verb, "tier": tier, "result": result, "trials": n} for (verb, tier, result), n in shown.items()]
    for row in () if json_ else said:
        typer.echo("  ".join(f"{name} {value}" for name, value in row.items()))
    _hand_over(credit, {"drills": said}, Settings.read(config), key, issuer, worker, json_)


def replay(
    begin: Begin = None, end: End = None, run: RunDir = _run.NEWEST, brokers: Brokers = "", config: Config = None,
    key: Key = None, issuer: Issuer = "", worker: To = "", json_: Json = False,
) -> None:  # fmt: skip
    """Judge the decisions of history by the policies of now: what they agree with counts a tenth, and where nothing is
    decided otherwise, what the version before has earned is kept. Without --key: only shown.
    """
    settings = Settings.read(config)
    engine = _pipeline.engine(settings)
    events = events_of(settings, run, brokers, begin, end)
    decided = [one for one in events if not one.idempotency_key]
    names = names_read(engine) if isinstance(engine, Policies) else NAMES
    history = simulate(engine, decided, names)
    credit, shown = replayed(history, events, _pipeline.verbs(settings.actions.executors), engine.digest)
    for one in () if json_ else shown:
        what = "kept" if not one.missing else "not kept: " + "; ".join(one.missing)
        typer.echo(f"{one.verb} by {one.runbook}: {one.decisions} decisions, {one.trials} with an outcome; {what}")
    _hand_over(credit, {"verbs": [one._asdict() for one in shown]}, settings, key, issuer, worker, json_)


def _hand_over(
    credit: Credit, told: dict[str, Any], settings: Settings, key: Path | None, issuer: str, to: str, json_: bool
) -> None:
    """Signed, to the worker that has the ledger; nothing where no key is given."""
    told |= {"trials": len(credit.trials), "same": len(credit.same), "new": None}
    if key is not None:
        try:
            secret = private_key(key.read_bytes())
        except (OSError, ValueError) as error:
            raise SettingsError(f"the key cannot be used: {why(error)}", where=str(key)) from error
        envelope = seal_credit(credit, settings.approvals.deployment, issuer, time.time_ns(), secret)
        url = to or f"http://127.0.0.1:{settings.act.listen_port}"
        told["new"] = Office(url).call("POST", "/v1/autonomy/credits", envelope)[1]["new"]
    if json_:
        say(told)
    else:
        handed = "only shown" if told["new"] is None else f"{told['new']} new"
        typer.echo(f"{len(credit.trials)} trials, {len(credit.same)} versions that decide the same: {handed}")


def _row(one: Earned) -> dict[str, Any]:
    return asdict(one)
