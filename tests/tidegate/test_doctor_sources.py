"""What a gateway says of its senders, and what `doctor --sources` makes of it."""

import json

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from support.up import START_NS, Clock, serving, settings
from typer.testing import CliRunner

from schemas.core import NS
from streams._otlp_encode import gauge, request
from tidegate._live import Live
from tidegate._principals import Principal
from tidegate._source_book import SourceBook
from tidegate.cli import app

TOKEN = "shop-token-0123456789"
TOKENS = [{"token": TOKEN, "source": "shop", "tenant": "shop", "can_read": True, "trust": 2}]
PROTO = {"content_type": "application/x-protobuf", "authorization": f"Bearer {TOKEN}"}
SHOP = Principal("shop", "shop", trust=2)


@pytest.fixture
def gate(tmp_path):
    live = Live(tmp_path, settings(tokens=TOKENS), now_ns=Clock())
    with serving(live) as call:
        yield live, call
    live.close()


def send(live, call, at_ns):
    body = request([((("service.name", "cart"),), [gauge("queue", "1", at_ns, 5.0)])])
    assert call("POST", "/v1/metrics", body, **PROTO).status == 200
    live.now_ns.ns += 2 * NS
    live.pump()


def doctor(call, *more):
    return CliRunner().invoke(app, ["doctor", "--sources", call.url, "--token", TOKEN, *more])


def test_a_sender_that_speaks_is_well_and_named_with_its_trust(gate):
    live, call = gate
    send(live, call, START_NS)
    said = doctor(call)
    assert said.exit_code == 0
    assert "shop/metrics" in said.output and "1 series" in said.output and "trust 2" in said.output


def test_one_that_fell_silent_or_lags_behind_is_what_the_doctor_complains_of(gate):
    live, call = gate
    for _ in range(2):
        send(live, call, START_NS - 150 * NS)
    live.now_ns.ns += 500 * NS
    said = doctor(call, "--json")
    (row,) = json.loads(said.output.splitlines()[-1])["rows"]
    assert (said.exit_code, row["state"]) == (4, "bad")
    assert "silent" in row["todo"] and "152 s away" in row["todo"] and "of the last minutes" in row["todo"]


def test_which_schemas_a_sender_names_is_told_and_what_is_not_known_is_marked(gate):
    live, call = gate
    for url in ("https://opentelemetry.io/schemas/1.26.0", "https://example.com/schemas/2", ""):
        told = ExportMetricsServiceRequest()
        told.resource_metrics.add(schema_url=url)
        assert call("POST", "/v1/metrics", told.SerializeToString(), **PROTO).status == 200
        live.now_ns.ns += 61 * NS
    said = " ".join(doctor(call).output.split())
    assert "schema_url none 1 times, https://example.com/schemas/2 1 times (not known here), 1.26.0 1 times" in said


def test_one_body_a_minute_is_looked_at_and_schemas_are_bounded():
    book = SourceBook()
    book.heard("shop/metrics", SHOP, 10, 0)
    assert [book.looks("shop/metrics", at * NS) for at in (0, 59, 60)] == [True, False, True]
    assert not book.looks("nobody", 0)
    book.names("shop/metrics", {f"https://example.com/{n}": 1 for n in range(50)})
    (row,) = book.rows(0)
    assert len(row.schemas) == 21 and row.schemas["<other>"] == 30


def test_where_nothing_was_heard_the_doctor_says_where_to_look(gate):
    said = doctor(gate[1])
    assert said.exit_code == 4 and "docs/connect" in said.output


def test_what_was_heard_is_told_only_to_whom_may_read(gate):
    assert gate[1]("GET", "/v1/sources").status == 401


def test_no_gateway_there_is_a_sentence():
    said = CliRunner().invoke(app, ["doctor", "--sources", "http://127.0.0.1:1"], standalone_mode=False)
    assert "does not tell" in str(said.exception)


def test_completeness_is_the_share_of_minutes_in_which_it_spoke():
    book, minute = SourceBook(), 60 * NS
    for k in (0, 1, 3):
        book.heard("shop/metrics", SHOP, 10, k * minute)
    (row,) = book.rows(3 * minute)
    assert (row.completeness, row.per_minute, row.messages) == (0.75, 0.75, 3)
    (later,) = book.rows(40 * minute)
    assert (later.completeness, later.last_ns) == (0.0, 3 * minute)
    assert book.rows(0, tenant="bank") == []
