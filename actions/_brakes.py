"""Reasons to wait although the policies permit: cool-down, changes that fight each other, and too much that is ill.

A loop of automation is broken where it would close: a target that was just changed gets time (doubled with each action
that did not help), a change that takes back what was done within the hour is for a person, and where a large part of a
group is ill at once the sensors or a common cause are likelier than many faults (Azure's leap day 2012; Kubernetes
stops evicting where 55 % of a zone are ill, Cluster API at 40 %). Pure; the past comes from the ledger.
"""

from collections.abc import Iterable
from typing import NamedTuple

from actions._ports import Illness
from actions._saga import goal_of
from schemas import ProposedChange
from schemas.core import NS

COOL_DOWN_NS = 15 * 60 * NS
LONGEST_NS = 24 * 3600 * NS
SAME_STATE_NS = 3600 * NS
ILL_SHARE = 0.30
"""Above this share of a group nothing acts by itself."""
ILL_LEAST = 3
"""So many at least: of two services one is half, and no mass."""


class Past(NamedTuple):
    """One change that was made at a target. goal, origin: the state it set and the one its undo sets back."""

    at_ns: int
    target: str
    goal: bytes
    origin: bytes
    helped: bool


def cool_down_ns(ineffective: int) -> int:
    """After the last change of a target; doubled for each action in a row that did not help, a day at most."""
    return min(COOL_DOWN_NS << min(ineffective, 10), LONGEST_NS)


def cools_until_ns(past: Iterable[Past], target: str) -> int:
    """When the target may be changed again; 0 where it never was."""
    ineffective, last_ns = 0, 0
    for one in past:
        if one.target == target:
            ineffective, last_ns = (0 if one.helped else ineffective + 1), one.at_ns
    return last_ns + cool_down_ns(ineffective) if last_ns else 0


def is_oscillation(past: Iterable[Past], change: ProposedChange, now_ns: int) -> bool:
    """Whether the change goes back, within the hour, to a state that the target was moved away from."""
    recent = [one for one in past if one.target == change.target and now_ns - one.at_ns <= SAME_STATE_NS]
    if not recent:
        return False
    goal = goal_of(change)
    return any(
        goal == one.origin or (goal == one.goal and any(later.goal != goal for later in recent[place + 1 :]))
        for place, one in enumerate(recent)
    )


def mass_illness(groups: Iterable[Illness], *, is_foreseen: bool = False) -> Illness | None:
    """The first group of which too many are ill; of a group of unknown size any `ILL_LEAST` are too many.

    What is only foreseen is not ill, so it does not hold up what helps those who are. For a change that rests on a
    forecast itself (`is_foreseen`) it counts: a forecast of many at once is likelier wrong than they are all ill soon.
    """
    many = ((one.ill + (one.foreseen if is_foreseen else 0), one) for one in groups)
    return next((one for n, one in many if n >= ILL_LEAST and (not one.members or n / one.members > ILL_SHARE)), None)
