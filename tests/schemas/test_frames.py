"""Frames: columns survive the wire, ids are unique inside a block, and a cut is always noticed."""

import io
import json
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas import (
    FRAME_FIELDS,
    LOG_FIELDS,
    FrameInvalid,
    SeriesDef,
    decode_frame,
    decode_histograms,
    decode_rows,
    encode_frame,
    encode_histograms,
    encode_rows,
)
from schemas._ipc import Layout

POINT = st.tuples(st.integers(0, 5) | st.integers(0, 2**64 - 1), st.integers(0, 2**62), st.floats(width=64))
DEF = SeriesDef(id="00000000000000ff", entity_id="t/service/a", service="a", name="cpu", labels={"k": "ü"})


def columns(points: list[tuple[int, int, float]]) -> tuple[Any, Any, Any]:
    series, t, value = zip(*points, strict=True) if points else ((), (), ())
    return np.array(series, np.uint64), np.array(t, np.int64), np.array(value, np.float64)


def by_series(series: Any, t: Any, value: Any) -> dict[int, list[tuple[int, bytes]]]:
    """The samples of each series in their order; values as bits, so that NaN equals itself and -0.0 is not 0.0."""
    found: dict[int, list[tuple[int, bytes]]] = {}
    for s, when, v in zip(series.tolist(), t.tolist(), value, strict=True):
        found.setdefault(s, []).append((when, v.tobytes()))
    return found


@settings(max_examples=100, deadline=None)
@given(st.lists(POINT, max_size=30), st.integers(1, 16))
def test_a_frame_holds_the_points_it_was_given_in_the_order_of_each_series(points: list[Any], shards: int) -> None:
    series, t, value = columns(points)
    frame = decode_frame(encode_frame(series, t, value, shards=(series % shards).astype(np.int64), defs=[DEF]))
    assert by_series(frame.series, frame.t, frame.value) == by_series(series, t, value)
    assert frame.defs == [DEF]


@settings(max_examples=100, deadline=None)
@given(st.lists(POINT, max_size=30), st.integers(1, 16))
def test_ids_are_unique_inside_a_block_and_rows_sorted_by_shard(points: list[Any], shards: int) -> None:
    series, t, value = columns(points)
    data = encode_frame(series, t, value, shards=(series % shards).astype(np.int64), defs=[])
    meta = json.loads(pa.ipc.open_stream(io.BytesIO(data)).schema.metadata[b"tidegate"])
    rows = decode_frame(data).series
    assert meta["v"] == 1 and meta["shards"] == sorted(set((series % shards).tolist()))
    for start, end in zip(meta["blocks"], [*meta["blocks"][1:], len(rows)], strict=False):
        block = rows[start:end].tolist()
        assert block and len(set(block)) == len(block)
        assert [s % shards for s in block] == sorted(s % shards for s in block)


def test_an_empty_frame_is_a_frame() -> None:
    empty = encode_frame(*columns([]), shards=np.zeros(0, np.int64), defs=[])
    assert len(decode_frame(empty).series) == 0


def test_a_frame_cut_short_is_refused_at_every_cut() -> None:
    data = encode_frame(*columns([(1, 5, 0.5), (1, 6, 0.6), (2, 5, 1.0)]), shards=np.array([0, 0, 1]), defs=[DEF])
    for cut in range(len(data)):
        with pytest.raises(FrameInvalid):
            decode_frame(data[:cut])


@settings(max_examples=50, deadline=None)
@given(st.binary(max_size=200))
def test_other_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(FrameInvalid):
        decode_frame(data)


def test_a_frame_with_a_wrong_column_is_refused_by_name() -> None:
    histograms = encode_histograms(
        np.array([1], np.uint64), np.array([5]), np.array([3], np.int16), np.array([2]), defs=[]
    )
    with pytest.raises(FrameInvalid, match="'value' of type double, found none"):
        decode_frame(histograms)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 99), st.integers(-32768, 32767), st.integers(1, 2**40))))
