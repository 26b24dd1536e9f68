"""A caller that never called before is told once; a rate of calls that left its hour is told."""

import numpy as np
import pytest

import schemas as sc
from detectors import Detect
from detectors.edge_new import EdgeNew
from detectors.edge_rate import EdgeRate
from schemas import SeriesDef
from schemas.core import NS, Emit, WindowBlock
from streams import Engine, MemoryLog
from streams._otlp_encode import request, span
from tidegate._pipeline import build
from tidegate._settings import Settings

START = 1_767_571_200


def edge(at, caller, callee):
    return SeriesDef(
        id=f"{at:016x}", entity_id=f"default/service/{callee}", service=callee, name="edge.requests", kind="count",
        labels={"caller": caller, "callee": callee}, signal="traces", is_event=True, temporality="delta",
    )  # fmt: skip


DEFS = {at: edge(at, *pair) for at, pair in enumerate((("front", "cart"), ("mail", "cart"), ("front", "pay")))}


def told(detector, minutes, requests):
    """Anomalies by minute; requests(at) has one value a known edge, fewer before the others are known."""
    detect, found = Detect([detector], emit_p=1e-3), {}
    state = detect.initial()
    for at in range(minutes):
        x = np.array(requests(at), float)
        n, ones = len(x), np.ones(len(x))
        block = WindowBlock(
            start_ns=at * 60 * NS, end_ns=(at + 1) * 60 * NS, series=np.arange(n, dtype=np.uint64), rows=np.arange(n),
            total=x, mean=x, low=x, high=x, last=x, count=np.ones(n, np.int64), expected=ones, weight=ones * np.nan,
            recorded=ones,
        )  # fmt: skip
        state, some = detect.observe(state, block, DEFS)
        if some:
            found[at] = some
    return found


def test_a_new_caller_of_a_known_service_is_told_once_and_a_new_service_is_not():
    found = told(EdgeNew(), 300, lambda at: (9,) if at < 200 else (9, 4) if at < 250 else (9, 4, 7))
    assert list(found) == [200]
    (one,) = found[200]
    assert (one.kind, one.labels["caller"], one.service, one.observed) == ("edge_new", "mail", "cart", 4.0)
    assert round(one.p_value * 202, 6) == 1


def test_an_edge_that_pauses_is_not_new_again():
    assert told(EdgeNew(), 300, lambda at: (9, 9, 9 if at % 50 < 5 else 0)) == {}


def test_a_second_new_caller_is_less_of_a_wonder():
    found = told(EdgeNew(), 400, lambda at: (9,) if at < 200 else (9, 4))
    again = told(EdgeNew(), 400, lambda at: (9, 0) if at < 100 else (9, 4))
    assert found[200][0].p_value < again[100][0].p_value


def test_a_caller_that_calls_ten_times_as_often_is_told():
    rng = np.random.default_rng(1)
    found = told(EdgeRate(), 600, lambda at: (rng.poisson(50) * (10 if at >= 590 else 1), rng.poisson(50)))
    assert {one.labels["caller"] for some in found.values() for one in some} == {"front"} and min(found) >= 590


def spans_of_a_pane(rng, at, slow):
    """In ten seconds mail calls cart 60 times and web three times, each call 50 ms; those of web `slow` times that."""
    t, found = (START + at) * NS, []
    for caller, calls, factor in (("mail", 60, 1.0), ("web", 3, slow)):
        outer, inner = [], []
        for n in range(calls):
            took = round(0.05 * factor * float(np.exp(0.1 * rng.standard_normal())) * NS)
            a, b = (f"{caller}{at}{n}{side}".encode()[-8:].rjust(8) for side in "ab")
            outer.append(span(b"t" * 16, a, b"", b"go", t, t + took + NS // 100, kind=3))
            inner.append(span(b"t" * 16, b, a, b"get", t, t + took, kind=2))
        found += [((("service.name", caller),), outer), ((("service.name", "cart"),), inner)]
    return Emit(sc.OTLP_SPANS, b"", request(found), (), t + NS)


@pytest.mark.parametrize(("also", "by"), [((), set()), (("edge_latency",), {("cart", "web")})])
def test_a_service_that_is_slow_for_one_caller_only_is_told_on_its_edge(also, by):
    rng, log = np.random.default_rng(5), MemoryLog()
    engine = Engine(log, build(Settings.model_validate({"detection": {"also": also}}), last="detect").stages)
    log.append([spans_of_a_pane(rng, at, 6.0 if at >= 900 else 1.0) for at in range(0, 1020, 10)], writer="outside")
    engine.run()
    said = (sc.read(s.message) for s in log.read((sc.ANOMALIES,), 0, 10_000) if sc.record_type(s.message) == "anomaly")
    slow = [one for one in said if one.kind == "latency" and one.end_ns > (START + 900) * NS]
    assert {(one.service, one.labels["caller"]) for one in slow if "caller" in one.labels} == by
    assert [one for one in slow if one.service == "cart" and "caller" not in one.labels] == []
    assert all(0.2 < one.observed < 0.4 for one in slow)
