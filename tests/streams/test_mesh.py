"""Edges of a mesh's metrics: who calls whom, said once and again while a proxy tells of it."""

import pytest

import schemas as sc
from schemas.core import NS, Message
from streams import KIND, SOURCE, TRUST, Normalise, StreamSettings
from streams import _mesh as mesh_of
from streams._otlp_encode import varint
from streams._otlp_wire import wrap
from streams.sources.prometheus import PrometheusRemoteWrite

cramjam = pytest.importorskip("cramjam")
T = 1_790_000_000 * NS
ISTIO = {"__name__": "istio_requests_total", "source_workload": "cart", "destination_workload": "pay"}


def sent(*series, at_ns=T):
    """One request of remote write 1.0 with a sample of each series."""
    sample = wrap(2, b"\x09" + b"\0" * 7 + b"\x40" + b"\x10" + varint(at_ns // 1_000_000))
    text = [
        b"".join(wrap(1, wrap(1, k.encode()) + wrap(2, v.encode())) for k, v in sorted(one.items())) for one in series
    ]
    body = bytes(cramjam.snappy.compress_raw(b"".join(wrap(1, labels + sample) for labels in text)))
    said = ((KIND, b"prometheus"), (SOURCE, b"prom/prometheus"), (TRUST, b"2"))
    return Message(sc.RAW, 0, 0, b"", body, said, at_ns, at_ns)


def edges(*messages, is_crashing=False, fast=False):
    """Every edge that was said, and the state."""
    stage, found = Normalise([PrometheusRemoteWrite(fast=fast)], StreamSettings(), fast=fast), []
    state = stage.initial()
    for message in messages:
        state, out = stage.step(state, message)
        found += [emit for emit in out if getattr(emit, "topic", "") == sc.TOPOLOGY]
        if is_crashing:
            state = stage.load(stage.dump(state))
    return found, state


def pairs(*labels):
    found = [sc.TopologyEdge.model_validate_json(emit.value) for emit in edges(sent(*labels))[0]]
    assert all(edge.source == "mesh" for edge in found)
    return [(edge.caller, edge.callee) for edge in found]


CASES = {
    "istio": ISTIO,
    "istio without a workload": {
        "__name__": "istio_requests_total", "source_workload": "cart", "destination_workload": "unknown",
        "destination_service": "pay.shop.svc.cluster.local",
    },
    "istio over tcp": {**ISTIO, "__name__": "istio_tcp_connections_opened_total"},
    "linkerd": {
        "__name__": "request_total", "direction": "outbound", "pod": "cart-7d9f8b6c5d-x2k4p", "dst_deployment": "pay",
    },
    "a service graph": {"__name__": "traces_service_graph_request_total", "client": "cart", "server": "pay"},
    "a sidecar's envoy": {
        "__name__": "envoy_cluster_upstream_rq_total", "pod": "cart-7d9f8b6c5d-x2k4p",
        "envoy_cluster_name": "outbound|9080|v1|pay.shop.svc.cluster.local",
    },
}  # fmt: skip
NONE = {
    "of nobody": {**ISTIO, "source_workload": "unknown"},
    "to itself": {**ISTIO, "destination_workload": "cart"},
    "linkerd inbound": {**CASES["linkerd"], "direction": "inbound"},
    "past the mesh": {**CASES["a sidecar's envoy"], "envoy_cluster_name": "PassthroughCluster"},
    "another metric": {**ISTIO, "__name__": "istio_agent_requests_total"},
}


@pytest.mark.parametrize("labels", CASES.values(), ids=CASES)
def test_a_proxy_that_counts_calls_tells_who_calls_whom(labels):
    assert pairs(labels) == [("default/service/cart", "default/service/pay")]


@pytest.mark.parametrize("labels", NONE.values(), ids=NONE)
def test_what_does_not_say_both_ends_is_no_edge(labels):
    assert pairs(labels) == []


@pytest.mark.parametrize("is_crashing", [False, True])
@pytest.mark.parametrize("fast", [False, True])
def test_an_edge_is_said_once_for_all_its_series_and_again_after_ten_minutes(is_crashing, fast):
    if fast:
        pytest.importorskip("numba")
    both = sent(ISTIO, {**ISTIO, "response_code": "503"})
    later = [sent({**ISTIO, "response_code": "503"}, at_ns=T + k * 200 * NS) for k in range(1, 5)]
    found, _ = edges(both, *later, is_crashing=is_crashing, fast=fast)
    said = [sc.TopologyEdge.model_validate_json(emit.value) for emit in found]
    assert [(edge.first_ns, edge.last_ns) for edge in said] == [(T, T), (T, T + 600 * NS)]
    assert len({edge.id for edge in said}) == 1
    assert len({dict(emit.headers)["ce_id"] for emit in found}) == 2


def test_an_edge_carries_who_brought_it():
    headers = dict(edges(sent(ISTIO))[0][0].headers)
    assert (headers[SOURCE], headers[TRUST]) == (b"prom/prometheus", b"2")


def test_it_stands_beside_the_edge_of_spans_between_the_same_services():
    edge = sc.TopologyEdge.model_validate_json(edges(sent(ISTIO))[0][0].value)
    assert edge.id != sc.record_id("edge", edge.caller, edge.callee)


def test_edges_and_series_of_a_mesh_are_bounded_and_counted(monkeypatch):
    monkeypatch.setattr(mesh_of, "MOST_EDGES", 2)
    _, state = edges(sent(*({**ISTIO, "destination_workload": f"s{k}"} for k in range(5))))
    assert (len(state.mesh.said), state.mesh.dropped) == (2, 3)
