"""The gateway as senders and readers meet it: over real HTTP, on this machine."""

import gzip
import http.client
import json
import time
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceResponse
from prometheus_client.parser import text_string_to_metric_families
from support.up import START_NS, Caller, Clock, feed, serving, settings, shop_emits

import schemas as sc
from schemas.core import NS, Emit
from streams import KIND, SOURCE, TRUST, EmbeddedLog
from streams._otlp_encode import gauge, request
from tidegate._live import TENANT, Live

PROTO, JSON = {"content_type": "application/x-protobuf"}, {"content_type": "application/json"}
SHOP, BANK, READER = "shop-token-0123456789", "bank-token-0123456789", "reader-token-0123456789"
TOKENS = [
    {"token": SHOP, "source": "shop", "tenant": "shop"}, {"token": BANK, "source": "bank", "tenant": "bank"},
    {"token": READER, "source": "reader", "tenant": "default", "can_send": False, "can_read": True},
]  # fmt: skip
METRICS = request([((("service.name", "cart"),), [gauge("queue", "1", START_NS, 5.0)])])
QUEUE = {"name": "queue", "gauge": {"dataPoints": [{"timeUnixNano": str(START_NS), "asDouble": 5.0}]}}
METRICS_JSON = json.dumps({"resourceMetrics": [{"scopeMetrics": [{"metrics": [QUEUE]}]}]}).encode()


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


def raw(live: Live) -> list[sc.core.Message]:
    return [stored.message for stored in live.log.read([sc.RAW], getattr(live, "seen", 0), 1000)]


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """A live run and a caller, without tokens."""
    config = settings(max_body_bytes=100_000, max_backlog_bytes=300_000)
    live = Live(tmp_path_factory.mktemp("open"), config, now_ns=Clock())
    with serving(live, is_local_only=True) as call:
        yield live, call
    live.close()


@pytest.fixture
def open_(shared):
    """The same, with nothing waiting; `raw` shows what came since."""
    shared[0].pump()
    shared[0].seen = shared[0].log.last()
    return shared


@pytest.fixture(scope="module")
def untouched(tmp_path_factory):
    """The same for requests of which nothing must be kept."""
    live = Live(tmp_path_factory.mktemp("untouched"), settings(max_body_bytes=100_000), now_ns=Clock())
    with serving(live, is_local_only=True) as call:
        yield live, call
    live.close()


@pytest.fixture
def guarded(tmp_path):
    """The same with tokens."""
    live = Live(tmp_path, settings(tokens=TOKENS), now_ns=Clock())
    with serving(live) as call:
        yield live, call
    live.close()


# --- OTLP in ---


@pytest.mark.parametrize("signal", ["metrics", "logs", "traces"])
@pytest.mark.parametrize(("encoding", "body", "answer"), [(PROTO, METRICS, b""), (JSON, METRICS_JSON, b"{}")])
def test_a_request_is_kept_as_it_was_sent_and_answered_in_its_encoding(open_, signal, encoding, body, answer):
    live, call = open_
    said = call("POST", f"/v1/{signal}", body, **encoding)
    assert (said.status, said.body, said.headers["content-type"]) == (200, answer, encoding["content_type"])
    ExportMetricsServiceResponse.FromString(b"" if encoding == JSON else said.body)
    (message,) = raw(live)
    assert message.value == body
    assert message.header(KIND) == {"metrics": "otlp_metrics", "logs": "otlp_logs", "traces": "otlp_spans"}[signal]
    assert message.header(SOURCE) == f"local/{signal}"


def test_what_was_answered_with_200_is_in_the_file_whatever_becomes_of_the_process(open_):
    live, call = open_
    assert call("POST", "/v1/metrics", METRICS, **PROTO).status == 200
    other = EmbeddedLog(live.directory / "log.sqlite")
    assert other.last() == live.seen + 1
    other.close()


def test_gzip_is_unpacked(open_):
    live, call = open_
    packed = gzip.compress(METRICS[:9]) + gzip.compress(METRICS[9:])
    assert call("POST", "/v1/metrics", packed, **PROTO, content_encoding="gzip").status == 200
    assert raw(live)[0].value == METRICS


REFUSED = {
    "gzip cut short": (gzip.compress(METRICS)[:-9], {"content_encoding": "gzip"}, 400, "cut short"),
    "no gzip": (METRICS, {"content_encoding": "gzip"}, 400, "not gzip"),
    "many members": (gzip.compress(b"") * 200, {"content_encoding": "gzip"}, 400, "members"),
    "a bomb": (gzip.compress(b"\0" * 10_000_000), {"content_encoding": "gzip"}, 413, "100000 bytes"),
    "too large": (b"\0" * 100_001, {}, 413, "100000 bytes"),
    "another coding": (METRICS, {"content_encoding": "br"}, 415, "'br'"),
    "another type": (METRICS, {"content_type": "text/plain"}, 415, "'text/plain'"),
    "another host": (METRICS, {"host": "evil.example:80"}, 403, "localhost"),
}


