"""What is silenced is still an incident, but nobody is paged; it is heard again by itself."""

import pytest

import schemas as sc
from diagnosis import Diagnose, equal_weights
from schemas.core import NS, Message, Tick

T = 1_700_000_000 * NS


def anomaly(service, at_s, labels=None):
    end = T + at_s * NS
    pointer = sc.EvidencePointer(signal="traces", subject=service, t_min_ns=end - NS, t_max_ns=end, sha256="sha256:0")
    return sc.Anomaly(
        id=sc.record_id("anomaly", service, at_s), entity_id=f"default/service/{service}", service=service,
        series=f"{sum(map(ord, service)):016x}", name="span.errors", labels=labels or {}, signal="traces",
        kind="error_ratio", detector="test@1", start_ns=end - 10 * NS, end_ns=end, unit="1", p_value=1e-9,
        direction=1, observed=9.0, expected=1.0, residual=8.0, pointer=pointer,
    )  # fmt: skip


def silence(start_s, end_s, said_s=-60, id="s", tenant="default", **matchers):
    return sc.Silence(
        id=id, tenant=tenant, author="ada", start_ns=T + start_s * NS, end_ns=T + end_s * NS, said_ns=T + said_s * NS,
        matchers=[sc.Matcher(name=name, value=value) for name, value in matchers.items()],
    )  # fmt: skip


def message(record):
    topic, at = (
        (sc.ANOMALIES, record.end_ns) if isinstance(record, sc.Anomaly)
        else (sc.CALENDAR, record.said_ns) if isinstance(record, sc.Silence) else (sc.TOPOLOGY, record.first_ns)
    )  # fmt: skip
    return Message(topic, 0, 0, b"", record.to_bytes(), (("ce_type", f"io.tidegate.{record.TYPE}".encode()),), at, at)


CALL = sc.TopologyEdge(
    id="e", caller="default/service/front", callee="default/service/cart", first_ns=T - 600 * NS, last_ns=T
)


def said(*records, until_s=900, stop=None):
    """What was said of the incident, by seconds: what suppressed it. stop: take a snapshot there and go on from it."""
    stage, found = Diagnose(equal_weights()), []
    state = stage.initial()
    events = sorted([message(CALL), *map(message, records)], key=lambda m: m.event_ns)
    for at, event in enumerate([*events, Tick(T + until_s * NS, final=True)]):
        if at == stop:
            state = stage.load(stage.dump(state))
        state, out = stage.step(state, event)
        found += [sc.read(Message(e.topic, 0, 0, e.key, e.value, e.headers, e.event_ns, 0)) for e in out]
    incidents = [one for one in found if isinstance(one, sc.Incident)]
    for one in (r for r in found if isinstance(r, sc.Diagnosis)):
        assert one.suppressed_by == next(i.suppressed_by for i in incidents if i.revision == one.revision)
    return {((one.updated_ns - T) // NS, one.state): one.suppressed_by for one in incidents}


def test_an_incident_of_a_silenced_service_is_recorded_and_suppressed():
    assert said(anomaly("cart", 0), silence(-60, 3600, service="cart"))[0, "open"] == ["silence:s"]


@pytest.mark.parametrize(
    "other",
    [silence(-60, 3600, service="mail"), silence(-120, -1, service="cart"), silence(-60, 3600, 5, service="cart"),
     silence(-60, 3600, service="cart", tenant="t2"), silence(-60, 3600, service="cart", alertname="Slow")],
    ids=["another service", "over", "said later", "another tenant", "a label that it has not"],
)  # fmt: skip
def test_any_other_silence_does_not_suppress_it(other):
    assert said(anomaly("cart", 0), other)[0, "open"] == []


def test_when_the_silence_ends_the_incident_is_heard():
    lasting = [anomaly("cart", at) for at in range(0, 400, 10)]
    found = said(*lasting, silence(-60, 100, service="cart"))
    assert found[90, "open"] == ["silence:s"] and found[120, "open"] == [] and found[0, "open"] == ["silence:s"]


def test_it_is_heard_at_the_end_of_the_silence_although_nothing_new_comes():
    found = said(anomaly("cart", 0), silence(-60, 100, service="cart"))
    assert found == {(0, "open"): ["silence:s"], (100, "open"): [], (300, "closed"): []}


def test_a_symptom_that_is_not_silenced_is_heard():
    found = said(anomaly("cart", 0), anomaly("front", 40), silence(-60, 3600, service="cart"))
    assert found[0, "open"] == ["silence:s"] and found[40, "open"] == []


def test_an_incident_can_be_snoozed_while_it_goes_on():
    (identity,) = {sc.record_id("incident", "default", "default", T)}
    lasting = [anomaly("cart", at) for at in range(0, 400, 10)]
    found = said(*lasting, silence(50, 200, said_s=50, incident_id=identity))
    assert (found[30, "open"], found[60, "open"], found[210, "open"]) == ([], ["silence:s"], [])


def test_a_silence_can_be_ended_early_and_prolonged():
    begun, ended = silence(-60, 3600, service="cart"), silence(-60, 50, said_s=50, service="cart")
    assert said(anomaly("cart", 0), begun, ended)[50, "open"] == []
    longer = silence(-60, 3600, said_s=50, service="cart")
    assert said(anomaly("cart", 0), silence(-60, 100, service="cart"), longer) == {
        (0, "open"): ["silence:s"], (300, "closed"): ["silence:s"]
    }  # fmt: skip


def test_labels_of_telemetry_do_not_pass_for_what_tidegate_says():
    assert said(anomaly("cart", 0, {"service": "mail"}), silence(-60, 3600, service="mail"))[0, "open"] == []
    assert said(anomaly("cart", 0, {"zone": "b"}), silence(-60, 3600, zone="b"))[0, "open"] == ["silence:s"]


def test_neither_a_restart_nor_the_order_of_one_instant_changes_what_is_said():
    records = [*(anomaly("cart", at) for at in range(0, 200, 10)), silence(-60, 100, service="cart")]
    records += [silence(100, 150, said_s=20, id="r", service="cart")]
    whole = said(*records)
    assert whole[120, "open"] == ["silence:r"]
    assert all(said(*reversed(records), stop=stop) == whole for stop in range(0, 23, 3))
