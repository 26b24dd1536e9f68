"""Lines or spans that stop are told; a service that is merely quiet is not."""

from dataclasses import replace

import numpy as np
import pytest
from support.windows import block

from detectors.signal_silent import FIRST_DAY_P, PLUGIN

HOUR, DAY = 60, 1440
BELIEVED = 0.01
"""By which diagnosis believes less."""


def p_of(counts):
    """Tail probability of each minute (minutes, series) of so many lines."""
    detector = PLUGIN()
    state, found = detector.initial(counts.shape[1]), []
    for at, k in enumerate(counts.astype(float)):
        window = block(at, k)
        found.append(detector.score(state, window).p)
        state = detector.learn(state, window)
    return np.array(found)


def steady(days, rate, seed=1, n=20):
    return np.random.default_rng(seed).poisson(rate, (days * DAY, n))


def test_a_busy_service_that_stops_is_told_within_five_minutes_and_when_it_speaks_again_no_more():
    p = p_of(np.vstack([steady(2, 50.0), np.zeros((HOUR, 20)), steady(1, 50.0)[:HOUR]]))
    assert (p[2 * DAY + 5] < 1e-4).all() and (p[2 * DAY + HOUR :] == 1.0).all() and (p[: 2 * DAY] == 1.0).all()


def test_before_a_day_is_known_any_stop_may_be_closing_time():
    p = p_of(np.vstack([steady(1, 50.0)[: 2 * HOUR], np.zeros((2 * DAY, 20))]))
    assert p[2 * HOUR :].min() == FIRST_DAY_P < BELIEVED


@pytest.mark.parametrize("rate", [0.05, 0.5, 2.0])
def test_a_service_that_hardly_speaks_is_not_told_when_it_is_quiet(rate):
    assert (p_of(steady(4, rate))[DAY:] > 1e-4).all()


def test_a_night_and_a_weekend_are_no_wonder_once_a_night_is_known():
    week = np.zeros((7 * DAY, 5))
    for day in range(5):
        week[day * DAY + 8 * HOUR : day * DAY + 18 * HOUR] = 200.0
    p = p_of(np.vstack([week, week]))
    assert (p[2 * DAY :] > BELIEVED).all()


def test_a_rate_that_falls_through_the_evening_is_followed():
    rate = np.exp(np.linspace(np.log(1000.0), np.log(0.01), 8 * HOUR))
    evening = np.random.default_rng(3).poisson(np.broadcast_to(rate[:, None], (len(rate), 20)))
    p = p_of(np.vstack([steady(2, 1000.0), evening, np.zeros((HOUR, 20))]))
    assert (p > 1e-4).mean() > 0.999 and (p[: 2 * DAY] == 1.0).all()


def test_minutes_that_were_not_recorded_are_no_silence():
    detector, state = PLUGIN(), PLUGIN().initial(1)
    for at in range(2 * DAY):
        state = detector.learn(state, block(at, np.full(1, 50.0)))
    for at in range(2 * DAY, 2 * DAY + HOUR):
        lost = replace(block(at, np.full(1, np.nan)), recorded=np.zeros(1))
        assert detector.score(state, lost).p == 1.0
        state = detector.learn(state, lost)
    assert detector.score(state, block(2 * DAY + HOUR, np.zeros(1))).p > 1e-4
