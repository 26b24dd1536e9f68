"""What every ledger must hold to: rules over a fixture `ledger`, and a machine that runs one beside the model."""

from collections import Counter

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from support.actions import NS, plan_of, seal, step_of

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
from actions._machine_types import Gated, Killed, Recovered, Reserved


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


class BesideTheModel(RuleBasedStateMachine):
    """Whatever is submitted in whatever groups, both say the same and hold the same; a crash loses what waits."""

    def fresh(self):
        """An empty durable ledger."""
        raise NotImplementedError

    def reopen(self):
        raise NotImplementedError

    @initialize()
    def make(self):
        self.model = ModelLedger(seal)
        self.durable = self.fresh()

    @rule(group=st.lists(transactions, min_size=1, max_size=4))
    def commit(self, group):
        for one in group:
            assert self.model.submit(one) == self.durable.submit(one)
        assert self.model.commit() == self.durable.commit()

    @rule(lost=transactions)
    def crash(self, lost):
        self.model.submit(lost)
        self.durable.submit(lost)
        self.model.crash()
        self.durable.close()
        self.durable = self.reopen()
        self.durable._tickets = self.model._tickets

    @rule(before_ns=st.integers(0, 20))
    def forget(self, before_ns):
        self.model.forget(before_ns)
        self.durable.forget(before_ns)

    @invariant()
    def both_hold_the_same(self):
        if not hasattr(self, "durable"):
            return
        assert self.model.contents() == self.durable.contents()
        for read in (
            lambda one: one.open_actions(), lambda one: one.head(), lambda one: list(one.leaves(1, 2)),
            lambda one: list(one.unsent(2)), lambda one: list(one.due(2, 2)), lambda one: one.spent("a", 3),
            lambda one: one.position("a", 1), lambda one: one.latest("a"), lambda one: one.target("a"),
            lambda one: one.intent("a"), lambda one: one.action("a"), lambda one: one.unread(),
            lambda one: list(one.ended(3, 2)), lambda one: list(one.unsent(2, "a")), lambda one: list(one.kept("a")),
            lambda one: list(one.kept("")),
        ):  # fmt: skip
            assert read(self.model) == read(self.durable)

    @invariant()
    def the_chain_and_the_intents_hold(self):
        if not hasattr(self, "durable"):
            return
        contents, before = self.model.contents(), ZERO_HASH
        for row in contents.leaves:
            assert (row.leaf, row.hash) == seal(row.number, before, row.leaf[40:])
            before = row.hash
        assert max(Counter(one.target for one in contents.intents if one.is_open).values(), default=0) <= 1

    def teardown(self):
        if hasattr(self, "durable"):
            self.durable.close()


def reserved(ledger, plan, at_ns=1_000 * NS):
    """The key of an action that holds its target and has a permit."""
    opened = open_action(plan, 0, at_ns)
    assert isinstance(write(ledger, opened.transaction), Committed)
    key = opened.action.key
    advance(ledger, key, Gated(at_ns, "permit", "R", "act", at_ns))
    return key, advance(ledger, key, Reserved(at_ns, plan.digest, at_ns + 20 * NS, at_ns))[1]


