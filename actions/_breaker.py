"""A breaker: after harm, advice only, until it was seen to be right again or a person resets it. Pure.

One for each (verb, service) and one for everything. It opens at once where an action made things worse, and at the
second of the last five that did not help. Opened for the first time it goes half-open after a cool-down and so many
right decisions in the shadow: then people approve each action, and one success closes it. Opened a second time it stays
open until a signed reset, because what fails twice has a cause that waiting does not mend. Nygard, Release It!
"""

from dataclasses import dataclass, replace
from typing import Literal

from actions._modes import Bound
from schemas.core import NS

LAST = 5
FAILURES = 2
COOL_DOWN_NS = 30 * 60 * NS
SHADOW_SUCCESSES = 3

Outcome = Literal["good", "ineffective", "harmful"]


@dataclass(frozen=True, slots=True)
class Breaker:
    """trips: since the last reset. recent: the last outcomes, True where it helped. opened_ns: 0 where closed."""

    trips: int = 0
    opened_ns: int = 0
    recent: tuple[bool, ...] = ()
    shadow: int = 0
    reason: str = ""

    @property
    def is_open(self) -> bool:
        return self.opened_ns > 0


def after_outcome(breaker: Breaker, outcome: Outcome, at_ns: int) -> Breaker:
    """What one verified outcome makes of it."""
    if outcome == "harmful":
        return trip(breaker, "HARMFUL_ACTION", at_ns)
    if breaker.is_open:
        if outcome == "good" and is_half_open(breaker, at_ns):
            return replace(breaker, opened_ns=0, recent=(True,), shadow=0, reason="")
        return trip(breaker, breaker.reason, at_ns) if outcome == "ineffective" else breaker
    recent = (*breaker.recent, outcome == "good")[-LAST:]
    breaker = replace(breaker, recent=recent)
    return trip(breaker, "INEFFECTIVE_ACTIONS", at_ns) if recent.count(False) >= FAILURES else breaker


def after_shadow(breaker: Breaker, was_right: bool) -> Breaker:
    """A decision that was not carried out, and whether it turned out to be the right one."""
    if not breaker.is_open:
        return breaker
    return replace(breaker, shadow=breaker.shadow + 1 if was_right else 0)


def trip(breaker: Breaker, reason: str, at_ns: int) -> Breaker:
    return replace(breaker, trips=breaker.trips + 1, opened_ns=max(at_ns, 1), recent=(), shadow=0, reason=reason)


def reset() -> Breaker:
    """What a signed order makes of any breaker."""
    return Breaker()


def is_half_open(breaker: Breaker, now_ns: int) -> bool:
    return (
        breaker.is_open
        and breaker.trips == 1
        and now_ns >= breaker.opened_ns + COOL_DOWN_NS
        and breaker.shadow >= SHADOW_SUCCESSES
    )


def bound(breaker: Breaker, now_ns: int) -> Bound:
    """How far an action may go that this breaker covers."""
    if not breaker.is_open:
        return Bound("act", "")
    if is_half_open(breaker, now_ns):
        return Bound("approve", "BREAKER_HALF_OPEN")
    return Bound("advise", "BREAKER_OPEN")
