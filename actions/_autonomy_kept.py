"""What the autonomy ledger keeps beside the actions themselves: drills, agreements of replays, breaches of safety."""

import json
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from actions._autonomy import Earned, Trial, earned, trials_of
from actions._ledger import Keep, Ledger
from actions._machine_types import load_action
from schemas import canonical, record_id

TRIAL = "trial/"
SAME = "same/"
"""Followed by a version that a replay has shown to decide the same as the present one."""
BREACH = "breach/"
ALL = 1 << 30


def trial_kept(trial: Trial) -> Keep:
    """A drill or an agreement, once: the same again changes nothing."""
    return Keep(TRIAL + record_id("trial", *(str(part) for part in trial)), canonical(trial._asdict()))


class NewCredit(NamedTuple):
    """What was not known: what is kept of it, its trials, and its versions that decide the same."""

    keeps: tuple[Keep, ...]
    trials: tuple[Trial, ...]
    same: frozenset[str]


def new_credit(ledger: Ledger, trials: Iterable[Trial], same: Iterable[str], by: str) -> NewCredit:
    known = {name for prefix in (TRIAL, SAME) for name, _ in ledger.kept(prefix)}
    fresh = {keep.name: (keep, one) for one in trials if (keep := trial_kept(one)).name not in known}
    versions = frozenset(version for version in same if SAME + version not in known)
    keeps = (*(keep for keep, _ in fresh.values()), *(Keep(SAME + one, by.encode()) for one in sorted(versions)))
    return NewCredit(keeps, tuple(one for _, one in fresh.values()), versions)


def kept_trials(ledger: Ledger) -> list[Trial]:
    read = (json.loads(value) for _, value in ledger.kept(TRIAL))
    return [Trial(**fields | {"at_ns": int(fields["at_ns"])}) for fields in read]


def breach_of(ledger: Ledger) -> int:
    """When safety was breached last; 0 if never."""
    return max((int(value) for _, value in ledger.kept(BREACH)), default=0)


def standings(ledger: Ledger, now_ns: int) -> Sequence[Earned]:
    """What every verb has earned in every tier in which it was tried, in its newest version; sorted."""
    trials = [trial for row in ledger.ended(-1, ALL) for trial in trials_of(load_action(row.body))]
    trials += kept_trials(ledger)
    same = [name.removeprefix(SAME) for name, _ in ledger.kept(SAME)]
    breach_ns = breach_of(ledger)
    return [
        earned(trials, verb, tier, version, now_ns, same=same, breach_ns=breach_ns)
        for (verb, tier), version in sorted(_newest(trials).items())
    ]


def _newest(trials: Iterable[Trial]) -> dict[tuple[str, str], str]:
    found = dict[tuple[str, str], str]()
    for one in sorted(trials, key=lambda one: one.at_ns):
        found[one.verb, one.tier] = one.version
    return found
