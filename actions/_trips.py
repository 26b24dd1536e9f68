"""What stops everything until a person says otherwise, as it is kept. Pure."""

from actions._autonomy import BREACHES
from actions._autonomy_kept import BREACH
from actions._ledger import Keep, Priority, Transaction
from actions._ports import Notice
from actions._telling import notice_row
from schemas import canonical, record_id

TRIP = "trip/"
"""Facts of the ledger: when everything was stopped without an order, and why; gone with the order that resets it."""


def tripped(now_ns: int, reason: str, what: str) -> Transaction:
    """Before everything else that waits for its turn, and in the audit log; a breach of safety is kept for good."""
    text = f"nothing acts any more: {what}; `tidegate revoke --resume --breaker *@*` lifts it"
    said = Notice(record_id("notice", "trip", reason, now_ns), "page", f"trip:{reason}", text[:400], "", now_ns)
    leaf = canonical({
        "action": "", "version": 0, "from": "", "to": "tripped", "reason": reason, "at_ns": now_ns, "plan": "",
    })  # fmt: skip
    kept = [Keep(f"{TRIP}{now_ns}", reason.encode())]
    if reason in BREACHES:
        kept.append(Keep(f"{BREACH}{now_ns}", str(now_ns).encode()))
    return Transaction(now_ns, Priority.KILL, keeps=tuple(kept), leaves=(leaf,), outbox=(notice_row(said),))
