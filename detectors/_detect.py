"""Runs every detector over the closed windows of a partition and turns improbable ones into anomalies.

Each detector has state only for the rows that it accepts; which those are is worked out once, when a row is first
seen. Only then does it learn, so a window is never judged by a baseline that has seen it. At most `most` anomalies
a window leave (the smallest p); the rest are counted, because a storm must not drown what follows.
"""

import hashlib
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from detectors._baselines import Baselines, BaselineState
from detectors._contract import Choosy, Detector, Grouping, Quick, State, grow
from detectors._fdr import FdrLedger, FdrRule
from detectors._heirs import Heritable, hand_on
from detectors._teams import Teams
from schemas import Anomaly, Change, ChangeVerdict, EvidencePointer, SeriesDef, canonical, record_id, sha256
from schemas.core import I64, NS, Scores, WindowBlock

EMIT_P = 1e-3
MOST = 500
UNKNOWN, REFUSED, ACCEPTED = -2, -1, 0


@runtime_checkable
class Known(Protocol):
    """Definitions by 64-bit id that also know which series differ in nothing that `accepts_by_trait` allows."""

    def traits(self, rows: I64) -> NDArray[Any]:
        """Number of the trait of each row."""
        ...

    def examples(self, numbers: Iterable[int]) -> list[SeriesDef]:
        """One definition of each of these traits."""
        ...


class Selection(NamedTuple):
    """Where the rows of one detector lie in a block and in its own state."""

    rows: I64
    positions: I64
    local: I64
    is_whole: bool
    """The block holds every row of the detector, in its order: no gather and scatter."""
    is_all: bool
    """The detector wants every row of the block."""


NO_HEIRS = np.zeros((0, 2), np.int64)
NOTHING = Selection(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.int64), True, True)


@dataclass(slots=True)
class DetectState:
    """tables: by detector kind. index: by detector kind, row of the partition to row of the table, int32."""

    tables: dict[str, State] = field(default_factory=dict)
    index: dict[str, NDArray[np.int32]] = field(default_factory=dict)
    suppressed: int = 0
    """Anomalies beyond the cap, since the beginning."""
    selections: dict[str, Selection] = field(default_factory=dict)
    """A cache; not part of a snapshot."""
    ledgers: dict[str, FdrLedger] = field(default_factory=dict)
    """By width of the windows in seconds, and team."""
    baselines: BaselineState = field(default_factory=BaselineState)
    heirs: dict[str, NDArray[np.int64]] = field(default_factory=dict)
    """By detector kind, (k, 2): rows that ended, and rows that go on in their place and have no level yet."""
    teams: NDArray[np.int16] = field(default_factory=lambda: np.zeros(0, np.int16))
    """Number of the team by row, as far as it was asked for; not part of a snapshot."""


