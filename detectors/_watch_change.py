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
        rates = np.array(new, int) if new else mine[rows.is_whole[mine]]
        return self._rates(rows, rates) if len(rates) else []

    def _rates(self, rows: Rows, at: I64) -> list[Rate]:
        _, _, doubt, clump = self._law(rows)
        base, k, mean = rows.base[at], self.events[at], self.mean[at]
        factor, variance = self._cohorts(rows, at)
        old, due = (self.events[base] - k) / clump[at], (self.mean[base] - mean) / clump[at]
        for i in np.flatnonzero((base != at) & (np.maximum(old, due) >= BESIDE)).tolist():
            factor[i], variance[i] = cohort_factor(old[i : i + 1], due[i : i + 1])
        strange = self.strange[at] / mean
        expected = Expectation(mean * np.maximum(factor, FLOOR), doubt[at] + variance + NEW_LOAD * strange, clump[at])
        requests = self.events[rows.parent[at]].astype(np.int64)
        columns = (
            at, k, expected.mean, requests, log_ratio(k, expected, UP), log_ratio(k, expected, DOWN), factor, strange,
            expected.variance, expected.clump,
        )  # fmt: skip
        return [Rate(*row) for row in zip(*(column.tolist() for column in columns), strict=True)]

    def _cohorts(self, rows: Rows, at: I64) -> tuple[F64, F64]:
        """How the same rates moved with the services of the tenant that were not changed: factor, variance (n,)."""
        n, (_, _, _, clump) = len(rows), self._law(rows)
        changed = np.zeros(len(rows.services), bool)
        changed[[one for one in (*self.changed, rows.owner.get(owner_of(self.change), -1)) if one >= 0]] = True
        calm = np.flatnonzero(rows.is_whole[:n] & ~changed[rows.service[:n]] & (self.mean > 0))
        found: dict[int, tuple[float, float]] = {}
        for group in np.unique(rows.group[at]).tolist():
            same = calm[rows.group[calm] == group]
            if not len(same):
                found[group] = 1.0, 0.0
                continue
            owners, place = np.unique(rows.service[same], return_inverse=True)
            sums = [np.bincount(place, c[same] / clump[same], len(owners)) for c in (self.events, self.mean)]
            found[group] = cohort_factor(sums[0].astype(np.float64), sums[1].astype(np.float64))
        pairs = np.array([found[group] for group in rows.group[at].tolist()])
        return pairs[:, 0].copy(), pairs[:, 1].copy()


def owner_of(change: Change) -> tuple[str, str]:
    return change.tenant, change.service
