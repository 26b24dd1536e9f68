"""Spans that never came: requests without the span of their caller, and calls without the span of the one called."""

import numpy as np
import pyarrow as pa
import pytest

import schemas as sc
from schemas.core import NS, Message, Tick
from streams import DeriveSpans
from streams._otlp_encode import request, span
from streams._otlp_rows import decode_spans
from streams._spans import columns_of

T = 1_790_000_000 * NS
CLIENT, SERVER = 3, 2


def row(service, at_s, trace, own, parent=0, *, kind=SERVER, took_s=0.1, is_error=False, peer=""):
    """One span that ends at `at_s`."""
    end = T + round(at_s * NS)
    ids = bytes([trace]) * 16, bytes([own]) * 8, bytes([parent]) * 8 if parent else b""
    who = f"shop/service/{service}", service, "1"
    return (end - round(took_s * NS), end, *ids, *who, f"{service} work", kind, is_error, 0, peer)


def derived(rows, panes=9, is_crashing=False):
    """Values by (name, service, second of the pane), and the edges as (caller, callee)."""
    columns = [list(column) for column in zip(*rows, strict=True)]
    for i in (0, 1):
        columns[i] = np.array(columns[i], np.int64)
    stage = DeriveSpans()
    state = stage.initial()
    value = sc.encode_rows(sc.SPAN_FIELDS, columns)
    state, out = stage.step(state, Message(sc.SPANS, 0, 0, b"", value, (), T, T))
    for n in range(1, panes + 1):
        if is_crashing:
            state = stage.load(stage.dump(state))
        state, more = stage.step(state, Tick(T + n * 10 * NS))
        out += more
    found, edges, defs = {}, set(), {}
    for emit in out:
        record = Message(emit.topic, 0, 0, emit.key, emit.value, emit.headers, T, T)
        if emit.topic == sc.FRAMES:
            frame = sc.decode_frame(emit.value)
            defs |= {int(d.id, 16): d for d in frame.defs}
            for series, t, value in zip(frame.series.tolist(), frame.t.tolist(), frame.value.tolist(), strict=True):
                d = defs[series]
                if "version" not in d.labels:
                    found[d.name, d.service, (t - T) // NS] = value
        elif emit.topic == sc.TOPOLOGY:
            edge = sc.read(record)
            edges.add((edge.caller.rsplit("/", 1)[1], edge.callee.rsplit("/", 1)[1]))
    return found, edges


def named(found, name):
    return {key[1:]: value for key, value in found.items() if key[0] == name}


ALWAYS = [row("web", at_s, 200, 50 + at_s) for at_s in range(1, 90, 5)]
"""Something in every pane."""


@pytest.mark.parametrize("is_crashing", [False, True])
def test_a_request_whose_caller_never_comes_is_an_orphan_half_a_minute_later(is_crashing):
    found, _ = derived([*ALWAYS, row("cart", 5, 1, 2, parent=9)], is_crashing=is_crashing)
    assert named(found, "span.orphans") == {("cart", 30): 1.0}


@pytest.mark.parametrize("at_s", [0, 5, 9, 15, 25, 35])
def test_one_whose_caller_ends_before_or_long_after_it_is_none(at_s):
    rows = [*ALWAYS, row("web", at_s, 1, 9, kind=CLIENT), row("cart", 5, 1, 2, parent=9)]
    assert named(derived(rows)[0], "span.orphans") == {}


def test_the_beginning_of_a_trace_is_none():
    assert named(derived([*ALWAYS, row("cart", 5, 1, 2)])[0], "span.orphans") == {}


def lost(peer, **more):
    call = row("web", 5, 1, 9, kind=CLIENT, is_error=True, peer=peer, **more)
    return derived([*ALWAYS, row("cart", 2, 3, 3), call])


@pytest.mark.parametrize("peer", ["cart", "cart.shop.svc.cluster.local"])
def test_a_failed_call_that_never_arrived_is_a_failed_call_of_whom_it_named(peer):
    found, edges = lost(peer)
    assert edges == {("web", "cart")}
    assert named(found, "edge.requests") == named(found, "edge.errors") == {("cart", 30): 1.0}


@pytest.mark.parametrize("peer", ["", "10.0.0.7", "localhost", "api.example.com", "web"])
def test_a_name_that_nobody_can_know_makes_no_edge(peer):
    assert lost(peer)[1] == set()


def test_a_call_that_arrived_is_counted_once_and_as_no_lost_one():
    rows = [*ALWAYS, row("web", 5, 1, 9, kind=CLIENT, is_error=True, peer="cart")]
    found, edges = derived([*rows, row("cart", 4, 1, 2, parent=9, is_error=True)])
    assert edges == {("web", "cart")} and named(found, "edge.errors") == {}
    assert named(found, "edge.requests") == {("cart", 0): 1.0}


def test_a_call_that_went_well_says_nothing_of_who_records_nothing():
    rows = [*ALWAYS, row("web", 5, 1, 9, kind=CLIENT, peer="redis")]
    assert derived(rows)[1] == set()


@pytest.mark.parametrize(
    ("labels", "peer"),
    [
        ((("peer.service", "stock"), ("server.address", "10.0.0.7")), "stock"),
        ((("server.address", "stock"),), "stock"),
        ((("net.peer.name", "stock"),), "stock"),
        ((("db.system", "postgresql"), ("server.address", "10.0.0.7")), "postgresql"),
        ((("db.system.name", "postgresql"), ("server.address", "orders-db")), "orders-db"),
        ((("messaging.system", "kafka"),), "kafka"),
        ((("rpc.service", "Stock"),), "Stock"),
    ],
)
def test_whom_a_client_called_is_read_from_its_span(labels, peer):
    for kind, said in ((CLIENT, peer), (SERVER, "")):
        one = span(b"1" * 16, b"2" * 8, b"", b"GET", T, T + NS, kind=kind, labels=labels)
        batch = decode_spans(request([((("service.name", "web"),), [one])]), "shop")
        assert batch.column("peer").to_pylist() == [said]


def test_spans_of_an_older_writer_name_nobody():
    older = {name: kind for name, kind in sc.SPAN_FIELDS.items() if name != "peer"}
    columns = [list(column) for column in zip(*[row("web", 5, 1, 9)[:-1]], strict=True)]
    columns[:2] = [np.array(column, np.int64) for column in columns[:2]]
    batch = sc.decode_rows(sc.encode_rows(older, columns), sc.SPAN_FIELDS)
    assert batch.column("peer").to_pylist() == [""]
    assert columns_of([pa.Table.from_batches([batch])]).peers == [""]


def test_all_spans_of_a_service_are_counted_whatever_their_kind():
    found, _ = derived([row("web", 1, 1, 1), row("web", 2, 1, 2, 1, kind=CLIENT), row("cart", 3, 1, 3, 2)])
    assert {key: value for key, value in found.items() if key[0] == "span.total"} == {
        ("span.total", "web", 0): 2.0, ("span.total", "cart", 0): 1.0,
    }  # fmt: skip
