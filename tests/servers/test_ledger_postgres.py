"""The ledger on PostgreSQL: the rules of every ledger, and that nothing is done which a failover could make undone."""

import threading
import time

import psycopg
import pytest
from hypothesis import settings
from support.actions import plan_of, seal, step_of
from support.actions_world import run_world
from support.ledger_rules import BesideTheModel, LedgerRules, code, reserved
from support.postgres import Pair

from actions._ledger import Hold, Renew, Reread, Transaction, write
from actions._ledger_model import ModelLedger
from actions._ledger_open import open_ledger
from actions._ledger_postgres import PostgresLedger
from actions._machine_errors import LedgerFault

PAIRS: list[Pair] = []


@pytest.fixture(scope="module")
def shared():
    """For tests that leave the servers as they are."""
    with Pair() as pair:
        PAIRS.append(pair)
        yield pair
        PAIRS.remove(pair)


@pytest.fixture
def pair():
    with Pair() as pair:
        yield pair


def opened(pair, **rest):
    return PostgresLedger(pair.primary.place, seal, **rest)


def emptied(pair):
    pair.primary.run("drop schema if exists tidegate cascade")
    return opened(pair)


class TestPostgres(LedgerRules):
    @pytest.fixture
    def ledger(self, shared):
        made = emptied(shared)
        yield made
        made.close()


@pytest.mark.usefixtures("shared")
class PostgresBesideTheModel(BesideTheModel):
    def fresh(self):
        return emptied(PAIRS[0])

    def reopen(self):
        return opened(PAIRS[0])


TestPostgresBesideTheModel = PostgresBesideTheModel.TestCase
TestPostgresBesideTheModel.settings = settings(max_examples=15, stateful_step_count=12, deadline=None)
TestPostgresBesideTheModel.pytestmark = [pytest.mark.usefixtures("shared")]


def test_the_hostile_world_is_the_same_on_postgres(shared):
    def reopened(ledger):
        ledger.close()
        return opened(shared)

    world = run_world(7, emptied(shared), reopened, steps=120)
    model = run_world(7, ModelLedger(seal), lambda one: one.crash() or one, steps=120)
    assert world.wrong == model.wrong == []
    assert world.ledger.contents() == model.ledger.contents()
    world.ledger.close()


def test_a_ledger_is_named_by_its_place(shared):
    ledger = open_ledger(shared.primary.place, seal)
    assert isinstance(ledger, PostgresLedger)
    ledger.close()


def test_whoever_opened_last_is_the_only_one_who_commits(shared):
    first, last = emptied(shared), opened(shared)
    with pytest.raises(LedgerFault, match="taken over"):
        write(first, Transaction(1, leaves=(b"old",)))
    assert code(write(last, Transaction(1, leaves=(b"new",)))) == "COMMITTED" and last.head()[0] == 1
    with pytest.raises(LedgerFault, match="failed before"):
        first.head()
    last.close()


def test_a_role_that_is_no_superuser_can_keep_the_ledger_if_it_may_see_standbys(shared):
    emptied(shared).close()
    shared.primary.run("drop schema tidegate cascade")
    shared.primary.run("create role worker login; grant create on database postgres to worker")
    place = shared.primary.place.replace("tidegate@", "worker@")
    with pytest.raises(LedgerFault, match="pg_read_all_stats"):
        PostgresLedger(place, seal)
    shared.primary.run("grant pg_read_all_stats to worker")
    ledger = PostgresLedger(place, seal)
    assert code(write(ledger, Transaction(1, leaves=(b"x",)))) == "COMMITTED"
    ledger.close()
    shared.primary.run("drop schema tidegate cascade")


@pytest.mark.parametrize("setting", ["fsync", "full_page_writes", "synchronous_standby_names"])
def test_a_server_that_could_lose_what_it_acknowledged_is_not_used(pair, setting):
    wanted = "" if setting.startswith("sync") else "off"
    pair.primary.configure(**{setting: wanted})
    pair.primary.run("select pg_reload_conf()")
    reloaded = lambda: pair.primary.run(f"show {setting}") == [(wanted,)]
    assert any(reloaded() or time.sleep(0.05) for _ in range(200))
    with pytest.raises(LedgerFault):
        opened(pair)


