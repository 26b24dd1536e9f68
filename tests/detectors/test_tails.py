import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from detectors._tails import upper_beta_binomial, upper_t4


def test_the_t_tail_is_exact_far_out():
    t = np.array([-50.0, -1.0, 0.0, 1.0, 10.0, 1e3, 1e6])
    assert np.allclose(upper_t4(t), stats.t.sf(t, 4), rtol=1e-9, atol=0)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 200), st.integers(0, 1000), st.floats(0.5, 200), st.floats(0.5, 200))
def test_the_beta_binomial_tail_is_never_below_the_truth(k, n, a, b):
    k = min(k, n)
    truth = stats.betabinom.pmf(np.arange(k, n + 1), n, a, b).sum()
    p = upper_beta_binomial(*(np.array([float(v)]) for v in (k, n, a, b)))[0]
    assert p >= truth * (1 - 1e-6) - 1e-15


def test_the_beta_binomial_tail_is_exact_far_out():
    p = upper_beta_binomial(np.array([20.0]), np.array([60.0]), np.array([1.0]), np.array([200.0]))[0]
    assert np.isclose(p, stats.betabinom.pmf(np.arange(20, 61), 60, 1, 200).sum(), rtol=1e-6)
