"""An old copy of the ledger, found out by what the gateway was asked for last.

Each intent gives its target the next epoch, durably, before anything leaves. So where the gateway was asked for an
epoch that the ledger has never given out, the ledger was put back behind it: a backup, a promoted replica. What it has
forgotten, it has forgotten of budgets and cool-downs as well, also of targets that it does not know; so everything is
only advice for as long as what was forgotten could still count. People hear of it.
"""

from collections.abc import Iterable

from actions._ledger import Keep, Ledger, Transaction
from actions._ports import Notice
from actions._telling import notice_row
from schemas import record_id
from schemas.core import NS

PUT_BACK = "put_back/"
"""Facts of the ledger: when it was found to be an old copy."""
FORGOTTEN_NS = 3600 * NS
"""The longest budget is over an hour. A cool-down after failures may be longer; of that nobody knows."""


def forgotten(ledger: Ledger, newest: Iterable[tuple[str, int]]) -> tuple[str, ...]:
    """Targets of which the gateway knows an epoch that the ledger has never given out. newest: of a `DryRun`."""
    return tuple(target for target, epoch in newest if ledger.target(target).epoch < epoch)


def last_put_back_ns(ledger: Ledger) -> int:
    """0 where it never was."""
    return max((int(value) for _, value in ledger.kept(PUT_BACK)), default=0)


def put_back(now_ns: int, targets: Iterable[str]) -> Transaction:
    """Every target is fenced and read before anything new; the time is kept, for a restart."""
    text = f"the ledger is an old copy: the gateway wrote to {', '.join(targets)} later; all is advice for an hour"
    said = Notice(record_id("notice", "put_back", now_ns), "page", "ledger", text[:400], "", now_ns)
    kept = Keep(f"{PUT_BACK}{now_ns}", str(now_ns).encode())
    return Transaction(now_ns, distrust=True, keeps=(kept,), outbox=(notice_row(said),))


def distrusted(now_ns: int) -> Transaction:
    """The gateway refused an epoch that it knows to be used."""
    text = "the gateway knows newer epochs than the ledger: it is a copy; every target is fenced and read first"
    said = Notice(record_id("notice", "distrust", now_ns), "page", "ledger", text, "", now_ns)
    return Transaction(now_ns, distrust=True, outbox=(notice_row(said),))
