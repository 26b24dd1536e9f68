"""`tidegate autonomy`: reads the ledger, says what is missing, changes nothing."""

import json

from support.actions import plan_of, seal, step_of
from typer.testing import CliRunner

from actions._drive import open_action, prepare
from actions._ledger import write
from actions._ledger_sqlite import SqliteLedger
from actions._machine_types import Gated, Origin, Rejected
from schemas.core import NS
from tidegate.cli import app


def test_it_says_what_is_missing_and_leaves_the_ledger_as_it_is(tmp_path):
    ledger = SqliteLedger(tmp_path / "ledger", seal)
    opened = open_action(plan_of(step_of()), 0, NS, origin=Origin(tier="low", version="1"))
    write(ledger, opened.transaction)
    gated = prepare(opened.action, Gated(NS, "require_approval", "R", "act", NS))
    write(ledger, gated.transaction)
    write(ledger, prepare(gated.action, Rejected(2 * NS)).transaction)
    before = ledger.contents()
    result = CliRunner().invoke(app, ["autonomy", "--ledger", str(tmp_path / "ledger"), "--json"])
    (row,) = json.loads(result.stdout.splitlines()[-1])["verbs"]
    assert (row["verb"], row["tier"], row["level"], row["failures"]) == ("flag.set", "low", "approve", 1)
    assert row["missing"][0].endswith("at 59") and ledger.contents() == before


def test_without_any_outcome_people_approve_everything(tmp_path):
    result = CliRunner().invoke(app, ["autonomy", "--ledger", str(tmp_path / "ledger")])
    assert result.exit_code == 0 and "approved by people" in result.stdout
