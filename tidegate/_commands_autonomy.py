"""`tidegate autonomy`: what every verb has earned in every tier, and what is missing, from the ledger."""

import time
from dataclasses import asdict
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from actions import Earned, Sealer, open_ledger, standings
from tidegate._commands import Json, say
from tidegate._show import console


def register(app: typer.Typer) -> None:
    app.command("autonomy")(autonomy)


def autonomy(
    ledger: Annotated[str, typer.Option("--ledger", help="The ledger of actions: a file, or postgresql://...")],
    json_: Json = False,
) -> None:
    """How far each verb may go by itself, by verb and tier, and what is missing for more; nothing is changed."""
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


def _row(one: Earned) -> dict[str, Any]:
    return asdict(one)
