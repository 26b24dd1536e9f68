"""Forecasts see nothing of the future, beat seasonal-naive or give way to it, and keep their intervals."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from learning import QUICK, Event, Grid, Interval, choose, fitted, horizon, on_grid, pinball, roll
from learning._forecast import NAIVE
from learning._forecast_models import (
    DAY_NS,
    MODELS,
    Arima,
    Course,
    Lagged,
    Mstl,
    Profile,
    ProphetModel,
    SeasonalNaive,
    Smoothing,
)
from schemas.core import NS

STEP = 900 * NS
DAY = int(DAY_NS // STEP)


def shop(days=21, seed=0, noise=2.0, lasting=0.95):
    """A daily course with something beside it that carries on for hours."""
    rng = np.random.default_rng(seed)
    n = days * DAY
    beside = np.zeros(n)
    for i in range(1, n):
        beside[i] = lasting * beside[i - 1] + rng.normal(0, noise)
    return Grid(0, STEP, 100 + 40 * np.sin(2 * np.pi * np.arange(n) / DAY) + beside)


@pytest.mark.parametrize("model", MODELS, ids=lambda m: m.name)
def test_no_model_sees_what_comes_after_its_origin(model):
    grid = shop(10)
    one = fitted(model, grid.head(8 * DAY), (), 3)
    origins = np.arange(8 * DAY, 9 * DAY)
    changed = grid.values.copy()
    before = one.predict(grid.values, origins[:20])
    changed[origins[19] + 1 :] = 1e9
    assert np.isfinite(before).all()
    np.testing.assert_array_equal(one.predict(changed, origins[:20]), before)


@pytest.mark.parametrize("model", MODELS, ids=lambda m: m.name)
def test_every_model_survives_gaps_constants_and_too_little(model):
    gaps = shop(10).values.copy()
    gaps[100:200] = gaps[400:401] = np.nan
    for values in (gaps, np.full(10 * DAY, 7.0), np.full(10 * DAY, np.nan), np.ones(3), np.zeros(0)):
        grid = Grid(0, STEP, values)
        try:
            one = fitted(model, grid, (), 1)
        except (ValueError, RuntimeError):
            continue
        if one is not None and len(values):
            assert one.predict(values, np.arange(len(values))).shape == values.shape


@pytest.mark.parametrize("model", [Profile(), Mstl(), Smoothing(), Arima(), ProphetModel()], ids=lambda m: m.name)
def test_a_course_with_memory_is_forecast_better_than_yesterday(model):
    grid = shop()
    cut, at = 14 * DAY, np.arange(14 * DAY, 21 * DAY - 1)
    error = {
        m.name: np.nanmean(np.abs(grid.values[at + 1] - fitted(m, grid.head(cut), (), 1).predict(grid.values, at)))
        for m in (SeasonalNaive(), model)
    }
    assert error[model.name] < 0.5 * error[NAIVE]


def test_the_best_model_is_chosen_and_noise_leaves_it_to_seasonal_naive():
    assert choose(QUICK, shop(), (), 1).model.name != NAIVE
    rng = np.random.default_rng(1)
    week = np.repeat(rng.normal(0, 10, 7 * DAY)[None], 6, axis=0).ravel()  # the same each week, without any noise
    assert choose(QUICK, Grid(0, STEP, week), (), 1).model.name == NAIVE


def test_too_little_history_has_no_forecast():
    assert choose(QUICK, Grid(0, STEP, np.ones(20)), (), 1) is None


def test_a_known_event_is_expected_when_it_comes_again():
    grid = shop(28, noise=0.5)
    values = grid.values.copy()
    sale = [(5 * DAY, 6 * DAY), (11 * DAY, 12 * DAY), (21 * DAY, 22 * DAY)]
    for first, last in sale:
        values[first:last] += 80
    events = [Event("sale", int(a * STEP), int(b * STEP)) for a, b in sale]
    history = Grid(0, STEP, values[: 21 * DAY])
    at = np.arange(21 * DAY, 22 * DAY - 1)
    known, ignorant = (ProphetModel().fit(history, e).expect(values, at, 1).mean() for e in (events, ()))
    assert known - ignorant > 40


# --- intervals ---


@pytest.mark.parametrize("drift", [0.0, 3.0])
def test_intervals_hold_nine_in_ten_also_when_the_noise_grows(drift):
    rng = np.random.default_rng(2)
    n = 6000
    values = rng.normal(0, 1 + drift * np.arange(n) / n)
    interval, inside = Interval(rng.normal(0, 1, 500)), []
    for value in values:
        low, high = interval.around(0.0)
        inside.append(low <= value <= high)
        interval.observe(0.0, value)
    assert abs(np.mean(inside) - 0.9) < 0.02


def test_without_enough_errors_nothing_is_promised():
    assert Interval(np.zeros(10)).around(5.0) == (-np.inf, np.inf)


def test_an_interval_knows_only_errors_that_were_known_when_it_was_made():
    grid = shop(12)
    one = fitted(Profile(), grid.head(8 * DAY), (), 4)
    rolled = roll(one, grid.values, 8 * DAY, np.random.default_rng(0).normal(0, 5, 200))
    changed = grid.values.copy()
    changed[9 * DAY :] += 1e6
    again = roll(one, changed, 8 * DAY, np.random.default_rng(0).normal(0, 5, 200))
    same = rolled.at < 9 * DAY + 4
    np.testing.assert_array_equal(rolled.low[same], again.low[same])
    np.testing.assert_array_equal(rolled.middle[same], again.middle[same])


@given(
    st.floats(-1e6, 1e6), st.lists(st.floats(-1e6, 1e6), min_size=3, max_size=30), st.sampled_from([0.05, 0.5, 0.95])
)
def test_pinball_loss_is_least_at_the_quantile(forecast, observed, level):
    values = np.array(observed)
    best = np.quantile(values, level, method="inverted_cdf")
    mean = lambda at: pinball(values, np.full(len(values), at), level).mean()
    assert mean(best) <= mean(forecast) + 1e-6 * (1 + abs(forecast) + np.abs(values).max())


# --- grids ---


@given(st.lists(st.tuples(st.integers(0, 10_000), st.floats(-1e9, 1e9)), min_size=1, max_size=50))
@settings(max_examples=50)
def test_a_grid_has_the_mean_of_each_step_and_nan_elsewhere(points):
    t = np.array([p[0] for p in points]) * NS
    v = np.array([p[1] for p in points])
    grid = on_grid(t, v, 60 * NS)
    for i, value in enumerate(grid.values):
        mine = v[(t - grid.start_ns) // (60 * NS) == i]
        assert np.isnan(value) if not len(mine) else np.isclose(value, mine.mean(), rtol=1e-9, atol=1e-6)


def test_a_course_is_repeated_before_and_after():
    course = Course(0, 2.0, np.array([0.0, 10.0, 20.0, 0.0]), 3)
    assert course.expect(np.zeros(9), np.array([0, 1, 2, 5, 6, 11]), 1).tolist() == [5.0, 10.0, 15.0, 0.0, 5.0, 0.0]
    assert course.expect(np.zeros(9), np.array([-2, -5]), 1).tolist() == [10.0, 10.0]


def test_seasonal_naive_looks_back_as_many_periods_as_it_must():
    values = np.arange(20.0)
    assert Lagged(4).expect(values, np.array([10]), 6).tolist() == [8.0]


@pytest.mark.parametrize(("step_s", "steps"), [(60, 15), (300, 3), (900, 1), (3600, 1)])
def test_a_quarter_of_an_hour_is_so_many_steps_and_at_least_one(step_s, steps):
    assert horizon(step_s * NS, 900) == steps
