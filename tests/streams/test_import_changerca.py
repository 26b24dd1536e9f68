"""The ChangeRCA importer on a tiny case of the same shape."""

import json
from pathlib import Path

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest as Metrics

from schemas import CHANGES, TOPOLOGY, Change, TopologyEdge, read, record_type
from schemas.core import NS
from streams._errors import ImportError_
from streams._import import import_
from streams._recording import Recording
from streams.importers.changerca import Changerca

T = 1_695_398_040
CASE = {
    "plan": {"cart": {"release_time": T + 60}, "ad": {"release_time": T + 600}}, "fault": "exception",
    "fault_release_service": "cart", "detect_timestamp": T + 120,
}  # fmt: skip
HEADER = "Time,Timestamp,SuccessRate,Latency,CPUUsageRate(%),MemoryUsageRate(%),NodeCpuUsageRate(%),NodeMemoryUsageRate"


def table(*rows: tuple[int, float, float, float, float]) -> str:
    lines = [f"x,{t},{success},{cpu},{memory},6,17,{latency}" for t, success, cpu, memory, latency in rows]
    return "\n".join([HEADER, *lines, ""])


def source(root: Path) -> Path:
    folder = root / "data/2023-09-22/2023-09-22_1"
    folder.mkdir(parents=True)
    (folder / "2023-09-22_1.json").write_text(json.dumps(CASE))
    (folder / "gied.json").write_text("{}")
    (folder / "destination_success.csv").write_text("time,timestamp,front_cart\nx,1,100\n")
    (folder / "cart-v1-5b-aa_front_cart.csv").write_text(table((T, 100, 2, 40, 0.1), (T + 60, 100, 0, 0, 0.1)))
    (folder / "cart-v2-6b-bb_front_cart.csv").write_text(table((T + 1, 50, 4, 40, 0.3)) + "x,broken\n")
    (folder / "front-v1-5b-cc_front_cart.csv").write_text(table((T, 75, 3, 30, 0.2)))
    return root


def gauges(recording: Recording) -> dict[str, float]:
    found = {}
    for message in recording.messages(["otlp_metrics"]):
        if not record_type(message):
            for resource in Metrics.FromString(message.value).resource_metrics:
                service = resource.resource.attributes[0].value.string_value
                for metric in resource.scope_metrics[0].metrics:
                    for point in metric.gauge.data_points:
                        names = [a.value.string_value for a in point.attributes]
                        found[" ".join([service, metric.name, *names])] = point.as_double
    return found


def test_pods_become_their_service_with_mean_and_worst_by_call_and_a_pod_that_is_gone_counts_nothing(
    tmp_path: Path,
) -> None:
    counts = import_(Changerca(), source(tmp_path / "in"), tmp_path / "out")
    found = gauges(Recording.open(tmp_path / "out", verify=True))
    assert (found["cart server_success_rate front mean"], found["cart server_success_rate front worst"]) == (75, 50)
    assert (found["cart cpu_usage_rate worst"], found["front client_latency cart mean"]) == (4, 0.2)
    assert counts["dead_lettered"] == 1


def test_the_label_is_the_alert_and_every_planned_release_is_a_change(tmp_path: Path) -> None:
    import_(Changerca(), source(tmp_path / "in"), tmp_path / "out")
    recording = Recording.open(tmp_path / "out")
    changes = [r for m in recording.messages([CHANGES]) if isinstance(r := read(m), Change)]
    edges = [r for m in recording.messages([TOPOLOGY]) if isinstance(r := read(m), TopologyEdge)]
    label = {"id": "2023-09-22_1", "at_ns": (T + 120) * NS, "entity": "cart", "family": "exception"}
    assert recording.labels() == [label]
    assert [(c.service, c.at_ns // NS - T, c.kind) for c in changes] == [("cart", 60, "deploy"), ("ad", 600, "deploy")]
    assert [(e.caller, e.callee) for e in edges] == [("default/service/front", "default/service/cart")]


def test_an_unknown_case_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ImportError_, match="there is no case '7', there are 1"):
        list(Changerca().read(source(tmp_path / "in"), {"incident": "7"}))
