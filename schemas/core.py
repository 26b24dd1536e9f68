"""What the cores hand to each other in memory: columns of windows, ticks of time, stages.

Nothing here touches a clock, a network or a file. A stage is a pure step function; live, replay, simulation and
tests drive the same one. State is *linear*: the caller gives up the state that it passes to `step` and goes on with
the one that it gets back, so a stage may reuse its arrays; whoever wants the old state takes `dump` first.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

F64 = NDArray[np.float64]
U64 = NDArray[np.uint64]
I64 = NDArray[np.int64]
Bool = NDArray[np.bool_]

NS = 1_000_000_000
"""Nanoseconds a second. All event times are int nanoseconds since the Unix epoch, UTC."""


class Message(NamedTuple):
    """One record of a partition, as every transport hands it over.

    `event_ns` orders records by event time; `received_ns` is when the log took it, which replays obey as recorded.
    """

    topic: str
    partition: int
    offset: int
    key: bytes
    value: bytes
    headers: tuple[tuple[str, bytes], ...]
    event_ns: int
    received_ns: int

    def header(self, name: str) -> str:
        """The value of a header as text, or an empty string."""
        for key, value in self.headers:
            if key == name:
                return value.decode("utf-8", "replace")
        return ""


@dataclass(frozen=True, slots=True)
class Tick:
    """All inputs of a stage are complete through `through_ns`; after a `final` one nothing more comes."""

    through_ns: int
    final: bool = False


@dataclass(frozen=True, slots=True)
class Emit:
    """A record to append to a topic. `partition` is an index that the engine takes modulo the topic's partitions."""

    topic: str
    key: bytes
    value: bytes
    headers: tuple[tuple[str, bytes], ...]
    event_ns: int
    partition: int = 0


@dataclass(frozen=True, slots=True)
class Advance:
    """Said by a stage that makes time itself (normalise): its outputs are complete through `through_ns`."""

    through_ns: int
    idle: bool = False
    final: bool = False


Output = Emit | Advance
Event = Message | Tick
S = TypeVar("S")


class Stage(Protocol[S]):
    """One step of the pipeline.

    `ordered` stages get their messages sorted by (event time, id) and only once time has passed them; the others get
    them on arrival and must not depend on the order within lateness. `makes_time` stages say `Advance` themselves;
    for the others the engine writes a watermark after each tick.
    """

    @property
    def name(self) -> str: ...

    @property
    def inputs(self) -> tuple[str, ...]: ...

    @property
    def outputs(self) -> tuple[str, ...]: ...

    @property
    def ordered(self) -> bool: ...

    @property
    def makes_time(self) -> bool: ...

    def initial(self) -> S: ...

    def step(self, state: S, event: Event) -> tuple[S, list[Output]]: ...

    def dump(self, state: S) -> bytes: ...

    def load(self, data: bytes) -> S: ...


@dataclass(frozen=True, slots=True)
class WindowBlock:
    """One closed window [start_ns, end_ns) of n series, as columns; rows are stable positions in the state arrays.

    total, mean, low, high, last: float64 (n,), unit of each series. A gauge without samples has NaN in all. An event
        count without samples has total 0 if the window was recorded, else NaN.
    count: int64 (n,), samples seen. expected: float64 (n,), samples due, NaN where the cadence is not known yet.
    weight: float64 (n,), total of the denominator series in the same window, NaN where there is none.
    recorded: float64 (n,), share of the window that was recorded at all, 0 to 1.
    weight_before: float64 (n,), total of the denominator series in everything recorded before this window, or None
        where the caller does not keep it: how much was seen without this series speaking.
    is_tumbling: sliding windows overlap; a detector learns only from the tumbling ones.
    """

    start_ns: int
    end_ns: int
    series: U64
    rows: I64
    total: F64
    mean: F64
    low: F64
    high: F64
    last: F64
    count: I64
    expected: F64
    weight: F64
    recorded: F64
    is_tumbling: bool = True
    weight_before: F64 | None = None

    @property
    def completeness(self) -> F64:
        """Seen / expected samples, 0 to 1; 1 where nothing was due or the cadence is unknown."""
        with np.errstate(invalid="ignore", divide="ignore"):
            ratio = np.where(self.expected > 0, self.count / self.expected, 1.0)
        clipped: F64 = np.clip(np.nan_to_num(ratio, nan=1.0), 0.0, 1.0)
        return clipped

    def take(self, index: NDArray[Any]) -> WindowBlock:
        """The same window for a selection of rows (positions or mask)."""
        columns = ("series", "rows", "total", "mean", "low", "high", "last", "count", "expected", "weight", "recorded")
        before = None if self.weight_before is None else self.weight_before[index]
        return replace(self, weight_before=before, **{name: getattr(self, name)[index] for name in columns})


@dataclass(frozen=True, slots=True)
class HistogramBlock:
    """One closed window of n histogram series in base-2 exponential buckets of scale 3 (8 buckets a doubling).

    row: int64 (m,), position of the series; bucket: int16 (m,); count: int64 (m,), all > 0; sorted by (row, bucket).
    Bucket b >= -32766 holds values in (2^(b/8), 2^((b+1)/8)]; -32768 holds zeros, -32767 negative values.
    """

    start_ns: int
    end_ns: int
    series: U64
    row: I64
    bucket: NDArray[np.int16]
    count: I64


@dataclass(frozen=True, slots=True)
class Scores:
    """What a detector says of a block: columns of the same length n as the block it was given.

    p: float64 (n,), tail probability in (0, 1]; 1 where the detector has nothing to say.
    expected, residual: float64 (n,), unit of the series, NaN where p is 1 for lack of data.
    direction: int8 (n,), -1 below, +1 above what is expected, 0 neither.
    """

    p: F64
    expected: F64
    residual: F64
    direction: NDArray[np.int8]
