"""A temporary change is taken back after its time, and not before its target has been well for as long.

Source: seed 002, pool exhaustion: raised by 20 %, back after 30 minutes of normal.
"""

from actions._ledger import Timer, Transaction
from actions._machine_types import Action
from actions._ports import Telemetry
from actions._safety import Safety
from actions._services import DAY_NS
from actions._telling import kept_on, notice_row
from schemas.core import NS

_AGAIN_NS = 60 * NS


def again(timer: str, now_ns: int) -> Transaction:
    """Looked at again in a minute."""
    return Transaction(now_ns, timers=(Timer(timer, now_ns + _AGAIN_NS),))


def over(timer: str, now_ns: int) -> Transaction:
    """Not looked at any more."""
    return Transaction(now_ns, timers=(Timer(timer, None),))


async def postponed(
    original: Action, timer: str, telemetry: Telemetry, safety: Safety, now_ns: int
) -> Transaction | None:  # fmt: skip
    """None where it may be taken back; else the look after this one, and what people hear once it is a day late.

    original: whose change it is, at rest since its success, with the origin of what would take it back. Where a brake
    makes everything advice it waits too: an action that only advises would be the end of it. Raises whatever the port
    raises.
    """
    for_ns = original.plan.revert_after_ns or 0
    bound = safety.bound(original, await telemetry.illness(original.target), now_ns)
    are_well = all([await telemetry.is_well(target, now_ns - for_ns) for target in original.plan.targets])
    if are_well and bound.mode not in ("shadow", "advise"):
        return None
    if now_ns - original.at_ns - for_ns < DAY_NS:
        return again(timer, now_ns)
    later = Timer(timer, now_ns + DAY_NS)
    return Transaction(now_ns, timers=(later,), outbox=(notice_row(kept_on(original, now_ns)),))