def test_histograms_survive_the_wire(rows: list[Any]) -> None:
    series, t, bucket, count = (np.array(c, np.int64) for c in (zip(*rows, strict=True) if rows else ((),) * 4))
    data = encode_histograms(series.astype(np.uint64), t, bucket.astype(np.int16), count, defs=[DEF])
    back = decode_histograms(data)
    found = (back.series, back.t, back.bucket, back.count)
    assert [c.tolist() for c in found] == [c.tolist() for c in (series, t, bucket, count)]
    assert back.defs == [DEF]


def test_log_rows_survive_the_wire_with_missing_text_and_ids() -> None:
    rows = [
        [5, 6],
        ["t/service/a"] * 2,
        ["a", None],
        [9, 17],
        ["a.py:1", None],
        ["hi", "ü"],
        [b"\x00" * 16, None],
        [None] * 2,
    ]
    batch = decode_rows(encode_rows(LOG_FIELDS, rows), LOG_FIELDS)
    assert batch.column(0).cast(pa.int64()).to_pylist() == rows[0]
    assert [batch.column(i).to_pylist() for i in range(1, len(rows))] == rows[1:]


def test_any_arrow_reader_can_read_a_frame() -> None:
    data = encode_frame(*columns([(1, 5, 0.5)]), shards=np.array([0]), defs=[])
    table = pa.ipc.open_stream(data).read_all()
    assert dict(zip(table.schema.names, table.schema.types, strict=True)) == FRAME_FIELDS


AWKWARD = ['},{"id":"', 'a"b', "\\", "ü\n\t", "\u2028\x00", '"}', "]}", ',"defs":[']
definitions = st.builds(
    SeriesDef,
    id=st.from_regex(r"[0-9a-f]{16}", fullmatch=True),
    entity_id=st.sampled_from(AWKWARD),
    service=st.text(max_size=3),
    name=st.sampled_from(AWKWARD) | st.text(max_size=3),
    labels=st.dictionaries(st.sampled_from(AWKWARD), st.sampled_from(AWKWARD), max_size=3),
    upper=st.none() | st.floats(allow_nan=False, allow_infinity=False),
)


@settings(max_examples=100, deadline=None)
@given(st.lists(definitions, max_size=5))
def test_definitions_ride_along_whatever_they_say_and_their_ids_are_known_unparsed(defs: list[SeriesDef]) -> None:
    data = encode_frame(*columns([(1, 5, 0.5)]), shards=np.array([0]), defs=defs)
    found = decode_frame(data).defs
    assert found == defs and [found[i] for i in range(len(found))] == defs
    assert found.ids.tolist() == [int(d.id, 16) for d in defs]
    assert list(found.texts) == [d.to_bytes() for d in defs]
    meta = json.loads(pa.ipc.open_stream(data).schema.metadata[b"tidegate"])
    assert [SeriesDef.model_validate(entry) for entry in meta["defs"]] == defs


def test_definitions_of_another_writer_are_read_however_it_writes_json() -> None:
    meta = {"defs": [{"later": {"id": "x"}, **DEF.model_dump(mode="json")}], "v": 1}
    schema = pa.schema(list(FRAME_FIELDS.items()), metadata={"tidegate": json.dumps(meta)})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, schema) as writer:
        writer.write_batch(pa.record_batch([[1], [5], [0.5]], schema=schema))
    frame = decode_frame(sink.getvalue().to_pybytes())
    assert (frame.series.tolist(), list(frame.defs), frame.defs.ids.tolist()) == ([1], [DEF], [255])


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 3000), st.integers(0, 40))
def test_a_frame_is_to_the_byte_what_arrow_itself_writes(n: int, padding: int) -> None:
    layout = Layout(FRAME_FIELDS, b"tidegate")
    series, t, value = np.arange(n, dtype=np.uint64), np.arange(n), np.arange(n) / 7
    meta = b"x" * padding
    schema = pa.schema(list(FRAME_FIELDS.items()), metadata={"tidegate": meta})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, schema) as writer:
        writer.write_batch(pa.record_batch([series, pa.array(t).cast(FRAME_FIELDS["t"]), value], schema=schema))
    data = layout.write([series, t, value], meta, is_common=bool(padding % 2))
    assert data == sink.getvalue().to_pybytes()
    if n:
        found = layout.read(data)
        assert found is not None and found[1] == meta
        assert [column.tolist() for column in found[0]] == [series.tolist(), t.tolist(), value.tolist()]
