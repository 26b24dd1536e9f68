"""The contract of a source: bytes of one message in, columns out. A source is one file in `streams/sources/`.

A decoder may cache what it learned of byte patterns (definitions of series), but its answer depends on the bytes of
the message alone, so it needs no snapshot. Ids in `points` are canonical (`schemas.series_id`).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from schemas import Record, SeriesDef
from schemas.core import F64, I64, U64, Message


class Rendered(NamedTuple):
    """A definition as `SeriesDef.to_bytes` writes it, and what its shard is made of."""

    tenant: str
    service: str
    text: bytes

    @classmethod
    def of(cls, definition: SeriesDef) -> "Rendered":
        return cls(definition.tenant, definition.service, definition.to_bytes())


class RenderedDefs(Mapping[int, SeriesDef]):
    """Definitions that are JSON until somebody asks for a model; what a decoder of many series answers with."""

    __slots__ = ("_found",)

    def __init__(self, found: Mapping[int, Rendered]) -> None:
        self._found = found

    def rendered(self, ids: Sequence[int]) -> list[Rendered]:
        return [self._found[identity] for identity in ids]

    def __getitem__(self, identity: int) -> SeriesDef:
        return SeriesDef.from_bytes(self._found[identity].text)

    def __iter__(self) -> Iterator[int]:
        return iter(self._found)

    def __len__(self) -> int:
        return len(self._found)


def as_rendered(definitions: Mapping[int, SeriesDef]) -> RenderedDefs:
    """The same definitions, as JSON."""
    if isinstance(definitions, RenderedDefs):
        return definitions
    return RenderedDefs({identity: Rendered.of(definition) for identity, definition in definitions.items()})


def rendered(definitions: Mapping[int, SeriesDef], ids: Sequence[int]) -> list[Rendered]:
    """Definitions of ids as JSON, made only where the decoder has not done so."""
    if isinstance(definitions, RenderedDefs):
        return definitions.rendered(ids)
    return [Rendered.of(definitions[identity]) for identity in ids]


class Points(NamedTuple):
    """Samples as columns, in the order of the message. series uint64 (n,), t int64 ns (n,), value float64 (n,).

    NaN in `value` is the sender's own "no value here" (a staleness marker), which becomes a gap; it is not an error.
    """

    series: U64
    t: I64
    value: F64


@dataclass(frozen=True, slots=True)
class HistogramPoints:
    """Histogram data points as sparse buckets (scale 3, see `schemas.core.HistogramBlock`); all columns (m,).

    One data point is all rows of one (series, t); `points` is the number of data points.
    """

    series: U64
    t: I64
    bucket: NDArray[np.int16]
    count: I64
    points: int


NO_POINTS = Points(np.zeros(0, np.uint64), np.zeros(0, np.int64), np.zeros(0, np.float64))
NO_HISTOGRAMS = HistogramPoints(
    np.zeros(0, np.uint64), np.zeros(0, np.int64), np.zeros(0, np.int16), np.zeros(0, np.int64), 0
)


class Rejected(NamedTuple):
    """Samples of a message that are of no use while others are. `value`: bytes to keep as the dead letter."""

    reason: str
    samples: int
    what: str
    value: bytes


@dataclass(frozen=True, slots=True)
class Decoded:
    """What one message held. `definitions` answers for every id in `points` and `histograms`.

    rows, book: int32 (n,), numbers that the decoder has for the series of `points`, if it has any; the same number is
    the same series as long as `book` is the same object. A memory aid of whoever reads, and nothing more.
    logs, spans: record batches with exactly `schemas.LOG_FIELDS` / `SPAN_FIELDS`, or None.
    records: changes, calendar entries and the like, to be put on their own topics. rejected: samples beside `points`
    and `histograms` that could not be used. is_occasional: it comes now and then (a webhook), so it does not say how
    far time has come, and nobody waits for more of it.
    """

    points: Points = NO_POINTS
    histograms: HistogramPoints = NO_HISTOGRAMS
    definitions: Mapping[int, SeriesDef] = field(default_factory=dict)
    logs: pa.RecordBatch | None = None
    spans: pa.RecordBatch | None = None
    records: tuple[Record, ...] = ()
    rows: NDArray[np.int32] | None = None
    book: object = None
    rejected: tuple[Rejected, ...] = ()
    counted: Mapping[str, int] = field(default_factory=dict)
    is_occasional: bool = False


class Source(Protocol):
    """A plug-in in `streams/sources/`; its module says `PLUGIN = TheClass`, which is called without arguments.

    `topics` are read as they are; messages of the raw topic name a source by their header `tidegate-kind`.
    """

    kind: str
    topics: tuple[str, ...]

    def decode(self, message: Message) -> Decoded:
        """Raises SourceError (with a code of its own) if the message as a whole is unusable."""
        ...


@runtime_checkable
class Quick(Protocol):
    """A source that has compiled code."""

    def use_kernels(self) -> None:
        """Compiled code may be used from now on, for the same answers. Raises ModuleNotFoundError without numba."""
        ...
