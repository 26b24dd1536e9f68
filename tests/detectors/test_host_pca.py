"""What the usual ways of a host explain is no event, however large; what breaks with them is one."""

import numpy as np

from detectors.host_pca import COMPONENTS, HostPca, residuals
from schemas.core import NS, WindowBlock

DIMENSIONS = 6
MIX = np.array([3.0, 2.0, 2.0, -1.0, 1.5, 0.0])


def window(at, x):
    n, ones = len(x), np.ones(len(x))
    return WindowBlock(
        start_ns=at * 60 * NS, end_ns=(at + 1) * 60 * NS, series=np.arange(n, dtype=np.uint64), rows=np.arange(n),
        total=x, mean=x, low=x, high=x, last=x, count=np.isfinite(x).astype(np.int64), expected=ones, weight=ones,
        recorded=np.where(np.isfinite(x), 1.0, 0.0),
    )  # fmt: skip


def taught(windows=3000, seed=1):
    """Two hosts whose dimensions follow one load of their own each, and a little noise."""
    detector, rng = HostPca(), np.random.default_rng(seed)
    state = detector.initial(2 * DIMENSIONS)
    state["entity"] = np.repeat([7, 9], DIMENSIONS)
    for at in range(windows):
        state = detector.learn(state, window(at, host(rng, rng.normal(size=2))))
    return detector, state, rng, windows


def host(rng, load, more=0.0):
    x = np.concatenate([one * MIX for one in load]) + 0.2 * rng.normal(size=2 * DIMENSIONS)
    return 100.0 + x + more


def test_components_are_those_of_the_covariance():
    _, state, _, _ = taught()
    first = state["loading_0"][:DIMENSIONS]
    together = np.sign(MIX)  # departures are in units of each dimension's own scale
    assert abs(first @ together) / np.linalg.norm(first) / np.linalg.norm(together) > 0.99
    assert np.abs(first[-1]) < 0.1 * np.abs(first[0])
    norms = [np.linalg.norm(state[f"loading_{k}"][:DIMENSIONS]) for k in range(COMPONENTS)]
    assert norms[0] > 3 * norms[1] >= norms[2] * 0.9


def test_a_high_load_is_no_event_and_a_dimension_that_leaves_it_is_and_leads():
    detector, state, rng, at = taught()
    busy = detector.score(state, window(at, host(rng, (3.0, 0.0)))).p
    broken = np.zeros(2 * DIMENSIONS)
    broken[5] = 6.0
    odd = detector.score(state, window(at, host(rng, (0.5, 0.0), broken)))
    assert busy.min() > 1e-3 and odd.p.min() < 1e-3 and odd.p.argmin() == 5 and (odd.p[DIMENSIONS:] == 1).all()


def test_what_is_left_is_orthogonal_to_what_is_usual():
    _, state, rng, _ = taught()
    z, group = rng.normal(size=2 * DIMENSIONS), np.repeat([0, 1], DIMENSIONS)
    left = residuals(state, z, group)
    assert abs(left[:DIMENSIONS] @ state["loading_0"][:DIMENSIONS]) < 0.2 * np.linalg.norm(state["loading_0"])
    assert np.linalg.norm(left) < np.linalg.norm(z)


def test_a_gap_teaches_nothing():
    detector, state, _, at = taught(400)
    before = {name: column.copy() for name, column in state.items()}
    after = detector.learn(state, window(at, np.full(2 * DIMENSIONS, np.nan)))
    assert all(np.array_equal(after[f"loading_{k}"], before[f"loading_{k}"]) for k in range(COMPONENTS))
