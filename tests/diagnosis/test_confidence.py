"""Confidence: bounded, monotone in the score, and never higher for knowing less."""

import importlib.util
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diagnosis import Circumstances, Diagnose, Standing, confidence_of, equal_weights, evidence_table, ranking
from schemas import CalibrationMap

_spec = importlib.util.spec_from_file_location("confidence_cases", Path(__file__).with_name("test_diagnose.py"))
_cases = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_cases)
STRONG, anomaly, final, message, records, run = (
    getattr(_cases, name) for name in ("STRONG", "anomaly", "final", "message", "records", "run")
)
CURVE = CalibrationMap(
    data="made", fitted_on=["1"], method="platt", parameters=[1.0, 0.0], state="TRANSFERRED", outcomes=40,
    novel_parameters=[0.5, -1.0], novelty_parameters=[-10.0, 5.0],
    scored=[i / 40 for i in range(40)], right=[int(i > 20) for i in range(40)],
)  # fmt: skip
BENT = CURVE.model_copy(
    update={
        "beta_parameters": [1.5, 0.4, 0.1], "scored": sorted([0.5] * 9 + [0.98] * 12 + [i / 20 for i in range(20)]),
        "right": [int(i % 3 > 0) for i in range(41)],
    }
)  # fmt: skip
standings = st.builds(
    Standing, st.floats(-20, 20), st.floats(0, 1), st.floats(0, 1), st.integers(0, 3),
    plain=st.none() | st.floats(-20, 20), lost=st.floats(0, 1), unheard=st.floats(0, 4 / 3),
)  # fmt: skip


@settings(deadline=None)
@given(standings)
def test_a_confidence_lies_in_its_interval_and_both_between_zero_and_one(standing):
    value, (low, high) = confidence_of(CURVE, standing)
    assert 0 <= low <= value <= high <= 1


@settings(deadline=None)
@given(standings, st.floats(0, 1), st.integers(0, 3))
def test_less_telemetry_never_raises_a_confidence(standing, share, more):
    worse = standing._replace(
        completeness=standing.completeness * share, missing=standing.missing + more,
        lost=1 - (1 - standing.lost) * share, unheard=standing.unheard + 1 - share,
    )  # fmt: skip
    (before, (low, _)), (after, (less, _)) = confidence_of(CURVE, standing), confidence_of(CURVE, worse)
    assert after <= before and less <= low


@settings(deadline=None)
@given(standings, st.floats(0, 10))
@pytest.mark.parametrize("curve", [CURVE, BENT])
def test_a_higher_score_never_lowers_it(curve, standing, more):
    better = standing._replace(odds=standing.odds + more)
    assert confidence_of(curve, better)[0] >= confidence_of(curve, standing)[0] - 1e-9


def test_nothing_is_said_more_surely_than_what_was_said_as_surely_was_right():
    wrong = CURVE.model_copy(update={"right": [0] * 40})
    high = [confidence_of(curve, Standing(9.0))[0] for curve in (CURVE, wrong)]
    assert high == pytest.approx([19.5 / 21, 0.5 / 21])


def test_a_bent_curve_is_used_in_place_of_the_straight_one():
    straight = CURVE.model_copy(update={"scored": [], "right": []})
    bent = straight.model_copy(update={"beta_parameters": [1.2, 0.5, 0.0]})
    low, high = (confidence_of(bent, Standing(odds))[0] for odds in (-2.0, 2.0))
    assert 0.05 < low < confidence_of(straight, Standing(-2.0))[0] < 0.13 and 0.5 < high < 0.76


@settings(deadline=None)
@given(standings)
@pytest.mark.parametrize("curve", [CURVE, BENT])
def test_what_is_like_nothing_known_is_not_more_certain(curve, standing):
    known, new = (confidence_of(curve, standing._replace(odds=abs(standing.odds), likeness=x))[0] for x in (1.0, 0.0))
    assert new <= known


def test_the_stage_says_a_calibrated_confidence_of_the_first_cause_only():
    stage = Diagnose(equal_weights(), calibration=CURVE)
    diagnosis = records(run([message(STRONG), message(anomaly("web", 0, 1e-4)), final(60)], stage)[1])[1][-1]
    first, *rest = diagnosis.hypotheses
    assert first.confidence is not None and first.confidence_state == "TRANSFERRED" and first.interval is not None
    assert all(h.confidence is None for h in rest) and diagnosis.versions["calibration"] == CURVE.digest


@pytest.mark.parametrize(
    ("around", "weights", "reason"),
    [
        (Circumstances(completeness=0.3), {}, "INCOMPLETE"),
        (Circumstances(missing=("logs", "metrics")), {}, "INCOMPLETE"),
        (Circumstances(), {"no_fault": 99.0}, "NO_FAULT"),
        (Circumstances(), {}, None),
    ],
)
def test_it_abstains_where_too_much_is_missing_or_nothing_is_at_fault(around, weights, reason):
    prior = equal_weights()
    found = ranking(
        evidence_table([STRONG], [], []), prior.model_copy(update={"weights": prior.weights | weights}), around=around
    )
    assert found.abstained == reason and found.hypotheses


def test_what_is_like_no_confirmed_cause_and_hardly_certain_is_said_to_be_new():
    curve = CURVE.model_copy(update={"novel_parameters": [0.5, -5.0]})
    found = ranking(evidence_table([STRONG], [], []), equal_weights(), around=Circumstances(calibration=curve))
    assert found.abstained == "NOVEL"
