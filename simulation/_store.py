"""The durable store under all workers, with what can go wrong between a worker and its disk.

Three workers share one store, each through a `View` with a queue of its own, as connections to one database do. A
view can be told to fail: a full disk, a sync of which nobody knows whether it held, a death in mid-write (a group is
written whole or not at all; cut logs of the real stores have their own tests). Everything that was written is kept
with its time, so the store can be put back to what a replica or last night's backup holds.
"""

from collections.abc import Callable
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from actions._ledger import Committed, Contents, Ledger, Refusal, Seal, Transaction
from actions._machine_errors import LedgerFault
from simulation._faults import Faults
from simulation._loop import Died, Loop

READS = ("action", "open_actions", "latest", "ended", "target", "unread", "intent", "spent", "head", "leaves",
         "position", "unsent", "kept", "due", "last_ns", "forget", "contents")  # fmt: skip
"""What every worker reads is the store's; asked some thousand times a history, so bound once. Nobody who reads
outlives a store that is put back.
"""
Opened = Callable[[Seal], Ledger]


class Store:
    """`open_ledger` makes an empty one; `seal` is asked for anew with each."""

    def __init__(self, loop: Loop, faults: Faults, open_ledger: Opened, make_seal: Callable[[], Seal]) -> None:
        self.loop, self.faults = loop, faults
        self._open_ledger, self._make_seal = open_ledger, make_seal
        self.ledger = open_ledger(make_seal())
        self.journal: list[tuple[int, tuple[Transaction, ...]]] = []
        self.on_commit: Callable[[Transaction, Committed], None] = lambda transaction, result: None
        self.broken_until_ns = 0
        self.writes = 0

    def write(self, group: tuple[Transaction, ...]) -> list[Committed | Refusal]:
        """Durable, all with one sync."""
        tickets = [self.ledger.submit(one) for one in group]
        results = self.ledger.commit()
        self.journal.append((self.loop.now_ns, group))
        self.writes += 1
        told = [results[ticket] for ticket in tickets]
        for one, result in zip(group, told, strict=True):
            if isinstance(result, Committed):
                self.on_commit(one, result)
        return told

    def put_back(self, to_ns: int) -> list[bytes]:
        """The store as it was then; what came later is lost. Returns what the leaves tell that are left."""
        self.ledger.close()
        self.ledger = self._open_ledger(self._make_seal())
        self.journal = [one for one in self.journal if one[0] <= to_ns]
        told = list[bytes]()
        for _, group in self.journal:
            tickets = [self.ledger.submit(one) for one in group]
            results = self.ledger.commit()
            for ticket, one in zip(tickets, group, strict=True):
                if isinstance(results[ticket], Committed):
                    told += one.leaves
        return told

    def contents(self) -> Contents:
        return self.ledger.contents()


class View:
    """A worker's `Ledger`. Once a fault was raised, everything raises until it is opened anew."""

    def __init__(self, store: Store) -> None:
        self._store = store
        for name in READS:
            setattr(self, name, getattr(store.ledger, name))
        self._is_sound = not any(store.faults.has(kind) for kind in ("disk_full", "torn", "fsync"))
        self._waiting: list[tuple[int, int, Transaction]] = []
        self._tickets = 0
        self._fault = ""

    def submit(self, transaction: Transaction) -> int:
        self._check()
        self._tickets += 1
        self._waiting.append((int(transaction.priority), self._tickets, transaction))
        return self._tickets

    def commit(self) -> dict[int, Committed | Refusal]:
        self._check()
        waiting, self._waiting = self._waiting, []
        waiting.sort(key=itemgetter(0, 1))
        store, faults = self._store, self._store.faults
        group = tuple([one[2] for one in waiting])
        if self._is_sound:
            return dict(zip([one[1] for one in waiting], store.write(group), strict=True))
        if store.loop.now_ns < store.broken_until_ns:
            self._fail("the disk is full")
        if faults.strikes("disk_full", 0.002):
            store.broken_until_ns = store.loop.now_ns + faults.chance("disk_full").between(1, 90) * 1_000_000_000
            self._fail("the disk is full")
        if faults.strikes("torn", 0.004):
            raise Died
        if faults.strikes("fsync", 0.002):
            self._fail("the sync failed before it was written")
        results = store.write(group)
        if faults.strikes("fsync", 0.002):
            self._fail("the sync failed, and it was written")
        if faults.strikes("torn", 0.004):
            raise Died
        return {ticket: result for (_, ticket, _), result in zip(waiting, results, strict=True)}

    def _check(self) -> None:
        if self._fault:
            raise LedgerFault(f"the ledger failed before: {self._fault}", todo="Open it anew")

    def _refuse(self, *told: Any) -> Any:
        self._check()

    def _fail(self, what: str) -> None:
        self._fault = what
        for name in READS:
            setattr(self, name, self._refuse)
        raise LedgerFault(what, todo="Open the ledger anew and take every open action up from it")

    def close(self) -> None:
        """The store stays."""

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            """Every read is the store's."""
