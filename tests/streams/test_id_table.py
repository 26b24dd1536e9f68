"""The table of ids answers like a dict, however its slots collide, and frames stay within their bounds."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import schemas as sc
from streams._framing import DEFINITIONS_MAX, POINTS_MAX, Framing
from streams._id_table import IdTable

ids = st.integers(0, 2**64 - 1) | st.integers(0, 40) | st.integers(0, 40).map(lambda i: i << 32)


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(ids, st.integers(0, 32767), max_size=60), st.lists(ids, max_size=20))
def test_a_table_answers_like_a_dict(known, others):
    small = IdTable(2)
    keys, values = np.array(sorted(known), np.uint64), np.array([known[k] for k in sorted(known)], np.int16)
    for i in range(0, len(keys), 7):
        small.add(keys[i : i + 7], values[i : i + 7])
    for table in (small, IdTable.of(keys, values)):
        asked = [*known, *others, *known]
        assert table.find(np.array(asked, np.uint64)).tolist() == [known.get(i, -1) for i in asked]
        assert len(table) == len(known)
        found = table.items()
        assert (found[0].tolist(), found[1].tolist()) == (keys.tolist(), values.tolist())


def test_a_hundred_thousand_series_take_less_than_fifty_bytes_each():
    table = IdTable()
    some = np.random.default_rng(1).integers(0, 2**64, 100_000, dtype=np.uint64)
    table.add(some, np.full(len(some), 3, np.int16))
    assert (table.keys.nbytes + table.values.nbytes) / len(some) < 50
    assert (table.find(some) == 3).all()


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 40_000), st.integers(0, 2000), st.integers(1, 4))
def test_frames_are_bounded_and_definitions_come_no_later_than_their_points(points, defined, partitions):
    framing = Framing(partitions)
    series = np.arange(points, dtype=np.uint64)
    shards = (series % 16).astype(np.int16)
    framing.add(series, np.arange(points), np.ones(points), shards)
    texts = [b'{"id":"%016x","labels":"%s"}' % (i, b"x" * (i % 700)) for i in range(defined)]
    framing.define([i % 16 for i in range(defined)], texts)
    emits = framing.cut(7)
    frames = [(e.partition, sc.decode_frame(e.value)) for e in emits]
    assert framing.is_empty
    assert sorted(i for _, f in frames for i in f.series.tolist()) == list(range(points))
    assert sorted(i for _, f in frames for i in f.defs.ids.tolist()) == list(range(defined))
    for partition, frame in frames:
        assert len(frame.series) <= POINTS_MAX
        assert len(frame.defs.joined()) <= DEFINITIONS_MAX + 1000 * len(frame.defs) // 300
        assert {int(i) % 16 % partitions for i in [*frame.series, *frame.defs.ids]} <= {partition}
    for partition in range(partitions):
        mine = [f for p, f in frames if p == partition]
        with_points = [bool(len(f.series)) for f in mine]
        assert with_points == sorted(with_points)
        assert not any(len(f.defs) for f in mine[with_points.count(False) + 1 :])


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(ids, st.integers(0, 15)), max_size=60), st.integers(1, 3))
def test_the_kernel_arranges_a_frame_to_the_byte_as_numpy_does(points, partitions):
    pytest.importorskip("numba")
    from streams._framing_numba import arrange

    series = np.array([i for i, _ in points], np.uint64)
    shards = np.array([shard for _, shard in points], np.int16)
    found = []
    for kernel in (None, arrange):
        framing = Framing(partitions)
        framing.add(series, np.arange(len(series)), np.arange(len(series)) / 7, shards)
        found.append(framing.cut(0, kernel))
    assert found[0] == found[1]
