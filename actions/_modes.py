"""How far the system may go by itself, per verb and tier of service: shadow, advise, approve, act.

shadow decides and tells nobody; advise says what it would do; approve does it when people have signed; act does it.
The level that is set is an upper bound: whatever knows a reason for less says its own, and the lowest counts.
"""

from collections.abc import Mapping
from typing import NamedTuple

from actions._machine_types import Mode

ORDER: tuple[Mode, ...] = ("shadow", "advise", "approve", "act")


class Bound(NamedTuple):
    """No further than `mode`; the reason is a stable code."""

    mode: Mode
    reason: str


def lowest(bounds: list[Bound]) -> Bound:
    """The first of the lowest; at least one is given."""
    return min(bounds, key=lambda bound: ORDER.index(bound.mode))


def set_level(levels: Mapping[str, Mode], verb: str, tier: str, otherwise: Mode = "approve") -> Mode:
    """What is set for it: the most specific of `VERB@TIER`, `VERB`, `@TIER` and `*`.

    >>> set_level({"*": "act", "@critical": "approve"}, "pod.restart", "critical")
    'approve'
    """
    for name in (f"{verb}@{tier}", verb, f"@{tier}", "*"):
        if name in levels:
            return levels[name]
    return otherwise
