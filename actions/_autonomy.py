"""What the system has earned: how far it may go by itself, per verb and tier of service, and what is missing. Pure.

A level is a statement about a rate: it acts alone where the one-sided 95 % lower bound of its success (Clopper and
Pearson 1934, exact) is above 0.95. It is looked at only when so many trials are there as the table of `LOOKS` says,
since looking every day finds a lucky day. A trial is an action whose outcome was measured, and whatever was not a
recovery is a failure: not recovered, worse, inconclusive, undone, overridden by a person. What is alike is borrowed at
a stated weight and never more than half: the same verb elsewhere, other verbs in the same tier, drills, agreements of
a replay. A new version begins anew, except where a replay has shown that it decides the same. It is lost at once: by
Wald's sequential test (1945) of 0.97 against 0.90, begun anew at each zero (Page 1954), by two rollbacks in ten, by
too many overrides; and a breach of safety takes it from all. Critical services are never acted upon without a person.
Numbers: notes on autonomy, not tuned.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from actions._machine_types import Action, Mode

LOOKS = (59, 93, 124, 153, 208)
BAR = 0.95
CONFIDENCE = 0.95
OVER_DAYS = 14
FAMILIES = 3
"""Kinds of faults that the successes must come from, at least."""
WEIGHTS = {"same_verb": 0.25, "same_tier": 0.10, "drill": 0.50, "replay": 0.10}
"""How much one borrowed trial counts; all of them together never more than the own ones."""
CAP: dict[str, Mode] = {"critical": "approve"}
SPRT_GOOD, SPRT_BAD, SPRT_ALPHA, SPRT_BETA = 0.97, 0.90, 0.01, 0.1  # four failures in a row
OVERRIDES = 0.20
BREACHES = frozenset({"AUDIT_ALTERED"})
"""Reasons to stop everything that are a breach of safety: what was recorded is not what happened."""
_DAY_NS = 24 * 3600 * 10**9

Kind = Literal["action", "drill", "replay"]
Result = Literal["good", "failed", "rolled_back", "overridden"]


class Trial(NamedTuple):
    """One measured outcome. family: of the fault that it was for; version: of verb, runbook and policies together."""

    verb: str
    tier: str
    version: str
    family: str
    at_ns: int
    result: Result
    kind: Kind = "action"


@dataclass(frozen=True, slots=True)
class Earned:
    """What one verb has earned in one tier. lower: the bound at the last look, 0 before the first.

    missing: what speaks against more, as sentences; days: until the next look at the pace so far, None if none is seen.
    """

    verb: str
    tier: str
    level: Mode
    reason: str
    trials: int
    borrowed: float
    failures: int
    lower: float
    missing: tuple[str, ...]
    days: float | None


def trials_of(action: Action) -> tuple[Trial, ...]:
    """What an ended action says of its verbs; nothing where it did nothing, or was stopped from outside."""
    result = _RESULTS.get(action.state)
    is_measured = action.verdict is not None or action.state == "rejected"
    if result is None or not is_measured or action.is_killed or action.origin.reverts:
        return ()
    if action.origin.is_foreseen and result == "good":
        return ()  # nothing was ill, so that nothing is worse shows no use
    verbs = dict.fromkeys(step.change.verb for step in action.plan.steps)
    origin = action.origin
    return tuple(Trial(verb, origin.tier, origin.version, origin.family, action.at_ns, result) for verb in verbs)


_RESULTS: dict[str, Result] = {
    "succeeded": "good", "rolled_back": "rolled_back", "escalated": "failed", "rejected": "overridden",
}  # fmt: skip


def lower_bound(trials: int, failures: int) -> float:
    """The one-sided 95 % Clopper-Pearson lower bound of the success rate.

    >>> round(lower_bound(59, 0), 4), round(lower_bound(58, 0), 4)
    (0.9505, 0.9497)
    """
    if failures >= trials:
        return 0.0
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        ruin = 1.0 - middle
        tail = sum(math.comb(trials, k) * ruin**k * middle ** (trials - k) for k in range(failures + 1))
        low, high = (middle, high) if tail < 1 - CONFIDENCE else (low, middle)
    return low


def earned(
    trials: Iterable[Trial],
    verb: str,
    tier: str,
    version: str,
    now_ns: int,
    *,
    same: Iterable[str] = (),
    breach_ns: int = 0,
) -> Earned:
    """What it has earned by `now_ns`. same: older versions that a replay has shown to decide the same.

    breach_ns: of the last breach of safety, 0 if never; nothing before it counts any more. That all is advice until a
    person lifts it is for the breaker of everything, which trips with it.
    """
    known = sorted((one for one in trials if breach_ns < one.at_ns <= now_ns), key=lambda one: one.at_ns)
    versions = {version, *same}
    own = [o for o in known if (o.verb, o.tier, o.kind) == (verb, tier, "action") and o.version in versions]
    lost = max(_lost(own), (breach_ns, "SAFETY_BREACH" if breach_ns else ""))
    own = [one for one in own if one.at_ns > lost[0]]
    others = [(one, _weight(one, verb, tier)) for one in known if one.at_ns > lost[0]]
    borrowed = [(one, weight) for one, weight in others if weight > 0]
    look = _look(own, borrowed)
    missing = _missing(own, look)
    level: Mode = "approve"
    reason = lost[1] or "NOT_EARNED"
    if not missing:
        level, reason = "act", "EARNED"
        if CAP.get(tier) == "approve":
            level, reason = "approve", "CAPPED"
    failures = sum(one.result != "good" for one in own)
    extra = min(sum(weight for _, weight in borrowed), float(len(own)))
    return Earned(
        verb, tier, level, reason, len(own), round(extra, 2), failures, look.lower, missing,
        _days(own, look, now_ns) if missing else None,
    )  # fmt: skip


class Look(NamedTuple):
    """The last look that was due: how many trials it wanted and what the bound was; and the next."""

    at: int
    lower: float
    next: int | None
    so_far: float


def _weight(one: Trial, verb: str, tier: str) -> float:
    """How much it counts for this verb and tier; 0 for the own actions and for what is not alike."""
    if one.kind != "action":
        return WEIGHTS[one.kind] if (one.verb, one.tier) == (verb, tier) else 0.0
    if one.verb == verb:
        return WEIGHTS["same_verb"] if one.tier != tier else 0.0
    return WEIGHTS["same_tier"] if one.tier == tier else 0.0


def _look(own: Sequence[Trial], borrowed: Sequence[tuple[Trial, float]]) -> Look:
    """Walk through time; at each look the failures so far, borrowed ones rounded up, against the table."""
    steps = sorted([(one.at_ns, 1.0, one.result != "good", True) for one in own]
                   + [(one.at_ns, weight, one.result != "good", False) for one, weight in borrowed])  # fmt: skip
    mine, theirs, bad, bad_theirs = 0.0, 0.0, 0, 0.0
    last, places = Look(0, 0.0, LOOKS[0], 0.0), list(LOOKS)
    for _, weight, failed, is_own in steps:
        if is_own:
            mine, bad = mine + 1, bad + failed
        else:
            theirs, bad_theirs = theirs + weight, bad_theirs + weight * failed
        while places and mine + min(theirs, mine) >= places[0]:
            at = places.pop(0)
            last = Look(at, lower_bound(at, bad + math.ceil(bad_theirs)), None, 0.0)
    return last._replace(next=places[0] if places else None, so_far=mine + min(theirs, mine))


def _missing(own: Sequence[Trial], look: Look) -> tuple[str, ...]:
    found = list[str]()
    good = [one for one in own if one.result == "good"]
    if look.lower <= BAR and look.next is not None:
        found.append(f"{math.ceil(look.next - look.so_far)} more trials until the next look, at {look.next}")
    elif look.lower <= BAR:
        found.append(f"the bound is {look.lower:.3f} at the last look; a new version or fewer failures are needed")
    families = {one.family for one in good}
    if len(families) < FAMILIES:
        found.append(f"successes with {FAMILIES - len(families)} more kinds of faults")
    days = (own[-1].at_ns - own[0].at_ns) / _DAY_NS if own else 0.0
    if days < OVER_DAYS:
        found.append(f"{OVER_DAYS - days:.0f} more days of trials")
    return tuple(found)


def _days(own: Sequence[Trial], look: Look, now_ns: int) -> float | None:
    """At the pace of the own trials so far."""
    if len(own) < 2 or look.next is None or now_ns <= own[0].at_ns:
        return None
    pace = len(own) / ((now_ns - own[0].at_ns) / _DAY_NS)
    span = OVER_DAYS - (own[-1].at_ns - own[0].at_ns) / _DAY_NS
    return round(max((look.next - look.so_far) / pace if look.lower <= BAR else 0.0, span, 0.0), 1)


def _lost(own: Sequence[Trial]) -> tuple[int, str]:
    """When it was last demoted, and why; (0, "") if never. What came before a demotion does not count again."""
    lost, ratio, recent = (0, ""), 0.0, list[Result]()
    bad, good = math.log((1 - SPRT_BAD) / (1 - SPRT_GOOD)), math.log(SPRT_BAD / SPRT_GOOD)
    upper = math.log((1 - SPRT_BETA) / SPRT_ALPHA)
    for one in own:
        ratio = max(0.0, ratio + (good if one.result == "good" else bad))
        recent = [*recent, one.result][-10:]
        why = "SPRT" if ratio >= upper else ""
        if recent.count("rolled_back") >= 2:
            why = "TWO_ROLLBACKS"
        if len(recent) >= 5 and recent.count("overridden") / len(recent) > OVERRIDES:
            why = "OVERRIDES"
        if why:
            lost, ratio, recent = (one.at_ns, why), 0.0, []
    return lost
