"""Errors that come at once open no incident by themselves, and errors that last do."""

from dataclasses import replace

import numpy as np
import pytest
from support.windows import block

from detectors._bursts import KEPT, initial_bursts, learn_bursts, upper_burst
from detectors.error_ratio import PLUGIN

DAY = 1440
OPENS = 1e-6
"""An incident opens where one window is less probable."""


def p_of(errors, requests):
    """Tail probability of each minute (minutes, series) of so many errors."""
    detector = PLUGIN()
    state, found = detector.initial(errors.shape[1]), []
    for at, k in enumerate(errors.astype(float)):
        window = replace(block(at, k), weight=np.full(len(k), float(requests)))
        found.append(detector.score(state, window).p)
        state = detector.learn(state, window)
    return np.array(found)


def test_a_request_tried_a_few_times_is_no_incident_where_errors_are_rare():
    rng = np.random.default_rng(2)
    begun = rng.random((4 * DAY, 50)) < 1 / 300
    p = p_of(begun * rng.geometric(1 / 3, begun.shape), 500)
    assert (p[DAY:] < OPENS).sum() <= 2


def test_the_first_three_errors_ever_are_no_incident_and_the_first_thirty_are():
    first = [p_of(np.vstack([np.zeros((2 * DAY, 1)), [[k]]]), 500)[-1, 0] for k in (3, 30)]
    assert first[0] > 1e-5 and first[1] < OPENS


@pytest.mark.parametrize("known", [80, DAY])
def test_three_errors_a_minute_that_last_are_an_incident_in_the_fourth_where_there_were_none(known):
    p = p_of(np.vstack([np.zeros((known, 1)), np.full((4, 1), 3)]), 50)[known:, 0]
    assert p[0] > 1e-5 and p[3] < OPENS


def test_a_share_that_is_restless_from_minute_to_minute_opens_nothing():
    rng = np.random.default_rng(3)
    share = 0.01 * rng.gamma(1 / 0.36, 0.36, (4 * DAY, 20))
    assert (p_of(rng.binomial(3000, np.minimum(share, 1.0)), 3000) < OPENS).sum() <= 1


@pytest.mark.parametrize("rate", [0.02, 0.1])
def test_p_of_a_burst_is_not_too_small(rate):
    rng, state, requests, found = np.random.default_rng(4), initial_bursts(200), np.full(200, 100.0), []
    for at in range(3000):
        k = (rng.random(200) < rate) * rng.geometric(0.25, 200).astype(float)
        due, exposure = np.full(200, 4 * rate), np.full(200, 100.0 * max((1 - KEPT**at) / (1 - KEPT), 1.0))
        if at >= 2000:
            found.append(upper_burst(state, k, requests, exposure, due)[k > 0])
        state = learn_bursts(state, k, np.zeros(200), due, np.ones(200, bool))
    p = np.concatenate(found)
    for a in (0.01, 0.001, 1e-4):
        among = 200 * 1000  # all windows, of which those without errors have p of 1
        assert (p <= a).sum() / among <= a + 3 * np.sqrt(a / among)


def test_two_requests_a_minute_that_fail_for_a_quarter_of_an_hour_are_an_incident_without_three_errors_in_a_minute():
    rng = np.random.default_rng(5)
    begun = rng.random((2 * DAY, 50)) < 1 / 500
    usual = begun * np.minimum(rng.geometric(1 / 2, begun.shape), 2)
    p = p_of(np.vstack([usual, np.tile([[1], [2], [0], [1], [2]], (3, 50))]), 2)
    assert (p[DAY : 2 * DAY] < OPENS).sum() == 0 and (p[2 * DAY :].min(axis=0) < OPENS).all()


def test_one_burst_that_spans_three_minutes_is_no_incident_where_there_were_none():
    assert (p_of(np.vstack([np.zeros((DAY, 1)), [[2], [2], [2], [0], [0]]]), 50)[DAY:] > OPENS).all()
