"""The TVDiag importer on a tiny directory of the same shape; its recordings begin where anomalies are."""

import json
from pathlib import Path

import pytest

from schemas import ANOMALIES, TOPOLOGY, Anomaly, read, record_type
from streams._errors import ImportError_
from streams._import import import_
from streams._recording import Recording
from streams.importers.tvdiag import Tvdiag

VIEWS = {
    "nodes": {"7": ["cart-0", "user-0"]},
    "edges": {"7": [[0, 1], [0, 0]]},
    "metrics": {"7": [["cart-0", "cpu_usage", "up"], ["cart-0", "10.0.0.1", "mem", "down"], ["cart-0", "x", "odd"]]},
    "traces": {
        "7": [["cart-0", "user-0", "/login", "PD"], ["-1", "cart-0", "/", "500"], ["user-0", "user-0", "q", "PD"]]
    },
    "logs": {"7": [["user-0", "user-0-3"], ["user-0", "user-0-3"]]},
}  # fmt: skip


def source(root: Path) -> Path:
    (root / "hotel").mkdir(parents=True)
    (root / "hotel/label.csv").write_text("index,instance,anomaly_type\n7,cart-0,[cpu]\n")
    for name, view in VIEWS.items():
        (root / f"hotel/{name}.json").write_text(json.dumps(view))
    return root


def anomalies(recording: Recording) -> list[Anomaly]:
    found = [read(m) for m in recording.messages([ANOMALIES]) if record_type(m) == "anomaly"]
    return [a for a in found if isinstance(a, Anomaly)]


def test_each_event_becomes_one_anomaly_and_the_odd_one_a_dead_letter(tmp_path: Path) -> None:
    counts = import_(Tvdiag(), source(tmp_path / "in"), tmp_path / "out")
    found = anomalies(Recording.open(tmp_path / "out", verify=True))
    said = [(a.service, a.kind, a.name, a.direction, a.labels.get("caller")) for a in found]
    assert sorted(said, key=str) == sorted([
        ("cart-0", "metric", "cpu_usage", 1, None), ("cart-0", "metric", "mem", -1, None),
        ("user-0", "edge_gap", "span.pd", 1, "cart-0"), ("cart-0", "error_ratio", "span.500", 1, ""),
        ("user-0", "latency", "span.pd", 1, None), ("user-0", "template_burst", "log.lines", 1, None),
    ], key=str)  # fmt: skip
    assert (counts["incidents"], counts["dead_lettered"]) == (1, 1)


def test_labels_name_the_instance_and_a_set_is_a_tenant(tmp_path: Path) -> None:
    import_(Tvdiag(), source(tmp_path / "in"), tmp_path / "out")
    recording = Recording.open(tmp_path / "out")
    (label,) = recording.labels()
    assert (label["id"], label["entity"], label["family"]) == ("hotel/7", "cart-0", "cpu")
    assert {a.tenant for a in anomalies(recording)} == {"hotel"}
    assert sum(record_type(m) == "edge" for m in recording.messages([TOPOLOGY])) == 1


def test_an_unknown_incident_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ImportError_, match="no such incident; sets here: hotel"):
        import_(Tvdiag(), source(tmp_path / "in"), tmp_path / "out", {"incident": "hotel/8"})


@pytest.mark.parametrize(
    ("slow", "said"),
    [
        ([["search", "search", "/near", "PD"]], [("search", "edge_gap", "geo")]),
        (
            [["search", "search", "/near", "PD"], ["search", "geo", "/near", "PD"]],
            [("geo", "latency", "geo"), ("search", "latency", None)],
        ),
        ([["search", "geo", "/near", "PD"]], [("geo", "edge_gap", "geo")]),
        ([["search", "search", "own work", "PD"]], [("search", "latency", None)]),
    ],
)
def test_a_call_slow_for_its_caller_alone_lost_its_time_on_the_way(
    tmp_path: Path, slow: list[list[str]], said: list[tuple[str, str, str | None]]
) -> None:
    root = source(tmp_path / "in")
    other = [["search", "geo", "/near", "500"]]  # elsewhere: who answers
    (root / "hotel/traces.json").write_text(json.dumps({"7": slow, "8": other}))
    import_(Tvdiag(), root, tmp_path / "out")
    found = anomalies(Recording.open(tmp_path / "out"))
    assert sorted((a.service, a.kind, a.labels.get("callee")) for a in found if a.signal == "traces") == said
