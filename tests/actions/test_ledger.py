"""Both ledgers without a server hold to the same rules, and SQLite to its promise when it is killed, cut or full."""

import shutil
import sqlite3
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import actions_dying
from support.actions import seal
from support.actions_world import run_world
from support.ledger_rules import BesideTheModel, LedgerRules, code

from actions._ledger import ZERO_HASH, Outbox, Transaction, write
from actions._ledger_model import ModelLedger
from actions._ledger_open import open_ledger
from actions._ledger_sqlite import SqliteLedger
from actions._machine_errors import LedgerFault


class SqliteBesideTheModel(BesideTheModel):
    def fresh(self):
        self.place = tempfile.TemporaryDirectory()
        return self.reopen()

    def reopen(self):
        return SqliteLedger(Path(self.place.name) / "ledger", seal)

    def teardown(self):
        super().teardown()
        if hasattr(self, "place"):
            self.place.cleanup()


TestSqliteBesideTheModel = SqliteBesideTheModel.TestCase
TestSqliteBesideTheModel.settings = settings(max_examples=25, stateful_step_count=15, deadline=None)


class TestWithoutAServer(LedgerRules):
    @pytest.fixture(params=["model", "sqlite"])
    def ledger(self, request, tmp_path):
        made = ModelLedger(seal) if request.param == "model" else open_ledger(str(tmp_path / "ledger"), seal)
        yield made
        made.close()


def reopened(ledger):
    ledger.close()
    return SqliteLedger(ledger.path, seal)


@given(st.integers(0, 2**32))
@settings(max_examples=3, deadline=None)
def test_the_hostile_world_is_the_same_on_the_durable_ledger(tmp_path_factory, seed):
    durable = SqliteLedger(tmp_path_factory.mktemp("ledger") / "ledger", seal)
    world = run_world(seed, durable, reopened, steps=120)
    model = run_world(seed, ModelLedger(seal), lambda one: one.crash() or one, steps=120)
    assert world.wrong == model.wrong == []
    assert world.ledger.contents() == model.ledger.contents()
    world.ledger.close()


@pytest.mark.parametrize("point", actions_dying.POINTS)
def test_killed_at_any_point_it_acts_once_and_ends_rightly(tmp_path, point):
    assert actions_dying.kill_and_resume(tmp_path / "ledger", point, 7) == []


def test_a_torn_tail_of_the_log_takes_back_whole_transactions_only(tmp_path):
    ledger, wal = SqliteLedger(tmp_path / "ledger", seal), tmp_path / "ledger-wal"
    sizes, heads = [], []
    for n in range(12):
        write(ledger, Transaction(n, leaves=(b"x" * 900, b"y"), outbox=(Outbox("t", "k", str(n), b"v"),)))
        sizes.append(wal.stat().st_size)
        heads.append(ledger.head())
    for cut in range(sizes[0], sizes[-1], 1_777):
        torn = tmp_path / f"torn{cut}"
        shutil.copy(tmp_path / "ledger", torn)
        (tmp_path / f"torn{cut}-wal").write_bytes(wal.read_bytes()[:cut] + b"\xff" * 100)
        whole = sum(size <= cut for size in sizes)
        found = SqliteLedger(torn, seal)
        assert found.head() == heads[whole - 1] and len(found.unsent(99)) == whole
        found.close()
    ledger.close()


@pytest.mark.parametrize("spare", range(0, 24, 3))
def test_a_full_disk_commits_nothing_and_stops_everything_until_it_is_opened_anew(tmp_path, spare):
    ledger, heads = SqliteLedger(tmp_path / "ledger", seal), [(0, ZERO_HASH)]
    ledger._db.execute(f"pragma max_page_count={ledger._one('pragma page_count')[0] + spare}")
    with pytest.raises(LedgerFault):
        for n in range(99):
            write(ledger, Transaction(n, leaves=(b"z" * 3_000, b"y")))
            heads.append(ledger.head())
    for asked in (lambda: ledger.submit(Transaction(99)), lambda: ledger.forget(0), ledger.head):
        with pytest.raises(LedgerFault, match="failed before"):
            asked()
    ledger.close()
    found = SqliteLedger(tmp_path / "ledger", seal)
    assert found.head() == heads[-1] and code(write(found, Transaction(99))) == "COMMITTED"
    found.close()


def test_a_foreign_or_damaged_file_is_not_opened(tmp_path):
    sqlite3.connect(tmp_path / "other").execute("create table x (y)").connection.close()
    (tmp_path / "noise").write_bytes(b"not a database at all" * 99)
    for name in ("other", "noise"):
        with pytest.raises(LedgerFault):
            SqliteLedger(tmp_path / name, seal)


def test_a_store_that_cannot_be_durable_is_not_opened():
    with pytest.raises(LedgerFault, match="not WAL with full sync"):
        SqliteLedger(Path(":memory:"), seal)


@pytest.mark.parametrize("kind", ["model", "sqlite"])
def test_a_seal_that_fails_leaves_nothing_of_its_group_and_nothing_locked(tmp_path, kind):
    def failing(number, before, body):
        if body == b"bad":
            raise ValueError("no seal")
        return seal(number, before, body)

    ledger = ModelLedger(failing) if kind == "model" else SqliteLedger(tmp_path / "ledger", failing)
    with pytest.raises(ValueError, match="no seal"):
        write(ledger, Transaction(1, leaves=(b"good", b"bad"), outbox=(Outbox("t", "k", "1", b"v"),)))
    assert ledger.head() == (0, ZERO_HASH) and not ledger.unsent(9)
    assert code(write(ledger, Transaction(2, leaves=(b"good",)))) == "COMMITTED"
    ledger.close()


def test_a_closed_ledger_says_so_and_lets_its_file_go(tmp_path):
    ledger = SqliteLedger(tmp_path / "ledger", seal)
    ledger.close()
    with pytest.raises(LedgerFault, match="closed"):
        ledger.head()