@pytest.mark.parametrize("case", REFUSED)
@pytest.mark.parametrize("encoding", [PROTO, JSON])
def test_what_has_the_wrong_size_type_or_coding_is_refused_with_a_status_and_nothing_is_kept(untouched, case, encoding):
    live, call = untouched
    body, headers, status, says = REFUSED[case]
    said = call("POST", "/v1/metrics", body, **{**encoding, **headers})
    assert said.status == status
    if said.headers["content-type"] == JSON["content_type"]:
        message = said.json["message"]
    else:  # google.rpc.Status: 1 code, 2 message
        assert (said.body[0], said.body[2]) == (0x08, 0x12)
        message = said.body.decode("utf-8", "replace")
    assert says in message
    assert raw(live) == []


def test_content_that_cannot_be_decoded_is_kept_and_becomes_a_dead_letter(open_):
    live, call = open_
    assert call("POST", "/v1/metrics", METRICS[:-3], **PROTO).status == 200
    live.pump()
    *_, letter = [s.message for s in live.log.read([sc.DEAD_LETTERS], live.seen, 10)]
    assert (letter.value, letter.header("original-tidegate-source")) == (METRICS[:-3], "local/metrics")
    assert live.health.ledger["reasons"]["messages.dead_lettered:OTLP_TRUNCATED"] == 1