class Detect:
    """Pure core of the detect stage for one partition."""

    def __init__(
        self, detectors: Sequence[Detector], *, emit_p: float = EMIT_P, most: int = MOST, fdr: FdrRule | None = None,
        by_verdict: bool = False,
    ) -> None:  # fmt: skip
        """by_verdict: levels that a change moved are learned as the watch over it judges (`change`, `verdict`)."""
        self.detectors = tuple(sorted(detectors, key=lambda detector: detector.kind))
        self._of_window: dict[int, list[Detector]] = {}
        for detector in self.detectors:
            self._of_window.setdefault(detector.window_s, []).append(detector)
        self._choosy = {detector.kind: detector for detector in self.detectors if isinstance(detector, Choosy)}
        self._heritable = {detector.kind: detector for detector in self.detectors if isinstance(detector, Heritable)}
        self._every_s = {detector.kind: int(getattr(detector, "every_s", 0)) for detector in self.detectors}
        self.emit_p = emit_p
        self.most = most
        self._teams = None if fdr is None else Teams(fdr.part(max(len(self._of_window), 1)))

        self._baselines = Baselines(self.detectors) if by_verdict else None

    def change(self, state: DetectState, change: Change) -> None:
        """A service was changed; counts from the first window that ends after it."""
        if self._baselines is not None:
            self._baselines.change(state.baselines, change)

    def verdict(self, state: DetectState, verdict: ChangeVerdict) -> None:
        """What became of a change; likewise."""
        if self._baselines is not None:
            self._baselines.verdict(state.baselines, verdict)

    def hand_on(self, state: DetectState, heirs: Sequence[tuple[int, int]]) -> None:
        """Series ended and others go on in their place: rows of both. Counts from the next block on."""
        if heirs:
            for kind in self._heritable:
                known = state.heirs.get(kind, NO_HEIRS)
                state.heirs[kind] = np.concatenate([known, np.array(heirs, np.int64)])

    def use_kernels(self) -> None:
        """Let the detectors that can use compiled code, for the same answers. Raises without numba."""
        for detector in self.detectors:
            if isinstance(detector, Quick):
                detector.use_kernels()

    def initial(self) -> DetectState:
        state = DetectState()
        for detector in self.detectors:
            state.tables[detector.kind] = detector.initial(0)
            state.index[detector.kind] = np.zeros(0, np.int32)
        return state

    def observe(
        self, state: DetectState, block: WindowBlock, defs: Mapping[int, SeriesDef]
    ) -> tuple[DetectState, list[Anomaly]]:
        """Score a block, learn it if it is tumbling, and return its anomalies, smallest p first.

        defs: by 64-bit series id; asked only for rows not seen before and for anomalies. Rows are stable; they may
        grow at any time. The passed state is given up.
        """
        found: list[tuple[float, str, int, Detector, Scores, int]] = []
        width_s, judged = (block.end_ns - block.start_ns) // NS, list[I64]()
        if self._baselines is not None:
            self._baselines.due(state.baselines, block, defs, state.tables, state.index)
        for detector in self._of_window.get(width_s, ()):
            every_s = self._every_s.get(detector.kind, 0)
            if every_s and (not block.is_tumbling or block.start_ns % (every_s * NS)):
                continue
            chosen = self._select(state, detector, block, defs) if len(block.rows) else NOTHING
            if not len(chosen.positions):
                continue
            if len(waiting := state.heirs.get(detector.kind, NO_HEIRS)):
                heritable, index = self._heritable[detector.kind], state.index[detector.kind]
                state.heirs[detector.kind] = hand_on(heritable, state.tables[detector.kind], index, waiting, block)
            part = block if chosen.is_all else block.take(chosen.positions)
            table = state.tables[detector.kind]
            mine = table if chosen.is_whole else {name: column[chosen.local] for name, column in table.items()}
            found += self._improbable(detector, mine, part, block, chosen)
            judged.append(chosen.positions)
            if block.is_tumbling:
                learned = detector.learn(mine, part)
                if chosen.is_whole:
                    state.tables[detector.kind] = learned
                else:
                    for name, column in learned.items():
                        table[name][chosen.local] = column
                if self._baselines is not None and state.baselines.held:
                    self._baselines.learned(state.baselines, detector.kind, block, state.tables, state.index)
        found.sort(key=lambda item: item[:2])
        state.suppressed += max(len(found) - self.most, 0)
        upto = None
        if self._teams is not None and judged:
            state.teams = self._teams.numbers(state.teams, block, defs)
            small = [(item[0], item[5]) for item in found]
            upto = self._teams.discoveries(state.ledgers, width_s, state.teams[block.rows], judged, small, block.end_ns)
        out = []
        for i, (p, _, at, detector, scores, position) in enumerate(found[: self.most]):
            out.append(_anomaly(detector, scores, at, p, block, position, defs, upto[i] if upto else None))
        return state, out

    def _improbable(
        self, detector: Detector, mine: State, part: WindowBlock, block: WindowBlock, chosen: Selection
    ) -> list[tuple[float, str, int, Detector, Scores, int]]:
        """Rows with p below what is worth a record, with their place in the scores and in the block."""
        emit_p, positions = max(self.emit_p, getattr(detector, "emit_p", 0.0)), chosen.positions
        choosy = self._choosy.get(detector.kind)
        if choosy is not None:
            some = choosy.may_matter(mine, part, emit_p)
            if not len(some):
                return []
            mine, part = {name: column[some] for name, column in mine.items()}, part.take(some)
            positions = positions[some]
        scores = detector.score(mine, part)
        found = []
        for at in np.flatnonzero(scores.p < emit_p).tolist():
            position = int(positions[at])
            series = f"{int(block.series[position]):016x}"
            found.append((float(scores.p[at]), f"{detector.kind}/{series}", at, detector, scores, position))
        return found

    def _select(
        self, state: DetectState, detector: Detector, block: WindowBlock, defs: Mapping[int, SeriesDef]
    ) -> Selection:
        kind, rows = detector.kind, block.rows
        cached = state.selections.get(kind)
        if cached is not None and (cached.rows is rows or np.array_equal(cached.rows, rows)):
            return cached
        index = state.index[kind]
        top = int(rows.max()) + 1
        if top > len(index):
            index = np.concatenate([index, np.full(top - len(index), UNKNOWN, np.int32)])
        size = len(next(iter(state.tables[kind].values())))
        unknown = np.flatnonzero(index[rows] == UNKNOWN)
        if len(unknown):
            answers = _accepted(detector, block, unknown, defs)
            index[rows[unknown[answers == REFUSED]]] = REFUSED
            fresh = rows[unknown[answers == ACCEPTED]]
            index[fresh] = np.arange(size, size + len(fresh))
            size += len(fresh)
        state.tables[kind] = grow(detector, state.tables[kind], size)
        if len(unknown) and getattr(detector, "joins_entities", False):
            _joined(detector, state.tables[kind], block, unknown[answers == ACCEPTED], index, defs)
        state.index[kind] = index
        local = index[rows].astype(np.int64)
        positions = np.flatnonzero(local >= 0)
        is_known = not (local == UNKNOWN).any()
        local = local[positions]
        is_whole = len(local) == size and bool(np.array_equal(local, np.arange(size)))
        is_all = len(positions) == len(rows)
        chosen = Selection(rows, positions, positions if is_whole and is_all else local, is_whole, is_all)
        if is_known:
            state.selections[kind] = chosen
        return chosen

    def dump(self, state: DetectState) -> bytes:
        """A snapshot as an uncompressed npz archive, without pickles."""
        arrays: dict[str, NDArray[Any]] = {"suppressed": np.array([state.suppressed])}
        for detector in self.detectors:
            kind = detector.kind
            arrays[f"{kind}/version"] = np.array([detector.version])
            arrays[f"{kind}/index"] = state.index[kind]
            arrays |= {f"{kind}/table/{name}": column for name, column in state.tables[kind].items()}
            if len(waiting := state.heirs.get(kind, NO_HEIRS)):
                arrays[f"{kind}/heirs"] = waiting
        for key, ledger in sorted(state.ledgers.items()):
            arrays[f"fdr/{key}"] = np.array([ledger.shift, ledger.found])
            arrays[f"fdr/{key}/spent"] = np.zeros(0) if ledger.spent is None else ledger.spent
        if self._baselines is not None:
            kept = self._baselines.dump(state.baselines)
            arrays |= {f"baselines/{name}": column for name, column in kept.items()}
        out = io.BytesIO()
        np.savez(out, **arrays)  # type: ignore[arg-type]
        return out.getvalue()

    def load(self, data: bytes) -> DetectState:
        """The state of `dump`. A detector that is new or of another version starts afresh; the others go on."""
        state = self.initial()
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            state.suppressed = int(arrays["suppressed"][0])
            for detector in self.detectors:
                kind = detector.kind
                if f"{kind}/version" not in arrays or str(arrays[f"{kind}/version"][0]) != detector.version:
                    continue
                state.index[kind] = arrays[f"{kind}/index"]
                state.tables[kind] = {name: arrays[f"{kind}/table/{name}"] for name in state.tables[kind]}
                if f"{kind}/heirs" in arrays:
                    state.heirs[kind] = arrays[f"{kind}/heirs"]
            for name in arrays.files:
                if name.startswith("fdr/") and name.endswith("/spent"):
                    key = name[4:-6]
                    (shift, count), spent = arrays[f"fdr/{key}"].tolist(), arrays[name]
                    state.ledgers[key] = FdrLedger(shift, count, spent if len(spent) else None)
            if self._baselines is not None:
                kept = {name[10:]: arrays[name] for name in arrays.files if name.startswith("baselines/")}
                state.baselines = self._baselines.load(kept)
        return state


