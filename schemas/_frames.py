"""Frames: columns of telemetry as Arrow IPC streams of one record batch, so that any tool can read the topics.

Frame v1 is `(series uint64, t timestamp[ns], value float64)` with schema metadata `tidegate` = JSON
`{v, blocks, shards, defs}`: rows sorted by (block, shard), ids unique inside a tick block, block offsets in `blocks`.
Histograms are `(series, t, bucket int16, count uint64)`. Logs and spans have their strings dictionary-encoded.
Opening one costs some microseconds whatever its size; there is never one message or one Python object a point.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from schemas import why
from schemas._errors import FrameInvalid
from schemas._ipc import END, Layout
from schemas._series import SeriesDefs
from schemas._telemetry import SeriesDef
from schemas.core import F64, I64, U64

_NS = pa.timestamp("ns")
_TEXT = pa.dictionary(pa.int32(), pa.string())
_KEY = b"tidegate"
_DEFS = b',"defs":['

FRAME_FIELDS: dict[str, pa.DataType] = {"series": pa.uint64(), "t": _NS, "value": pa.float64()}
HISTOGRAM_FIELDS: dict[str, pa.DataType] = {"series": pa.uint64(), "t": _NS, "bucket": pa.int16(), "count": pa.uint64()}
LOG_FIELDS: dict[str, pa.DataType] = {
    "t": _NS, "entity": _TEXT, "service": _TEXT, "severity": pa.int8(), "location": _TEXT, "body": pa.string(),
    "trace_id": pa.binary(), "span_id": pa.binary(),
}  # fmt: skip
SPAN_FIELDS: dict[str, pa.DataType] = {
    "start": _NS, "end": _NS, "trace_id": pa.binary(), "span_id": pa.binary(), "parent_id": pa.binary(),
    "entity": _TEXT, "service": _TEXT, "version": _TEXT, "name": _TEXT, "kind": pa.int8(),
    "is_error": pa.bool_(), "status": pa.int16(), "peer": _TEXT,
}  # fmt: skip
"""`kind` and severity are OpenTelemetry's numbers; `status` is the HTTP or gRPC status code, 0 where there is none.
`peer` is whom a client called by its own words, empty where it does not say.
"""
_LATER: dict[str, pa.Array] = {"peer": pa.array([""], pa.string())}
"""Columns that older writers do not know, with what they are then."""


class Frame(NamedTuple):
    """A decoded frame. series uint64 (n,), t int64 ns (n,), value float64 (n,), not to be written to.

    defs: definitions that ride along, parsed when asked for.
    """

    series: U64
    t: I64
    value: F64
    defs: SeriesDefs


@dataclass(frozen=True, slots=True)
class HistogramFrame:
    """A decoded histogram frame; all columns (n,)."""

    series: U64
    t: I64
    bucket: NDArray[np.int16]
    count: I64
    defs: SeriesDefs


class Order(NamedTuple):
    """How points lie in a frame. rows: their positions, None if they stay; blocks: first row of each; shards: found."""

    rows: Any
    blocks: list[int]
    shards: list[int]


def encode_frame(
    series: U64, t: I64, value: F64, *, shards: Any, defs: Iterable[SeriesDef] = (), order: Order | None = None
) -> bytes:
    """Points of one partition as a frame; `shards`, whole numbers (n,), is the shard of each point.

    The k-th sample of a series goes to tick block k, so ids are unique inside a block. Rows are sorted by (block,
    shard) and otherwise stay in their order. `order` says so where the caller knows it. Raises nothing; n may be 0.
    """
    rows, bounds, present = order or order_of(series, shards)
    columns: list[Any] = [np.asarray(series, np.uint64), np.asarray(t, np.int64), np.asarray(value, np.float64)]
    columns = [np.ascontiguousarray(c) for c in columns] if rows is None else [column[rows] for column in columns]
    meta = b'{"v":1,"blocks":%s,"shards":%s' % (_numbers(bounds), _numbers(present))
    listed = SeriesDefs.of(defs).joined()
    return _FRAME.write(columns, meta + _DEFS + listed + b"]}", is_common=not listed and len(bounds) == 1)


def order_of(series: U64, shards: Any) -> Order:
    """The order of points in a frame.

    Ids are hashes, so their high bits tell them apart, and their low bits make room for the position: then one plain
    sort is a stable one.
    """
    n = len(series)
    if not n:
        return Order(None, [], [])
    present = np.flatnonzero(np.bincount(shards)).tolist()
    low = np.uint64((1 << n.bit_length()) - 1)
    keys = np.sort(series & ~low | np.arange(n, dtype=np.uint64))
    again = (keys[1:] ^ keys[:-1]) <= low
    if not again.any():
        rows = None if (shards[1:] >= shards[:-1]).all() else np.argsort(_small(shards), kind="stable")
        return Order(rows, [0], present)
    order = (keys & low).astype(np.int64)
    ordered = series[order]
    if (again != (ordered[1:] == ordered[:-1])).any():  # ids that are no hashes
        order = np.argsort(series, kind="stable")
        ordered = series[order]
    position = np.arange(n)
    first = position.copy()
    first[1:][ordered[1:] == ordered[:-1]] = 0
    block = np.empty(n, np.int64)
    block[order] = position - np.maximum.accumulate(first)
    sizes = np.bincount(block)
    rows = np.argsort(_small(block * (int(shards.max()) + 1) + shards), kind="stable")
    return Order(rows, [0, *np.cumsum(sizes)[:-1].tolist()], present)


def _small(numbers: Any) -> Any:
    """The same numbers in sixteen bits if they fit: those numpy sorts by radix."""
    return numbers.astype(np.uint16) if int(numbers.max()) < 1 << 16 else numbers


def _numbers(values: list[int]) -> bytes:
    return b"[" + b",".join([b"%d" % value for value in values]) + b"]"


def decode_frame(data: bytes) -> Frame:
    """Raises FrameInvalid if the bytes are cut short or hold something else."""
    found = _FRAME.read(data)
    if found is not None:
        (series, t, value), meta = found
        return Frame(series, t, value, _definitions(meta))
    batch, meta = _read(data, FRAME_FIELDS, "frame")
    return Frame(_numpy(batch, 0), _numpy(batch, 1), _numpy(batch, 2), _definitions(meta))


def encode_histograms(
    series: U64, t: I64, bucket: NDArray[np.int16], count: I64, *, defs: Iterable[SeriesDef] = ()
) -> bytes:
    meta = b'{"v":1' + _DEFS + SeriesDefs.of(defs).joined() + b"]}"
    return _write(HISTOGRAM_FIELDS, [series, t, bucket, count.astype(np.uint64)], meta)


def decode_histograms(data: bytes) -> HistogramFrame:
    """Raises FrameInvalid."""
    batch, meta = _read(data, HISTOGRAM_FIELDS, "histogram frame")
    counts = _numpy(batch, 3).astype(np.int64)
    return HistogramFrame(_numpy(batch, 0), _numpy(batch, 1), _numpy(batch, 2), counts, _definitions(meta))


def encode_rows(fields: dict[str, pa.DataType], columns: list[Any]) -> bytes:
    """Log or span columns (`LOG_FIELDS`, `SPAN_FIELDS`), lists or arrays in the order of the fields."""
    return _write(fields, columns, b'{"v":1}')


def decode_rows(data: bytes, fields: dict[str, pa.DataType]) -> pa.RecordBatch:
    """Raises FrameInvalid."""
    return _read(data, fields, "log or span batch")[0]


def _write(fields: dict[str, pa.DataType], columns: list[Any], meta: bytes) -> bytes:
    arrays = [
        column if isinstance(column, pa.Array) and column.type == kind else _array(column, kind)
        for column, kind in zip(columns, fields.values(), strict=True)
    ]
    schema = pa.schema(list(fields.items()), metadata={_KEY: meta})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, schema) as writer:
        writer.write_batch(pa.record_batch(arrays, schema=schema))
    return bytes(sink.getvalue())


def _array(column: Any, kind: pa.DataType) -> pa.Array:
    if pa.types.is_dictionary(kind) and not isinstance(column, pa.Array):
        return pa.array(column, pa.string()).dictionary_encode()
    if isinstance(column, np.ndarray) and pa.types.is_timestamp(kind):
        return pa.array(column.astype(np.int64), pa.int64()).cast(kind)
    return pa.array(column, kind)


def _read(data: bytes, fields: dict[str, pa.DataType], what: str) -> tuple[pa.RecordBatch, bytes]:
    try:
        with pa.ipc.open_stream(data) as reader:
            batches = list(reader)
        if len(batches) != 1 or not data.endswith(END):
            raise ValueError(f"{len(batches)} record batches, or the end of the stream is missing")
        batch = batches[0]
        meta = (batch.schema.metadata or {}).get(_KEY, b"{}")
        json.loads(meta)
    except (pa.ArrowException, StopIteration, ValueError, OSError) as error:
        raise FrameInvalid(f"not a {what}: {why(error)[:200]}", todo="See the dead letter for the bytes") from error
    for name in (name for name in fields if name in _LATER and name not in batch.schema.names):
        unsaid = pa.DictionaryArray.from_arrays(np.zeros(len(batch), np.int32), _LATER[name])
        batch = batch.append_column(name, unsaid)
    found = dict(zip(batch.schema.names, batch.schema.types, strict=True))
    for name, kind in fields.items():
        if found.get(name) != kind:
            raise FrameInvalid(f"a {what} has column '{name}' of type {kind}, found {found.get(name, 'none')}")
    return batch.select(list(fields)), meta


def _numpy(batch: pa.RecordBatch, index: int) -> Any:
    column = batch.column(index)
    if pa.types.is_timestamp(column.type):
        column = column.cast(pa.int64())
    return column.to_numpy(zero_copy_only=False)


def _definitions(meta: bytes) -> SeriesDefs:
    """The definitions in metadata, ours or another writer's. Raises FrameInvalid."""
    if meta.endswith(_DEFS + b"]}"):
        return _NONE
    try:
        at = meta.find(_DEFS)
        if at >= 0 and meta.endswith(b"]}"):
            return SeriesDefs.read(meta[at + len(_DEFS) : -2])
        found = json.loads(meta or b"{}").get("defs", [])
        return SeriesDefs([json.dumps(entry, separators=(",", ":")).encode() for entry in found])
    except (ValueError, AttributeError, TypeError) as error:
        raise FrameInvalid(f"definitions cannot be read: {str(error)[:200]}", todo="See the dead letter") from error


_FRAME = Layout(FRAME_FIELDS, _KEY)
_NONE = SeriesDefs()
