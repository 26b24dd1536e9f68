import importlib.util
from pathlib import Path

import numpy as np
import pytest

from diagnosis import KINDS, History, evidence_table, missing_signals, signs_of
from diagnosis._kinds import kind_of_metric
from learning import Past, fit_history
from schemas import TopologyEdge

_spec = importlib.util.spec_from_file_location("diagnose_cases", Path(__file__).with_name("test_diagnose.py"))
_cases = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_cases)
T, anomaly, STRONG = _cases.T, _cases.anomaly, _cases.STRONG


def edge(a, b):
    return TopologyEdge(
        id=f"{a}{b}", caller=f"default/service/{a}", callee=f"default/service/{b}", first_ns=T, last_ns=T
    )


def gap(a, b, p=1e-8):
    return anomaly(b, 0, p, kind="edge_gap", name="edge.gap", labels={"caller": a, "callee": b})


@pytest.mark.parametrize(
    ("name", "up"),
    [
        ("http_server_duration_seconds_mean", "metric_latency"), ("http_server_duration_seconds_sum", None),
        ("http_server_duration_seconds_count", None), ("go_gc_duration_seconds", "metric_other"),
    ],
)  # fmt: skip
def test_what_grows_with_requests_is_traffic_whatever_it_is_called(name, up):
    assert kind_of_metric(name, 1) == up
    assert kind_of_metric("http_server_duration_seconds_count", -1) == "traffic"


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
    shown = [{kind for kind in KINDS if cell(evidence_table(a, [], []), "a", kind) > 0} for a in (harmless, harmful)]
    assert shown[0] == {"metric_other"} and shown[1] == {"metric_cpu", "error_ratio", "latency"}


def test_evidence_lies_between_zero_and_one_and_order_does_not_matter():
    many = [anomaly(f"s{i % 5}", i, 10.0 ** -(3 + i % 40), series=f"{i:016x}") for i in range(60)]
    first, second = evidence_table(many, [], []), evidence_table(many[::-1], [], [])
    assert first.candidates == second.candidates and np.array_equal(first.matrix, second.matrix)
    assert first.matrix.min() >= 0 and first.matrix.max() <= 1 and first.matrix.shape == (5, len(KINDS))


def test_the_deepest_anomalous_service_is_the_origin():
    edges = [edge("web", "cart"), edge("cart", "db")]
    table = evidence_table([anomaly("web", 0, 1e-9), anomaly("cart", 0, 1e-9)], edges, [])
    assert cell(table, "cart", "origin") > 0 and cell(table, "web", "origin") == 0


def busy(*services):
    return [anomaly(s, 0, 1e-6, kind="metric", name="cpu_usage_rate") for s in services]


def test_a_busy_cpu_that_nobody_notices_counts_a_fifth_while_others_suffer():
    table = evidence_table([*busy("cart", "idle"), anomaly("cart", 0, 1e-9)], [], [])
    assert cell(table, "idle", "metric_cpu") == 0.2 * cell(table, "cart", "metric_cpu") > 0


def test_a_busy_cpu_counts_whole_if_all_callers_notice_it_and_not_if_some_do():
    suffering = [*busy("db"), anomaly("web", 0, 1e-9), anomaly("cart", 0, 1e-9, series="c" * 16)]
    shares = []
    for callers in (["web", "cart"], ["web", "well"]):
        table = evidence_table(suffering, [edge(caller, "db") for caller in callers], [])
        shares.append(cell(table, "db", "metric_cpu"))
    assert shares[1] == 0.2 * shares[0]


def test_busy_cpus_count_whole_where_nobody_notices_anything():
    first, second = (evidence_table(busy(*some), [], []) for some in (["a"], ["a", "b"]))
    assert cell(first, "a", "metric_cpu") == cell(second, "b", "metric_cpu") > 0


def test_a_resource_that_is_short_only_after_most_clear_symptoms_counts_a_fifth():
    felt = [anomaly(f"s{i}", second, 1e-40) for i, second in enumerate((-600, 0, 0, 10))]
    early, late = ([*busy("s0"), *felt], [anomaly("s0", 90, 1e-6, kind="metric", name="cpu_usage_rate"), *felt])
    cells = [cell(evidence_table(shown, [], []), "s0", "metric_cpu") for shown in (early, late)]
    assert cells[1] == pytest.approx(0.2 * cells[0])


def test_a_failed_call_speaks_of_both_ends():
    failed = anomaly("db", 0, 1e-9, labels={"caller": "cart", "callee": "db", "status": "500"})
    table = evidence_table([failed], [], [])
    assert cell(table, "cart", "edge_error") > 0 and cell(table, "db", "error_ratio") > 0


def history(*past, **more):
    past = [Past(str(i), signs_of(found), cause, "cpu", 3, frozenset()) for i, (found, cause) in enumerate(past)]
    return History(fit_history(past, data="made", **more))


def cpu(service, p=1e-6):
    return anomaly(service, 0, p, kind="metric", name="cpu_usage")


def test_what_an_entity_shows_in_every_incident_tells_little():
    noisy = history(*([([cpu("chatty")], "other")] * 20))
    table = evidence_table([cpu("chatty"), cpu("quiet")], [], [], history=noisy)
    assert cell(table, "quiet", "metric_cpu") > 4 * cell(table, "chatty", "metric_cpu")


def test_what_the_cause_showed_is_no_part_of_what_is_ordinary():
    fair = history(*([([cpu("culprit")], "culprit")] * 20))
    assert cell(evidence_table([cpu("culprit")], [], [], history=fair), "culprit", "metric_cpu") > 0.4


def test_a_cause_like_confirmed_ones_is_told_by_its_pattern():
    known = history(*([([cpu("culprit"), anomaly("web", 0, 1e-9)], "culprit")] * 5))
    table = evidence_table([cpu("new"), anomaly("web", 0, 1e-9)], [], [], history=known)
    assert cell(table, "new", "pattern") > 0.9 > cell(table, "web", "pattern")
    assert table.like[table.candidates.index("new")][1] == "cpu"


def test_a_signal_that_always_spoke_and_is_silent_is_missing():
    past = Past("1", signs_of([STRONG]), None, "", 3, frozenset({"traces", "logs"}))
    assert missing_signals(fit_history([past], data="made"), [STRONG]) == ("logs",)


def test_an_error_line_counts_more_than_a_debug_line():
    lines = [
        anomaly(s, 0, 1e-9, kind="template_new", name="log.lines", labels={"severity": severity})
        for s, severity in (("a", "ERROR"), ("b", "DEBUG"))
    ]
    table = evidence_table(lines, [], [])
    assert cell(table, "a", "template_new") > cell(table, "b", "template_new")
