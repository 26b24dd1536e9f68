"""Webhooks of other systems: documented bodies in, records out; nothing that is sent breaks a parser."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cloudevents.core.bindings.http import to_binary_event, to_structured_event
from cloudevents.core.v1.event import CloudEvent
from hypothesis import given, settings
from hypothesis import strategies as st

import schemas as sc
from schemas.core import NS, Message
from streams._errors import SourceError
from streams._normalise import Normalise
from tidegate import _catalogue

GOLDEN = sorted((Path(__file__).parents[1] / "golden/webhooks").glob("*.json"))
NOW = 1_772_450_000 * NS  # 2026-03-02T11:13:20Z
SOURCES = {kind: source for kind, source in _catalogue.find("sources").items() if getattr(source, "intake", None)}
JSON_SOURCES = sorted({json.loads(file.read_text())["kind"] for file in GOLDEN})


def message(kind: str, body: bytes, headers: dict[str, str] | None = None) -> Message:
    said = (("tidegate-kind", kind), *((f"http-{name}", value) for name, value in (headers or {}).items()))
    return Message(sc.RAW, 0, 0, b"", body, tuple((n, v.encode()) for n, v in said), NOW, NOW)


def told(record: sc.Record) -> dict[str, Any]:
    """A record as the golden files write it: `at` and so on as text, its type."""
    fields = record.model_dump()
    times = {name[:-3]: value for name, value in fields.items() if name.endswith("_ns")}
    return {**fields, **{n: None if v is None else sc.rfc3339(v) for n, v in times.items()}, "type": record.TYPE}


@pytest.mark.parametrize("file", GOLDEN, ids=lambda f: f.stem)
def test_what_a_system_posts_becomes_exactly_these_records(file: Path) -> None:
    case = json.loads(file.read_text())
    body = case["body"] if isinstance(case["body"], str) else json.dumps(case["body"])
    found = SOURCES[case["kind"]].decode(message(case["kind"], body.encode(), case["headers"])).records
    assert len(found) == len(case["expect"])
    for record, expected in zip(found, case["expect"], strict=True):
        assert {name: told(record)[name] for name in expected} == expected


@pytest.mark.parametrize("file", GOLDEN, ids=lambda f: f.stem)
def test_a_delivery_that_comes_twice_names_the_same_records_and_fits_its_topic(file: Path) -> None:
    case = json.loads(file.read_text())
    body = case["body"] if isinstance(case["body"], str) else json.dumps(case["body"])
    source = SOURCES[case["kind"]]
    (first, second) = (source.decode(message(case["kind"], body.encode(), case["headers"])) for _ in range(2))
    assert first.records == second.records
    assert [type(r).from_bytes(r.to_bytes(), strict=True) for r in first.records] == list(first.records)
    stage = Normalise([source])
    _, out = stage.step(stage.initial(), message(case["kind"], body.encode(), case["headers"]))
    topics = [e.topic for e in out if getattr(e, "topic", "") in (sc.CHANGES, sc.ALERTS, sc.CALENDAR, sc.TOPOLOGY)]
    assert len(topics) == len(first.records)


def holes(value: Any) -> Any:
    """The same body with one field left away or of another type, for each field."""
    if isinstance(value, dict):
        for name in value:
            for other in (None, 7, "x", [], {}, [1], -1, "\ud800", 1e400):
                yield {**value, name: other}
            yield {k: v for k, v in value.items() if k != name}
            yield from ({**value, name: inner} for inner in holes(value[name]))
    elif isinstance(value, list):
        for i, item in enumerate(value):
            yield from ([*value[:i], inner, *value[i + 1 :]] for inner in holes(item))


@pytest.mark.parametrize("file", GOLDEN, ids=lambda f: f.stem)
def test_a_field_that_is_absent_or_wrong_is_named_or_not_needed(file: Path) -> None:
    case = json.loads(file.read_text())
    for body in holes(case["body"]):
        try:
            records = (
                SOURCES[case["kind"]].decode(message(case["kind"], json.dumps(body).encode(), case["headers"])).records
            )
        except SourceError as error:
            assert error.code.endswith("_INVALID") and error.what
        else:
            assert all(record.to_bytes() for record in records)


@pytest.mark.parametrize("file", GOLDEN, ids=lambda f: f.stem)
def test_fields_that_a_later_version_adds_change_nothing(file: Path) -> None:
    case = json.loads(file.read_text())
    if isinstance(case["body"], str):
        return
    source, more = SOURCES[case["kind"]], {**case["body"], "a_new_field": {"deep": [1, {"x": None}]}}
    before, after = (
        source.decode(message(case["kind"], json.dumps(body).encode(), case["headers"])).records
        for body in (case["body"], more)
    )
    assert before == after


@pytest.mark.parametrize("kind", JSON_SOURCES)
@settings(max_examples=60, deadline=None)
@given(body=st.binary(max_size=200) | st.recursive(st.none() | st.integers() | st.text(), st.lists).map(json.dumps))
def test_no_body_breaks_a_parser(kind: str, body: bytes | str) -> None:
    try:
        SOURCES[kind].decode(message(kind, body if isinstance(body, bytes) else body.encode("utf-8", "replace")))
    except SourceError as error:
        assert error.code.endswith("_INVALID")


@pytest.mark.parametrize("kind", JSON_SOURCES)
def test_what_nests_without_end_is_refused(kind: str) -> None:
    with pytest.raises(SourceError):
        SOURCES[kind].decode(message(kind, b'{"alerts":' + b"[" * 100_000))


def test_an_alert_keeps_its_id_until_it_is_over_and_is_counted_as_a_line() -> None:
    body = json.loads((GOLDEN[0].parent / "alertmanager.group.json").read_text())["body"]
    source = SOURCES["alertmanager"]
    first = source.decode(message("alertmanager", json.dumps(body).encode()))
    body["alerts"][0] |= {"status": "resolved", "endsAt": "2026-03-02T10:20:00Z"}
    second = source.decode(message("alertmanager", json.dumps(body).encode()))
    assert first.records[0].id == second.records[0].id and second.records[0].state == "resolved"
    rows = first.logs.to_pylist()
    assert [row["location"] for row in rows] == [
        "alertmanager/HighErrorRate/firing", "alertmanager/HighErrorRate/resolved",
    ]  # fmt: skip
    assert first.is_occasional and rows[0]["t"].value == NOW


def test_whoever_configures_a_webhook_can_name_the_service() -> None:
    body = json.dumps(json.loads((GOLDEN[0].parent / "argocd.synced.json").read_text())["body"]).encode()
    (change,) = SOURCES["argocd"].decode(message("argocd", body, {"x-tidegate-service": "payments"})).records
    assert (change.service, change.entity_id) == ("payments", "default/service/payments")


def decoded(name: str) -> Any:
    case = json.loads((GOLDEN[0].parent / f"{name}.json").read_text())
    return SOURCES[case["kind"]].decode(message(case["kind"], json.dumps(case["body"]).encode(), case["headers"]))


def test_an_event_of_a_pod_is_a_line_of_the_instance_at_its_own_time() -> None:
    (row,) = decoded("kubernetes.event.core").logs.to_pylist()
    assert (row["entity"], row["service"]) == ("default/instance/checkout/checkout-7d9f8b6c5d-x2k4p", "checkout")
    assert (row["location"], row["severity"]) == ("kubernetes/Pod/BackOff", 13)
    assert row["t"].value == 1_772_449_200 * NS


def test_what_kubectl_prints_while_it_watches_is_read_object_by_object() -> None:
    body = json.loads((GOLDEN[0].parent / "kubernetes.event.core.json").read_text())["body"]
    text = json.dumps(body, indent=2) + "\n" + json.dumps(body)
    assert SOURCES["kubernetes"].decode(message("kubernetes", text.encode())).logs.num_rows == 2


def test_business_metrics_are_series_of_their_own_signal() -> None:
    found = decoded("business.orders")
    said = {d.name: (d.signal, d.kind, d.unit) for d in found.definitions.values()}
    assert said == {"orders": ("business", "count", "1"), "basket": ("business", "gauge", "EUR")}
    assert found.points.value.tolist() == [17.0, 31.5] and found.points.t[1] == NOW


def test_a_cloud_event_is_the_same_line_in_both_modes() -> None:
    case = json.loads((GOLDEN[0].parent / "cloudevents.structured.json").read_text())["body"]
    headers = {f"ce-{name}": value for name, value in case.items() if name not in ("data", "datacontenttype")}
    binary = SOURCES["cloudevents"].decode(message("cloudevents", json.dumps(case["data"]).encode(), headers))
    assert binary.logs.to_pylist() == decoded("cloudevents.structured").logs.to_pylist()
    (row,) = binary.logs.to_pylist()
    assert (row["service"], row["location"]) == ("checkout", "cloudevents/com.example.order.cancelled")


def changed(kind: str, body: dict[str, Any], headers: dict[str, str] | None = None) -> Any:
    (change,) = SOURCES[kind].decode(message(kind, json.dumps(body).encode(), headers)).records
    return change


def test_what_a_change_is_for_can_be_said_in_a_commit_an_annotation_or_a_field() -> None:
    push = json.loads((GOLDEN[0].parent / "github.push.default_branch.json").read_text())
    push["body"]["head_commit"]["message"] = (
        "Pool 50\n\nTidegate-Intent: error_ratio down within 30m of /pay status 422"
    )
    workload = json.loads((GOLDEN[0].parent / "kubernetes.deployment.json").read_text())["body"]
    workload["object"]["metadata"]["annotations"]["tidegate.io/intent"] = "latency down within 2h"
    said = [
        changed("github", push["body"], push["headers"]), changed("kubernetes", workload),
        changed("changes", {"service": "a", "title": "b", "intent": "latency up within 90s"}),
    ]  # fmt: skip
    found = [(c.intent.metric, c.intent.direction, (c.intent.by_ns - c.at_ns) // NS) for c in said]
    assert found == [("error_ratio", "down", 1800), ("latency", "down", 7200), ("latency", "up", 90)]
    assert (said[0].intent.endpoint, said[0].intent.status) == ("/pay", "422")


def test_a_text_that_only_speaks_of_latency_is_no_intent() -> None:
    push = json.loads((GOLDEN[0].parent / "github.push.default_branch.json").read_text())
    push["body"]["head_commit"]["message"] = "latency down within 30m"
    assert changed("github", push["body"], push["headers"]).intent is None


def test_a_service_calls_the_workload_that_its_selector_finds() -> None:
    pods = {"metadata": {"labels": {"app": "cart", "tier": "back"}}}
    workload = {"kind": "Deployment", "metadata": {"name": "cart", "namespace": "shop"}, "spec": {"template": pods}}
    front = {
        "kind": "Service",
        "metadata": {"name": "basket", "namespace": "shop"},
        "spec": {"selector": {"app": "cart"}},
    }
    others = [
        {**front, "metadata": {"name": "elsewhere", "namespace": "bank"}},
        {**front, "metadata": {"name": "headless", "namespace": "shop"}, "spec": {}},
    ]  # fmt: skip
    body = json.dumps({"kind": "List", "items": [front, *others, workload]}).encode()
    edges = SOURCES["kubernetes"].decode(message("kubernetes", body)).records
    assert [(e.caller, e.callee) for e in edges] == [("default/service/basket", "default/service/cart")]


def test_what_was_opened_elsewhere_by_tidegate_itself_is_no_signal() -> None:
    case = json.loads((GOLDEN[0].parent / "servicenow.incident.json").read_text())["body"]
    found = []
    for correlation in ("tidegate-1", "batch-7"):
        case["record"]["correlation_id"] = correlation
        found.append(SOURCES["servicenow"].decode(message("servicenow", json.dumps(case).encode())))
    assert [(len(d.records), d.logs is not None) for d in found] == [(1, False), (1, True)]


def test_what_the_sdk_of_cloudevents_sends_is_the_same_line_in_both_modes() -> None:
    said = {"id": "1", "source": "/shop/checkout", "type": "com.example.order", "specversion": "1.0", "subject": "ä 7%"}
    event = CloudEvent({**said, "time": datetime(2026, 3, 2, 11, tzinfo=UTC)}, {"paid": True})
    found = []
    for sent in (to_binary_event(event), to_structured_event(event)):
        (row,) = SOURCES["cloudevents"].decode(message("cloudevents", sent.body, sent.headers)).logs.to_pylist()
        found.append((row["service"], row["location"], row["body"], row["t"].value))
    expected = ("checkout", "cloudevents/com.example.order", 'ä 7% {"paid": true}', 1_772_449_200 * NS)
    assert found == [expected, expected]


@pytest.mark.parametrize(("name", "reason"), [("watch.event", "BackOff"), ("events.list", "Unhealthy")])
def test_events_that_a_real_api_server_hands_out_become_lines_of_the_pods_service(name: str, reason: str) -> None:
    case = json.loads((Path(__file__).parents[1] / f"golden/webhooks/kubernetes.sent.{name}.json").read_text())
    rows = SOURCES["kubernetes"].decode(message("kubernetes", json.dumps(case["body"]).encode())).logs.to_pylist()
    line = next(row for row in rows if row["location"].endswith(reason))
    assert (line["service"], sc.rfc3339(line["t"].value)[:19]) == ("checkout", "2026-03-02T11:00:00")
