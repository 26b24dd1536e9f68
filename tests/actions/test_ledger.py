"""Both ledgers hold to the same rules, and the durable one to its promise when it is killed, cut or full."""

import shutil
import sqlite3
import tempfile
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from support import actions_dying
from support.actions import NS, plan_of, seal, step_of
from support.actions_world import run_world

from actions._drive import advance, open_action, prepare, read_action
from actions._ledger import (
    ZERO_HASH,
    ActionWrite,
    Committed,
    Free,
    Hold,
    Inbox,
    Intent,
    Keep,
    Ledger,
    NonceIssue,
    Outbox,
    Priority,
    Refusal,
    Renew,
    Reread,
    Take,
    Timer,
    Transaction,
    Unblock,
    write,
)
from actions._ledger_model import ModelLedger
from actions._ledger_sqlite import SqliteLedger
from actions._machine_errors import LedgerFault
from actions._machine_types import Gated, Killed, Recovered, Reserved


@pytest.fixture(params=["model", "sqlite"])
def ledger(request, tmp_path):
    made = ModelLedger(seal) if request.param == "model" else SqliteLedger(tmp_path / "ledger", seal)
    yield made
    made.close()


def code(result):
    return result.code if isinstance(result, Refusal) else "COMMITTED"


names = st.sampled_from(("a", "b", "c"))
numbers = st.integers(0, 3)
some = lambda strategy, most=2: st.lists(strategy, max_size=most).map(tuple)
action_writes = st.builds(
    ActionWrite, key=names, expect_version=numbers, digest=st.sampled_from(("d", "d", "d", "e")),
    change_key=names, generation=st.integers(0, 1), state=st.just("proposed"), is_ended=st.booleans(),
    body=st.binary(max_size=3), cool_down_ns=numbers,
)  # fmt: skip
target_writes = st.one_of(
    st.builds(Hold, names, names), st.builds(Renew, names, names, numbers), st.builds(Unblock, names),
    st.builds(Reread, names, numbers, st.sampled_from(("", "WHY"))),
    st.builds(Free, names, names, st.sampled_from((None, True, False)), st.sampled_from(("", "", "WHY"))),
)  # fmt: skip
transactions = st.builds(
    Transaction,
    at_ns=st.integers(0, 20),
    priority=st.sampled_from(list(Priority)),
    action=st.none() | action_writes,
    distrust=st.sampled_from((False,) * 9 + (True,)),
    targets=some(target_writes, 3),
    intent=st.none() | st.none() | st.builds(Intent, names, names, numbers, st.sampled_from(("do", "undo")), numbers),
    closes=some(names, 1),
    takes=some(st.builds(Take, names, names, st.integers(1, 3), st.integers(1, 9), st.just(4))),
    gives_back=some(names, 1),
    used_approvals=some(st.text("pq", min_size=1, max_size=2), 1),
    issued_nonces=some(st.builds(NonceIssue, names, numbers), 1),
    used_nonces=some(names, 1),
    leaves=some(st.binary(max_size=3)),
    inbox=st.none() | st.builds(Inbox, names, numbers, numbers, st.text("xy", min_size=1, max_size=3)),
    outbox=some(st.builds(Outbox, names, names, names, st.binary(max_size=2))),
    sent=some(numbers, 1),
    timers=some(st.builds(Timer, names, st.none() | numbers)),
    keeps=some(st.builds(Keep, names, st.none() | st.binary(max_size=2))),
)


