"""Evidence of a changed rate: valid at any look, and held against those that were not changed."""

import numpy as np
import pytest

from detectors._rates import DOWN, UP, Expectation, cohort_factor, log_ratio, p_of


def best_p(k, mean, variance=0.02, clump=1.0, grid=UP):
    """The smallest p over all looks; k (looks, n), mean (looks,) cumulated."""
    n = k.shape[1]
    looks = []
    for seen, due in zip(k, mean, strict=True):
        expected = Expectation(np.full(n, due), np.full(n, variance), np.full(n, clump))
        looks.append(p_of(log_ratio(seen.astype(float), expected, grid)))
    return np.min(looks, axis=0)


@pytest.mark.parametrize("grid", [UP, DOWN], ids=["up", "down"])
@pytest.mark.parametrize("rate", [0.05, 1.0, 20.0])
def test_looking_after_every_minute_finds_no_more_than_p_allows(grid, rate):
    rng = np.random.default_rng(3)
    n, looks = 20_000, 200
    own = rng.gamma(50.0, 1 / 50.0, n)
    k = rng.poisson(rate * own, (looks, n)).cumsum(axis=0)
    p = best_p(k, rate * np.arange(1, looks + 1), grid=grid)
    for a in (0.1, 0.01, 0.001):
        assert (p <= a).mean() <= a + 3 * np.sqrt(a / n)


def test_ten_times_as_many_are_found_within_a_dozen():
    p = best_p(np.array([[12.0]]), [1.2], variance=0.1)
    assert p[0] < 1e-3


def test_history_that_wanders_must_be_exceeded_by_more():
    k, mean = np.array([[300.0]]), [100.0]
    assert best_p(k, mean, variance=0.02)[0] < 1e-8 < 0.1 < best_p(k, mean, variance=0.5)[0]


def test_what_rose_everywhere_is_expected_here():
    factor, variance = cohort_factor(np.array([200.0, 300.0, 250.0]), np.array([100.0, 150.0, 125.0]))
    assert factor == pytest.approx(2.0, rel=0.05) and variance < 0.01


def test_one_ill_service_excuses_nobody():
    factor, _ = cohort_factor(np.array([100.0, 150.0, 9000.0]), np.array([100.0, 150.0, 125.0]))
    assert factor == pytest.approx(1.0, rel=0.05)


def test_without_a_cohort_nothing_is_taken_off():
    assert cohort_factor(np.zeros(0), np.zeros(0)) == (1.0, 0.0)
