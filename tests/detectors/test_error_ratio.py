"""How narrowly a share of errors is believed: by what a long history of its own shows, and only while it holds."""

from dataclasses import replace

import numpy as np
import pytest
from support.windows import block

from detectors.error_ratio import PLUGIN

DAY = 1440
OPENS = 1e-6
"""An incident opens where one window is less probable."""


def p_of(minutes, shares, requests=3000, seed=1, series=50):
    """Tail probability of each minute (minutes, series); the share of errors by minute or by minute and series."""
    rng, detector = np.random.default_rng(seed), PLUGIN()
    state, found = detector.initial(series), []
    for at in range(minutes):
        n = rng.poisson(requests, series).astype(float)
        window = replace(block(at, rng.binomial(n.astype(int), shares[at]).astype(float)), weight=n)
        found.append(detector.score(state, window).p)
        state = detector.learn(state, window)
    return np.array(found)


def test_five_times_the_errors_of_a_calm_service_open_an_incident_once_it_is_known_for_two_days():
    shares = np.full(3 * DAY, 0.01)
    shares[DAY : DAY + 10] = shares[3 * DAY - 10 :] = 0.05
    p = p_of(3 * DAY, shares)
    assert np.median(p[DAY : DAY + 10]) > 1e-4 and np.median(p[-10:]) < OPENS
    assert (p[2 * DAY : -10] < 1e-5).mean() < 1e-5


def test_what_strayed_once_is_found_again_and_what_strays_more_often_is_how_it_is():
    shares = np.full(5 * DAY, 0.01)
    hours = [2 * DAY + 720, 3 * DAY, 3 * DAY + 720, 4 * DAY]
    for at in hours:
        shares[at : at + 30] = 0.05
    p = p_of(5 * DAY, shares)
    found = [bool((np.median(p[at : at + 30], axis=1) < OPENS).mean() > 0.5) for at in hours]
    assert found == [True, True, False, False]


def test_a_share_that_wanders_by_half_of_itself_is_called_strange_at_most_twice_in_two_weeks():
    rng = np.random.default_rng(5)
    wander = np.exp(rng.normal(0.0, 0.5, (14 * DAY // 60, 20)))
    p = p_of(14 * DAY, 0.01 * np.repeat(wander, 60, axis=0), series=20)
    strange = (p < OPENS).reshape(-1, 60, 20).any(axis=1).astype(int)
    assert (np.diff(strange, axis=0) > 0).sum(axis=0).max() <= 2


def test_a_new_level_that_stays_is_strange_for_hours_and_then_how_it_is():
    shares = np.full(4 * DAY, 0.01)
    shares[2 * DAY + 720 :] = 0.05
    p = np.median(p_of(4 * DAY, shares), axis=1)
    assert p[2 * DAY + 725] < OPENS and (p[3 * DAY + 720 :] > 1e-3).all()


@pytest.mark.parametrize("requests", [20, 600, 30_000])
def test_p_of_a_calm_share_is_not_too_small_after_a_long_history(requests):
    p = p_of(4 * DAY, np.full(4 * DAY, 0.01), requests)[2 * DAY + 100 :]
    for a in (0.1, 0.01, 0.001, 1e-4):
        assert (p <= a).mean() <= a + 3 * np.sqrt(a / p.size)


def test_what_burns_slowly_is_found_within_ten_minutes_where_a_minute_has_few_requests():
    shares = np.full(2 * DAY + 60, 0.01)
    shares[-20:] = 0.05
    p = np.median(p_of(2 * DAY + 60, shares, requests=180), axis=1)
    assert p[-20] > 1e-4 and p[-20:-10].min() < OPENS


def test_minutes_of_which_nothing_is_known_count_as_nothing():
    detector = PLUGIN()
    state, unknown = detector.initial(1), np.array([np.nan])
    for at in range(20):
        state = detector.learn(state, replace(block(at, np.array([1.0])), weight=np.array([100.0])))
    for at in range(20, 25):
        state = detector.learn(state, replace(block(at, unknown), weight=unknown))
    assert state["errors"].sum() == 4 and state["requests"].sum() == 400


def test_what_a_series_was_called_often_is_no_wonder_there_and_one_elsewhere():
    """Two series that were learned alike for three days; of one the narrow belief kept saying that it is strange."""
    detector, shares = PLUGIN(), np.full(3 * DAY, 0.01)
    state, rng = detector.initial(2), np.random.default_rng(3)
    for at, share in enumerate(shares):
        errors = np.full(2, float(rng.binomial(3000, share)))
        state = detector.learn(state, replace(block(at, errors), weight=np.full(2, 3000.0)))
    state["odd"][1], state["odd_sum"][1] = 60.0, 60.0 * 8.0
    window = replace(block(3 * DAY, np.full(2, 120.0)), weight=np.full(2, 3000.0))
    alone, often = detector.score(state, window).p
    assert alone < OPENS < 1e-4 < often
