"""Spans that are lost: no symptom, no evidence, less confidence, and said in the briefing."""

import pytest

import schemas as sc
from diagnosis import Diagnose, Standing, confidence_of, equal_weights
from diagnosis._lost import lost_of, lost_share
from schemas.core import NS, Message, Tick

T = 1_800_000_000 * NS


def anomaly(service, kind="error_ratio", at_s=0, lost=0.0, requests=0, p=1e-9):
    end = T + at_s * NS
    name = "span.orphans" if kind == "gap" else "span.errors"
    identity, series = sc.record_id("anomaly", service, name, end), f"{sum(map(ord, service + name)):016x}"
    pointer = sc.EvidencePointer(signal="traces", subject=service, t_min_ns=end - 60 * NS, t_max_ns=end, sha256="s")
    return sc.Anomaly(
        id=identity, entity_id=f"default/service/{service}", service=service, series=series, name=name, signal="traces",
        kind=kind, detector="t@1", start_ns=end - 60 * NS, end_ns=end, p_value=p, observed=lost, expected=0.0,
        residual=lost, unit="1", direction=1, requests=requests, pointer=pointer,
    )  # fmt: skip


def gap(service, lost=5.0, requests=100, at_s=0):
    return anomaly(service, "gap", at_s, lost, requests)


def diagnosed(*anomalies):
    """The last diagnosis of the incident that these open, or None."""
    stage = Diagnose(equal_weights())
    state, out = stage.initial(), []
    for one in sorted(anomalies, key=lambda a: a.end_ns):
        emit = sc.emit(sc.ANOMALIES, one, id=one.id, key="k", source="t", event_ns=one.end_ns)
        message = Message(emit.topic, 0, 0, emit.key, emit.value, emit.headers, emit.event_ns, emit.event_ns)
        state, more = stage.step(state, message)
        out += more
    state, more = stage.step(state, Tick(T + 100 * NS))
    read = [sc.read(Message(e.topic, 0, 0, e.key, e.value, e.headers, 0, 0)) for e in (*out, *more)]
    return next((r for r in reversed(read) if isinstance(r, sc.Diagnosis)), None)


def test_of_calls_whose_callers_are_lost_to_a_tenth_a_fifth_lacks_one_of_two_spans():
    assert lost_share([gap("cart", 5.0, 100), gap("web", 15.0, 100), anomaly("web")]) == 0.19
    assert lost_share([anomaly("web")]) == 0.0 == lost_share([])
    assert [one.service for one in lost_of([gap("web"), gap("cart"), anomaly("pay")])] == ["cart", "web"]


def test_windows_that_overlap_count_once():
    assert lost_share([gap("cart", 5.0, 100), anomaly("cart", "gap", 10, 50.0, 100, p=1e-12)]) == 0.75


def test_lost_spans_alone_are_no_incident_however_many():
    assert diagnosed(*(gap(f"s{i}", 100.0, 100) for i in range(20))) is None


def test_they_lower_completeness_and_are_said_but_speak_for_nobody():
    whole, lossy = diagnosed(anomaly("cart")), diagnosed(anomaly("cart"), gap("cart"), gap("web"))
    assert (whole.completeness, lossy.completeness) == (1.0, 0.9025) and lossy.standing.lost == 0.0975
    assert [h.score for h in lossy.hypotheses] == [h.score for h in whole.hypotheses]
    assert lossy.entities == whole.entities and lossy.severity == whole.severity
    assert [(u.subsystem, u.service, u.reason) for u in lossy.unknown] == [
        ("traces", "cart", "SPANS_LOST"), ("traces", "web", "SPANS_LOST")
    ]  # fmt: skip


def test_with_more_than_half_lost_nobody_is_named():
    assert diagnosed(anomaly("cart"), gap("web", 60.0, 100)).abstained == "INCOMPLETE"


@pytest.mark.parametrize("lost", [0.01, 0.05, 0.5])
def test_both_ends_of_a_confidence_fall_by_the_share_that_is_lost(lost):
    curve = sc.CalibrationMap(data="d", fitted_on=[], method="platt", parameters=[1.0, 0.0], state="OWN", outcomes=60,
                              scored=[i / 60 for i in range(60)], right=[True] * 60)  # fmt: skip
    value, (low, high) = confidence_of(curve, Standing(2.0))
    less, (lower, upper) = confidence_of(curve, Standing(2.0, lost=lost))
    assert (less, lower, upper) == pytest.approx(((1 - lost) * value, (1 - lost) * low, (1 - lost) * high))
