"""Calibration on made outcomes whose truth is known."""

import numpy as np
import pytest

from diagnosis import Standing, confidence_of, knownness
from learning import Outcome, fit_calibration, reliability, risk_coverage, shrunk


def outcomes(n, seed=0, slope=0.4, intercept=0.0, likeness=0.9, name="o"):
    rng = np.random.default_rng(seed)
    odds = rng.normal(2, 3, n)
    right = rng.random(n) < 1 / (1 + np.exp(-slope * odds - intercept))
    return [
        Outcome(f"{name}{i}", f"g{i % 7}", Standing(float(o), likeness), bool(r))
        for i, (o, r) in enumerate(zip(odds, right, strict=True))
    ]


def said(curve, found):
    return [confidence_of(curve, one.standing)[0] for one in found], [one.is_right for one in found]


def test_overconfident_scores_become_honest_on_outcomes_not_seen():
    curve, fresh = fit_calibration(outcomes(200), data="made"), outcomes(400, seed=1)
    raw = [1 / (1 + np.exp(-o.standing.odds)) for o in fresh]
    assert reliability(*said(curve, fresh)).ece < 0.06 < reliability(raw, [o.is_right for o in fresh]).ece


def test_few_outcomes_are_fitted_by_platt():
    assert fit_calibration(outcomes(30), data="made").method == "platt"


def test_a_map_is_ones_own_from_fifty_outcomes_on():
    states = [fit_calibration(outcomes(n), data="made", own=True).state for n in (49, 50)]
    assert states == ["TRANSFERRED", "OWN"] and fit_calibration(outcomes(99), data="made").state == "TRANSFERRED"


def test_what_is_unlike_the_known_is_judged_by_the_curve_of_the_new():
    new = outcomes(60, seed=2, slope=0.1, intercept=-1.0, likeness=0.2, name="n")
    curve = fit_calibration(outcomes(60), new, data="made")
    known, strange = (confidence_of(curve, Standing(6.0, x))[0] for x in (0.9, 0.1))
    assert knownness(curve, 0.9) > knownness(curve, 0.1) and strange < known


def test_where_certain_ones_are_right_less_often_than_a_line_says_the_known_curve_bends():
    rng = np.random.default_rng(3)
    odds = rng.normal(0, 4, 600)
    right = rng.random(600) < 1 / (1 + np.exp(-np.where(odds < 0, 1.2, 0.2) * odds))
    pairs = list(zip(odds, right, strict=True))
    found = [Outcome(f"b{i}", f"g{i % 7}", Standing(float(o), 0.9), bool(r)) for i, (o, r) in enumerate(pairs)]
    curve = fit_calibration(found[:300], outcomes(30, likeness=0.2), data="made")
    bent, straight = (
        reliability(*said(one.model_copy(update={"scored": [], "right": []}), found[300:])).brier
        for one in (curve, curve.model_copy(update={"beta_parameters": []}))
    )
    below, above, _ = curve.beta_parameters
    assert below > 2 * above and bent < straight


def test_an_interval_narrows_with_outcomes():
    widths = []
    for n in (20, 400):
        low, high = confidence_of(fit_calibration(outcomes(n), data="made"), Standing(3.0, 0.9))[1]
        widths.append(high - low)
    assert widths[1] < widths[0]


def test_own_outcomes_move_the_general_curve_as_far_as_there_are_many():
    general = fit_calibration(outcomes(100), data="made")
    own = outcomes(200, seed=3, intercept=-3.0, name="own")
    values = [confidence_of(shrunk(general, own[:n], data="own"), Standing(2.0, 0.9))[0] for n in (0, 10, 200)]
    assert values[0] > values[1] > values[2]


def test_fitting_twice_gives_the_same_map():
    assert fit_calibration(outcomes(120), data="made") == fit_calibration(outcomes(120), data="made")


def test_risk_falls_as_less_is_named():
    curve = risk_coverage([0.9, 0.8, 0.3], [True, True, False])
    assert curve == [(1 / 3, 0.0), (2 / 3, 0.0), (1.0, pytest.approx(1 / 3))]


def test_nothing_to_calibrate_on_is_an_error():
    with pytest.raises(ValueError, match="no outcome"):
        fit_calibration([], data="made")


def test_what_is_new_is_judged_by_the_odds_before_any_fit() -> None:
    new = [
        o._replace(standing=o.standing._replace(odds=3.0, likeness=0.1, plain=o.standing.odds)) for o in outcomes(200)
    ]
    curve = fit_calibration(outcomes(200), new, data="made")
    sure, unsure = (confidence_of(curve, Standing(3.0, 0.1, plain=plain))[0] for plain in (4.0, -4.0))
    assert sure > unsure + 0.3


def test_only_less_than_was_usual_takes_from_a_confidence() -> None:
    usual = [o._replace(standing=o.standing._replace(completeness=0.9)) for o in outcomes(60)]
    curve = fit_calibration(usual, data="made")
    full, most, half = (confidence_of(curve, Standing(1.0, completeness=c))[0] for c in (1.0, 0.9, 0.45))
    assert full == most and half == pytest.approx(most / 2)


def test_which_of_equal_confidences_comes_first_says_nothing() -> None:
    right = [True] * 30 + [False] * 30
    assert reliability([0.5] * 60, right).ece == pytest.approx(reliability([0.5] * 60, right[::-1]).ece) == 0
