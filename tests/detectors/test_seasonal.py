"""The seasonal-local residual once days are known: its p is the series' own, and stays honest."""

import numpy as np
import pytest
from support.windows import block

from detectors._tail_online import SHARE, initial_tail, is_known, learn_tail, upper
from detectors.seasonal_local import SeasonalLocal

HOUR = 3600


def taught(values, width_s=HOUR):
    """The detector after these windows, and p of each of them before it was learned."""
    detector = SeasonalLocal()
    state, p = detector.initial(values.shape[1]), []
    for at, value in enumerate(values):
        p.append(detector.score(state, block(at, value, width_s)).p)
        state = detector.learn(state, block(at, value, width_s))
    return detector, state, np.array(p)


def daily(windows, n, noise, each=24):
    at = np.arange(windows)[:, None]
    return 50 + 20 * np.sin(2 * np.pi * at / each) + noise(np.random.default_rng(5), (windows, n))


LAWS = {
    "normal": lambda rng, shape: rng.standard_normal(shape),
    "exponential": lambda rng, shape: rng.exponential(size=shape),
    "student": lambda rng, shape: rng.standard_t(4, shape),
}


@pytest.mark.parametrize("law", LAWS.values(), ids=LAWS)
def test_after_weeks_p_is_not_too_small_on_any_noise(law):
    _, state, p = taught(daily(24 * 60, 300, law))
    assert is_known(state).mean() > 0.9
    late = p[24 * 30 :]
    for a in (0.1, 0.01, 0.001):
        error = np.std((late <= a).mean(0)) / np.sqrt(late.shape[1])
        assert (late <= a).mean() <= a + 3 * max(error, np.sqrt(a * (1 - a) / late.size)), (a, (late <= a).mean())


def test_what_is_usual_at_this_hour_is_no_anomaly_and_at_another_hour_is_one():
    detector, state, _ = taught(daily(24 * 20, 1, lambda rng, shape: rng.normal(0, 0.5, shape)))
    noon, midnight = np.array([70.0]), np.array([30.0])
    at_six = 24 * 20 + 6
    assert detector.score(state, block(at_six, noon, HOUR)).p[0] > 0.05
    assert detector.score(state, block(at_six, midnight, HOUR)).p[0] < 1e-5
    assert abs(detector.score(state, block(at_six, noon, HOUR)).expected[0] - 70) < 2


def test_a_spike_is_a_wonder_in_a_calm_series_and_none_in_one_that_has_them_daily():
    windows = daily(24 * 60, 2, lambda rng, shape: rng.normal(0, 0.5, shape))
    spikes = np.random.default_rng(8).random(24 * 60) < 0.04
    windows[spikes, 1] += 30
    detector, state, _ = taught(windows)
    p = detector.score(state, block(24 * 60, windows[-24] + 25, HOUR)).p
    assert p[0] < 1e-6 and p[1] > 1e-3


def test_an_interpolated_line_tells_nothing_and_teaches_nothing():
    noise = daily(24 * 20, 1, lambda rng, shape: rng.normal(0, 0.5, shape))
    detector, state, _ = taught(noise)
    before = {name: column.copy() for name, column in state.items()}
    line = [block(24 * 20 + at, np.array([50.0 + at]), HOUR) for at in range(10)]
    for one in line[:-1]:
        state = detector.learn(state, one)
    assert detector.score(state, line[-1]).p[0] == 1.0
    changed = np.abs(state["near_scale"] / before["near_scale"] - 1)
    assert changed[0] < 0.1


def test_a_new_normal_is_taken_for_normal_after_some_days():
    values = daily(24 * 40, 1, lambda rng, shape: rng.normal(0, 0.5, shape))
    values[24 * 20 :] += 500
    _, _, p = taught(values)
    assert p[24 * 20 : 24 * 20 + 3].max() < 1e-4 and np.median(p[24 * 34 :]) > 0.05


def test_one_long_fault_counts_once_in_the_tail():
    rng = np.random.default_rng(3)
    state, faulty = initial_tail(1), initial_tail(1)
    for at in range(8000):
        size = np.abs(rng.standard_normal(1))
        state = learn_tail(state, size, np.ones(1, bool))
        faulty = learn_tail(faulty, size + (20.0 if 4000 <= at < 4060 else 0.0), np.ones(1, bool))
    assert faulty["tail_peaks"][0] >= 10 and faulty["tail_mean"][0] < 1.5 * state["tail_mean"][0]
    assert upper(faulty, np.array([20.0]))[0] < 1e-6 < SHARE


def test_a_sparse_series_that_was_calm_for_weeks_is_not_odd_when_it_is_as_busy_as_before():
    rng, busy = np.random.default_rng(6), np.repeat([0.06, 0.06, 0.06, 0.01, 0.01, 0.06], 7 * 144)[:, None]
    values = np.where(rng.random((len(busy), 40)) < busy, rng.exponential(20, (len(busy), 40)), 0.0)
    _, _, p = taught(values, width_s=600)
    assert (p[5 * 7 * 144 :] < 1e-5).mean() < 0.006  # 0.013 if the usual distance is forgotten within three days
