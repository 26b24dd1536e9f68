"""One trace an incident: hops from records alone, budgets from hops, ids that every replay repeats."""

import itertools
import json
import threading
import uuid
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import numpy as np
import pytest

import schemas as sc
from schemas._events import traceparent
from schemas.core import NS, Emit, Message
from streams import FROM
from tidegate import _trace
from tidegate._errors import NotFoundError, TidegateError

T = 1_800_000_000 * NS
INCIDENT = sc.record_id("incident", "shop", 1)
SERIES = "00000000000000aa"
POINTER = sc.EvidencePointer(signal="metrics", subject=SERIES, t_min_ns=T, t_max_ns=T + 10 * NS, sha256="sha256:1")
CAUSE = sc.Cause(entity="cart", entity_id="default/service/cart", family="error")
EVIDENCE = sc.Evidence(kind="error_ratio", supports=True, weight=1.0, text="errors", pointer=POINTER)
HYPOTHESIS = sc.Hypothesis(cause=CAUSE, score=1.0, reason="errors", evidence=[EVIDENCE])
ANOMALY = sc.Anomaly(
    id="a", entity_id="default/service/cart", service="cart", series=SERIES, name="errors", signal="metrics",
    kind="metric", detector="t@1", start_ns=T - 50 * NS, end_ns=T + 10 * NS, observed=9.0, expected=1.0, residual=8.0,
    unit="1", p_value=1e-9, pointer=POINTER,
)  # fmt: skip
OPENED = sc.Incident(
    id=INCIDENT,
    opened_ns=T + 10 * NS,
    updated_ns=T + 10 * NS,
    entities=["default/service/cart"],
    severity=9.0,
    title="cart: errors",
)
DIAGNOSIS = sc.Diagnosis(
    id="d", incident_id=INCIDENT, as_of_ns=T + 20 * NS, opened_ns=T, entities=["default/service/cart"], severity=9.0,
    hypotheses=[HYPOTHESIS],
)  # fmt: skip
CHANGE = sc.ProposedChange(
    verb="v", target="t/service/a", parameters={}, is_reversible=True, runbook="r", digest="sha256:2"
)  # fmt: skip
DECISION = sc.Decision(effect="advise", reason="UNCALIBRATED", policy_digest="sha256:3", snapshot_digest="sha256:4")
DECIDED = sc.ActionEvent(
    id="e", action_id="x", incident_id=INCIDENT, diagnosis_id="d", sequence=1, state="advised", at_ns=T, change=CHANGE,
    hypothesis=HYPOTHESIS, decision=DECISION,
)  # fmt: skip
_offsets = itertools.count()


def at(after_s: float, topic: str, record: sc.Record, **more: Any) -> Message:
    """A record as it lies on Kafka, written so many seconds after T."""
    emit = sc.emit(topic, record, id=getattr(record, "id", "m"), key="k", source="test", event_ns=T)
    return stored(after_s, emit)._replace(**more)


def stored(after_s: float, emit: Emit) -> Message:
    wall = T + round(after_s * NS)
    return Message(
        emit.topic, emit.partition, next(_offsets), emit.key, emit.value, emit.headers, emit.event_ns, wall
    )  # fmt: skip


def way(*, later_s: float = 0.0, fault_ns: int = 0) -> _trace.Way:
    control = [
        at(later_s + 25, sc.DIAGNOSES, DIAGNOSIS), at(later_s + 90, sc.ACTIONS, DECIDED),
        at(later_s + 24, sc.INCIDENTS, OPENED), at(later_s + 30, sc.ACTIONS, DECIDED),
    ]  # fmt: skip
    anomalies = [at(later_s + 23, sc.ANOMALIES, ANOMALY), at(later_s + 70, sc.ANOMALIES, ANOMALY)]
    return _trace.way_of(control, anomalies, INCIDENT[:8], fault_ns=fault_ns)


def frame(after_s: float, t_s: float, partition: int = 1) -> Message:
    data = sc.encode_frame(
        np.array([0xAA], np.uint64), np.array([T + round(t_s * NS)]), np.array([1.0]), shards=np.zeros(1, np.int64)
    )
    headers = ((FROM, b"normalise@otlp_metrics/3"),)
    return stored(after_s, Emit(sc.FRAMES, b"", data, headers, T, partition))


def mark(after_s: float, through_s: float, instance: str, *, idle: bool = False) -> Message:
    record = sc.Watermark(stage="normalise", instance=instance, through_ns=T + round(through_s * NS), idle=idle)
    return at(after_s, sc.FRAMES, record, key=instance.encode(), partition=1)