def _accepted(detector: Detector, block: WindowBlock, unknown: I64, defs: Mapping[int, SeriesDef]) -> NDArray[np.int32]:
    """ACCEPTED, REFUSED, or UNKNOWN where there is no definition yet: asked again when the rows change."""
    if getattr(detector, "accepts_by_trait", False) and isinstance(defs, Known):
        numbers, inverse = np.unique(defs.traits(block.rows[unknown]), return_inverse=True)
        verdicts = [ACCEPTED if detector.accepts(d) else REFUSED for d in defs.examples(numbers.tolist())]
        return np.array(verdicts, np.int32)[inverse]
    answers = np.full(len(unknown), UNKNOWN, np.int32)
    for i, identity in enumerate(block.series[unknown].tolist()):
        definition = defs.get(identity)
        if definition is not None:
            answers[i] = ACCEPTED if detector.accepts(definition) else REFUSED
    return answers


def _joined(
    detector: Detector, table: State, block: WindowBlock, fresh: I64, index: NDArray[np.int32],
    defs: Mapping[int, SeriesDef],
) -> None:  # fmt: skip
    """Say of new rows which entity they are of, or which group and what role in it."""
    for position in fresh.tolist():
        definition, row = defs[int(block.series[position])], index[block.rows[position]]
        if isinstance(detector, Grouping):
            table["entity"][row] = _entity_number(detector.group(definition))
            table["role"][row] = detector.role(definition)
        else:
            table["entity"][row] = _entity_number(definition.entity_id)


