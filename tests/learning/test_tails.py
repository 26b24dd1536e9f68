"""Alarm budgets: how often a threshold speaks, learned without labels."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from learning import TooShort, alarms_due, fit_tail, onsets, surprise_for
from learning._tails import FAR, _alarms


def surprises(seed, n=200_000, faults=0):
    rng = np.random.default_rng(seed)
    found = rng.exponential(size=n) / np.log(10)
    found[rng.integers(0, n, faults)] = 12.0
    return found


def test_a_threshold_keeps_its_budget_on_other_series():
    fit = fit_tail("d", {"a": surprises(1), "b": surprises(2)}, "noise")
    for per_window in (1e-3, 1e-4):
        got = onsets(surprises(3, 2_000_000), surprise_for(fit, per_window)).mean()
        assert got == pytest.approx(per_window, rel=0.25), per_window


def test_a_tail_heavier_than_exponential_is_followed_halfway_the_rest_is_taken_for_faults():
    def heavy(seed, n):
        u = np.random.default_rng(seed).random(n)
        return (u**-0.2 - 1.0) / 0.2 / np.log(10)

    fit = fit_tail("d", {"a": heavy(1, 400_000), "b": heavy(2, 400_000)}, "noise")
    got = onsets(heavy(3, 2_000_000), surprise_for(fit, 1e-4)).mean()
    assert fit.shape > 0 and 1e-4 < got < 3e-4  # an exponential tail gets 3.6e-4


def test_faults_in_the_stretch_hardly_move_the_threshold():
    ill, calm = (fit_tail("d", {"a": surprises(4, faults=n)}, "noise") for n in (200, 0))
    assert abs(surprise_for(ill, 1e-4) - surprise_for(calm, 1e-4)) < 0.1


def test_a_long_event_is_one_alarm_unless_it_grows():
    event = np.concatenate([np.zeros(30), np.full(60, 5.0), np.full(5, 7.0), np.zeros(30), [4.0]])
    assert np.flatnonzero(onsets(event, 3.0)).tolist() == [30, 90, 125]


def test_alarms_are_counted_at_all_thresholds_at_once_as_one_by_one():
    found, at = surprises(7, 5000), np.array([0.3, 1.0, 2.0, 3.5])
    assert _alarms([found], at).tolist() == [onsets(found, t).sum() for t in at]


def test_what_is_due_falls_from_the_fits_own_threshold_on():
    fit = fit_tail("d", {"a": surprises(5)}, "noise")
    assert alarms_due(fit, 0.0) == fit.exceedance_ratio > alarms_due(fit, fit.threshold + 1) > 0
    assert surprise_for(fit, 1.0) == fit.threshold
    assert alarms_due(fit, surprise_for(fit, 1e-5)) == pytest.approx(1e-5)


@given(
    st.lists(
        st.tuples(st.sampled_from([0.0, 0.2, 1.0, 30.0]), st.integers(0, 400), st.floats(0, 8, width=16)), max_size=5
    )
)
def test_whatever_the_stretches_are_there_is_a_finite_threshold_or_a_refusal(parts):
    rng = np.random.default_rng(0)
    stretches = {}
    for at, (scale, n, level) in enumerate(parts):
        stretches[str(at)] = np.where(rng.random(n) < 0.3, rng.exponential(size=n) * scale, level)
    try:
        fit = fit_tail("d", stretches, "anything")
    except TooShort:
        return
    assert 0 < fit.scale < np.inf and np.isfinite(surprise_for(fit, 1e-6)) and fit.exceedance_ratio > FAR


def test_a_stretch_that_says_nothing_is_refused_with_what_to_do():
    with pytest.raises(TooShort, match="Take a longer stretch"):
        fit_tail("d", {"a": np.zeros(50)}, "noise")
    with pytest.raises(ValueError, match="above 0"):
        surprise_for(fit_tail("d", {"a": surprises(6)}, "noise"), 0.0)