class LedgerRules:
    """One test a promise; a subclass or module gives the fixture `ledger`, empty."""

    def test_every_store_is_a_ledger(self, ledger):
        assert isinstance(ledger, Ledger)

    def test_two_actions_never_hold_one_target(self, ledger):
        assert isinstance(reserved(ledger, plan_of(step_of(value="x")))[1], Committed)
        assert code(reserved(ledger, plan_of(step_of(value="y")))[1]) == "TARGET_HELD"

    def test_of_two_workers_with_the_same_action_one_moves_it(self, ledger):
        key, _ = reserved(ledger, plan_of())
        mine, theirs = (prepare(read_action(ledger, key), event) for event in (Killed(0), Recovered(0)))
        assert code(write(ledger, mine.transaction)) == "COMMITTED"
        assert code(write(ledger, theirs.transaction)) == "VERSION_MOVED"

    def test_a_key_with_another_payload_is_refused(self, ledger):
        write(ledger, open_action(plan_of(), 0, 0).transaction)
        assert code(write(ledger, open_action(plan_of(rollback_on_kill=True), 0, 0).transaction)) == "KEY_REUSED"

    def test_a_change_is_owned_until_its_action_has_ended_and_cooled_down(self, ledger):
        opened = open_action(plan_of(), 0, 0)
        write(ledger, opened.transaction)
        again = lambda at_ns: write(ledger, open_action(plan_of(), 1, at_ns, cool_down_ns=9).transaction)
        assert code(again(99)) == "OWNED"
        advance(ledger, opened.action.key, Killed(100))
        assert (code(again(108)), code(again(109))) == ("OWNED", "COMMITTED")

    def test_the_third_ineffective_action_blocks_its_target_until_a_person_frees_it(self, ledger):
        hold, free = Hold("t", "k"), Free("t", "k", False)
        results = [code(write(ledger, Transaction(n, targets=(hold, free)))) for n in range(4)]
        assert results == ["COMMITTED"] * 3 + ["TARGET_BLOCKED"]
        assert code(write(ledger, Transaction(5, targets=(Unblock("t"), hold)))) == "COMMITTED"

    def test_after_distrust_a_target_is_fenced_higher_and_read_before_anything_new(self, ledger):
        write(ledger, Transaction(0, targets=(Hold("t", "k"), Renew("t", "k", 1), Free("t", "k"))))
        assert code(write(ledger, Transaction(1, distrust=True))) == "COMMITTED"
        assert ledger.unread() == ["t"] and ledger.target("t").epoch == 2
        results = [code(write(ledger, Transaction(2, targets=(one,)))) for one in (Hold("t", "n"), Reread("t", 1))]
        assert results == ["TARGET_BLOCKED", "STALE_EPOCH"]
        assert code(write(ledger, Transaction(3, targets=(Reread("t", 7), Hold("t", "n"))))) == "COMMITTED"
        assert ledger.target("t").epoch == 7 and ledger.unread() == []

    def test_who_holds_a_distrusted_target_may_fence_it_and_begins_nothing(self, ledger):
        key, _ = reserved(ledger, plan_of())
        (target,) = plan_of().targets
        write(ledger, Transaction(1, distrust=True))
        epoch = ledger.target(target).epoch + 1
        assert code(write(ledger, Transaction(2, targets=(Renew(target, key, epoch),)))) == "COMMITTED"
        intent = Transaction(3, intent=Intent(target, key, 0, "do", epoch), leaves=(b"x",))
        assert code(write(ledger, intent)) == "TARGET_BLOCKED"

    def test_a_spent_budget_refuses_the_whole_transaction(self, ledger):
        take = lambda id, at_ns: Transaction(at_ns, takes=(Take("s", id, 1, 10, 2),), leaves=(b"x",))
        assert [code(write(ledger, take(str(n), n))) for n in (0, 1, 2, 11)] == ["COMMITTED"] * 2 + [
            "BUDGET_SPENT",
            "COMMITTED",
        ]
        assert ledger.head()[0] == 3

    def test_approvals_and_nonces_serve_once_and_a_record_is_read_once(self, ledger):
        once = Transaction(0, used_approvals=("a",))
        assert [code(write(ledger, once)) for _ in range(2)] == ["COMMITTED", "APPROVAL_USED"]
        assert code(write(ledger, Transaction(0, used_nonces=("n",)))) == "NONCE_UNKNOWN"
        nonce = Transaction(0, issued_nonces=(NonceIssue("n", 9),)), *[Transaction(0, used_nonces=("n",))] * 2
        assert [code(write(ledger, one)) for one in nonce] == ["COMMITTED", "COMMITTED", "NONCE_USED"]
        read = Transaction(0, inbox=Inbox("topic", 0, 5, "id"))
        assert [code(write(ledger, read)) for _ in range(2)] == ["COMMITTED", "DUPLICATE"]
        assert ledger.position("topic", 0) == 5

    def test_nothing_about_an_action_is_kept_without_a_leaf(self, ledger):
        opened = open_action(plan_of(), 0, 0).transaction
        assert code(write(ledger, Transaction(0, action=opened.action))) == "NO_LEAF"
        assert ledger.contents().actions == ()

    def test_a_kill_goes_before_what_was_submitted_earlier(self, ledger):
        order = (Priority.OTHER, Priority.INTENT, Priority.KILL, Priority.APPROVAL)
        for priority in order:
            ledger.submit(Transaction(0, priority, leaves=(priority.name.encode(),)))
        ledger.commit()
        assert [row.leaf[40:] for row in ledger.leaves(0, 9)] == [b"KILL", b"APPROVAL", b"INTENT", b"OTHER"]
