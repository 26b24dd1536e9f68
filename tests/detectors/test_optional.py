"""Detectors that run where the settings name them: trend, variance, flat line, saturation, replica lag."""

import numpy as np
import pytest
from support.windows import block

from detectors.flat_line import FlatLine
from detectors.replica_lag import ReplicaLag
from detectors.saturation import Saturation
from detectors.trend import Trend, hours_left
from detectors.variance import Variance
from schemas import SeriesDef

DAY = 1440


def scored(detector, values):
    """p of every window (windows, n), and the last scores."""
    state, p, scores = detector.initial(values.shape[1]), [], None
    for at, value in enumerate(values):
        scores = detector.score(state, block(at, value))
        p.append(scores.p)
        state = detector.learn(state, block(at, value))
    return np.array(p), scores


def noise(windows, n, seed=3):
    """Gauges that wander and come back, as most do."""
    rng, x, out = np.random.default_rng(seed), np.zeros(n), []
    for _ in range(windows):
        x = 0.97 * x + rng.standard_normal(n)
        out.append(100 + x)
    return np.array(out)


@pytest.mark.parametrize("kind", [Trend, Variance])
def test_after_days_p_is_not_too_small_on_series_that_wander(kind):
    p, _ = scored(kind(), noise(3 * DAY, 100))
    late = p[DAY:]
    for a in (0.01, 0.001):
        error = np.std((late <= a).mean(0)) / np.sqrt(late.shape[1])
        assert (late <= a).mean() <= a + 3 * max(error, np.sqrt(a * (1 - a) / late.size)), (a, (late <= a).mean())


def test_a_leak_is_a_trend_and_its_rise_says_when_the_limit_is_reached():
    values = noise(2 * DAY, 2)
    values[-120:, 0] += np.arange(120) * 1.5
    p, last = scored(Trend(), values)
    assert p[-30:, 0].min() < 1e-3 < p[-60:, 1].min() and last.direction[0] == 1
    assert last.residual[0] == pytest.approx(90, rel=0.15)
    assert hours_left(280.0, float(last.residual[0]), 370.0) == pytest.approx(1.0, rel=0.15)
    assert hours_left(172.0, -5.0, 220.0) == float("inf")


def test_a_gauge_that_begins_to_swing_is_restless_though_its_mean_stays():
    values = noise(2 * DAY, 2)
    values[-30:, 0] += 6 * np.resize([1.0, -1.0], 30)
    p, last = scored(Variance(), values)
    assert p[-30:, 0].min() < 1e-3 < p[-30:, 1].min() and last.direction[0] == 1


def test_a_sensor_that_hangs_is_a_flat_line_and_a_constant_is_not():
    values = noise(DAY, 2)
    values[:, 1] = 7.0
    values[-5:, 0] = values[-6, 0]
    p, _ = scored(FlatLine(), values)
    assert p[-1, 0] < 1e-9 and p[:, 1].min() > 0.01 and p[:-5, 0].min() == 1.0


def test_what_often_stays_for_a_while_must_stay_longer():
    values = np.repeat(noise(DAY // 4, 1), 4, axis=0)
    values[-6:, 0] = values[-7, 0]
    p, _ = scored(FlatLine(), values)
    assert p[-1, 0] > 1e-3


def test_a_share_above_nine_tenths_counts_by_how_seldom_it_was_there():
    values = np.full((DAY, 2), 0.5)
    values[::4, 1] = 0.95
    values[-1] = 0.97
    p, last = scored(Saturation(), values)
    assert p[-1, 0] < 1e-3 and p[-1, 1] > 0.1 and last.residual[0] == pytest.approx(0.07)


def test_two_hours_of_replica_lag_are_one_and_four_minutes_are_none():
    values = np.full((DAY, 2), 1.0)
    values[-1] = (2.3 * 3600, 240.0)
    p, _ = scored(ReplicaLag(), values)
    assert p[-1, 0] < 1e-3 and p[-1, 1] == 1.0


@pytest.mark.parametrize(
    ("detector", "name", "unit", "answer"),
    [
        (Saturation(), "process.cpu.utilization", "1", True), (Saturation(), "process.cpu.utilization", "%", False),
        (Saturation(), "requests", "1", False), (ReplicaLag(), "mysql.replica.time_behind_lag", "s", True),
        (ReplicaLag(), "kafka.consumer.lag", "s", False),
    ],
)  # fmt: skip
def test_names_and_units_say_what_is_looked_at(detector, name, unit, answer):
    series = SeriesDef(id=f"{1:016x}", entity_id="t/service/s", service="s", name=name, unit=unit)
    assert detector.accepts(series) is answer
