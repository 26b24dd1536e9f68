import importlib.util
from pathlib import Path

import numpy as np

from diagnosis import KINDS, evidence_matrix, evidence_table
from schemas import TopologyEdge

_spec = importlib.util.spec_from_file_location("diagnose_cases", Path(__file__).with_name("test_diagnose.py"))
_cases = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_cases)
T, anomaly = _cases.T, _cases.anomaly


def edge(a, b):
    return TopologyEdge(
        id=f"{a}{b}", caller=f"default/service/{a}", callee=f"default/service/{b}", first_ns=T, last_ns=T
    )


def gap(a, b, p=1e-8):
    return anomaly(b, 0, p, kind="edge_gap", name="edge.gap", labels={"caller": a, "callee": b})


def cell(table, service, kind):
    return table.matrix[table.candidates.index(service), KINDS.index(kind)]


def test_of_gaps_on_all_edges_only_the_shared_end_survives():
    edges = [edge("web", "cart"), edge("cart", "db"), edge("web", "pay"), edge("db", "disk")]
    table = evidence_table([gap("web", "cart"), gap("cart", "db")], edges, [])
    assert cell(table, "cart", "edge_gap") > max(cell(table, "web", "edge_gap"), cell(table, "db", "edge_gap"))


def test_direction_counts():
    said = [("cpu_usage_rate", -1), ("pod_success_rate", 1), ("pod_server_latency_p99", -1)]
    harmless = [anomaly("a", 0, 1e-9, kind="metric", name=name, direction=d) for name, d in said]
    harmful = [a.model_copy(update={"direction": -a.direction}) for a in harmless]
    assert evidence_matrix(harmless, [], [])[0] == ()
    assert np.count_nonzero(evidence_matrix(harmful, [], [])[2][0, :6]) == 3


def test_evidence_lies_between_zero_and_one_and_order_does_not_matter():
    many = [anomaly(f"s{i % 5}", i, 10.0 ** -(3 + i % 40), series=f"{i:016x}") for i in range(60)]
    first, second = evidence_matrix(many, [], []), evidence_matrix(many[::-1], [], [])
    assert first[0] == second[0] and np.array_equal(first[2], second[2])
    assert first[2].min() >= 0 and first[2].max() <= 1 and first[2].shape == (5, len(KINDS))


def test_the_deepest_anomalous_service_is_the_origin():
    edges = [edge("web", "cart"), edge("cart", "db")]
    table = evidence_table([anomaly("web", 0, 1e-9), anomaly("cart", 0, 1e-9)], edges, [])
    assert cell(table, "cart", "origin") > 0 and cell(table, "web", "origin") == 0


def test_who_was_ill_first_counts_more():
    table = evidence_table([anomaly("web", 60, 1e-9), anomaly("cart", 0, 1e-9)], [], [])
    assert cell(table, "cart", "onset") > 2 * cell(table, "web", "onset")


def test_an_error_line_counts_more_than_a_debug_line():
    lines = [
        anomaly(s, 0, 1e-9, kind="template_new", name="log.lines", labels={"severity": severity})
        for s, severity in (("a", "ERROR"), ("b", "DEBUG"))
    ]
    table = evidence_table(lines, [], [])
    assert cell(table, "a", "template_new") > cell(table, "b", "template_new")
