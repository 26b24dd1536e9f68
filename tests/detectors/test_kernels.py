"""Compiled detectors learn and choose to the last bit what the plain ones do."""

import importlib
import pkgutil

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from support.windows import block

import detectors
from detectors import Quick
from schemas.core import NS

pytest.importorskip("numba")
ROWS = 12
VALUES = st.one_of(
    st.floats(-1e4, 1e4), st.sampled_from([0.0, 7.0, 1e-12, np.nan, np.inf, -np.inf, 1e300, -1e300, 1.7e308])
)
QUICK = [
    kind
    for kind in (
        importlib.import_module(f"detectors.{module.name}").PLUGIN
        for module in pkgutil.iter_modules(detectors.__path__)
        if not module.name.startswith("_")
    )
    if isinstance(kind(), Quick)
]


def history(kind, values, hours):
    """Everything that it chose, and its last state, with and without kernels."""
    plain, fast = kind(), kind()
    fast.use_kernels()
    answers = []
    for detector in (plain, fast):
        state, chosen = detector.initial(ROWS), []
        for at, value in enumerate(values):
            now = block(at * (60 if hours else 1), value, detector.window_s)
            with np.errstate(all="ignore"):
                chosen += [detector.may_matter(state, now, p).tolist() for p in (0.5, 1e-3)]
                state = detector.learn(state, now)
        answers.append((chosen, {name: (column + 0).tobytes() for name, column in state.items()}))
    return answers


quick = pytest.mark.parametrize("kind", QUICK, ids=lambda kind: kind.kind)


def test_some_detectors_have_kernels():
    assert {"seasonal_local", "seasonal_count", "latency", "edge_gap"} <= {kind.kind for kind in QUICK}


@quick
@settings(max_examples=25, deadline=None)
@given(st.lists(st.lists(VALUES, min_size=ROWS, max_size=ROWS), min_size=1, max_size=20), st.booleans())
def test_compiled_and_plain_detectors_agree_on_any_values(kind, values, hours):
    plain, fast = history(kind, [np.array(value) for value in values], hours)
    assert plain == fast


@quick
def test_compiled_and_plain_detectors_agree_over_days(kind):
    """One window an hour of the day would never make it known, so 40 an hour, for three days."""
    rng = np.random.default_rng(4)
    plain, fast = kind(), kind()
    fast.use_kernels()
    one, two = plain.initial(ROWS), fast.initial(ROWS)
    chosen = 0
    for at in range(3 * 24 * 40):
        value = 5 + np.sin(at / 150) + 0.1 * rng.standard_normal(ROWS)
        value *= np.where(rng.random(ROWS) < 0.01, 100, 1)
        value = np.where((at % 400 < 30) & (np.arange(ROWS) < 3), 5.0 + 0.01 * (at % 400), value)  # interpolated
        now = block(at, np.where(rng.random(ROWS) < 0.02, np.nan, value), plain.window_s, at * 90 * NS)
        matters = plain.may_matter(one, now, 1e-3)
        assert matters.tolist() == fast.may_matter(two, now, 1e-3).tolist()
        chosen += len(matters)
        one, two = plain.learn(one, now), fast.learn(two, now)
    assert chosen > 0
    assert all(one[name].tobytes() == two[name].tobytes() for name in one)


@quick
@settings(max_examples=25, deadline=None)
@given(st.lists(st.lists(VALUES, min_size=ROWS, max_size=ROWS), min_size=1, max_size=20))
@example([[0.0] * ROWS] * 5 + [[1.7e308] * ROWS] + [[0.0] * ROWS] * 3)
def test_no_value_however_large_blinds_a_series_for_good(kind, values):
    """It would, if a scale became infinite once: then it is no number ever after, and nothing compares with that."""
    detector = kind()
    state = detector.initial(ROWS)
    with np.errstate(all="ignore"):
        for at, value in enumerate(values):
            state = detector.learn(state, block(at, np.array(value), detector.window_s))
    assert all(np.isfinite(column).all() for column in state.values())
