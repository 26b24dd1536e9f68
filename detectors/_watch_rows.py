"""What is counted of endpoints: requests, failures by status, slow ones; an hour of minutes and history behind it.

A row is one rate of one endpoint, whole or of one version. History is learned in halves of an hour, the older half when
the newer is full: so when a change is told of, what lies before it is not yet mixed with what lies after it. It knows
three classes of load, because what is usual at twice the traffic is not what is usual otherwise. Beside the rate it
holds what the rate scatters by within half an hour (`clump`) and how far it wanders between them (`drift`): both are
doubts that a finding must overcome. Slow is a request beyond the bar: what nineteen of twenty stayed below.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from schemas import SeriesDef, series_id
from schemas.core import F64, I64, U64, Bool

MINUTES, HALF = 60, 30
CLASSES, LOW, HIGH = 3, 0.6, 1.6
"""Load classes by traffic of the service over its mean: below 0.6, around it, above 1.6."""
KEPT = 0.998
"""Of history, each half hour: half of it is a week old."""
SCATTER_KEPT, DRIFT_KEPT = 0.98, 0.995
CLUMP, CLUMP_PRIOR = 1.5, 30.0
"""A failing request is often tried again; worth thirty minutes of looking."""
DRIFT, DRIFT_PRIOR, LEAST_DRIFT = 0.1, 5.0, 0.01
NO_BAR = -32_768
SLOW_SHARE, BAR_REQUESTS = 0.05, 200.0
REQUESTS, ERRORS, SLOW = "span.requests", "span.errors", "span.duration"

COLUMNS = (
    "parent", "base", "service", "group", "is_whole", "is_slow", "ring", "history", "exposure", "learned",
)  # fmt: skip
Key = tuple[str, str, str, str, str, str]
"""Tenant, service, name, endpoint, status, version."""


@dataclass(slots=True)
class Rows:
    """parent: row of the requests of the same endpoint and version. base: the same rate whatever the version."""

    keys: list[Key] = field(default_factory=list)
    index: dict[Key, int] = field(default_factory=dict)
    ids: list[int] = field(default_factory=list)
    services: list[tuple[str, str]] = field(default_factory=list)
    owner: dict[tuple[str, str], int] = field(default_factory=dict)
    parent: I64 = field(default_factory=lambda: np.zeros(0, np.int64))
    base: I64 = field(default_factory=lambda: np.zeros(0, np.int64))
    service: I64 = field(default_factory=lambda: np.zeros(0, np.int64))
    group: I64 = field(default_factory=lambda: np.zeros(0, np.int64))
    """What is compared between services: rows of one tenant with the same name and status."""
    groups: dict[tuple[str, str, str], int] = field(default_factory=dict)
    is_whole: Bool = field(default_factory=lambda: np.zeros(0, bool))
    is_slow: Bool = field(default_factory=lambda: np.zeros(0, bool))
    ring: NDArray[np.float32] = field(default_factory=lambda: np.zeros((0, MINUTES), np.float32))
    history: F64 = field(default_factory=lambda: np.zeros((0, CLASSES)))
    """Events by class of load."""
    exposure: F64 = field(default_factory=lambda: np.zeros((0, CLASSES)))
    """Requests among which they were counted."""
    learned: F64 = field(default_factory=lambda: np.zeros((0, 5)))
    """Minutes with traffic; scatter and its degrees of freedom; drift and half hours it is from."""
    bar: I64 = field(default_factory=lambda: np.zeros(0, np.int64))
    spread: dict[int, dict[int, float]] = field(default_factory=dict)
    """Buckets of slow rows that have no bar yet."""
    _sorted: tuple[U64, I64] | None = None

    def __len__(self) -> int:
        return len(self.keys)

    def add(self, definition: SeriesDef, most: int) -> bool:
        """A row for a series of requests, with those that it refers to. False if there is no room."""
        name = definition.name
        if name not in (REQUESTS, ERRORS) and not (name == SLOW and definition.is_histogram):
            return True
        labels = definition.labels
        if "endpoint" not in labels:
            return True
        if len(self.keys) + 4 > most:
            return False
        version, status = labels.get("version", ""), labels.get("status", "")
        of = (definition.tenant, definition.service)
        for each in dict.fromkeys(("", version)):
            parent = self._row(definition.entity_id, (*of, REQUESTS, labels["endpoint"], "", each))
            self._row(definition.entity_id, (*of, name, labels["endpoint"], status, each), parent)
        return True

    def _row(self, entity_id: str, key: Key, parent: int = -1) -> int:
        found = self.index.get(key)
        if found is not None:
            return found
        tenant, service, name, endpoint, status, version = key
        row = len(self.keys)
        labels = {"endpoint": endpoint, "status": status, "version": version}
        identity = series_id(tenant, entity_id, name, {k: v for k, v in labels.items() if v})
        base = self.index.get((*key[:5], ""), row)
        owner = self.owner.setdefault((tenant, service), len(self.services))
        if owner == len(self.services):
            self.services.append((tenant, service))
        self.keys.append(key)
        self.ids.append(int(identity))
        self.index[key] = row
        if row >= len(self.parent):
            self._grow(max(2 * row, 64))
        self.group[row] = self.groups.setdefault((tenant, name, status), len(self.groups))
        self.parent[row], self.base[row], self.service[row] = (parent if parent >= 0 else row), base, owner
        self.is_whole[row], self.is_slow[row] = version == "", name == SLOW
        self.ring[row] = np.nan if name == SLOW else 0.0
        if name == ERRORS:  # it did not fail in all that went before
            self.exposure[row] = self.history[self.parent[row]]
        self._sorted = None
        return row

    def _grow(self, n: int) -> None:
        more = n - len(self.parent)
        for name in COLUMNS:
            column = getattr(self, name)
            setattr(self, name, np.concatenate([column, np.zeros((more, *column.shape[1:]), column.dtype)]))
        self.bar = np.concatenate([self.bar, np.full(more, NO_BAR, np.int64)])

    def find(self, series: U64) -> I64:
        """Row of each series, -1 where it is none of ours."""
        if self._sorted is None:
            ids = np.array(self.ids, np.uint64)
            order = np.argsort(ids, kind="stable")
            self._sorted = ids[order], order
        known, order = self._sorted
        if not len(known):
            return np.full(len(series), -1, np.int64)
        at = np.minimum(np.searchsorted(known, series), len(known) - 1)
        return np.where(known[at] == series, order[at], -1)

    def is_failure(self) -> Bool:
        """Rows that count failed requests, (n,)."""
        n = len(self)
        return np.asarray((self.parent[:n] != np.arange(n)) & ~self.is_slow[:n])

    # --- minutes ---

    def put(self, minute: int, counts: F64, rows: I64, bucket: I64, count: I64) -> F64:
        """Take one closed minute: counts (n,) of rows, and buckets of slow rows. Returns events (n,) of that minute."""
        n = len(self)
        x = np.zeros(n)
        x[: len(counts)] = counts
        whole = self.base[rows]
        slow = np.where((self.bar[whole] != NO_BAR) & (bucket > self.bar[whole]), count, 0)
        np.add.at(x, rows, slow)
        blind = (whole == rows) & (self.bar[whole] == NO_BAR)
        for row, b, c in zip(rows[blind].tolist(), bucket[blind].tolist(), count[blind].tolist(), strict=True):
            found = self.spread.setdefault(row, {})
            found[b] = found.get(b, 0.0) + c
        x[self.is_slow[:n] & (self.bar[self.base[:n]] == NO_BAR)] = np.nan
        self.ring[:n, minute % MINUTES] = x
        return x

    def requests(self, x: F64) -> F64:
        """Requests of the endpoint of each row, x (n,) or (n, minutes); 0 where x is NaN, as there was no bar yet."""
        return np.where(np.isnan(x), 0.0, x[self.parent[: len(self)]])

    def of_service(self, x: F64) -> F64:
        """Requests of each service: x (n,) or (n, m) summed over its endpoints, whatever the version."""
        n = len(self)
        mine = np.flatnonzero(self.is_whole[:n] & (self.parent[:n] == np.arange(n)))
        out = np.zeros((len(self.services), *x.shape[1:]))
        np.add.at(out, self.service[mine], x[mine])
        return out

    def held_from(self, now: int) -> int:
        """First minute that is not in history yet, when `now` is the last that was closed."""
        return (now + 1) // HALF * HALF - HALF

    def usual_load(self) -> F64:
        """Requests a minute of each service in history, (services,); 0 where there is none."""
        n = len(self)
        total = self.of_service(self.history[:n].sum(axis=1))
        minutes = np.zeros(len(self.services))
        np.maximum.at(minutes, self.service[:n], self.learned[:n, 0])
        return np.asarray(np.where(minutes > 0, total / np.maximum(minutes, 1.0), 0.0))

    def classes(self, load: F64, usual: F64) -> NDArray[np.int64]:
        """Class of load of each row, (n,) or (n, m), from requests of services and what is usual for them."""
        usual = usual[:, None] if load.ndim == 2 else usual
        ratio = np.where(usual > 0, load / np.maximum(usual, 1e-9), 1.0)
        return np.asarray((np.digitize(ratio, (LOW, HIGH)))[self.service[: len(self)]])

    # --- history ---

    def learn(self, first: int) -> None:
        """Take the half hour whose first minute is `first` into history and forget its minutes."""
        n = len(self)
        at = (first + np.arange(HALF)) % MINUTES
        x, base = self.ring[:n, at].astype(np.float64), self.base[:n]
        self.ring[:n, at] = np.where(self.is_slow[:n], np.nan, 0.0)[:, None]
        requests = self.requests(x)
        x = np.nan_to_num(x)
        usual = self.usual_load()
        load = self.of_service(x)
        kind = self.classes(load, np.where(usual > 0, usual, load.mean(axis=1)))
        k, m = x.sum(axis=1), requests.sum(axis=1)
        rate, _, _, clump = expectation(self.history[base], self.exposure[base], self.learned[base])
        mean = (np.take_along_axis(rate, kind, axis=1) * requests).sum(axis=1)
        seen = requests > 0
        with np.errstate(invalid="ignore", divide="ignore"):
            expected = requests * (k / m)[:, None]
            scatter = np.where(seen & (expected > 0), (x - expected) ** 2 / expected, 0.0).sum(axis=1)
            away = ((k - mean) ** 2 - clump * mean) / mean**2
        is_rate = self.parent[:n] != np.arange(n)
        fits = is_rate & (k >= 5)
        self.learned[:n, 1:3] *= np.where(fits, SCATTER_KEPT, 1.0)[:, None]
        self.learned[:n, 1] += np.where(fits, np.minimum(scatter, 1e6), 0.0)
        self.learned[:n, 2] += np.where(fits, np.maximum(seen.sum(axis=1) - 1, 0), 0)
        judged = is_rate & (mean >= 5) & (self.exposure[:n].sum(axis=1) > 0)
        self.learned[:n, 3:5] *= np.where(judged, DRIFT_KEPT, 1.0)[:, None]
        self.learned[:n, 3] += np.where(judged, np.clip(away, -1.0, 4.0), 0.0)
        self.learned[:n, 4] += judged
        for c in range(CLASSES):
            self.history[:n, c] = self.history[:n, c] * KEPT + np.where(
                (kind == c) & (seen | ~is_rate[:, None]), x, 0.0
            ).sum(axis=1)
            self.exposure[:n, c] = self.exposure[:n, c] * KEPT + np.where(kind == c, requests, 0.0).sum(axis=1)
        self.learned[:n, 0] = self.learned[:n, 0] * KEPT + seen.sum(axis=1)
        self._set_bars(k, m)

    def _set_bars(self, k: F64, requests: F64) -> None:
        """A bar for who has seen enough; a bar that has long been wrong is taken down, and what it counted."""
        n = len(self)
        with np.errstate(invalid="ignore", divide="ignore"):
            share = np.stack([k / requests, self.history[:n].sum(axis=1) / self.exposure[:n].sum(axis=1)])
        wrong = ((share < SLOW_SHARE / 10) | (share > 6 * SLOW_SHARE)).all(axis=0)
        for row in np.flatnonzero((self.bar[:n] != NO_BAR) & (requests >= BAR_REQUESTS) & wrong).tolist():
            self.bar[row], self.history[row], self.exposure[row], self.learned[row] = NO_BAR, 0.0, 0.0, 0.0
            self.ring[row] = np.nan
        for row, found in list(self.spread.items()):
            total = sum(found.values())
            if total >= BAR_REQUESTS:
                buckets = sorted(found)
                below = np.cumsum([found[b] for b in buckets]) / total
                self.bar[row] = buckets[int(np.searchsorted(below, 1.0 - SLOW_SHARE))]
                del self.spread[row]

    # --- snapshots ---

    def arrays(self) -> dict[str, NDArray[Any]]:
        n = len(self)
        spread = [(row, b, c) for row, found in sorted(self.spread.items()) for b, c in sorted(found.items())]
        return {name: getattr(self, name)[:n] for name in (*COLUMNS, "bar")} | {
            "spread": np.array(spread, np.float64).reshape(-1, 3)
        }

    @classmethod
    def of(cls, keys: list[list[str]], ids: list[int], arrays: dict[str, NDArray[Any]]) -> "Rows":
        rows = cls(keys=[tuple(key) for key in keys], ids=ids)  # type: ignore[misc]
        rows.index = {key: i for i, key in enumerate(rows.keys)}
        for key in rows.keys:
            rows.groups.setdefault((key[0], key[2], key[4]), len(rows.groups))
            if (key[0], key[1]) not in rows.owner:
                rows.owner[key[0], key[1]] = len(rows.services)
                rows.services.append((key[0], key[1]))
        for row, b, c in arrays.pop("spread").tolist():
            rows.spread.setdefault(int(row), {})[int(b)] = c
        for name, column in arrays.items():
            setattr(rows, name, column)
        return rows


def expectation(history: F64, exposure: F64, learned: F64) -> tuple[F64, Bool, F64, F64]:
    """Rate (n, classes), whether history hardly knows that load, relative variance of the rate, clump (n,).

    history, exposure: (n, classes). learned: (n, 5), see `Rows`. What never failed has half a failure.
    """
    total, requests = history.sum(axis=1), exposure.sum(axis=1)
    rate = (total + 0.5) / (requests + 1.0)
    weight = 5.0 / rate  # requests in which five events are due
    by_class = (history + 5.0) / (exposure + weight[:, None])
    unseen = exposure * rate[:, None] < 5.0
    by_class = np.where(unseen, np.maximum(by_class, rate[:, None]), by_class)
    _, scatter, freedom, drift, blocks = learned.T
    clump = np.maximum((CLUMP * CLUMP_PRIOR + scatter) / (CLUMP_PRIOR + freedom), 1.0)
    wander = np.maximum((DRIFT * DRIFT_PRIOR + drift) / (DRIFT_PRIOR + blocks), LEAST_DRIFT)
    return by_class, unseen, 1.0 / (total / clump + 0.5) + wander, clump