def test_a_sender_is_told_to_come_again_while_too_much_waits_and_is_taken_once_it_is_worked_off(open_):
    live, call = open_
    body = METRICS * (90_000 // len(METRICS))
    statuses = [call("POST", "/v1/metrics", body, **PROTO).status for _ in range(3)]
    full = call("POST", "/v1/metrics", body, **PROTO)
    assert (statuses, full.status, full.headers["retry-after"]) == ([200] * 3, 429, "1")
    live.pump()
    assert live.backlog == (0, 0)
    assert call("POST", "/v1/metrics", body, **PROTO).status == 200


def test_a_log_that_cannot_be_written_is_a_503_and_never_a_200(open_):
    live, call = open_
    live.log._db.execute("PRAGMA query_only=1")
    said = call("POST", "/v1/metrics", METRICS, **JSON)
    assert (said.status, "nothing" in said.json["message"]) == (503, True)
    live.log._db.execute("PRAGMA query_only=0")


# --- who ---


def test_source_and_tenant_come_from_the_token_and_cannot_be_claimed(guarded):
    live, call = guarded
    claimed = {"tidegate_source": "bank", "tidegate_tenant": "bank", "tidegate_kind": "records"}
    assert call("POST", "/v1/metrics", METRICS, **PROTO, **claimed, **bearer(SHOP)).status == 200
    (message,) = raw(live)
    assert [message.header(n) for n in (KIND, SOURCE, TENANT)] == ["otlp_metrics", "shop/metrics", "shop"]
    assert [name for name, _ in message.headers] == [KIND, SOURCE, TENANT, TRUST]


@pytest.mark.parametrize("said", [{}, bearer("shop-token-012345678"), {"authorization": f"Basic {SHOP}"}, bearer("ä")])
def test_without_a_known_token_nothing_is_taken_or_told(guarded, said):
    live, call = guarded
    said = {k: v.encode().decode("latin-1") for k, v in said.items()}
    for method, path in [
        ("POST", "/v1/metrics"),
        ("POST", "/v1/events"),
        ("GET", "/v1/incidents"),
        ("GET", "/v1/actions"),
    ]:
        answer = call(method, path, METRICS, **PROTO, **said)
        assert (answer.status, answer.headers["www-authenticate"]) == (401, "Bearer")
    assert raw(live) == []


def test_a_token_does_only_what_it_may(guarded):
    _, call = guarded
    assert call("POST", "/v1/metrics", METRICS, **PROTO, **bearer(READER)).status == 403
    assert call("GET", "/v1/incidents", **bearer(SHOP)).status == 403
    assert call("GET", "/v1/incidents", **bearer(READER)).json == {"incidents": []}


# --- events in ---


def change(tenant: str = "default", at_ns: int = START_NS, **fields: object) -> dict[str, object]:
    return {"id": "c1", "tenant": tenant, "entity_id": f"{tenant}/service/cart", "service": "cart", "kind": "deploy",
            "at_ns": at_ns, "title": "deploy #1", **fields}  # fmt: skip


ATTRIBUTES = {"specversion": "1.0", "type": "io.tidegate.change", "id": "e1", "source": "ci/é 1"}


def structured(call: Caller, data: object, headers: dict[str, str] | None = None, **attributes: object):
    body = json.dumps({**ATTRIBUTES, **attributes, "data": data}).encode()
    return call("POST", "/v1/events", body, content_type="application/cloudevents+json", **headers or {})


def binary(call: Caller, data: object):
    told = {f"ce_{name}": value.replace("é ", "%C3%A9%20") for name, value in ATTRIBUTES.items()}
    return call("POST", "/v1/events", json.dumps(data).encode(), **JSON, **told)


@pytest.mark.parametrize("send", [structured, binary])
def test_a_change_in_either_mode_comes_out_on_the_topic_of_changes(open_, send):
    live, call = open_
    assert send(call, change(note_of_a_newer_writer=1)).status == 204
    live.pump()
    (found,) = [m for s in live.log.read([sc.CHANGES], live.seen, 10) if sc.record_type(m := s.message) == "change"]
    assert sc.read(found) == sc.Change.model_validate(change())
    (message,) = raw(live)
    assert (message.header("ce_id"), message.header("ce_source")) == ("e1", "ci/é 1")


MARK = {"stage": "source:local/metrics", "through_ns": 1 << 62, "final": True}
UNUSABLE = {
    "a field is missing": (change(title=None), {}, "title"),
    "an unknown type": (change(), {"type": "com.example.x"}, "com.example.x"),
    "a record of ours": (MARK, {"type": "io.tidegate.watermark"}, "does not come from outside"),
    "a mark in disguise": (MARK, {"dataschema": "urn:tidegate:schema:watermark:1"}, "does not come from outside"),
    "a time beyond all clocks": (change(at_ns=1 << 70), {}, "at_ns"),
    "an old version": (change(), {"specversion": "0.3"}, "specversion"),
    "no id": (change(), {"id": ""}, "id"),
    "half a character": (change(), {"id": "\ud800"}, "attribute"),
    "a list": ([1], {}, "Change"),
}


@pytest.mark.parametrize("case", UNUSABLE)
def test_an_event_that_does_not_fit_is_refused_with_what_does_not(untouched, case):
    live, call = untouched
    data, attributes, says = UNUSABLE[case]
    said = structured(call, data, **attributes)
    assert (said.status, says in said.json["message"]) == (400, True), said.body
    assert raw(live) == []


def test_an_event_in_no_mode_of_cloudevents_is_a_415(untouched):
    _, call = untouched
    assert call("POST", "/v1/events", b"{}", **JSON).status == 415


def test_a_sender_cannot_say_what_changed_at_another_tenant(guarded):
    live, call = guarded
    assert structured(call, change("bank"), bearer(SHOP)).status == 403
    assert structured(call, change("shop", entity_id="bank/service/cart"), bearer(SHOP)).status == 403
    assert structured(call, change("shop"), bearer(SHOP)).status == 204
    assert len(raw(live)) == 1


# --- out ---


class Stream:
    """A reader of server-sent events."""

    def __init__(self, call: Caller, **headers: str) -> None:
        self.connection = http.client.HTTPConnection(urlsplit(call.url).netloc, timeout=60)
        self.connection.request("GET", "/v1/actions", headers={k.replace("_", "-"): v for k, v in headers.items()})
        self.response = self.connection.getresponse()
        assert self.next() == ["retry: 2000"]

    def next(self) -> list[str]:
        lines: list[str] = []
        while line := self.response.readline().decode().rstrip("\n"):
            lines.append(line)
        return lines

    def event(self) -> tuple[int, dict]:
        said, kind, data = self.next()
        event = json.loads(data.removeprefix("data: "))
        assert kind == f"event: {event['type']}"
        return int(said.removeprefix("id: ")), event


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """A live run that has decided about the shop's bad deploy; tokens; and a caller."""
    live = Live(tmp_path_factory.mktemp("told"), settings(tokens=TOKENS), now_ns=(clock := Clock()))
    feed(live, clock, pump_every=20)
    clock.ns += 40 * NS
    for _ in range(60):
        live.pump()
        clock.ns += 10 * NS
    with serving(live, heartbeat_s=0.5) as call:
        yield live, call
    live.close()


def test_actions_stream_in_order_and_go_on_after_the_last_that_was_seen(told):
    live, call = told
    decided = [s for s in live.log.read([sc.ACTIONS], 0, 1000) if sc.record_type(s.message) == "action"]
    stream = Stream(call, **bearer(READER))
    seen = [stream.event() for _ in decided]
    assert [sequence for sequence, _ in seen] == [s.sequence for s in decided]
    assert seen[0][1]["id"] == decided[0].message.header("ce_id")
    assert sc.ActionEvent.model_validate(seen[0][1]["data"]) == sc.read(decided[0].message)
    again = Stream(call, last_event_id=str(seen[0][0]), **bearer(READER))
    assert again.event() == seen[1]


def test_a_stream_says_that_it_lives_and_tells_what_is_new(told):
    live, call = told
    last = live.log.last()
    stream = Stream(call, last_event_id=str(last), **bearer(READER))
    assert stream.next() == [": still here"]
    old = next(s.message for s in live.log.read([sc.ACTIONS], 0, 100) if sc.record_type(s.message) == "action")
    live.log.append([Emit(sc.ACTIONS, old.key, old.value, old.headers, old.event_ns)], writer="test")
    while not (lines := stream.next())[0].startswith("id: "):
        assert lines == [": still here"]
    assert int(lines[0].removeprefix("id: ")) > last


def test_a_reader_sees_only_its_tenant(told, tmp_path):
    live, _ = told
    nobody = [{"token": READER, "source": "reader", "tenant": "bank", "can_read": True}]
    other = type(live).__new__(type(live))
    other.__dict__.update(live.__dict__)
    other.settings = settings(tokens=nobody)
    with serving(other, heartbeat_s=0.3) as call:
        assert call("GET", "/v1/incidents", **bearer(READER)).json == {"incidents": []}
        assert Stream(call, **bearer(READER)).next() == [": still here"]


@pytest.mark.parametrize("said", ["x", "-1", "9" * 30])
def test_an_event_id_that_is_none_is_refused(told, said):
    _, call = told
    assert call("GET", "/v1/actions", last_event_id=said, **bearer(READER)).status == 400


def test_incidents_are_told_as_a_replay_prints_them(told):
    _, call = told
    (incident,) = call("GET", "/v1/incidents", **bearer(READER)).json["incidents"]
    assert set(incident) >= {"id", "opened", "entities", "severity", "title", "abstained", "hypotheses"}
    assert incident["hypotheses"][0]["cause"]["entity"] == "checkout"


def test_metrics_agree_with_the_ledger(told):
    live, call = told
    families = text_string_to_metric_families(call("GET", "/metrics").body.decode())
    samples = {(s.name, *sorted(s.labels.items())): s.value for f in families for s in f.samples}
    assert samples["tidegate_messages_total", ("state", "admitted")] == live.health.ledger["messages"]["admitted"] > 50
    assert samples["tidegate_watermark_seconds", ("stage", "decide")] == live.health.watermark_ns / NS
    assert samples["tidegate_stage_lag_records", ("stage", "detect")] == 0
    assert samples["tidegate_sources", ("state", "idle")] == 3


def test_health_shows_how_far_each_stage_came_and_says_when_the_engine_is_stuck(told):
    live, call = told
    fine = call("GET", "/healthz")
    assert (fine.status, fine.json["status"], len(fine.json["stages"])) == (200, "ok", 7)
    assert fine.json["watermark"] == sc.rfc3339(live.health.watermark_ns)
    clock, before = live.now_ns, live.now_ns.ns
    clock.ns += 61 * NS
    stuck = call("GET", "/healthz")
    assert (stuck.status, stuck.json["status"]) == (503, "stuck")
    clock.ns = before


def test_a_process_that_stops_takes_nothing_and_ends_its_streams(tmp_path):
    live, state = Live(tmp_path, settings(), now_ns=Clock()), ["ok"]
    with serving(live, status=lambda: state[0]) as call:
        stream = Stream(call)
        state[0] = "stopping"
        assert stream.next() == []
        refused = call("POST", "/v1/metrics", METRICS, **PROTO)
    assert (refused.status, refused.headers["retry-after"]) == (503, "5")
    assert raw(live) == []
    live.close()


def test_many_senders_at_once_lose_nothing(open_):
    live, call = open_
    bodies = [e.value for e in shop_emits() if e.topic == sc.OTLP_METRICS and not e.headers][:5] * 8
    bodies = [b for b in bodies if len(b) < 100_000]
    with ThreadPoolExecutor(8) as pool:

        def send(body: bytes) -> int:
            while (status := call("POST", "/v1/metrics", body, **PROTO).status) == 429:
                time.sleep(0.02)
            return status

        sent = [pool.submit(send, body) for body in bodies]
        while not all(f.done() for f in sent):
            live.pump()
    assert {f.result() for f in sent} == {200}
    assert sorted(m.value for m in raw(live)) == sorted(bodies)
    assert len({m.offset for m in raw(live)}) == len(bodies)
