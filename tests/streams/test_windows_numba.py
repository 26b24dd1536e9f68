"""Compiled panes and windows give the bits of the plain ones, whatever the samples are."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from support.windows import COLUMNS, START, definition, frame

from schemas.core import NS
from streams import Windower, WindowState

pytest.importorskip("numba")
VALUES = st.one_of(
    st.floats(-1e6, 1e6), st.sampled_from([0.0, -0.0, 0.1, np.nan, np.inf, -np.inf, 1e300, -1e300, 5e-324])
)


def answers(frames, ticks, *, fast):
    """Every column of every block, all gaps, the ledger and the last snapshot."""
    windower, state, found = Windower("test"), WindowState(), []
    if fast:
        windower.use_kernels()
    for one, tick in zip(frames, ticks, strict=True):
        found += [emit.value for emit in windower.add(state, one)]
        with np.errstate(all="ignore"):
            for block in windower.close(state, tick):
                part = block.take(np.arange(len(block.rows))[::2])
                found += [getattr(b, name).tobytes() for b in (block, part) for name in COLUMNS]
        found += windower.gaps(state)
    return found, state.dump()


def agree(frames, ticks):
    return answers(frames, ticks, fast=True) == answers(frames, ticks, fast=False)


sample = st.tuples(st.integers(0, 13), st.integers(0, 400 * 4).map(lambda q: START + q * NS // 4), VALUES)


@settings(max_examples=80, deadline=None)
@given(st.lists(st.lists(sample, max_size=60), min_size=1, max_size=8), st.integers(1, 9))
@example([[], [], [], [(4, START + 190 * NS, 0.0)], [(4, START + 190 * NS + NS // 4, -0.0)]], 4)
def test_compiled_windows_have_the_bits_of_the_plain_ones(batches, pace):
    """Repeated, disordered, late and unknown samples, resets, gaps; series 13 is never defined."""
    defs = [definition(i) for i in range(13)]
    frames = [frame(batch, defs if k == 0 else []) for k, batch in enumerate(batches)]
    assert agree(frames, [START + (k + 1) * pace * 10 * NS for k in range(len(frames))])


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 700), st.integers(0, 2**32), st.floats(0, 0.3))
def test_sums_of_many_samples_are_made_in_the_order_of_numpy(n, seed, missing):
    rng = np.random.default_rng(seed)
    value = np.where(rng.random(n) < missing, np.nan, rng.standard_normal(n) * 10.0 ** rng.integers(-8, 8, n))
    samples = [(i % 2, START + k * NS // 100, v) for i in range(2) for k, v in enumerate(value.tolist())]
    assert agree([frame(samples, [definition(0), definition(1)])], [START + 120 * NS])


def test_the_table_of_ids_grows_and_is_made_again_for_another_state():
    windower = Windower("test")
    windower.use_kernels()
    for _ in range(2):
        state = WindowState()
        for k, n in enumerate((3, 500, 4000)):
            samples = [(4 * i, START + k * 10 * NS, 1.0) for i in range(n)]
            windower.add(state, frame(samples, [definition(4 * i) for i in range(n)]))
            blocks = windower.close(state, START + (k + 1) * 10 * NS)
            assert [int(b.count.sum()) for b in blocks if b.end_ns - b.start_ns == 10 * NS] == [n]
