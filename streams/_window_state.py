"""State of the windower: columns with one row a series, growing with the registry, and their snapshot."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from schemas import Gap, SeriesDef
from schemas.core import F64, I64, U64, Bool
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
    "is_count": (np.bool_, False),
    "is_cumulative": (np.bool_, False),
    "is_event": (np.bool_, False),
    "is_silent": (np.bool_, False),
}
STATE_BYTES_PER_SERIES = sum(np.dtype(kind).itemsize for kind, _ in _COLUMNS.values()) + RING_PANES * (
    sum(np.dtype(kind).itemsize for kind in RING.values()) + 4
)
"""Array bytes a series; definitions and the id map come on top (about 700 B, they hold the labels)."""


def _column(name: str) -> Any:
    return field(default_factory=lambda: np.zeros(0, _COLUMNS[name][0]))


def _ring() -> dict[str, NDArray[Any]]:
    rings: dict[str, NDArray[Any]] = {name: np.zeros((RING_PANES, 0), kind) for name, kind in RING.items()}
    return {**rings, "count": np.zeros((RING_PANES, 0), np.int32)}


@dataclass(slots=True)
class WindowState:
    """All columns (n,) by row of the registry; `ring` columns (12, n) and `shares` (12, signals), newest pane last."""

    registry: Registry = field(default_factory=Registry)
    """Series that have spoken, in the order of the panes in which they first did, so rows follow event time alone."""
    waiting: dict[int, SeriesDef] = field(default_factory=dict)
    """Definitions of series that have not spoken in a closed pane yet."""
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
    is_count: Bool = _column("is_count")
    is_cumulative: Bool = _column("is_cumulative")
    is_event: Bool = _column("is_event")
    is_silent: Bool = _column("is_silent")
    ring: dict[str, NDArray[Any]] = field(default_factory=_ring)
    shares: F64 = field(default_factory=lambda: np.zeros((RING_PANES, len(SIGNALS))))
    """Share of each pane that was recorded, by signal."""

    def define(self, definitions: Iterable[SeriesDef]) -> None:
        """Take definitions in; one that is known already changes nothing."""
        for definition in definitions:
            identity = int(definition.id, 16)
            if identity not in self.registry.rows:
                self.waiting.setdefault(identity, definition)

    def activate(self, series: U64) -> None:
        """Give rows to the series that speak for the first time, in the order of their ids."""
        fresh = np.unique(series[self.registry.find(series) < 0]).tolist()
        for identity in fresh:
            if identity in self.waiting:
                self.registry.add(self.waiting.pop(identity))
        self._grow()

    def is_derived(self, series: U64) -> Bool:
        """Which samples (n,) belong to series that we derived ourselves; an unknown series is a sender's."""
        rows = self.registry.find(series)
        ours = np.isin(self.signal[np.maximum(rows, 0)], (1, 2)) if len(self.signal) else np.zeros(len(series), bool)
        ours &= rows >= 0
        for at in np.flatnonzero(rows < 0).tolist():
            definition = self.waiting.get(int(series[at]))
            ours[at] = definition is not None and definition.signal in ("logs", "traces")
        return ours

    def _grow(self) -> None:
        """Make room for the series that the registry has gained."""
        have, n = len(self.previous), len(self.registry)
        if have == n:
            return
        fresh, more = self.registry.definitions[have:], n - have
        for name, (kind, blank) in _COLUMNS.items():
            setattr(self, name, np.concatenate([getattr(self, name), np.full(more, blank, kind)]))
        self.signal[have:] = [SIGNALS.index(d.signal) for d in fresh]
        self.is_count[have:] = [d.kind == "count" for d in fresh]
        self.is_cumulative[have:] = [d.temporality == "cumulative" for d in fresh]
        self.is_event[have:] = [d.is_event for d in fresh]
        for name, column in self.ring.items():
            blank_ring = np.full((RING_PANES, more), np.nan if name in RING else 0, column.dtype)
            if name == "total":  # panes before an event series first spoke are zero where its signal was recorded
                heard = self.shares[:, self.signal[have:]] > 0
                blank_ring[heard & self.is_event[have:]] = 0.0
            self.ring[name] = np.concatenate([column, blank_ring], 1)
        self.unresolved += [have + i for i, d in enumerate(fresh) if d.denominator]
        open_rows, self.unresolved = self.unresolved, []
        for row in open_rows:
            found = self.registry.rows.get(int(self.registry.definitions[row].denominator or "0", 16), -1)
            self.denominator[row] = found
            if found < 0:
                self.unresolved.append(row)

    def dump(self) -> bytes:
        arrays = {f"column/{name}": getattr(self, name) for name in _COLUMNS} | {"shares": self.shares}
        arrays |= {f"ring/{name}": column for name, column in self.ring.items()}
        for start, chunks in self.pending.items():
            for i in range(3):
                arrays[f"pending/{start}/{i}"] = np.concatenate([chunk[i] for chunk in chunks])
        document = {
            "registry": self.registry.dump(),
            "waiting": [d.model_dump(mode="json", exclude_defaults=True) for _, d in sorted(self.waiting.items())],
            "covered": self.covered.dump(), "ledger": self.ledger.dump(),
            "through_ns": self.through_ns, "pending": sorted(self.pending), "unresolved": self.unresolved,
        }  # fmt: skip
        return pack(document, arrays)

    @classmethod
    def load(cls, data: bytes) -> "WindowState":
        """Raises SnapshotError."""
        document, arrays, _ = unpack(data)
        state = cls(
            registry=Registry.load(document["registry"]), covered=Covered.load(document["covered"]),
            ledger=Ledger.load(document["ledger"]), through_ns=document["through_ns"],
            unresolved=document["unresolved"], shares=arrays["shares"],
        )  # fmt: skip
        state.define(SeriesDef.model_validate(entry) for entry in document["waiting"])
        for name in _COLUMNS:
            setattr(state, name, arrays[f"column/{name}"])
        state.ring = {name: arrays[f"ring/{name}"] for name in state.ring}
        for start in document["pending"]:
            ids, t, value = (arrays[f"pending/{start}/{i}"] for i in range(3))
            state.pending[start] = [(ids, t, value)]
        return state
