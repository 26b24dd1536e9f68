"""CUSUM: departures too small to be odd by themselves add up, a shift is said once, and a day's swing is none."""

import numpy as np
import pytest
from support.windows import block

from detectors.cusum import Cusum
from detectors.seasonal_local import SeasonalLocal

DAY = 1440


def scored(detector, values):
    """p, residual and direction of every window (windows, n)."""
    state, out = detector.initial(values.shape[1]), []
    for at, value in enumerate(values):
        scores = detector.score(state, block(at, value))
        out.append((scores.p, scores.residual, scores.direction))
        state = detector.learn(state, block(at, value))
    return tuple(np.array(column) for column in zip(*out, strict=True))


def swings(days, n, seed=4):
    """Gauges with a daily swing ten times their noise."""
    at, rng = np.arange(days * DAY)[:, None], np.random.default_rng(seed)
    return 100 + 20 * np.sin(2 * np.pi * at / DAY) + 2 * rng.standard_normal((days * DAY, n))


@pytest.fixture(scope="module")
def shifted():
    """Four days; in the first series 1.5 times the noise is added from noon of the last day on, in the second taken."""
    values, begin = swings(4, 8), 3 * DAY + DAY // 2
    values[begin:, 0] += 3.0
    values[begin:, 1] -= 3.0
    return values, begin, scored(Cusum(), values)


def test_a_small_shift_that_lasts_is_found_with_its_size_and_direction(shifted):
    _, begin, (p, residual, direction) = shifted
    for series, sign in ((0, 1), (1, -1)):
        at = begin + int(p[begin : begin + 60, series].argmin())
        assert p[at, series] < 1e-4 and direction[at, series] == sign
        assert residual[at, series] == pytest.approx(3.0 * sign, abs=1.2)


def test_what_is_no_window_s_oddity_is_one_of_the_sum(shifted):
    values, begin, (p, _, _) = shifted
    alone, _, _ = scored(SeasonalLocal(), values[:, :2])
    assert p[begin : begin + 60, :2].min() < alone[begin : begin + 60].min() / 10


def test_a_shift_is_said_once_and_then_is_the_level(shifted):
    _, begin, (p, _, _) = shifted
    later = p[begin + 120 :, :2]
    assert (later < 1e-3).mean() < 0.01


def test_a_daily_swing_is_no_shift(shifted):
    _, _, (p, _, _) = shifted
    assert (p[2 * DAY :, 2:] < 1e-3).mean() < 2e-3


def test_one_spike_is_no_shift():
    values = swings(3, 1)
    values[-30, 0] += 1000.0
    p, _, _ = scored(Cusum(), values)
    assert p[-30:, 0].min() > 1e-3
