"""One change under watch: what was expected of every rate when it happened, what came since, and what that is worth.

Of the changed service each rate is judged (of the new version alone, where requests say which version served them).
Of all others the same rates are the cohort: who was not changed tells what would have happened anyway. Where the old
version still serves beside the new one it is the better cohort. Source: difference in differences; `_rates.py`.
"""

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from detectors._canary import CanaryRule
from detectors._rates import DOWN, UP, Expectation, cohort_factor, log_ratio
from detectors._watch_rows import CLASSES, MINUTES, Rows, expectation
from schemas import Change
from schemas.core import F64, I64, NS, Bool

MINUTE_NS = 60 * NS
NEW_LOAD = 1.0
"""Relative variance that load which history has not seen may bring: anything up to several times as many."""
BESIDE = 10.0
"""Expected or seen events of the old version that make it the cohort."""


FLOOR = 0.5
"""What fell with the cohort need not have fallen here: no more than half is taken off."""


@dataclass(slots=True)
class Alarm:
    """What was said of one rate or canary: id of the anomaly, its revision, p when it was said, whether it stands."""

    anomaly: str
    revision: int
    p: float
    fires: bool


class Rate(NamedTuple):
    """One rate of a change. log_up, log_down: logarithms of the ratios of likelihoods."""

    row: int
    k: float
    mean: float
    requests: int
    log_up: float
    log_down: float
    cohort: float
    new_load: float
    """Share of what is expected that rests on load which history has not seen."""
    variance: float
    clump: float


