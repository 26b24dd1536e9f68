"""Forecasts that reach a limit: an incident with a hypothesis before anything is ill, through the stage's own door."""

import pytest

import schemas as sc
from diagnosis import Diagnose, Foresee, Limit, StateInvalid, equal_weights
from schemas.core import NS, Message, Tick

T0 = 1_767_268_800 * NS
SERIES = "0123456789abcdef"
MOST = Limit("payment", "http.rate", 400.0, "load_ahead")


def forecast(low=380.0, expected=410.0, high=440.0, *, as_of_s=0, errors=500, name="http.rate", **more):
    return sc.Forecast(
        id=f"f-{as_of_s}", entity_id="default/service/payment", service="payment", series=SERIES, name=name, unit="1/s",
        as_of_ns=T0 + as_of_s * NS, at_ns=T0 + (as_of_s + 900) * NS, step_s=300.0, now=350.0, expected=expected,
        low=low, high=high, model="profile", loss=1.0, naive_loss=2.0, errors=errors, **more,
    )  # fmt: skip


def heard(emit):
    return Message(emit.topic, 0, 0, emit.key, emit.value, emit.headers, emit.event_ns, emit.event_ns)


def said_at(topic, record, at_ns):
    return heard(sc.emit(topic, record, id=record.id, key="", source="test", event_ns=at_ns))


RIGHT = [1] * 80 + [0] * 20
CURVE = sc.CalibrationMap(
    data="test", method="platt", parameters=[0.0, 1.386294361], state="OWN", outcomes=100, scored=[0.8] * 100,
    right=RIGHT, fitted_on=["test"],
)  # fmt: skip
"""Of a hundred limits that were foreseen, eighty were reached."""


def run(*said, limits=(MOST,), stage=None, curve=CURVE):
    """Each a forecast (said when it was made), another record with its time, or a tick; what was said, by type."""
    stage = stage or Foresee(Diagnose(equal_weights()), limits, curve)
    state, found = stage.initial(), []
    for one in said:
        if isinstance(one, sc.Forecast):
            one = said_at(sc.FORECASTS, one, one.as_of_ns)
        state, out = stage.step(state, one)
        found += [sc.read(heard(emit)) for emit in out]
    return [r for r in found if isinstance(r, sc.Incident)], [r for r in found if isinstance(r, sc.Diagnosis)]


def test_a_limit_that_is_foreseen_is_an_incident_with_the_confidence_that_outcomes_give_it():
    (incident,), (diagnosis,) = run(forecast())
    (hypothesis,) = diagnosis.hypotheses
    assert (incident.state, incident.opened_by, incident.services) == ("open", "alert", ["payment"])
    assert (hypothesis.cause.entity, hypothesis.cause.family, hypothesis.confidence_state) == (
        "payment", "load_ahead", "OWN",
    )  # fmt: skip
    assert hypothesis.confidence == pytest.approx(0.8) and hypothesis.interval[0] <= hypothesis.confidence
    assert hypothesis.evidence[0].kind == "forecast" and hypothesis.evidence[0].pointer.subject == SERIES
    assert hypothesis.evidence[0].pointer.t_max_ns == T0, "it rests on what was known, not on what is to come"


@pytest.mark.parametrize(
    ("limit", "margin"),
    [(380.0, 1.0), (350.0, 2.0), (395.0, 0.5), (410.0, 0.0), (425.0, -0.5), (440.0, -1.0), (-9999.0, 20.0)],
)
def test_the_margin_is_in_half_widths_of_the_interval_on_the_side_of_the_limit(limit, margin):
    assert MOST._replace(at=limit).margin(forecast()) == pytest.approx(margin)


def test_a_lower_limit_is_the_mirror_of_an_upper_one():
    assert MOST._replace(at=425.0, most=False).margin(forecast()) == pytest.approx(0.5)
    assert MOST._replace(at=380.0, most=False).margin(forecast()) == pytest.approx(-1.0)


def test_an_interval_without_width_has_a_margin_all_the_same():
    assert MOST.margin(forecast(410.0, 410.0, 410.0)) == 20.0 and MOST.margin(forecast(400.0, 400.0, 400.0)) == 0.0