FRAMES = [
    frame(5, 3), frame(11, 9), frame(40, 10), frame(50, 9, partition=0), mark(12, 0, "a"), mark(21, 10, "a"),
    mark(22, 20, "b"), mark(60, 30, "b"), mark(1, 99, "c", idle=True),
]  # fmt: skip


def test_hops_are_the_first_writings_in_order_and_add_up() -> None:
    found = way()
    hops, framed = _trace.telemetry_hops(found, FRAMES, 1)
    document = _trace.traced(found, hops).document()
    assert list(framed) == ["normalise@otlp_metrics/3"]
    assert [(h["hop"], h["since_s"]) for h in document["hops"]] == [
        ("fault", 0), ("framed", 11), ("time passed", 22), ("anomaly", 23), ("incident", 24), ("diagnosis", 25),
        ("decision", 30),
    ]  # fmt: skip
    assert sum(h["share_of_budget"] for h in document["hops"]) == pytest.approx(30 / 45, abs=1e-3)


def test_an_anomaly_that_ended_after_the_incident_had_opened_did_not_open_it() -> None:
    later = ANOMALY.model_copy(update={"id": "later", "end_ns": T + 20 * NS})
    other = POINTER.model_copy(update={"sha256": "sha256:9"})
    opener = ANOMALY.model_copy(update={"id": "opener", "pointer": other})
    control = [at(24, sc.INCIDENTS, OPENED), at(25, sc.DIAGNOSES, DIAGNOSIS)]
    found = _trace.way_of(control, [at(24.2, sc.ANOMALIES, later), at(23, sc.ANOMALIES, opener)], INCIDENT)
    assert found.first == opener and found.hops[0].at_ns == T + 23 * NS


def test_a_writer_that_came_after_the_anomaly_was_not_waited_for() -> None:
    hops, _ = _trace.telemetry_hops(way(), [frame(11, 9), mark(21, 10, "a"), mark(24, 20, "late")], 1)
    assert [(hop.name, hop.at_ns) for hop in hops] == [("framed", T + 11 * NS), ("time passed", T + 21 * NS)]


def test_a_writer_that_was_idle_when_the_window_ended_did_not_hold_it_back() -> None:
    frames = [frame(11, 9), mark(1, 0, "idle"), mark(2, 0, "idle", idle=True), mark(21, 10, "a"), mark(60, 99, "idle")]
    hops, _ = _trace.telemetry_hops(way(), frames, 1)
    assert [hop.at_ns for hop in hops] == [T + 11 * NS, T + 21 * NS]


def test_a_writer_that_was_idle_and_came_back_held_it_back_until_it_passed() -> None:
    frames = [frame(11, 9), mark(2, 0, "b", idle=True), mark(3, 1, "b"), mark(21, 10, "a"), mark(22, 99, "b")]
    hops, _ = _trace.telemetry_hops(way(), frames, 1)
    assert [hop.at_ns for hop in hops] == [T + 11 * NS, T + 22 * NS]


def test_a_series_that_the_windower_made_was_framed_with_its_parts() -> None:
    of = {"entity_id": ANOMALY.entity_id, "service": "cart", "unit": "s", "kind": "count"}
    ids = [sc.series_id("default", ANOMALY.entity_id, name, {}) for name in ("took_sum", "took_mean")]
    made = ANOMALY.model_copy(update={"name": "took_mean", "series": f"{ids[1]:016x}"})
    part = sc.SeriesDef(id=f"{ids[0]:016x}", name="took_sum", **of)
    value = sc.encode_frame(
        np.array(ids[:1], np.uint64), np.array([T + 9 * NS]), np.ones(1), shards=np.zeros(1, np.int64), defs=[part]
    )
    framed = stored(11, Emit(sc.FRAMES, b"", value, ((FROM, b"normalise@otlp_metrics/3"),), T, 1))
    found = _trace.way_of([at(24, sc.INCIDENTS, OPENED), at(25, sc.DIAGNOSES, DIAGNOSIS)],
                          [at(23, sc.ANOMALIES, made)], INCIDENT)  # fmt: skip
    hops, writers = _trace.telemetry_hops(found, [framed, mark(21, 10, "a")], 1)
    assert [hop.name for hop in hops] == ["framed", "time passed"] and list(writers) == ["normalise@otlp_metrics/3"]


def test_budgets_are_until_the_anomaly_and_until_the_decision() -> None:
    budget = _trace.traced(way(), ()).document()["budget"]
    assert [(b["until"], b["took_s"], b["is_kept"]) for b in budget] == [
        ("anomaly", 23.0, True), ("decision", 30.0, True)
    ]  # fmt: skip
    late = _trace.traced(way(later_s=20), ()).document()["budget"]
    assert [b["is_kept"] for b in late] == [False, False]