def test_without_a_standby_nothing_is_written_and_with_one_again_it_goes_on(pair):
    ledger = opened(pair)
    write(ledger, Transaction(1, leaves=(b"before",)))
    pair.standby.stop()
    with pytest.raises(LedgerFault, match="no synchronous standby"):
        write(ledger, Transaction(2, leaves=(b"without",)))
    with pytest.raises(LedgerFault, match="no synchronous standby"):
        opened(pair)
    pair.standby.start()
    pair.in_sync()
    again = opened(pair)
    assert again.head()[0] == 1 and not again.has_failed_over
    assert code(write(again, Transaction(3, leaves=(b"after",)))) == "COMMITTED"
    again.close()


def standby_lost_at_commit(pair, **rest):
    """A ledger whose standby dies after it was looked for and before the commit."""
    points = {"before_commit": lambda: pair.standby.stop()}
    ledger = opened(pair, at_point=lambda name: points.pop(name, lambda: None)(), **rest)
    points["before_commit"] = lambda: pair.standby.stop()
    return ledger


def test_a_commit_that_the_standby_does_not_acknowledge_in_time_is_a_fault(pair):
    ledger = standby_lost_at_commit(pair, wait_s=1.0)
    with pytest.raises(LedgerFault, match="not acknowledged"):
        write(ledger, Transaction(1, leaves=(b"x",)))
    with pytest.raises(LedgerFault, match="failed before"):
        ledger.submit(Transaction(2))


def test_a_commit_whose_wait_was_cut_short_is_a_fault_though_the_server_calls_it_done(pair):
    ledger = standby_lost_at_commit(pair)

    def cut_short():
        cancel = "select pg_cancel_backend(pid) from pg_stat_activity where wait_event = 'SyncRep'"
        while not pair.primary.run(cancel):
            time.sleep(0.05)

    thread = threading.Thread(target=cut_short)
    thread.start()
    with pytest.raises(LedgerFault, match="canceling wait for synchronous replication"):
        write(ledger, Transaction(1, leaves=(b"x",)))
    thread.join()


def test_a_failover_loses_nothing_acknowledged_and_every_target_is_read_before_anything_new(pair):
    ledger = opened(pair)
    key, _ = reserved(ledger, plan_of(step_of("t/flag/a")))
    write(ledger, Transaction(1, targets=(Hold("t/flag/b", "k"), Renew("t/flag/b", "k", 1))))
    for n in range(50):
        write(ledger, Transaction(n, leaves=(b"%d" % n,)))
    before = ledger.contents()
    pair.fail_over()
    with pytest.raises(LedgerFault):
        write(ledger, Transaction(99, leaves=(b"to the dead",)))
    after = opened(pair)
    assert after.has_failed_over and after.unread() == ["t/flag/a", "t/flag/b"]
    assert (after.contents().leaves, after.contents().actions) == (before.leaves, before.actions)
    assert [row.epoch for row in after.contents().targets] == [row.epoch + 1 for row in before.targets]
    assert code(write(after, Transaction(100, targets=(Hold("t/flag/a", key),)))) == "TARGET_BLOCKED"
    assert code(write(after, Transaction(101, targets=(Reread("t/flag/a", 5), Hold("t/flag/a", key))))) == "COMMITTED"
    after.close()
    again = opened(pair)
    assert not again.has_failed_over and again.unread() == ["t/flag/b"]
    again.close()


def test_the_old_primary_that_comes_back_can_acknowledge_nothing(pair):
    ledger = opened(pair)
    pair.standby.promote()  # the network was cut: both think they are primary
    with pytest.raises(LedgerFault):
        write(ledger, Transaction(1, leaves=(b"split",)))


def test_a_foreign_table_of_that_name_is_not_taken_for_a_ledger(shared):
    shared.primary.run("drop schema if exists tidegate cascade; create schema tidegate")
    shared.primary.run("create table tidegate.writer (x int)")
    with pytest.raises(LedgerFault):
        opened(shared)
    with pytest.raises(LedgerFault):
        PostgresLedger("postgresql://tidegate@127.0.0.1:1/postgres", seal)
    assert isinstance(psycopg.connect(shared.primary.place), psycopg.Connection)
