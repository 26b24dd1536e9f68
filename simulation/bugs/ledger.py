"""Bugs of the ledger, and of how the worker uses it."""

from typing import Any

from actions._drive import With, open_action
from actions._ledger import Committed, Hold, Renew, Transaction
from simulation._bugs import Bug, Swap, always
from simulation._loop import Died
from simulation.bugs._off import ALREADY_SO, ANY_VERSION, SEEING_NO_MASS

LEDGER, L, W = "actions._ledger_model:ModelLedger", "actions._ledger_model", "actions._worker:Worker"


def _allows(*codes: str) -> Any:
    """A ledger whose refusals with these codes do not exist."""

    def make(original: Any) -> Any:
        def refusal(*told: Any) -> Any:
            found = original(*told)
            return None if getattr(found, "code", found) in codes else found

        return refusal

    return make


def _any_target_write(original: Any) -> Any:
    return lambda row, write: None if isinstance(write, Hold | Renew) else original(row, write)


def _short_window(original: Any) -> Any:
    def refusal(ledger: Any, tx: Any) -> Any:
        return original(ledger, _within_a_second(tx))

    return refusal


def _within_a_second(tx: Any) -> Any:
    return tx._replace(takes=tuple(take._replace(window_ns=1_000_000_000) for take in tx.takes))


def _acknowledged_early(original: Any) -> Any:
    """The store says that it is durable before it is, and dies now and then."""

    def commit(view: Any) -> Any:
        faults = view._store.faults
        if faults.strikes("torn", 0.05):
            waiting = sorted(view._waiting, key=lambda one: one[:2])
            view._waiting = []
            return {ticket: Committed(()) for _, ticket, _ in waiting}
        return original(view)

    return commit


def _half(original: Any) -> Any:
    """A transaction that is torn: the action moves, its intent and its audit leaf do not."""

    def commit(view: Any) -> Any:
        if view._store.faults.strikes("torn", 0.05):
            view._waiting = [(p, t, tx._replace(intent=None, closes=(), outbox=())) for p, t, tx in view._waiting]
            original(view)
            raise Died
        return original(view)

    return commit


def _unchained(original: Any) -> Any:
    def sealed(sealer: Any, index: int, before: bytes, body: bytes) -> Any:
        return original(sealer, index, bytes(32) if index % 40 == 39 else before, body)

    return sealed


def _asks_anew(original: Any) -> Any:
    """Each time it is asked for it is a new action, whatever became of the one before."""

    async def take(worker: Any, asked: Any) -> str:
        last = worker.ledger.latest(asked.plan.change_key)
        generation = last.generation + 1 if last else 0
        rest = With(inbox=asked.inbox)
        await worker._write(open_action(asked.plan, generation, worker.now, rest, origin=asked.origin))
        return "OPENED"

    return take


def _told_anyway(original: Any) -> Any:
    async def tell(process: Any, notice: Any) -> bool:
        await original(process, notice)
        return True

    return tell


def _no_rows(original: Any) -> Any:
    return lambda ledger, *told: []


async def _nothing(*told: Any, **named: Any) -> None:
    return None


BUGS = (
    Bug(
        "versions_ignored",
        "two workers move the same action at once",
        (
            Swap(f"{LEDGER}._action_refusal", _allows("VERSION_MOVED")),
            Swap(f"{LEDGER}._refusal", _allows("INTENT_REPEATED", "INTENT_OPEN", "NO_INTENT")),
        ),
        {"rebalance": 3.0, "sleep": 3.0},
    ),
    Bug(
        "targets_shared",
        "two actions may be at one target at once",
        (
            Swap(f"{L}:_target_refusal", _any_target_write),
            Swap("actions._safety:cools_until_ns", always(0)),
            ANY_VERSION,
        ),
        {"storm": 1.0, "churn": 3.0},
    ),
    Bug(
        "budgets_uncounted",
        "nobody counts how much is done",
        (Swap("actions._safety:Safety.takes", always(())), SEEING_NO_MASS),
        {"storm": 1.0},
        shows=("I7",),
    ),
    Bug(
        "budgets_of_a_second",
        "a budget is full again after a second",
        (Swap(f"{LEDGER}._allowance_refusal", _short_window), SEEING_NO_MASS),
        {"storm": 1.0},
        shows=("I7",),
    ),
    Bug(
        "asked_twice_done_twice",
        "a change may be asked for again while it is under way or cools down",
        (
            Swap(f"{LEDGER}._action_refusal", _allows("OWNED")),
            Swap(f"{W}.take", _asks_anew),
            Swap("actions._safety:cools_until_ns", always(0)),
            Swap(f"{L}:_target_refusal", _any_target_write),
            ALREADY_SO,
        ),
        {"churn": 3.0},
        shows=("I2",),
    ),
    Bug(
        "acknowledged_early",
        "the store says durable before it is",
        (Swap("simulation._store:View.commit", _acknowledged_early),),
        {"torn": 3.0},
    ),
    Bug(
        "torn_transactions",
        "a transaction is written by halves",
        (Swap("simulation._store:View.commit", _half),),
        {"torn": 3.0, "crash": 1.0},
    ),
    Bug(
        "chain_broken",
        "some entries of the audit log do not name the one before",
        (Swap("actions._seal:Sealer.__call__", _unchained),),
    ),
    Bug("timers_lost", "nobody rings", (Swap(f"{LEDGER}.due", _no_rows),)),
    Bug(
        "told_to_nobody",
        "people count as told although nobody was reached",
        (Swap("simulation._process:Process.tell", _told_anyway),),
        {"chat_down": 3.0, "lost_answer": 3.0},
    ),
    Bug("outbox_unread", "what is to be told is told to nobody", (Swap(f"{LEDGER}.unsent", _no_rows),)),
    Bug(
        "backup_believed",
        "a restored backup is taken for the truth",
        (
            Swap(f"{W}.reread", lambda original: _nothing),
            Swap(f"{W}._put_back", lambda original: _nothing),
            Swap("actions._put_back:distrusted", lambda original: Transaction),
            ALREADY_SO,
        ),
        {"backup": 3.0, "churn": 3.0, "replica": 3.0},
    ),
)