def test_the_fault_is_the_last_pane_of_the_first_anomalous_window_unless_it_is_known() -> None:
    assert _trace.traced(way(), ()).hops[0] == _trace.Hop("fault", T)
    assert _trace.traced(way(fault_ns=T - 3 * NS), ()).hops[0].at_ns == T - 3 * NS


def test_of_the_messages_of_each_log_the_last_that_is_meant_counts() -> None:
    sent = [(4.0, b"in"), (10.0, b"in"), (10.5, b"other"), (9.0, b"in")]
    messages = [stored(after_s, Emit("otlp_metrics", b"", value, (), T, 0)) for after_s, value in sent]
    there = stored(12, Emit("otlp_metrics", b"", b"in", (), T, 1))
    found = _trace.last_by([*messages, there], lambda m: str(m.partition), lambda m: m.value == b"in")
    assert found == {"0": messages[1], "1": there} and _trace.newest(found) is there


def test_of_played_telemetry_the_trace_begins_with_our_own_records() -> None:
    found = way(later_s=1e6)
    trace = _trace.traced(found, [_trace.Hop("received", T + NS), _trace.Hop("framed", T + 1_000_011 * NS)])
    assert trace.hops[0].name == "framed" and "played" in trace.notes[0]


def test_what_is_not_there_yet_is_said() -> None:
    found = _trace.way_of([at(24, sc.INCIDENTS, OPENED), at(25, sc.DIAGNOSES, DIAGNOSIS)], [], INCIDENT)
    trace = _trace.traced(found, ())
    assert [hop.name for hop in trace.hops] == ["incident", "diagnosis"] and "no decision (yet)" in trace.notes[1]


def test_an_incident_that_nobody_knows_is_a_sentence() -> None:
    with pytest.raises(NotFoundError):
        _trace.way_of([], [], INCIDENT)


# --- ids ---


def test_the_trace_id_is_the_incident_id_and_records_carry_it() -> None:
    assert at(0, sc.DIAGNOSES, DIAGNOSIS).header("traceparent").split("-")[1] == uuid.UUID(INCIDENT).hex
    assert at(0, sc.ACTIONS, DECIDED).header("traceparent") == at(9, sc.ACTIONS, DECIDED).header("traceparent")
    assert at(0, sc.ANOMALIES, ANOMALY).header("traceparent") == ""  # of no incident yet


@pytest.mark.parametrize("incident", [INCIDENT, "INC-42", ""])
def test_a_traceparent_is_one_by_the_w3c(incident: str) -> None:
    version, trace, span, flags = traceparent(incident, "r").split("-")
    assert (version, flags, len(trace), len(span)) == ("00", "01", 32, 16)
    assert int(trace, 16) and int(span, 16) and trace + span == (trace + span).lower()


# --- OTLP ---


def test_spans_follow_each_other_below_one_for_the_whole() -> None:
    first, *rest = _trace.traced(way(), ()).otlp("9")["resourceSpans"][0]["scopeSpans"][0]["spans"]
    assert [span["name"] for span in rest] == ["anomaly", "incident", "diagnosis", "decision"]
    assert {span["parentSpanId"] for span in rest} == {first["spanId"]} and "parentSpanId" not in first
    assert first["startTimeUnixNano"] == rest[0]["startTimeUnixNano"]
    assert first["endTimeUnixNano"] == rest[-1]["endTimeUnixNano"]
    assert len({span["spanId"] for span in (first, *rest)}) == 5


def test_the_spans_have_the_fields_of_otlp() -> None:
    """Its own library reads them, but for ids: in OTLP's JSON those are hexadecimal and not base64 (OTLP 1.x)."""
    from google.protobuf.json_format import ParseDict
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    read = ParseDict(_trace.traced(way(), ()).otlp("9"), ExportTraceServiceRequest())
    span = read.resource_spans[0].scope_spans[0].spans[1]
    assert span.end_time_unix_nano - span.start_time_unix_nano == 23 * NS


def test_a_trace_is_posted_to_the_collector() -> None:
    came: list[tuple[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            came.append((self.path, json.loads(self.rfile.read(int(self.headers["Content-Length"])))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            """Quiet."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.handle_request, daemon=True).start()
    trace = _trace.traced(way(), ())
    _trace.send(trace, f"http://127.0.0.1:{server.server_port}/", "9")
    server.server_close()
    assert came == [("/v1/traces", trace.otlp("9"))]


def test_a_collector_that_does_not_answer_is_a_sentence() -> None:
    with pytest.raises(TidegateError, match="otlp_url") as caught:
        _trace.send(_trace.traced(way(), ()), "http://127.0.0.1:9", "9")
    assert caught.value.code == "TRACE_NOT_TAKEN"
