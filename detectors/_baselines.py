"""Levels that a deploy moved: learned at once where its watch finds it no worse, and not at all where it is worse.

With each change of a service its levels are put aside as they were, and how far the service departs from them since is
counted. A verdict that it is not worse, or better, moves the levels of before by the mean departure, where that is
more than noise, so the profile of the day is kept and no hour of it has to be learned anew. While the verdict is that
it is worse, the levels of before stand and nothing is learned: what is bad does not become usual however long it stays.
That ends when the verdict does, or with the next change of the service, as a rollback is. At most so many services are
held at once; further ones learn as ever.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from detectors._contract import Detector, State
from schemas import Change, ChangeVerdict, SeriesDef
from schemas.core import F64, I64, WindowBlock

MOST = 100
LEAST_WINDOWS, FAR = 10.0, 6.0
"""A mean departure counts from so many windows on, beyond so many of its standard errors: neighbours are alike, which
makes the true error about twice as large as it seems."""
Owner = tuple[str, str]


@runtime_checkable
class Movable(Protocol):
    """A detector whose levels can be moved."""

    def moved(self, state: State, shift: F64) -> State:
        """The state (n,) as if all had lain so much higher; shift float64 (n,), unit of the series, 0 where nothing."""
        ...


@dataclass(slots=True)
class Held:
    """One change. By detector: rows of the partition, the state that they had, and count, sum, sum of squares (3, k)
    of their departures from it since."""

    owner: Owner
    rows: dict[str, I64] = field(default_factory=dict)
    before: dict[str, State] = field(default_factory=dict)
    sums: dict[str, F64] = field(default_factory=dict)
    is_worse: bool = False
    is_taken: bool = False
    """The levels were moved."""


@dataclass(slots=True)
class BaselineState:
    """changes: time, id, owner. verdicts: time, change, verdict, state. Both wait for their time."""

    changes: list[tuple[int, str, str, str]] = field(default_factory=list)
    verdicts: list[tuple[int, str, str, str]] = field(default_factory=list)
    held: dict[str, Held] = field(default_factory=dict)
    passed_over: int = 0
    """Changes beyond `MOST`."""
    rows_of: dict[Owner, list[int]] = field(default_factory=dict)
    """Rows by service, as far as they were seen. Not in a snapshot."""
    seen: int = 0


class Baselines:
    """Pure; works on the tables of `Detect`. index: by detector, row of the partition to row of the table."""

    def __init__(self, detectors: Iterable[Detector]) -> None:
        self._movable: dict[str, Any] = {d.kind: d for d in detectors if isinstance(d, Movable)}

    def change(self, state: BaselineState, change: Change) -> None:
        state.changes.append((change.at_ns, change.id, change.tenant, change.service))

    def verdict(self, state: BaselineState, verdict: ChangeVerdict) -> None:
        state.verdicts.append((verdict.as_of_ns, verdict.change_id, verdict.verdict, verdict.state))

    def due(
        self, state: BaselineState, block: WindowBlock, defs: Mapping[int, SeriesDef], tables: dict[str, State],
        index: Mapping[str, NDArray[np.int32]],
    ) -> None:  # fmt: skip
        """What changes and verdicts before the end of this window come to; to be called before it is scored."""
        if not state.changes and not state.verdicts:
            return
        at_ns, said = block.end_ns, [(*one, True) for one in state.changes] + [(*one, False) for one in state.verdicts]
        for when, identity, first, second, is_change in sorted(said):
            if when >= at_ns:
                continue
            if is_change:
                self._begin(state, identity, (first, second), block, defs, tables, index)
            elif identity in state.held:
                self._judged(state, identity, first, second, tables, index)
        state.changes = [one for one in state.changes if one[0] >= at_ns]
        state.verdicts = [one for one in state.verdicts if one[0] >= at_ns]

    def learned(
        self, state: BaselineState, kind: str, block: WindowBlock, tables: dict[str, State],
        index: Mapping[str, NDArray[np.int32]],
    ) -> None:  # fmt: skip
        """After a detector learned a window: count departures of what is watched, take back what is worse."""
        for held in state.held.values():
            rows = held.rows.get(kind)
            if rows is None:
                continue
            before = held.before[kind]
            if held.is_worse:
                _put(tables[kind], index[kind][rows], before)
            elif not held.is_taken:
                at = np.searchsorted(block.rows, rows)
                there = np.flatnonzero(block.rows[np.minimum(at, len(block.rows) - 1)] == rows)
                mine = {name: column[there] for name, column in before.items()}
                away = self._movable[kind].score(mine, block.take(at[there])).residual
                away = np.where(np.isfinite(away), away, 0.0)
                held.sums[kind][:, there] += np.stack([(away != 0).astype(float), away, away**2])

    def _begin(
        self, state: BaselineState, identity: str, owner: Owner, block: WindowBlock, defs: Mapping[int, SeriesDef],
        tables: dict[str, State], index: Mapping[str, NDArray[np.int32]],
    ) -> None:  # fmt: skip
        for known in [key for key, held in state.held.items() if held.owner == owner]:
            del state.held[known]
        if len(state.held) >= MOST:
            state.passed_over += 1
            return
        self._meet(state, block, defs)
        held = state.held[identity] = Held(owner)
        rows = np.array(sorted(state.rows_of.get(owner, [])), np.int64)
        for kind in sorted(self._movable):
            mine = rows[rows < len(index[kind])]
            mine = mine[index[kind][mine] >= 0]
            local = index[kind][mine]
            if len(mine):
                held.rows[kind], held.sums[kind] = mine, np.zeros((3, len(mine)))
                held.before[kind] = {name: column[local].copy() for name, column in tables[kind].items()}

    def _judged(
        self, state: BaselineState, identity: str, verdict: str, how: str, tables: dict[str, State],
        index: Mapping[str, NDArray[np.int32]],
    ) -> None:  # fmt: skip
        held = state.held[identity]
        was_worse, held.is_worse = held.is_worse, verdict == "worse" and how != "superseded"
        for kind, rows in held.rows.items():
            if held.is_worse and not was_worse:
                _put(tables[kind], index[kind][rows], held.before[kind])
            elif verdict in ("not_worse", "better") and not held.is_taken:
                n, total, square = held.sums[kind]
                mean = total / np.maximum(n, 1.0)
                error = np.sqrt(np.maximum(square / np.maximum(n, 1.0) - mean**2, 0.0) / np.maximum(n, 1.0))
                far = np.flatnonzero((n >= LEAST_WINDOWS) & (np.abs(mean) > FAR * error))
                mine = {name: column[far].copy() for name, column in held.before[kind].items()}
                _put(tables[kind], index[kind][rows[far]], self._movable[kind].moved(mine, mean[far]))
        held.is_taken = held.is_taken or verdict in ("not_worse", "better")
        if how == "superseded" or (how == "ended" and not held.is_worse):
            del state.held[identity]

    def _meet(self, state: BaselineState, block: WindowBlock, defs: Mapping[int, SeriesDef]) -> None:
        for position in np.flatnonzero(block.rows >= state.seen).tolist():
            definition = defs.get(int(block.series[position]))
            if definition is not None:
                owner = definition.tenant, definition.service
                state.rows_of.setdefault(owner, []).append(int(block.rows[position]))
        state.seen = max(state.seen, int(block.rows.max(initial=-1)) + 1)

    def dump(self, state: BaselineState) -> dict[str, NDArray[Any]]:
        """Arrays by name; `load` takes them."""
        document: dict[str, Any] = {
            "changes": state.changes, "verdicts": state.verdicts, "passed_over": state.passed_over,
            "held": [[key, *h.owner, h.is_worse, h.is_taken, sorted(h.rows)] for key, h in sorted(state.held.items())],
        }  # fmt: skip
        arrays: dict[str, NDArray[Any]] = {"document": np.frombuffer(json.dumps(document).encode(), np.uint8)}
        for i, (_, held) in enumerate(sorted(state.held.items())):
            for kind, rows in held.rows.items():
                arrays |= {f"{i}/{kind}/rows": rows, f"{i}/{kind}/sums": held.sums[kind]}
                arrays |= {f"{i}/{kind}/before/{name}": column for name, column in held.before[kind].items()}
        return arrays

    def load(self, arrays: Mapping[str, NDArray[Any]]) -> BaselineState:
        """A detector that is new or of another form has nothing put aside."""
        if "document" not in arrays:
            return BaselineState()
        document = json.loads(arrays["document"].tobytes())
        state = BaselineState(passed_over=document["passed_over"])
        state.changes = [(at, *rest) for at, *rest in document["changes"]]
        state.verdicts = [(at, *rest) for at, *rest in document["verdicts"]]
        for i, (key, tenant, service, is_worse, is_taken, kinds) in enumerate(document["held"]):
            held = state.held[key] = Held((tenant, service), is_worse=is_worse, is_taken=is_taken)
            for kind in kinds:
                names = self._movable[kind].initial(0) if kind in self._movable else {}
                found = {name: arrays.get(f"{i}/{kind}/before/{name}") for name in names}
                if names and all(column is not None for column in found.values()):
                    held.rows[kind], held.sums[kind] = arrays[f"{i}/{kind}/rows"], arrays[f"{i}/{kind}/sums"].copy()
                    held.before[kind] = {name: column for name, column in found.items() if column is not None}
        return state


def _put(table: State, local: NDArray[Any], rows: State) -> None:
    for name, column in rows.items():
        table[name][local] = column
