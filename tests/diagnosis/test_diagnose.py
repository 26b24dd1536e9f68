import itertools
import random
from hashlib import blake2b

import pytest

from diagnosis import Diagnose, Settings, StateInvalid, equal_weights
from schemas import ANOMALIES, CHANGES, INCIDENTS, Anomaly, Change, EvidencePointer, Incident, read, record_id
from schemas.core import NS, Message, Tick

T = 1_700_000_000 * NS


def anomaly(service, at_s, p, *, kind="error_ratio", name="span.errors", series=None, **more):
    end = T + int(at_s * NS)
    series = series or blake2b(f"{service} {kind} {name}".encode(), digest_size=8).hexdigest()
    pointer = EvidencePointer(signal="traces", subject=series, t_min_ns=end - 10 * NS, t_max_ns=end, sha256="sha256:0")
    fields = {"direction": 1, "observed": 9.0, "expected": 1.0, "residual": 8.0} | more
    return Anomaly(
        id=record_id("anomaly", service, kind, name, series, end), entity_id=f"default/service/{service}",
        service=service, series=series, name=name, signal="traces", kind=kind, detector="test@1",
        start_ns=end - 10 * NS, end_ns=end, unit="1", p_value=p, pointer=pointer, **fields,
    )  # fmt: skip


def message(record, event_ns=None, topic=ANOMALIES):
    at = event_ns if event_ns is not None else record.end_ns
    headers = (("ce_type", f"io.tidegate.{record.TYPE}".encode()),)
    return Message(topic, 0, 0, b"", record.to_bytes(), headers, at, at)


def run(events, stage=None, state=None):
    stage = stage or Diagnose(equal_weights())
    state, out = state or stage.initial(), []
    for event in events:
        state, more = stage.step(state, event)
        out += more
    return state, out


def records(out):
    said = [read(Message(e.topic, 0, 0, e.key, e.value, e.headers, e.event_ns, 0)) for e in out]
    return [r for r in said if isinstance(r, Incident)], [r for r in said if not isinstance(r, Incident)]


def final(at_s):
    return Tick(T + int(at_s * NS), final=True)


STRONG = anomaly("cart", 0, 1e-9)


def test_a_strong_symptom_opens_an_incident_and_names_its_service():
    incidents, diagnoses = records(run([message(STRONG), final(60)])[1])
    assert [i.state for i in incidents] == ["open"] and diagnoses[-1].hypotheses[0].cause.entity == "cart"
    top = diagnoses[-1].hypotheses[0]
    assert top.confidence is None and top.confidence_state == "UNCALIBRATED" and top.cause.family == "error"
    assert top.score == pytest.approx(sum(e.weight for e in top.evidence)) and top.evidence[0].pointer == STRONG.pointer


def test_one_weak_anomaly_opens_nothing_but_several_of_one_service_do():
    assert run([message(anomaly("cart", 0, 1e-4)), final(60)])[1] == []
    assert run([*(message(anomaly("cart", t, 1e-5)) for t in range(0, 40, 10)), final(60)])[1] != []


def test_a_gauge_has_to_show_a_symptom_three_times_and_a_busy_cpu_opens_nothing():
    def gauges(name, *ends):
        return [message(anomaly("cart", t, 1e-9, kind="metric", name=name, series="a" * 16)) for t in ends]

    assert run([*gauges("latency_p99", 0, 60), final(60)])[1] == []
    assert run([*gauges("latency_p99", 0, 60, 120), final(150)])[1] != []
    assert run([*gauges("cpu_usage_rate", 0, 60, 120), final(200)])[1] == []


def test_the_noise_of_many_services_opens_nothing():
    rng = random.Random(7)
    noise = [anomaly(f"s{i % 200}", i / 10, 1e-3 * (1 - rng.random()) or 1e-3, series=f"{i:016x}") for i in range(3000)]
    assert (
        run(
            [*(message(a) for a in noise), final(400)], Diagnose(equal_weights(), Settings(open_p=1e-8, open_orders=7))
        )[1]
        == []
    )