class TwoLedgers(RuleBasedStateMachine):
    """Whatever is submitted in whatever groups, both say the same and hold the same; a crash loses what waits."""

    @initialize()
    def make(self):
        self.model = ModelLedger(seal)
        self.place = tempfile.TemporaryDirectory()
        self.path = Path(self.place.name) / "ledger"
        self.sqlite = SqliteLedger(self.path, seal)

    @rule(group=st.lists(transactions, min_size=1, max_size=4))
    def commit(self, group):
        for one in group:
            assert self.model.submit(one) == self.sqlite.submit(one)
        assert self.model.commit() == self.sqlite.commit()

    @rule(lost=transactions)
    def crash(self, lost):
        self.model.submit(lost)
        self.sqlite.submit(lost)
        self.model.crash()
        self.sqlite.close()
        self.sqlite = SqliteLedger(self.path, seal)
        self.sqlite._tickets = self.model._tickets

    @rule(before_ns=st.integers(0, 20))
    def forget(self, before_ns):
        self.model.forget(before_ns)
        self.sqlite.forget(before_ns)

    @invariant()
    def both_hold_the_same(self):
        if not hasattr(self, "sqlite"):
            return
        assert self.model.contents() == self.sqlite.contents()
        for read in (
            lambda one: one.open_actions(), lambda one: one.head(), lambda one: list(one.leaves(1, 2)),
            lambda one: list(one.unsent(2)), lambda one: list(one.due(2, 2)), lambda one: one.spent("a", 3),
            lambda one: one.position("a", 1), lambda one: one.latest("a"), lambda one: one.target("a"),
            lambda one: one.intent("a"), lambda one: one.action("a"), lambda one: list(one.ended(3, 2)),
            lambda one: list(one.unsent(2, "a")), lambda one: list(one.kept("a")), lambda one: list(one.kept("")),
            lambda one: one.unread(),
        ):  # fmt: skip
            assert read(self.model) == read(self.sqlite)

    @invariant()
    def the_chain_and_the_intents_hold(self):
        if not hasattr(self, "sqlite"):
            return
        contents, before = self.model.contents(), ZERO_HASH
        for row in contents.leaves:
            assert (row.leaf, row.hash) == seal(row.number, before, row.leaf[40:])
            before = row.hash
        assert max(Counter(one.target for one in contents.intents if one.is_open).values(), default=0) <= 1

    def teardown(self):
        if hasattr(self, "sqlite"):
            self.sqlite.close()
            self.place.cleanup()


TestTwoLedgers = TwoLedgers.TestCase
TestTwoLedgers.settings = settings(max_examples=25, stateful_step_count=15, deadline=None)


def reserved(ledger, plan, at_ns=1_000 * NS):
    """The key of an action that holds its target and has a permit."""
    opened = open_action(plan, 0, at_ns)
    assert isinstance(write(ledger, opened.transaction), Committed)
    key = opened.action.key
    advance(ledger, key, Gated(at_ns, "permit", "R", "act", at_ns))
    return key, advance(ledger, key, Reserved(at_ns, plan.digest, at_ns + 20 * NS, at_ns))[1]


def test_every_store_is_a_ledger(ledger):
    assert isinstance(ledger, Ledger)


def test_two_actions_never_hold_one_target(ledger):
    assert isinstance(reserved(ledger, plan_of(step_of(value="x")))[1], Committed)
    assert code(reserved(ledger, plan_of(step_of(value="y")))[1]) == "TARGET_HELD"


def test_of_two_workers_with_the_same_action_one_moves_it(ledger):
    key, _ = reserved(ledger, plan_of())
    mine, theirs = (prepare(read_action(ledger, key), event) for event in (Killed(0), Recovered(0)))
    assert code(write(ledger, mine.transaction)) == "COMMITTED"
    assert code(write(ledger, theirs.transaction)) == "VERSION_MOVED"


def test_a_key_with_another_payload_is_refused(ledger):
    write(ledger, open_action(plan_of(), 0, 0).transaction)
    assert code(write(ledger, open_action(plan_of(rollback_on_kill=True), 0, 0).transaction)) == "KEY_REUSED"


def test_a_change_is_owned_until_its_action_has_ended_and_cooled_down(ledger):
    opened = open_action(plan_of(), 0, 0)
    write(ledger, opened.transaction)
    again = lambda at_ns: write(ledger, open_action(plan_of(), 1, at_ns, cool_down_ns=9).transaction)
    assert code(again(99)) == "OWNED"
    advance(ledger, opened.action.key, Killed(100))
    assert (code(again(108)), code(again(109))) == ("OWNED", "COMMITTED")


