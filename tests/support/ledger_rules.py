"""What every ledger must hold to: rules over a fixture `ledger`, and a machine that runs one beside the model."""

from collections import Counter
from collections.abc import Callable

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

    fresh: Callable[[], Ledger]
    """Makes an empty durable ledger; a store says how, in a subclass."""
    reopen: Callable[[], Ledger]
    """The same ledger from its store, after it was closed."""

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
        write(ledger, Transaction(6, targets=(free,)))
        results = [code(write(ledger, Transaction(n, targets=(hold, free)))) for n in range(7, 10)]
        assert results == ["COMMITTED"] * 2 + ["TARGET_BLOCKED"], "counted anew"

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

    def test_a_step_is_intended_once_in_each_direction_and_epoch(self, ledger):
        hold = Transaction(0, targets=(Hold("t", "k"), Renew("t", "k", 1)))
        intend = lambda epoch=1, step=0, way="do", key="k": Transaction(
            1, intent=Intent("t", key, step, way, epoch), leaves=(b"x",)
        )
        assert [code(write(ledger, one)) for one in (hold, intend())] == ["COMMITTED", "COMMITTED"]
        assert code(write(ledger, intend(step=1))) == "INTENT_OPEN"
        assert code(write(ledger, Transaction(2, closes=("t",)))) == "COMMITTED"
        assert code(write(ledger, Transaction(2, closes=("t",)))) == "NO_INTENT"
        results = [code(write(ledger, one)) for one in (intend(), intend(epoch=2), intend(key="other"))]
        assert results == ["INTENT_REPEATED", "STALE_EPOCH", "STALE_EPOCH"]
        assert code(write(ledger, intend(way="undo"))) == "COMMITTED"
        assert ledger.intent("t")[:5] == ("t", "k", 0, "undo", 1) and ledger.intent("other") is None

    def test_an_epoch_is_one_more_than_the_last_and_the_holders(self, ledger):
        write(ledger, Transaction(0, targets=(Hold("t", "k"),)))
        renew = lambda epoch, key="k": code(write(ledger, Transaction(1, targets=(Renew("t", key, epoch),))))
        assert [renew(0), renew(2), renew(1, "x"), renew(1), renew(1)] == ["STALE_EPOCH"] * 3 + [
            "COMMITTED",
            "STALE_EPOCH",
        ]
        assert ledger.target("t").epoch == 1 and ledger.target("none") == ("none", 0, "", 0, "", False)

    def test_a_target_read_again_keeps_why_it_was_blocked(self, ledger):
        write(ledger, Transaction(0, targets=(Hold("t", "k"), Free("t", "k", False, "WHY"), Hold("u", "k"))))
        write(ledger, Transaction(1, distrust=True))
        again = (Reread("t", 1, "OTHER"), Reread("u", 1, "MARK"))
        assert code(write(ledger, Transaction(2, targets=again))) == "COMMITTED"
        assert [ledger.target(name).blocked for name in "tu"] == ["WHY", "MARK"]
        assert code(write(ledger, Transaction(3, targets=(Reread("t", 9),)))) == "STALE_EPOCH"

    def test_a_target_that_never_had_an_epoch_takes_the_one_that_was_found(self, ledger):
        writes = (Reread("new", 4), Reread("new", 9), Hold("held", "k"), Reread("held", 4), Renew("held", "k", 5))
        results = [code(write(ledger, Transaction(0, targets=(one,)))) for one in writes]
        assert results == ["COMMITTED", "STALE_EPOCH", *["COMMITTED"] * 3]
        assert ledger.target("new") == ("new", 4, "", 0, "", False) and ledger.target("held").holder == "k"

    def test_whoever_does_not_hold_a_target_frees_nothing(self, ledger):
        write(ledger, Transaction(0, targets=(Hold("t", "k"), Free("t", "other", False, "WHY"))))
        assert ledger.target("t") == ("t", 0, "k", 0, "", False)
        write(ledger, Transaction(1, targets=(Free("t", "k", False), Hold("t", "n"), Free("t", "n"))))
        assert ledger.target("t").ineffective == 1
        write(ledger, Transaction(2, targets=(Hold("t", "k"), Free("t", "k", True))))
        assert ledger.target("t").ineffective == 0

    def test_a_timer_rings_at_its_time_and_the_earliest_first(self, ledger):
        timers = (Timer("b", 5), Timer("a", 5), Timer("c", 4), Timer("d", 9))
        write(ledger, Transaction(0, timers=timers))
        assert [list(ledger.due(now, 9)) for now in (3, 4, 5)] == [[], ["c"], ["c", "a", "b"]]
        assert list(ledger.due(9, 2)) == ["c", "a"]
        write(ledger, Transaction(0, timers=(Timer("c", 7), Timer("a", None))))
        assert list(ledger.due(9, 9)) == ["b", "c", "d"]

    def test_what_is_told_is_numbered_by_topic_and_key_and_told_in_order(self, ledger):
        told = [Outbox("t", "k", "1", b"a"), Outbox("t", "k", "2", b"b"), Outbox("t", "other", "3", b"c"),
                Outbox("u", "k", "4", b"d")]  # fmt: skip
        write(ledger, Transaction(0, outbox=tuple(told)))
        rows = list(ledger.unsent(9))
        assert [row.record for row in rows] == told and [row.sequence for row in rows] == [0, 1, 0, 0]
        assert [row.record.id for row in ledger.unsent(1, "u")] == ["4"] and len(ledger.unsent(2)) == 2
        write(ledger, Transaction(0, sent=(rows[0].number, rows[1].number), outbox=(Outbox("t", "k", "5", b"e"),)))
        assert [(row.record.id, row.sequence) for row in ledger.unsent(9, "t")] == [("3", 0), ("5", 2)]

    def test_facts_are_found_by_how_their_names_begin(self, ledger):
        write(ledger, Transaction(0, keeps=(Keep("b/2", b"2"), Keep("b/1", b"1"), Keep("c", b"3"))))
        write(ledger, Transaction(0, keeps=(Keep("c", None), Keep("b/2", b"4"))))
        assert list(ledger.kept("b/")) == [("b/1", b"1"), ("b/2", b"4")] == list(ledger.kept(""))

    def test_the_ended_are_listed_by_when_and_after_a_time(self, ledger):
        keys = []
        for n, value in enumerate("xyz"):
            opened = open_action(plan_of(step_of(value=value)), 0, 0)
            write(ledger, opened.transaction)
            if n < 2:
                advance(ledger, opened.action.key, Killed(10 + n))
            keys.append(opened.action.key)
        assert [row.key for row in ledger.ended(9, 9)] == keys[:2] and [row.key for row in ledger.ended(9, 1)] == keys[
            :1
        ]
        assert [row.key for row in ledger.ended(10, 9)] == keys[1:2] and ledger.open_actions() == keys[2:]

    def test_forgetting_keeps_what_is_as_young_as_the_limit(self, ledger):
        for at_ns in (4, 5):
            name = str(at_ns)
            write(ledger, Transaction(
                at_ns, takes=(Take("s", name, 1, 99, 9),), inbox=Inbox("t", 0, at_ns, name),
                issued_nonces=(NonceIssue(name, at_ns),),
            ))  # fmt: skip
        ledger.forget(5)
        found = ledger.contents()
        assert (
            [row[1] for row in found.budget]
            == [row[3] for row in found.inbox]
            == [row[0] for row in found.nonces]
            == ["5"]
        )
        assert ledger.position("t", 0) == 5 and ledger.position("t", 1) is None and ledger.last_ns() == 5

    def test_a_budget_counts_its_scope_and_window_and_gives_back(self, ledger):
        take = lambda id, at_ns, scope="s", amount=1: Transaction(at_ns, takes=(Take(scope, id, amount, 10, 2),))
        for one in (take("a", 1), take("b", 2), take("c", 2, "other", 2)):
            assert code(write(ledger, one)) == "COMMITTED"
        assert ledger.spent("s", 0) == 2 and ledger.spent("s", 1) == 1 and ledger.spent("none", 0) == 0
        assert code(write(ledger, take("d", 10))) == "BUDGET_SPENT"
        assert code(write(ledger, take("a", 10))) == "COMMITTED"  # the same share taken again is one
        assert code(write(ledger, Transaction(10, gives_back=("b",)))) == "COMMITTED" and ledger.spent("s", 0) == 1
        assert code(write(ledger, take("e", 10, amount=2))) == "BUDGET_SPENT"

    def test_time_never_goes_back_and_leaves_are_numbered(self, ledger):
        results = [write(ledger, Transaction(at_ns, leaves=(b"x", b"y"))) for at_ns in (5, 3)]
        assert results == [Committed((0, 1)), Committed((2, 3))] and ledger.last_ns() == 5
        assert [row.number for row in ledger.leaves(1, 2)] == [1, 2] and ledger.head()[0] == 4

    def test_a_position_is_the_furthest_that_was_read(self, ledger):
        for offset in (7, 3):
            write(ledger, Transaction(0, inbox=Inbox("t", 1, offset, str(offset))))
        assert ledger.position("t", 1) == 7

    def test_a_generation_follows_the_last_and_a_version_the_last(self, ledger):
        row = lambda key, version, generation, ended=False: Transaction(
            1, action=ActionWrite(key, version, "d", "c", generation, "proposed", ended, b""), leaves=(b"x",)
        )
        assert code(write(ledger, row("a", 0, 1))) == "OWNED"
        results = [
            code(write(ledger, one)) for one in (row("a", 0, 0), row("b", 0, 1), row("a", 2, 0), row("a", 1, 0, True))
        ]
        assert results == ["COMMITTED", "OWNED", "VERSION_MOVED", "COMMITTED"]
        assert code(write(ledger, row("b", 0, 2))) == "OWNED" and code(write(ledger, row("b", 0, 1))) == "COMMITTED"
        assert ledger.latest("c").key == "b" and ledger.action("a").version == 2 and ledger.action("none") is None
