"""Which windows are discoveries: of all that are called one in a shift, at most so large a share is false on average.

One closed window of all series is one batch: Benjamini and Hochberg within it, so a fault that many series show is
found at a weaker p than one that a single series shows. Across batches the level is what is left of the share: it is
handed out evenly over event time of a shift, what was spent is spent, and every discovery pays some of it back. With
every shift it begins anew; if nothing is wrong in a shift, the share is the probability of any false discovery in it.

Source: Zrnic, Jiang, Ramdas, Jordan, The Power of Batching in Multiple Hypothesis Testing, AISTATS 2020 (Batch-BH),
with Benjamini and Hochberg 1995 within a batch. Held for p-values that are no smaller than uniform and independent
from batch to batch; windows that overlap are not, so what it holds is measured too (docs/detectors.md).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from schemas.core import F64, NS

MOST_EXTRA = 8
"""Discoveries that one more p of 0 in a batch would have brought; more count as so many, which only spends more."""


@dataclass(frozen=True, slots=True)
class FdrRule:
    """share: of discoveries that may be false, on average; shift_s: seconds of event time that share one budget.

    teams: of a service, by its plain name; each team has a budget of its own, and all other services one together.
    shares: of teams that want another share. A share of 0 is not asked for: nothing is said of those windows.
    """

    share: float = 0.05
    shift_s: float = 8 * 3600.0
    teams: Mapping[str, str] = field(default_factory=dict)
    shares: Mapping[str, float] = field(default_factory=dict)

    def of(self, team: str) -> "FdrRule":
        """That of one team; "" stands for all services without one."""
        return FdrRule(self.shares.get(team, self.share), self.shift_s)

    def part(self, of: int) -> "FdrRule":
        """With one of so many equal parts of every share."""
        shares = {team: share / of for team, share in self.shares.items()}
        return replace(self, share=self.share / of, shares=shares)


@dataclass(slots=True)
class FdrLedger:
    """Of one kind of windows in one shift. spent: by `extra`, level times discoveries if one p had been 0.

    It is as large after a year as after a minute.
    """

    shift: int = -1
    found: int = 0
    spent: F64 | None = None


def discoveries(ledger: FdrLedger, p: F64, n: int, end_ns: int, rule: FdrRule) -> float:
    """Judge one batch and return the p up to which its windows are discoveries, 0 if none is.

    p: float64 (k,), those of the n p-values of the batch that are small; any that is missing is never a discovery.
    end_ns: end of the window; batches come in order. The ledger is changed.
    """
    shift_ns = round(rule.shift_s * NS)
    if ledger.shift != end_ns // shift_ns or ledger.spent is None:
        ledger.shift, ledger.found, ledger.spent = end_ns // shift_ns, 0, np.zeros(MOST_EXTRA + 1)
    if n < 1:
        return 0.0
    handed_out = rule.share * (end_ns % shift_ns) / shift_ns
    gone = float((ledger.spent / np.maximum(np.arange(MOST_EXTRA + 1) + ledger.found, 1)).sum())
    level = min(max(handed_out - gone, 0.0) * (n + ledger.found) / n, 1.0)
    ordered = np.sort(p)
    bar = level * np.arange(1, len(ordered) + 2) / n
    passed = np.flatnonzero(ordered <= bar[:-1])
    here = int(passed[-1]) + 1 if len(passed) else 0
    would = np.flatnonzero(ordered <= bar[1:])
    augmented = min(max(int(would[-1]) + 2 if len(would) else 1, here), n)
    ledger.spent[min(augmented - here, MOST_EXTRA)] += level * augmented
    ledger.found += here
    return float(ordered[here - 1]) if here else 0.0
