"""State of the windower: columns with one row a series, growing with the registry, and their snapshot."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from schemas import Gap, SeriesDef, SeriesDefs, Succession
from schemas.core import F64, I64, U64, Bool
from streams._compact import numbers
from streams._coverage import Covered
from streams._histogram_tails import Place, Told, percentile_of
from streams._ledger import Ledger
from streams._means import Before, Pairs, count_of, is_sum, mean_of
from streams._own_series import is_own
from streams._quantiles import MOST, NO_LADDERS, Histograms, Ladders, is_bucket, percentiles
from streams._registry import Registry
from streams._settings import RING_PANES
from streams._state import pack, unpack
from streams._statuses import Adds, group_of, is_request, may_fail
from streams._successors import Successors, Voices

SIGNALS: tuple[str, ...] = ("metrics", "logs", "traces", "changes", "topology", "business")
RING: dict[str, Any] = {"total": np.float64, "low": np.float32, "high": np.float32, "last": np.float32}
"""Columns of the panes that windows are built from; a total must add up, for the others seven digits do."""
_COLUMNS: dict[str, tuple[Any, Any]] = {
    "previous": (np.float64, np.nan),
    "interval_s": (np.float64, np.nan),
    "cumulated": (np.float64, 0.0),
    "last_ns": (np.int64, 0),
    "denominator": (np.int32, -1),
    "numerator": (np.int32, -1),
    "signal": (np.int8, 0),
    "is_cumulative": (np.bool_, False),
    "is_event": (np.bool_, False),
    "is_silent": (np.bool_, False),
}
STATE_BYTES_PER_SERIES = sum(np.dtype(kind).itemsize for kind, _ in _COLUMNS.values()) + RING_PANES * (
    sum(np.dtype(kind).itemsize for kind in RING.values()) + 4
)
"""Array bytes a series; its definition and its place in the id map come on top (about 200 B with two labels)."""
DERIVED = (SIGNALS.index("logs"), SIGNALS.index("traces"))


def _column(name: str) -> Any:
    return field(default_factory=lambda: np.zeros(0, _COLUMNS[name][0]))


def _ring() -> dict[str, NDArray[Any]]:
    rings: dict[str, NDArray[Any]] = {name: np.zeros((RING_PANES, 0), kind) for name, kind in RING.items()}
    return {**rings, "count": np.zeros((RING_PANES, 0), np.int32)}


@dataclass(slots=True)
class WindowState:
    """All columns (n,) by row of the registry; `shares` (12, signals), newest pane last.

    `ring` columns (12, n) are written in turn: `head` is the slot of the newest pane, the one after it the oldest. In
    a snapshot they lie oldest first, so a snapshot does not show how often the ring went round.
    """

    registry: Registry = field(default_factory=Registry)
    """Series that have spoken, in the order of the panes in which they first did, so rows follow event time alone."""
    waiting: dict[int, bytes] = field(default_factory=dict)
    """Compact definitions of series that have not spoken in a closed pane yet."""
    covered: Covered = field(default_factory=Covered)
    ledger: Ledger = field(default_factory=Ledger)
    through_ns: int = 0
    pending: dict[int, list[tuple[U64, I64, F64]]] = field(default_factory=dict)
    """Samples by start of their pane: ids, times, values."""
    gaps: list[Gap] = field(default_factory=list)
    """Found while closing, not taken yet; empty between steps."""
    successions: list[Succession] = field(default_factory=list)
    """The same of instances that have a successor."""
    heirs: list[tuple[int, int]] = field(default_factory=list)
    """The same of their series: row that ended, row that goes on."""
    successors: Successors = field(default_factory=Successors)
    unresolved: list[int] = field(default_factory=list)
    """Rows whose denominator is not known yet."""
    unpaired: dict[int, int] = field(default_factory=dict)
    """Row of a sum whose count has not spoken, by the id of that count. Not in a snapshot."""
    groups: dict[int, tuple[int, U64, U64]] = field(default_factory=dict)
    """Row of all requests, and ids of its members that went well and that failed, by the row of the errors among them.
    Not in a snapshot."""
    adds: Adds = field(default_factory=lambda: Adds(np.zeros(0, np.int64), np.zeros(0, np.int64)))
    """What `groups` comes to for the rows there are. Not in a snapshot."""
    histograms: Histograms = field(default_factory=Histograms)
    """Buckets that have spoken. Not in a snapshot."""
    ladders: Ladders = NO_LADDERS
    """The whole ones among them. Not in a snapshot."""
    told: Told = field(default_factory=Told)
    """Percentiles of histograms that come whole. Not in a snapshot."""
    previous: F64 = _column("previous")
    """Last value of a cumulative series, NaN before the first."""
    interval_s: F64 = _column("interval_s")
    """Usual distance of samples, NaN while unknown."""
    cumulated: F64 = _column("cumulated")
    """Sum of all pane totals so far."""
    last_ns: I64 = _column("last_ns")
    denominator: NDArray[np.int32] = _column("denominator")
    numerator: NDArray[np.int32] = _column("numerator")
    """Row of the sum of which this series is the mean, -1 where it is none (`_means`)."""
    signal: NDArray[np.int8] = _column("signal")
    is_cumulative: Bool = _column("is_cumulative")
    is_event: Bool = _column("is_event")
    is_silent: Bool = _column("is_silent")
    ring: dict[str, NDArray[Any]] = field(default_factory=_ring)
    head: int = RING_PANES - 1
    shares: F64 = field(default_factory=lambda: np.zeros((RING_PANES, len(SIGNALS))))
    """Share of each pane that was recorded, by signal."""
    rows: I64 = field(default_factory=lambda: np.zeros(0, np.int64))
    """0 .. n - 1: shared by all blocks, so that a reader sees at once that rows are the same. Not in a snapshot."""
    moves: int = 0
    """How often the ring moved; tells blocks that they are gone. Not in a snapshot."""

    def define(self, definitions: Sequence[SeriesDef]) -> None:
        """Take definitions in; of one that is known only its sender is noted. Raises RecordInvalid, state unchanged."""
        if len(definitions):
            fresh = self.registry.new(definitions)
            if len(fresh) < len(definitions) or not fresh.keys().isdisjoint(self.waiting):
                self._hear(SeriesDefs.of(definitions), fresh)
            self.waiting.update({i: kept for i, kept in fresh.items() if i not in self.waiting})

    def _hear(self, definitions: SeriesDefs, fresh: Mapping[int, bytes]) -> None:
        """Of those that were known, or stand here more than once, who else sends them."""
        for identity, text in zip(definitions.ids.tolist(), definitions.texts, strict=True):
            known = self.waiting.get(identity) or fresh.get(identity) or self.registry.kept(identity)
            self.registry.hear(identity, known, text)

    def activate(self, series: U64) -> None:
        """Give rows to those series that were defined and have none, in the order of their ids."""
        fresh = [identity for identity in np.unique(series).tolist() if identity in self.waiting]
        if fresh:
            self.registry.add(np.array(fresh, np.uint64), [self.waiting.pop(identity) for identity in fresh])
            self._grow()
            self._pair(fresh)
            self._group(self.registry.find(np.array(fresh, np.uint64)))
            self._stack(self.registry.find(np.array(fresh, np.uint64)))

    def are_own(self, rows: I64) -> Bool:
        """Which rows are of series that nobody sent (`_own_series`)."""
        ours: Bool = np.isin(self.signal[rows], DERIVED) | self.is_event[rows]
        return ours

    def is_derived(self, series: U64) -> Bool:
        """Which samples (n,) belong to series that we derived ourselves; an unknown series is a sender's."""
        rows = self.registry.find(series)
        ours = self.are_own(np.maximum(rows, 0)) if len(self.signal) else np.zeros(len(series), bool)
        ours &= rows >= 0
        unknown = np.flatnonzero(rows < 0)
        kept = [self.waiting.get(identity, b"") for identity in series[unknown].tolist()]
        if any(kept):
            traits, inverse = np.unique(numbers(filter(None, kept)), return_inverse=True)
            is_ours = [is_own(d) for d in self.registry.examples(traits.tolist())]
            ours[unknown[np.fromiter(map(bool, kept), np.bool_, len(kept))]] = np.array(is_ours)[inverse]
        return ours

    def has_derived(self) -> bool:
        """Whether any series that was ever defined here is one that we derived ourselves."""
        return any(is_own(d) for d in self.registry.examples(range(self.registry.kinds)))

    def voices(self) -> Voices:
        """When series spoke last, and which are expected to go on."""
        is_expected = ~self.is_silent & (self.last_ns > 0) & ~self.is_event & np.isfinite(self.interval_s)
        return Voices(self.last_ns, is_expected)

    def turn(self) -> None:
        """Let the oldest slot of the ring become the newest one, blank."""
        self.head = (self.head + 1) % RING_PANES
        self.moves += 1
        for name, column in self.ring.items():
            column[self.head] = np.nan if name in RING else 0

    def slots(self, panes: int) -> I64:
        """Slots of the ring that hold the newest `panes`, oldest first."""
        return np.arange(self.head - panes + 1, self.head + 1) % RING_PANES

    def _grow(self) -> None:
        """Make room for the series that the registry has gained."""
        have, n = len(self.previous), len(self.registry)
        more = n - have
        for name, (kind, blank) in _COLUMNS.items():
            setattr(self, name, np.concatenate([getattr(self, name), np.full(more, blank, kind)]))
        fresh, ask = np.arange(have, n), self.registry.ask
        self.signal[have:] = ask(fresh, lambda d: SIGNALS.index(d.signal))
        self.is_cumulative[have:] = ask(fresh, lambda d: d.temporality == "cumulative")
        self.is_event[have:] = ask(fresh, lambda d: d.is_event)
        for name, column in self.ring.items():
            blank_ring = np.full((RING_PANES, more), np.nan if name in RING else 0, column.dtype)
            if name == "total":  # panes before an event series first spoke are zero where its signal was recorded
                heard = self.shares[:, self.signal[have:]] > 0
                blank_ring[heard & self.is_event[have:]] = 0.0
            self.ring[name] = np.concatenate([column, blank_ring[np.argsort(self.slots(RING_PANES))]], 1)
        self.rows = np.arange(n)
        self.unresolved += fresh[ask(fresh, lambda d: d.denominator is not None)].tolist()
        open_rows, self.unresolved = self.unresolved, []
        for row in open_rows:
            found = self.registry.row(int(self.registry.definition(row).denominator or "0", 16))
            self.denominator[row] = found
            if found < 0:
                self.unresolved.append(row)

    def _pair(self, fresh: Sequence[int]) -> None:
        """Give means rows of their own: those of sums and counts of which one is among the ids `fresh`."""
        rows = self.registry.find(np.array(fresh, np.uint64))
        found: dict[int, int] = {}
        for row in rows[self.registry.ask(rows, is_sum).astype(bool)].tolist():
            count = count_of(self.registry.definition(row))
            if self.registry.row(count) >= 0:
                found[row] = count
            else:
                self.unpaired[count] = row
        if self.unpaired:
            found |= {self.unpaired.pop(count): count for count in fresh if count in self.unpaired}
        means = {row: mean_of(self.registry.definition(row), count) for row, count in sorted(found.items())}
        texts = self.registry.new(list(means.values()))
        sums = {int(mean.id, 16): row for row, mean in means.items()}
        ids = [identity for identity in texts if identity not in self.waiting]  # a sender's own of that name stands
        if ids:
            first = len(self.registry)
            self.registry.add(np.array(ids, np.uint64), [texts[identity] for identity in ids])
            self._grow()
            self.numerator[first:] = [sums[identity] for identity in ids]

    def pairs(self) -> Pairs:
        """Means and what they are made of."""
        mean = np.flatnonzero(self.numerator >= 0)
        return Pairs(mean, self.numerator[mean].astype(np.int64), self.denominator[mean].astype(np.int64))

    def before(self, pairs: Pairs) -> Before:
        """To be asked before the samples of a pane are taken."""
        return Before(self.previous[pairs.total], self.previous[pairs.number])

    def fill_means(self, pairs: Pairs, before: Before) -> None:
        """The newest pane of means, once their sums and counts are there."""
        new = {name: column[self.head] for name, column in self.ring.items()}
        total, number = new["total"][pairs.total], new["total"][pairs.number]
        fell = (self.previous[pairs.total] < before.total) | (self.previous[pairs.number] < before.number)
        seen = np.where(fell, 0, np.minimum(new["count"][pairs.total], new["count"][pairs.number]))
        with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
            is_told = (seen > 0) & (number > 0) & np.isfinite(total)
            mean = np.where(is_told, total / number, np.nan)
        new["count"][pairs.mean], new["total"][pairs.mean] = seen, np.where(is_told, total, np.nan)
        for name in ("low", "high", "last"):
            new[name][pairs.mean] = mean
        self.interval_s[pairs.mean] = self.interval_s[pairs.total]

    def _group(self, rows: I64) -> None:
        """Find the groups of requests by status that these rows begin, and the members of all."""
        rows = rows[self.registry.ask(rows, is_request).astype(bool)] if len(rows) else rows
        for row in rows.tolist():
            definition = self.registry.definition(row) if may_fail(self.registry.definition_text(row)) else None
            found = group_of(definition) if definition is not None else None
            if found is None or int(found.errors.id, 16) in self.waiting or int(found.whole.id, 16) in self.waiting:
                continue
            fresh = self.registry.new([found.whole, found.errors])
            if len(fresh) == 1:  # a sender's own of that name stands
                continue
            if fresh:
                self.registry.add(np.fromiter(fresh, np.uint64, len(fresh)), list(fresh.values()))
                self._grow()
            whole, errors = (self.registry.row(int(one.id, 16)) for one in (found.whole, found.errors))
            if fresh:
                members = self.registry.find(np.concatenate([found.well, found.failed]))
                self.cumulated[whole] = self.cumulated[members[members >= 0]].sum()
            _, _, known = self.groups.get(errors, (whole, found.well, found.failed))
            self.groups[errors] = whole, found.well, np.union1d(known, found.failed)
        if len(rows) and self.groups:
            self._find_members()

    def _find_members(self) -> None:
        source, target = list[I64](), list[I64]()
        for errors, (whole, *members) in self.groups.items():
            well, failed = map(self.registry.find, members)
            for into, part in ((whole, well), (whole, failed), (errors, failed)):
                known = part[part >= 0]
                source.append(known)
                target.append(np.full(len(known), into))
        self.adds = Adds(np.concatenate(source), np.concatenate(target))

    def _stack(self, rows: I64) -> None:
        """Find the histograms of which these rows are buckets, and give those that are whole a percentile."""
        rows = rows[self.registry.ask(rows, is_bucket).astype(bool)] if len(rows) else rows
        found = [self.histograms.add(row, self.registry.definition(row)) for row in rows.tolist()]
        whole = {int(one.id, 16): one for one in found if one is not None and int(one.id, 16) not in self.waiting}
        fresh = self.registry.new(list(whole.values()))
        if fresh:
            self.registry.add(np.fromiter(fresh, np.uint64, len(fresh)), list(fresh.values()))
            self._grow()
        self.histograms.targets.update({identity: self.registry.row(identity) for identity in whole})
        if len(rows):
            self.ladders = self.histograms.ladders()

    def fill_percentiles(self) -> None:
        """The newest pane of percentiles, once their buckets are there; a sender's own of that name stands."""
        new = {name: column[self.head] for name, column in self.ring.items()}
        row, target = self.ladders.row, self.ladders.target
        found = percentiles(self.ladders, new["total"][row], new["count"][row])
        told = np.isfinite(found)
        self._fill_gauges(target[told], found[told], row[self.ladders.start[told]])

    def _fill_gauges(self, target: I64, values: F64, like: I64) -> None:
        """One sample each in the newest pane of rows that no sender writes to, with the cadence of the rows `like`."""
        ours = self.last_ns[target] == 0
        target, values = target[ours], values[ours]
        self.ring["count"][self.head][target] = 1
        for name in RING:
            self.ring[name][self.head][target] = values
        self.interval_s[target] = self.interval_s[like[ours]]

    def fill_tails(self, start_ns: int) -> None:
        """The newest pane of percentiles of histograms that came whole, which begins at `start_ns`."""
        tails, definition_of = self.told.panes.pop(start_ns)
        places, ids = self.told.places, tails.ids.tolist()
        for identity in sorted(ids) if len(places) < MOST else ():
            found = None if identity in places else percentile_of(definition_of(identity), self.registry.row)
            if found is None or int(found[0].id, 16) in self.waiting:
                continue
            fresh = self.registry.new([found[0]])
            if fresh:
                self.registry.add(np.fromiter(fresh, np.uint64, 1), list(fresh.values()))
                self._grow()
            places[identity] = Place(self.registry.row(int(found[0].id, 16)), found[1])
        known = [at for at, identity in enumerate(ids) if identity in places]
        rows = np.array([places[ids[at]] for at in known], np.int64).reshape(-1, 2)
        self._fill_gauges(rows[:, 0], tails.value[known], rows[:, 1])

    def add_up(self) -> None:
        """The newest pane of all requests and of errors, once those by status are there; a sender's own stand."""
        source, target = self.adds
        new = {name: column[self.head] for name, column in self.ring.items()}
        seen = new["count"][source]
        ours = (seen > 0) & (self.last_ns[target] == 0)
        source, target, seen = source[ours], target[ours], seen[ours]
        rows = np.unique(target)
        total = np.zeros(len(self.rows))
        np.add.at(total, target, new["total"][source])
        np.maximum.at(new["count"], target, seen)
        for name in RING:
            new[name][rows] = total[rows]
        self.cumulated[rows] += total[rows]
        np.fmin.at(self.interval_s, target, self.interval_s[source])

    def seek_groups(self) -> None:
        """Work `groups` and `ladders` out anew."""
        self._group(self.rows)
        self._stack(self.rows)

    def seek_counts(self) -> None:
        """Work `unpaired` out anew."""
        rows = np.flatnonzero(self.registry.ask(self.rows, is_sum)) if len(self.rows) else self.rows
        alone = np.setdiff1d(rows, self.numerator)
        self.unpaired = {count_of(self.registry.definition(row)): row for row in alone.tolist()}

    def dump(self) -> bytes:
        arrays = {f"column/{name}": getattr(self, name) for name in _COLUMNS} | {"shares": self.shares}
        arrays |= {f"ring/{name}": column[self.slots(RING_PANES)] for name, column in self.ring.items()}
        for start, chunks in self.pending.items():
            for i in range(3):
                arrays[f"pending/{start}/{i}"] = np.concatenate([chunk[i] for chunk in chunks])
        document = {
            "covered": self.covered.dump(), "ledger": self.ledger.dump(),
            "through_ns": self.through_ns, "pending": sorted(self.pending), "unresolved": self.unresolved,
            "senders": sorted(self.registry.senders.items()), "successors": self.successors.dump(),
        }  # fmt: skip
        waiting = b"\n".join(self.registry.text(kept) for _, kept in sorted(self.waiting.items()))
        return pack(document, arrays, {"registry": self.registry.dump(), "waiting": waiting})

    @classmethod
    def load(cls, data: bytes) -> "WindowState":
        """Raises SnapshotError."""
        document, arrays, blobs = unpack(data)
        state = cls(
            registry=Registry.load(blobs.get("registry")), covered=Covered.load(document["covered"]),
            ledger=Ledger.load(document["ledger"]), through_ns=document["through_ns"],
            unresolved=document["unresolved"], shares=arrays["shares"],
        )  # fmt: skip
        state.registry.senders = {series: list(names) for series, names in document.get("senders", ())}
        state.rows = np.arange(len(state.registry))
        state.define(SeriesDefs(blobs["waiting"].splitlines()))
        for name, (kind, blank) in _COLUMNS.items():
            column = arrays.get(f"column/{name}")
            setattr(state, name, np.full(len(state.rows), blank, kind) if column is None else column)
        state.ring = {name: arrays[f"ring/{name}"] for name in state.ring}
        for start in document["pending"]:
            ids, t, value = (arrays[f"pending/{start}/{i}"] for i in range(3))
            state.pending[start] = [(ids, t, value)]
        state.seek_groups()
        if "column/numerator" in arrays:
            state.seek_counts()
        else:  # of a version that knew no means
            state._pair(state.registry.ids().tolist())
        state.successors = Successors.load(state.registry, document.get("successors"))
        return state