def test_quiet_closes_it_and_weak_anomalies_do_not_prolong_it():
    weak = [message(anomaly("other", t, 5e-4)) for t in range(10, 400, 30)]
    incidents, _ = records(run([message(STRONG), *weak, final(400)])[1])
    assert incidents[-1].state == "closed" and incidents[-1].closed_ns == T + 300 * NS


def test_how_often_ticks_come_does_not_matter():
    events = [message(anomaly("cart", t, 1e-8)) for t in range(0, 200, 7)]
    ticked = [e for m in events for e in (m, Tick(m.event_ns), Tick(m.event_ns + 3 * NS))]
    assert run([*events, final(300)])[1] == run([*ticked, final(300)])[1]


def test_the_order_within_an_instant_does_not_matter():
    events = [message(anomaly(f"s{i}", 0, 10.0 ** -(4 + i))) for i in range(6)]
    shuffled = random.Random(1).sample(events, len(events))
    assert run([*events, final(60)])[1] == run([*shuffled, final(60)])[1]


def test_revisions_are_at_least_half_a_minute_apart():
    _, diagnoses = records(run([*(message(anomaly("cart", t, 1e-8)) for t in range(0, 200, 5)), final(200)])[1])
    times = [d.as_of_ns for d in diagnoses]
    assert all(b - a >= 30 * NS for a, b in itertools.pairwise(times[:-1])) and len(times) >= 6


def test_a_crash_and_a_resume_anywhere_change_nothing():
    stage, events = Diagnose(equal_weights()), [message(anomaly(f"s{t % 3}", t, 1e-7)) for t in range(0, 100, 9)]
    whole = run([*events, final(500)], stage)[1]
    for cut in range(len(events)):
        state, before = run(events[:cut], stage)
        assert before + run([*events[cut:], final(500)], stage, stage.load(stage.dump(state)))[1] == whole


def test_a_change_shortly_before_is_named_as_the_cause():
    change = Change(
        id="c1", entity_id="default/service/cart", service="cart", kind="deploy", at_ns=T - 90 * NS, title="deploy #7"
    )
    _, diagnoses = records(run([message(change, change.at_ns, CHANGES), message(STRONG), final(60)])[1])
    top = diagnoses[-1].hypotheses[0]
    assert (top.cause.family, top.cause.change) == ("change", "c1")
    assert any("deploy #7 of cart, 80 s before" in e.text for e in top.evidence)


def test_two_that_are_alike_are_a_close_call():
    _, diagnoses = records(run([message(STRONG), message(anomaly("pay", 0, 1e-9)), final(60)])[1])
    assert diagnoses[-1].abstained == "CLOSE_CALL"
    assert [h.cause.entity for h in diagnoses[-1].hypotheses] == ["cart", "pay"]


def test_a_withdrawn_anomaly_leaves_the_diagnosis():
    gone = STRONG.model_copy(update={"status": "withdrawn"})
    _, diagnoses = records(run([message(STRONG), message(gone, T + 40 * NS), final(60)])[1])
    assert diagnoses[-1].abstained == "NO_EVIDENCE" and diagnoses[-1].hypotheses == []


def test_a_storm_stays_within_bounds_and_is_counted():
    stage = Diagnose(equal_weights(), Settings(most_recent=50, most_series=60))
    events = [message(anomaly("cart", i // 100, 1e-8, series=f"{i:016x}")) for i in range(400)]
    state, _ = run([*events, final(60)], stage)
    group = state.groups["default", "default"]
    (open_,) = group.open
    assert len(group.recent) <= 50 and len(open_.kept) <= 60 and group.dropped + open_.dropped > 0


def test_an_unreadable_record_is_counted_and_a_foreign_snapshot_refused():
    bad = message(STRONG)._replace(value=b"{}")
    assert run([bad])[0].counts == {"rejected": 1}
    with pytest.raises(StateInvalid):
        Diagnose(equal_weights()).load(b"not json")


def test_incidents_go_to_their_topic_under_their_id():
    out = run([message(STRONG), final(60)])[1]
    assert out[0].topic == INCIDENTS and out[0].key == out[1].key