@dataclass(slots=True)
class Watch:
    """history, exposure, learned: of `Rows`, as they were at the change; the rest counts what came since."""

    change: Change
    from_minute: int
    history: F64
    exposure: F64
    learned: F64
    usual: F64
    changed: set[int]
    """Services that were changed since; no cohort."""
    events: F64
    mean: F64
    strange: F64
    """Of the mean, what rests on load that history has not seen."""
    served: F64
    """Requests of services since the change."""
    minutes: int = 0
    buckets: dict[str, dict[str, dict[int, int]]] = field(default_factory=dict)
    """Latency by endpoint, `new` or `old`, and bucket, since the new version began."""
    canary_ns: int = 0
    alarms: dict[str, Alarm] = field(default_factory=dict)
    revision: int = 0
    looks: int = 0
    law: tuple[F64, Bool, F64, F64] | None = None
    """A cache of the expectation."""

    @classmethod
    def begin(cls, change: Change, rows: Rows, now: int, before: int) -> "Watch":
        """Expect what history says, and the minutes before the change that are not in it yet.

        now: the last minute that was closed. before: the first that is not "before", as something was changed earlier.
        """
        n, first = len(rows), -(-change.at_ns // MINUTE_NS)
        held = rows.held_from(now)
        minutes = np.array([m for m in range(max(held, 0), now + 1) if m < min(change.at_ns // MINUTE_NS, before)], int)
        x = rows.ring[:n, minutes % MINUTES].astype(np.float64)
        requests, load = rows.requests(x), rows.of_service(x)
        x = np.nan_to_num(x)
        usual = rows.usual_load()
        if len(minutes):
            usual = np.where(usual > 0, usual, load.mean(axis=1))
        kind = rows.classes(load, usual)
        history, exposure = rows.history[:n].copy(), rows.exposure[:n].copy()
        for c in range(CLASSES):
            history[:, c] += np.where(kind == c, x, 0.0).sum(axis=1)
            exposure[:, c] += np.where(kind == c, requests, 0.0).sum(axis=1)
        nothing = np.zeros(n)
        watch = cls(
            change, first, history, exposure, rows.learned[:n].copy(), usual, {rows.owner.get(owner_of(change), -1)},
            nothing, nothing.copy(), nothing.copy(), np.zeros(len(rows.services)),
        )  # fmt: skip
        for minute in range(max(first, held, 0), now + 1):
            watch.take(rows, rows.ring[:n, minute % MINUTES].astype(np.float64))
        return watch

    def take(self, rows: Rows, x: F64) -> None:
        """Count a closed minute: events of every row (n,)."""
        rate, unseen, _, _ = self._law(rows)
        requests, load = rows.requests(x), rows.of_service(x)
        self.served += load
        self.minutes += 1
        at, kind = np.arange(len(rows)), rows.classes(load, self.usual)
        known = self.exposure[rows.base[: len(rows)]].sum(axis=1) > 0
        due = np.where(known, rate[at, kind], 0.0) * requests
        self.events += np.where(requests > 0, np.nan_to_num(x), 0.0)
        self.mean += due
        self.strange += np.where(unseen[at, kind], due, 0.0)

    def _law(self, rows: Rows) -> tuple[F64, Bool, F64, F64]:
        """What is expected of each row, with room for rates that are new: history had none of them in its requests."""
        n, have = len(rows), len(self.history)
        if n > have:
            parent = rows.parent[have:n]
            never = rows.is_failure()[have:] & (parent < have)
            fresh = np.where(never[:, None], self.history[np.minimum(parent, have - 1)] if have else 0.0, 0.0)
            self.history = np.concatenate([self.history, np.zeros((n - have, CLASSES))])
            self.exposure = np.concatenate([self.exposure, fresh])
            self.learned = np.concatenate([self.learned, np.zeros((n - have, 5))])
            for name in ("events", "mean", "strange"):
                setattr(self, name, np.concatenate([getattr(self, name), np.zeros(n - have)]))
            more = np.zeros(len(rows.services) - len(self.served))
            self.served, self.usual = np.concatenate([self.served, more]), np.concatenate([self.usual, more])
            self.law = None
        if self.law is None:
            base = rows.base[:n]
            self.law = expectation(self.history[base], self.exposure[base], self.learned[base])
        return self.law

    def beside(self, rows: Rows, pane_ns: int, row: I64, bucket: I64, count: I64) -> None:
        """Count latency of the new version and of the others from the moment both serve, after a warm-up."""
        version, own = self.change.version_to or "", rows.owner.get(owner_of(self.change), -1)
        if not version or pane_ns < self.change.at_ns:
            return
        mine = (rows.service[row] == own) & ~rows.is_whole[row] & rows.is_slow[row]
        for r, b, c in zip(row[mine].tolist(), bucket[mine].tolist(), count[mine].tolist(), strict=True):
            endpoint, of = rows.keys[r][3], rows.keys[r][5]
            if not self.canary_ns and of == version:
                self.canary_ns = pane_ns
            if self.canary_ns and pane_ns >= self.canary_ns + round(CanaryRule().warm_up_s * NS):
                found = self.buckets.setdefault(endpoint, {"old": {}, "new": {}})["new" if of == version else "old"]
                found[b] = found.get(b, 0) + c

    # --- what it is worth ---

    def load(self, rows: Rows) -> float | None:
        """Traffic of the service since the change over what is usual, None where that is not known."""
        own = rows.owner.get(owner_of(self.change), -1)
        if own < 0 or own >= len(self.usual) or self.usual[own] <= 0 or not self.minutes:
            return None
        return float(self.served[own] / self.usual[own] / self.minutes)

    def rates(self, rows: Rows) -> list[Rate]:
        """Every rate of the changed service that history knows, in order of rows."""
        self._law(rows)
        n, own = len(rows), rows.owner.get(owner_of(self.change), -1)
        mine = np.flatnonzero((rows.service[:n] == own) & (rows.parent[:n] != np.arange(n)) & (self.mean > 0))
        version = self.change.version_to or ""
        new = [row for row in mine.tolist() if version and rows.keys[row][5] == version]
        targets = new or [row for row in mine.tolist() if rows.is_whole[row]]
        cohorts: dict[tuple[str, str, str], tuple[float, float]] = {}
        return [self._rate(rows, row, cohorts) for row in targets]

    def _rate(self, rows: Rows, row: int, cohorts: dict[tuple[str, str, str], tuple[float, float]]) -> Rate:
        _, _, doubt, clump = self._law(rows)
        base = int(rows.base[row])
        beside = self.events[base] - self.events[row], self.mean[base] - self.mean[row]
        if base != row and max(beside) >= BESIDE:
            factor, variance = cohort_factor(*(np.array([v / float(clump[row])]) for v in beside))
        else:
            tenant, _, name, _, status, _ = rows.keys[row]
            if (tenant, name, status) not in cohorts:
                cohorts[tenant, name, status] = self._cohort(rows, tenant, name, status)
            factor, variance = cohorts[tenant, name, status]
        strange = float(self.strange[row] / self.mean[row])
        mean = np.array([self.mean[row] * max(factor, FLOOR)])
        wide = np.array([doubt[row] + variance + NEW_LOAD * strange])
        expected = Expectation(mean, wide, clump[row : row + 1])
        k = self.events[row : row + 1]
        up, down = (float(log_ratio(k, expected, grid)[0]) for grid in (UP, DOWN))
        requests = int(self.events[rows.parent[row]])
        return Rate(
            row, float(k[0]), float(mean[0]), requests, up, down, factor, strange, float(wide[0]), float(clump[row])
        )

    def _cohort(self, rows: Rows, tenant: str, name: str, status: str) -> tuple[float, float]:
        """How the same rate moved with the services of the tenant that were not changed."""
        same = [r for r, key in enumerate(rows.keys) if (key[0], key[2], key[4], key[5]) == (tenant, name, status, "")]
        changed = self.changed | {rows.owner.get(owner_of(self.change), -1)}
        at = np.array([r for r in same if int(rows.service[r]) not in changed and self.mean[r] > 0], int)
        if not len(at):
            return 1.0, 0.0
        _, _, _, clump = self._law(rows)
        owners, place = np.unique(rows.service[at], return_inverse=True)
        k, mean = (np.bincount(place, c[at] / clump[at], len(owners)) for c in (self.events, self.mean))
        return cohort_factor(k.astype(np.float64), mean.astype(np.float64))


def owner_of(change: Change) -> tuple[str, str]:
    return change.tenant, change.service
