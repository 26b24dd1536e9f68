"""The PetShop importer on a tiny directory of the same shape."""

import json
from pathlib import Path

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest as Metrics

from schemas import TOPOLOGY, TopologyEdge, read, record_type
from schemas.core import NS
from streams._errors import ImportError_
from streams._import import import_
from streams._recording import Recording
from streams.importers.petshop import Petshop

T = 1_681_855_320
TARGET = {
    "target": {"node": "Shop", "metric": "latency", "agg": "Average", "timestamp": T + 483},
    "root_cause": {"node": "Search/prod", "metric": None},
}


def table(start: int, rows: int) -> str:
    head = "microservice,Shop,Search/prod\nmetric,latency,availability\nstatistic,p99,Average\nunix_timestamp,,\n"
    return head + "".join(f"{start + 300 * i}.0,0.{i + 1},\n" for i in range(rows))


def source(root: Path) -> Path:
    issue, quiet = root / "low_traffic/train/issue_0", root / "low_traffic/noissue"
    for folder in (issue, quiet):
        folder.mkdir(parents=True)
    (issue / "target.json").write_text(json.dumps(TARGET))
    (issue / "metrics.csv").write_text(table(T, 2))
    (quiet / "metrics.csv").write_text(table(T + 10_000_000, 3))
    (root / "low_traffic/graph.csv").write_text(",Shop,Search/prod\nShop,0.0,1.0\nSearch/prod,0.0,0.0\n")
    return root


def times(recording: Recording) -> list[int]:
    found = [m for m in recording.messages(["otlp_metrics"]) if not record_type(m)]
    return [
        point.time_unix_nano // NS
        for m in found
        for metric in Metrics.FromString(m.value).resource_metrics[0].scope_metrics[0].metrics
        for point in metric.gauge.data_points
    ]


def test_an_issue_comes_at_its_own_time_with_its_label_and_empty_cells_are_absent(tmp_path: Path) -> None:
    counts = import_(Petshop(), source(tmp_path / "in"), tmp_path / "out")
    recording = Recording.open(tmp_path / "out", verify=True)
    label = {"id": "low_traffic/train/issue_0", "at_ns": (T + 483) * NS, "entity": "Search_prod", "family": "latency"}
    assert (counts["incidents"], counts["samples"]) == (1, 2)
    assert times(recording) == [T, T + 300] and recording.labels() == [label]


def test_one_issue_is_preceded_by_the_fault_free_stretch(tmp_path: Path) -> None:
    import_(Petshop(), source(tmp_path / "in"), tmp_path / "out", {"incident": "low_traffic/train/issue_0"})
    assert times(Recording.open(tmp_path / "out")) == [T - 900, T - 600, T - 300, T, T + 300]


def test_the_call_graph_comes_as_edges_without_slashes_in_names(tmp_path: Path) -> None:
    import_(Petshop(), source(tmp_path / "in"), tmp_path / "out")
    (edge,) = [read(m) for m in Recording.open(tmp_path / "out").messages([TOPOLOGY])]
    assert isinstance(edge, TopologyEdge)
    assert (edge.caller, edge.callee) == ("default/service/Shop", "default/service/Search_prod")


@pytest.mark.parametrize(
    ("options", "sentence"), [({"incident": "x"}, "no issue 'x'"), ({"set": "x"}, "unknown option 'set'")]
)
def test_what_is_not_there_is_said(tmp_path: Path, options: dict[str, str], sentence: str) -> None:
    with pytest.raises(ImportError_, match=sentence):
        import_(Petshop(), source(tmp_path / "in"), tmp_path / "out", options)


def test_a_row_that_is_no_row_is_a_dead_letter(tmp_path: Path) -> None:
    root = source(tmp_path / "in")
    file = root / "low_traffic/train/issue_0/metrics.csv"
    file.write_text(file.read_text() + "soon,1,2\n")
    assert import_(Petshop(), root, tmp_path / "out")["dead_lettered"] == 1