def _entity_number(entity_id: str) -> int:
    """The same in every process and after every move of shards; never negative."""
    return int.from_bytes(hashlib.sha256(entity_id.encode()).digest()[:8], "big") >> 1


def _anomaly(
    detector: Detector,
    scores: Scores,
    at: int,
    p: float,
    block: WindowBlock,
    position: int,
    defs: Mapping[int, SeriesDef],
    is_discovery: bool | None,
) -> Anomaly:
    """The record. `observed` is what the detector judged: its expectation plus its residual."""
    definition = defs[int(block.series[position])]
    expected, residual = _number(scores.expected[at]), _number(scores.residual[at])
    observed = None if expected is None or residual is None else _number(expected + residual)
    seen = [definition.id, block.start_ns, block.end_ns, observed, expected]
    return Anomaly(
        id=record_id("anomaly", detector.kind, definition.id, block.start_ns, block.end_ns),
        tenant=definition.tenant,
        entity_id=definition.entity_id,
        service=definition.service,
        series=definition.id,
        name=definition.name,
        labels=dict(sorted(definition.labels.items())),
        signal=definition.signal,
        kind=detector.anomaly,
        detector=f"{detector.kind}@{detector.version}",
        start_ns=block.start_ns,
        end_ns=block.end_ns,
        observed=observed,
        expected=expected,
        residual=residual,
        unit=definition.unit,
        p_value=max(_number(p) or 0.0, 1e-300),
        direction=int(scores.direction[at]),  # type: ignore[arg-type]
        completeness=float(block.take(np.array([position])).completeness[0]),
        count=_held(block, position, definition),
        is_discovery=is_discovery,
        requests=_requests(block, position) if detector.anomaly in ("error_ratio", "gap") else 0,
        pointer=EvidencePointer(
            signal=definition.signal, subject=definition.id, t_min_ns=block.start_ns, t_max_ns=block.end_ns,
            sha256=sha256(canonical(seen)), sender=definition.sender,
        ),
    )  # fmt: skip


def _held(block: WindowBlock, position: int, definition: SeriesDef) -> int:
    """Samples in the window; of a series that counts lines or spans, how many of those."""
    total = block.total[position]
    if definition.is_event:
        return int(total) if np.isfinite(total) and total > 0 else 0
    return int(block.count[position])


def _requests(block: WindowBlock, position: int) -> int:
    """Of its denominator in the window; 0 where nobody counted them."""
    weight = block.weight[position]
    return int(weight) if np.isfinite(weight) and weight > 0 else 0


def _number(value: float) -> float | None:
    """A float to 12 significant digits, None for NaN and infinities: what enters digests."""
    return float(f"{value:.12g}") if np.isfinite(value) else None