def test_without_outcomes_nothing_foreseen_has_a_confidence():
    ((hypothesis,),) = [d.hypotheses for d in run(forecast(), curve=None)[1]]
    assert (hypothesis.confidence, hypothesis.confidence_state) == (None, "UNCALIBRATED")


def test_where_the_middle_does_not_reach_the_limit_nothing_is_opened():
    assert run(forecast(expected=399.0)) == ([], [])


def test_an_interval_of_few_errors_gives_no_confidence():
    ((hypothesis,),) = [d.hypotheses for d in run(forecast(errors=149))[1]]
    assert (hypothesis.confidence, hypothesis.confidence_state) == (None, "UNCALIBRATED"), "49 without overlap"
    ((hypothesis,),) = [d.hypotheses for d in run(forecast(errors=150))[1]]
    assert hypothesis.confidence_state == "OWN"


def test_of_a_series_without_a_limit_nothing_is_said():
    assert run(forecast(name="other")) == ([], [])
    assert run(forecast(), limits=(MOST._replace(labels=(("route", "/pay"),)),)) == ([], [])
    assert run(forecast(labels={"route": "/pay"}), limits=(MOST._replace(labels=(("route", "/pay"),)),))[0]


def test_the_same_again_is_a_revision_and_a_better_forecast_ends_it():
    incidents, diagnoses = run(
        forecast(), forecast(as_of_s=900, expected=405), forecast(100, 200, 300, as_of_s=1800), forecast(as_of_s=900)
    )
    assert [(i.state, i.revision) for i in incidents] == [("open", 0), ("open", 1), ("closed", 2)]
    assert len({i.id for i in incidents}) == 1 and [d.revision for d in diagnoses] == [0, 1]


def test_a_forecast_that_wavers_around_the_limit_does_not_open_and_close():
    incidents, _ = run(forecast(), forecast(as_of_s=900, expected=395.0), forecast(as_of_s=1800))
    assert [i.state for i in incidents] == ["open", "open", "open"]


def test_what_nobody_says_again_ends_as_long_after_its_time_as_it_was_ahead():
    incidents, _ = run(forecast(), Tick(T0 + 1799 * NS), Tick(T0 + 1801 * NS))
    assert [(i.state, (i.updated_ns - T0) // NS) for i in incidents] == [("open", 0), ("closed", 1800)]


def test_a_forecast_that_comes_after_its_time_is_old_news():
    late = forecast()
    assert run(said_at(sc.FORECASTS, late, late.at_ns)) == ([], [])
    assert run(Tick(late.at_ns), late) == ([], [])


def test_the_end_of_everything_ends_what_is_open():
    incidents, _ = run(forecast(), Tick(T0 + 60 * NS, final=True))
    assert [i.state for i in incidents] == ["open", "closed"] and incidents[1].updated_ns < T0 + 60 * NS


def test_for_what_is_silenced_it_is_recorded_and_nothing_more():
    silence = sc.Silence(
        id="s1", matchers=[sc.Matcher(name="service", value="payment")], start_ns=T0 - NS, end_ns=T0 + 3600 * NS,
        said_ns=T0 - NS, author="ann",
    )  # fmt: skip
    incidents, diagnoses = run(said_at(sc.CALENDAR, silence, T0 - NS), forecast())
    assert incidents[0].suppressed_by == diagnoses[0].suppressed_by == ["silence:s1"]


def test_a_snapshot_goes_on_where_it_was_and_an_older_one_is_read():
    stage = Foresee(Diagnose(equal_weights()), [MOST], CURVE)
    state, _ = stage.step(stage.initial(), said_at(sc.FORECASTS, forecast(), T0))
    again = stage.load(stage.dump(state))
    assert again == state and stage.dump(again) == stage.dump(state)
    plain = Diagnose(equal_weights())
    assert stage.load(plain.dump(plain.initial())) == stage.initial()
    assert plain.load(stage.dump(state)) == state.diagnose, "and where no limit is named any more"
    broken = stage.dump(state).replace(b'"open": [[', b'"open": [7, [')
    with pytest.raises(StateInvalid):
        stage.load(broken)
