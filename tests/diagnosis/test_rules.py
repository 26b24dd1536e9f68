"""Each hard rule speaks in its own case, and only there; whatever it says is bounded."""

import importlib.util
from pathlib import Path

import pytest

from diagnosis import evidence_table, judgements, scene_of
from diagnosis._contract_rules import MOST
from schemas import Change
from schemas.core import NS
from tidegate import _catalogue

_spec = importlib.util.spec_from_file_location("rule_cases", Path(__file__).with_name("test_diagnose.py"))
_cases = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_cases)
T, anomaly = _cases.T, _cases.anomaly
RULES = _catalogue.find("rules")


def metric(service, name, p=1e-9):
    return anomaly(service, 0, p, kind="metric", name=name)


def line(service, template, kind="template_new", **more):
    return anomaly(service, 0, 1e-6, kind=kind, name="log.lines", labels={"template": template}, series=None, **more)


def gap(a, b):
    return anomaly(b, 0, 1e-8, kind="edge_gap", name=f"{a}{b}", labels={"caller": a, "callee": b})


def change(kind, service="a"):
    return Change(id="c", entity_id=f"default/service/{service}", service=service, kind=kind, at_ns=T - 60 * NS,
                  title=f"{kind} 7", version_to="2")  # fmt: skip


slow, failing = anomaly("a", 0, 1e-8, kind="latency", name="span.self_time"), anomaly("a", 0, 1e-8)
CASES = {
    "bad_deploy": ([anomaly("a", 0, 1e-9, labels={"version": "2"})], [], [change("deploy")], {"a": 1}),
    "configuration_change": ([failing], [], [change("config")], {"a": 1}),
    "memory_leak": ([metric("a", "heap_used"), metric("a", "gc_pause")], [], [], {"a": 1}),
    "pool_exhaustion": ([slow, metric("a", "connection_pool_used")], [], [], {"a": 1}),
    "replica_lag": ([metric("a", "replica_lag_seconds")], [], [], {"a": 1}),
    "network_partition": ([gap("b", "a"), gap("a", "c")], [("b", "a"), ("a", "c"), ("b", "c")], [], {"a": 1}),
    "saturation": ([metric("a", "cpu_usage"), slow], [], [], {"a": 1}),
    "dependency_failure": ([failing, anomaly("b", 0, 1e-12)], [("a", "b")], [], {"a": -1}),
    "noisy_neighbour": (
        [metric("a", "node_cpu"), metric("b", "node_cpu"), metric("a", "cpu_usage"),
         anomaly("b", 0, 1e-8, kind="latency", name="span.self_time")], [], [], {"a": 1, "b": -1},
    ),
    "certificate_failure": ([line("a", "x509: certificate has expired")], [], [], {"a": 1}),
    "traffic_surge": ([metric(s, "requests_total") for s in "abc"], [], [], {"a": -1, "b": -1, "c": -1}),
    "telemetry_failure": (
        [line("a", f"line {i}", "template_vanished", observed=0.0) for i in range(3)], [], [], {"a": -1},
    ),
}  # fmt: skip


def said(rule, found, calls, changes):
    table = evidence_table(found, [], changes)
    return judgements({rule: RULES[rule]}, scene_of(table, found, calls))


def test_every_rule_has_a_case_here():
    assert set(CASES) == set(RULES)


@pytest.mark.parametrize("rule", sorted(CASES))
def test_a_rule_speaks_for_and_against_whom_it_should_and_is_bounded(rule):
    found, calls, changes, wanted = CASES[rule]
    words = said(rule, found, calls, changes)
    assert {w.service: (w.weight > 0) - (w.weight < 0) for w in words if w.service in wanted} == wanted
    assert all(abs(w.weight) <= MOST and w.text and (w.pointer or rule == "bad_deploy") for w in words)


@pytest.mark.parametrize("rule", sorted(CASES))
def test_a_rule_is_silent_where_nothing_happened(rule):
    assert said(rule, [], [], []) == []


@pytest.mark.parametrize("rule", sorted(CASES))
def test_the_order_of_what_a_rule_sees_does_not_matter(rule):
    found, calls, changes, _ = CASES[rule]
    assert said(rule, found, calls, changes) == said(rule, found[::-1], calls[::-1], changes)


def test_of_a_partition_the_healthy_end_is_not_restarted():
    words = said("network_partition", *CASES["network_partition"][:3])
    assert {w.service for w in words if w.weight < 0} == {"b", "c"}


@pytest.mark.parametrize(
    ("rule", "names"),
    [
        ("pool_exhaustion", ["db.client.connection.wait_time"]),
        ("replica_lag", ["mysql.replica.time_behind_source"]),
        ("replica_lag", ["postgresql.wal.lag"]),
        ("memory_leak", ["jvm.memory.used", "jvm.gc.overhead"]),
    ],
)
def test_a_rule_knows_the_names_of_opentelemetry_with_their_dots(rule, names):
    assert [w.service for w in said(rule, [slow, *(metric("a", name) for name in names)], [], [])] == ["a"]


def lost_call(a, b):
    return anomaly(b, 0, 1e-9, name="edge.errors", labels={"caller": a, "callee": b}, series=None)


def test_who_cannot_be_reached_by_most_that_call_it_is_cut_off_and_its_callers_are_not():
    found = [lost_call(caller, "x") for caller in "ab"]
    calls = [("a", "x"), ("b", "x"), ("web", "a"), ("web", "b")]
    (word,) = said("network_partition", found, calls, [])
    assert (word.service, word.family) == ("x", "network") and word.weight > 0
    assert said("network_partition", found[:1], calls, []) == []


@pytest.mark.parametrize(
    ("rule", "text"),
    [("certificate_failure", "x509: certificate has expired"), ("replica_lag", "replication lag after <*> s")],
)
def test_a_line_that_is_known_by_its_location_is_read_as_well(rule, text):
    plain = line("a", "Client.java#17")
    located = plain.model_copy(update={"labels": {"template": "Client.java#17", "text": text}})
    assert said(rule, [plain], [], []) == [] and [w.service for w in said(rule, [located], [], [])] == ["a"]


def test_a_line_alone_does_not_make_a_service_run_out_of_memory():
    typed = line("a", 'display name refused: "java.lang.OutOfMemoryError"')
    assert said("memory_leak", [typed], [], []) == []
    assert [w.service for w in said("memory_leak", [typed, failing], [], [])] == ["a"]
