"""What stops everything until a person says otherwise, as it is kept: a breach of safety, a trip. Pure."""

from actions._autonomy_kept import BREACH
from actions._ledger import Keep, Priority, Transaction
from actions._ports import Notice
from actions._telling import notice_row
from schemas import canonical, record_id

TRIP = "trip/"
"""Facts of the ledger: when everything was stopped without an order, and why; gone with the order that resets it."""


def breached(now_ns: int, what: str) -> Transaction:
    """An invariant is broken."""
    text = f"safety was breached: {what}; everything is advice until a person lifts it"
    said = Notice(record_id("notice", "breach", now_ns), "page", "breach", text, "", now_ns)
    keeps = (Keep(f"{BREACH}{now_ns}", str(now_ns).encode()),)
    return Transaction(now_ns, keeps=keeps, outbox=(notice_row(said),))


def tripped(now_ns: int, reason: str, what: str) -> Transaction:
    """Before everything else that waits for its turn, and in the audit log."""
    text = f"nothing acts any more: {what}; `tidegate revoke --resume --breaker *@*` lifts it"
    said = Notice(record_id("notice", "trip", reason, now_ns), "page", f"trip:{reason}", text[:400], "", now_ns)
    leaf = canonical({
        "action": "", "version": 0, "from": "", "to": "tripped", "reason": reason, "at_ns": now_ns, "plan": "",
    })  # fmt: skip
    kept = (Keep(f"{TRIP}{now_ns}", reason.encode()),)
    return Transaction(now_ns, Priority.KILL, keeps=kept, leaves=(leaf,), outbox=(notice_row(said),))
