"""A new verb or a new version of one is let out by steps: shadow, one target, a tenth of the targets, all. Pure.

Until it has decided in the shadow so many times, people approve what it does. Then it acts by itself at the one target
where it first succeeded, then at a tenth of the targets (by hash, so that it is always the same tenth), then at all;
each step needs verified successes and any harm begins it anew. The steps: notes on canaries (Argo, Cloudflare 2025).
"""

from dataclasses import dataclass, replace

from actions._breaker import Outcome
from actions._modes import Bound
from schemas import sha256

SHADOWS = 50
ONE_TARGET = 3
"""Verified successes at one target before a tenth."""
TENTH = 10
"""Verified successes before all."""


@dataclass(frozen=True, slots=True)
class Canary:
    """What one version of a verb has shown so far. first: the target of its first success."""

    shadows: int = 0
    successes: int = 0
    first: str = ""


def after_shadow(canary: Canary) -> Canary:
    return replace(canary, shadows=canary.shadows + 1)


def after_outcome(canary: Canary, outcome: Outcome, target: str) -> Canary:
    if outcome == "harmful":
        return Canary()
    if outcome == "good":
        return replace(canary, successes=canary.successes + 1, first=canary.first or target)
    return canary


def bound(canary: Canary, target: str) -> Bound:
    """How far this version may go at this target."""
    if canary.shadows + canary.successes < SHADOWS:
        return Bound("approve", "CANARY_SHADOW")
    if canary.successes < ONE_TARGET:
        return Bound("act", "") if target == (canary.first or target) else Bound("approve", "CANARY_ONE_TARGET")
    if canary.successes < TENTH:
        return Bound("act", "") if _in_the_tenth(target) else Bound("approve", "CANARY_TENTH")
    return Bound("act", "")


def _in_the_tenth(target: str) -> bool:
    return int(sha256(target.encode())[-8:], 16) % 10 == 0
