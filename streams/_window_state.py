"""State of the windower: columns with one row a series, growing with the registry, and their snapshot."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from schemas import Gap, SeriesDef, SeriesDefs
from schemas.core import F64, I64, U64, Bool
from streams._compact import numbers
from streams._coverage import Covered
from streams._ledger import Ledger
from streams._registry import Registry
from streams._settings import RING_PANES
from streams._state import pack, unpack

SIGNALS: tuple[str, ...] = ("metrics", "logs", "traces", "changes", "topology", "business")
RING: dict[str, Any] = {"total": np.float64, "low": np.float32, "high": np.float32, "last": np.float32}
"""Columns of the panes that windows are built from; a total must add up, for the others seven digits do."""
_COLUMNS: dict[str, tuple[Any, Any]] = {
    "previous": (np.float64, np.nan),
    "interval_s": (np.float64, np.nan),
    "cumulated": (np.float64, 0.0),
    "last_ns": (np.int64, 0),
    "denominator": (np.int32, -1),
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
    unresolved: list[int] = field(default_factory=list)
    """Rows whose denominator is not known yet."""
    previous: F64 = _column("previous")
    """Last value of a cumulative series, NaN before the first."""
    interval_s: F64 = _column("interval_s")
    """Usual distance of samples, NaN while unknown."""
    cumulated: F64 = _column("cumulated")
    """Sum of all pane totals so far."""
    last_ns: I64 = _column("last_ns")
    denominator: NDArray[np.int32] = _column("denominator")
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

    def is_derived(self, series: U64) -> Bool:
        """Which samples (n,) belong to series that we derived ourselves; an unknown series is a sender's."""
        rows = self.registry.find(series)
        ours = np.isin(self.signal[np.maximum(rows, 0)], DERIVED) if len(self.signal) else np.zeros(len(series), bool)
        ours &= rows >= 0
        unknown = np.flatnonzero(rows < 0)
        kept = [self.waiting.get(identity, b"") for identity in series[unknown].tolist()]
        if any(kept):
            traits, inverse = np.unique(numbers(filter(None, kept)), return_inverse=True)
            is_ours = [d.signal in ("logs", "traces") for d in self.registry.examples(traits.tolist())]
            ours[unknown[np.fromiter(map(bool, kept), np.bool_, len(kept))]] = np.array(is_ours)[inverse]
        return ours

    def has_derived(self) -> bool:
        """Whether any series that was ever defined here is one that we derived ourselves."""
        return any(d.signal in ("logs", "traces") for d in self.registry.examples(range(self.registry.kinds)))

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

    def dump(self) -> bytes:
        arrays = {f"column/{name}": getattr(self, name) for name in _COLUMNS} | {"shares": self.shares}
        arrays |= {f"ring/{name}": column[self.slots(RING_PANES)] for name, column in self.ring.items()}
        for start, chunks in self.pending.items():
            for i in range(3):
                arrays[f"pending/{start}/{i}"] = np.concatenate([chunk[i] for chunk in chunks])
        document = {
            "covered": self.covered.dump(), "ledger": self.ledger.dump(),
            "through_ns": self.through_ns, "pending": sorted(self.pending), "unresolved": self.unresolved,
            "senders": sorted(self.registry.senders.items()),
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
        for name in _COLUMNS:
            setattr(state, name, arrays[f"column/{name}"])
        state.ring = {name: arrays[f"ring/{name}"] for name in state.ring}
        for start in document["pending"]:
            ids, t, value = (arrays[f"pending/{start}/{i}"] for i in range(3))
            state.pending[start] = [(ids, t, value)]
        return state
