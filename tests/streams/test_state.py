"""Packed state: what goes in comes out, whatever its type and shape, and one state packs to the same bytes twice."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from streams._errors import SnapshotError
from streams._state import pack, unpack

KINDS = [np.float64, np.float32, np.int64, np.uint8, np.bool_, "U5", "S3", "datetime64[ns]", [("a", "f4"), ("b", "i8")]]
states = st.sampled_from(KINDS).flatmap(lambda kind: arrays(kind, array_shapes(min_side=0, max_side=4)))


@given(states, st.booleans())
def test_an_array_comes_back_with_its_type_its_shape_and_its_bits_and_can_be_written(array, is_turned):
    array = np.asfortranarray(array) if is_turned else array
    _, found, _ = unpack(pack({}, {"a": array}))
    assert (found["a"].dtype, found["a"].shape, found["a"].tobytes()) == (array.dtype, array.shape, array.tobytes())
    assert found["a"].flags.writeable


def test_the_same_state_packs_to_the_same_bytes_with_document_and_blobs():
    parts = {"b": 1, "a": [2]}, {"x": np.arange(9.0)}, {"z": b"1", "y": b""}
    assert pack(*parts) == pack(dict(reversed(parts[0].items())), *parts[1:])
    document, _, blobs = unpack(pack(*parts))
    assert document == parts[0] and blobs == parts[2]


def test_an_array_of_objects_is_refused_and_bytes_that_are_no_state_are_told():
    with pytest.raises(TypeError, match="objects"):
        pack({}, {"a": np.array([object()])})
    with pytest.raises(SnapshotError, match="not a packed state"):
        unpack(pack({}, {"a": np.arange(99.0)})[:-30])