def test_the_third_ineffective_action_blocks_its_target_until_a_person_frees_it(ledger):
    hold, free = Hold("t", "k"), Free("t", "k", False)
    results = [code(write(ledger, Transaction(n, targets=(hold, free)))) for n in range(4)]
    assert results == ["COMMITTED"] * 3 + ["TARGET_BLOCKED"]
    assert code(write(ledger, Transaction(5, targets=(Unblock("t"), hold)))) == "COMMITTED"


def test_after_distrust_a_target_is_fenced_higher_and_read_before_anything_new(ledger):
    write(ledger, Transaction(0, targets=(Hold("t", "k"), Renew("t", "k", 1), Free("t", "k"))))
    assert code(write(ledger, Transaction(1, distrust=True))) == "COMMITTED"
    assert ledger.unread() == ["t"] and ledger.target("t").epoch == 2
    results = [code(write(ledger, Transaction(2, targets=(one,)))) for one in (Hold("t", "n"), Reread("t", 1))]
    assert results == ["TARGET_BLOCKED", "STALE_EPOCH"]
    assert code(write(ledger, Transaction(3, targets=(Reread("t", 7), Hold("t", "n"))))) == "COMMITTED"
    assert ledger.target("t").epoch == 7 and ledger.unread() == []


def test_who_holds_a_distrusted_target_may_fence_it_and_begins_nothing(ledger):
    key, _ = reserved(ledger, plan_of())
    (target,) = plan_of().targets
    write(ledger, Transaction(1, distrust=True))
    epoch = ledger.target(target).epoch + 1
    assert code(write(ledger, Transaction(2, targets=(Renew(target, key, epoch),)))) == "COMMITTED"
    intent = Transaction(3, intent=Intent(target, key, 0, "do", epoch), leaves=(b"x",))
    assert code(write(ledger, intent)) == "TARGET_BLOCKED"


def test_a_spent_budget_refuses_the_whole_transaction(ledger):
    take = lambda id, at_ns: Transaction(at_ns, takes=(Take("s", id, 1, 10, 2),), leaves=(b"x",))
    assert [code(write(ledger, take(str(n), n))) for n in (0, 1, 2, 11)] == ["COMMITTED"] * 2 + [
        "BUDGET_SPENT",
        "COMMITTED",
    ]
    assert ledger.head()[0] == 3


def test_approvals_and_nonces_serve_once_and_a_record_is_read_once(ledger):
    once = Transaction(0, used_approvals=("a",))
    assert [code(write(ledger, once)) for _ in range(2)] == ["COMMITTED", "APPROVAL_USED"]
    assert code(write(ledger, Transaction(0, used_nonces=("n",)))) == "NONCE_UNKNOWN"
    nonce = Transaction(0, issued_nonces=(NonceIssue("n", 9),)), *[Transaction(0, used_nonces=("n",))] * 2
    assert [code(write(ledger, one)) for one in nonce] == ["COMMITTED", "COMMITTED", "NONCE_USED"]
    read = Transaction(0, inbox=Inbox("topic", 0, 5, "id"))
    assert [code(write(ledger, read)) for _ in range(2)] == ["COMMITTED", "DUPLICATE"]
    assert ledger.position("topic", 0) == 5


def test_nothing_about_an_action_is_kept_without_a_leaf(ledger):
    opened = open_action(plan_of(), 0, 0).transaction
    assert code(write(ledger, Transaction(0, action=opened.action))) == "NO_LEAF"
    assert ledger.contents().actions == ()


def test_a_kill_goes_before_what_was_submitted_earlier(ledger):
    order = (Priority.OTHER, Priority.INTENT, Priority.KILL, Priority.APPROVAL)
    for priority in order:
        ledger.submit(Transaction(0, priority, leaves=(priority.name.encode(),)))
    ledger.commit()
    assert [row.leaf[40:] for row in ledger.leaves(0, 9)] == [b"KILL", b"APPROVAL", b"INTENT", b"OTHER"]


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
    with pytest.raises(LedgerFault):
        ledger.submit(Transaction(99))
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
