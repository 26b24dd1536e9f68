"""Importers of what other stores export: the rows go through the sources that read live telemetry."""

import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest as Logs

import schemas as sc
from schemas.core import NS
from streams._errors import ImportError_
from streams._import import import_
from streams._recording import Recording
from streams.importers.elasticsearch import Elasticsearch
from streams.importers.loki import Loki
from streams.importers.otlp_json import OtlpJson
from streams.importers.parquet import Parquet
from streams.importers.prometheus import Prometheus
from streams.sources.prometheus_columns import PrometheusColumns
from tidegate import _pipeline, _replay
from tidegate._settings import Settings

T = 1_772_449_200


def imported(importer: Any, path: Path, **options: str) -> tuple[dict[str, int], Recording]:
    out = path.parent / "recording"
    counts = import_(importer, path, out, options)
    return counts, Recording.open(out, verify=True)


def replayed(recording: Recording) -> dict[str, int]:
    counts = _replay.replay(recording.messages(), _pipeline.build(Settings(), last="normalise")).ledger.counts
    return {name: counts[name] for name in ("samples.decoded", "samples.late", "messages.dead_lettered")}


def log_rows(recording: Recording) -> list[tuple[str, str, int, str]]:
    found = []
    for message in recording.messages(["otlp_logs"]):
        if not sc.record_type(message):
            for resource in Logs.FromString(message.value).resource_logs:
                who = {a.key: a.value.string_value for a in resource.resource.attributes}
                for record in resource.scope_logs[0].log_records:
                    said = who.get("service.name", ""), record.body.string_value, record.time_unix_nano // NS
                    found.append((*said, record.severity_text))
    return found


def points(recording: Recording) -> list[tuple[str, str, str, int, float]]:
    found = []
    for message in recording.messages([sc.RAW]):
        if not sc.record_type(message):
            decoded = PrometheusColumns().decode(message)
            for identity, t, value in zip(*(c.tolist() for c in decoded.points), strict=True):
                one = decoded.definitions[identity]
                found.append((one.service, one.name, one.temporality, t // NS, value))
    return found


RANGE = {
    "status": "success",
    "data": {
        "resultType": "matrix",
        "result": [
            {"metric": {"__name__": "up", "job": "cart", "instance": "a:1"}, "values": [[T, "1"], [T + 15.5, "0"]]},
            {"metric": {"__name__": "hits_total", "job": "cart"}, "values": [[T, "5"], [T + 15, "NaN"]]},
        ],
    },
}


def test_a_saved_range_query_becomes_series_of_the_service_in_order_of_time(tmp_path: Path) -> None:
    (tmp_path / "in.json").write_text(json.dumps(RANGE))
    counts, recording = imported(Prometheus(), tmp_path / "in.json")
    assert counts["samples"] == 3
    assert sorted(points(recording)) == [
        ("cart", "hits_total", "cumulative", T, 5.0), ("cart", "up", "instant", T, 1.0),
        ("cart", "up", "instant", T + 15, 0.0),
    ]  # fmt: skip
    assert replayed(recording) == {"samples.decoded": 3, "samples.late": 0, "messages.dead_lettered": 0}


def test_a_dump_of_blocks_is_read_line_by_line_and_what_is_none_is_kept(tmp_path: Path) -> None:
    (tmp_path / "dump.txt").write_text(
        f'{{__name__="up", job="cart", path="a\\"b,c}}d"}} 1 {T}000\n{{__name__="up", job="cart" 1 {T}000\n'
    )
    counts, recording = imported(Prometheus(), tmp_path / "dump.txt")
    assert (counts["samples"], counts["dead_lettered"]) == (1, 1)
    assert points(recording) == [("cart", "up", "instant", T, 1.0)]


def test_open_metrics_has_its_times_in_seconds(tmp_path: Path) -> None:
    (tmp_path / "dump.txt").write_text(f'# TYPE up gauge\nup{{job="cart"}} 1 {T}.5\n# EOF\n')
    assert points(imported(Prometheus(), tmp_path / "dump.txt")[1]) == [("cart", "up", "instant", T, 1.0)]


def test_the_metadata_says_what_is_counted(tmp_path: Path) -> None:
    (tmp_path / "in.json").write_text(json.dumps(RANGE))
    (tmp_path / "kinds").write_text(
        json.dumps({"data": {"up": [{"type": "counter"}], "hits_total": [{"type": "gauge"}]}})
    )
    found = points(imported(Prometheus(), tmp_path / "in.json", kinds=str(tmp_path / "kinds"))[1])
    assert {(name, kind) for _, name, kind, _, _ in found} == {("up", "cumulative"), ("hits_total", "instant")}


def otlp(at: int, **kind: Any) -> str:
    resource = {"attributes": [{"key": "service.name", "value": {"stringValue": "cart"}}]}
    point = {"timeUnixNano": str(at * NS), "asDouble": 1.0}
    metric = {"scopeMetrics": [{"metrics": [{"name": "queue", "gauge": {"dataPoints": [point]}}]}]}
    return json.dumps({"resourceMetrics": [{"resource": resource, **metric}], **kind})


def test_lines_of_the_collectors_file_exporter_go_on_as_they_are(tmp_path: Path) -> None:
    file = tmp_path / "out.json.gz"
    file.write_bytes(gzip.compress(f"{otlp(T + 10)}\n{otlp(T)}\nnot json\n".encode()))
    counts, recording = imported(OtlpJson(), file)
    values = [m.value.decode() for m in recording.messages(["otlp_metrics"]) if not sc.record_type(m)]
    assert values == [otlp(T), otlp(T + 10)] and (counts["samples"], counts["dead_lettered"]) == (2, 1)
    assert replayed(recording)["samples.decoded"] == 2


def test_lines_of_logcli_and_answers_of_loki_are_the_same_lines(tmp_path: Path) -> None:
    labels = {"service_name": "cart", "detected_level": "error"}
    line = {"labels": labels, "line": "paid twice", "timestamp": "2026-03-02T11:00:00.5Z"}
    answer = {
        "data": {"resultType": "streams", "result": [{"stream": labels, "values": [[f"{T}500000000", "paid twice"]]}]}
    }
    found = []
    for name, document in (("a", line), ("b", answer)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "in.jsonl").write_text(json.dumps(document))
        found.append(log_rows(imported(Loki(), tmp_path / name / "in.jsonl")[1]))
    assert found[0] == found[1] == [("cart", "paid twice", T, "ERROR")]


@pytest.mark.parametrize("is_nested", [True, False])
def test_hits_of_elasticsearch_are_read_nested_and_dotted(tmp_path: Path, is_nested: bool) -> None:
    nested = {"service": {"name": "cart"}, "log": {"level": "warn"}, "kubernetes": {"pod": {"name": "cart-0"}}}
    dotted = {"service.name": "cart", "log.level": "warn", "kubernetes.pod": {"name": "cart-0"}}
    hit = {"@timestamp": "2026-03-02T11:00:00.000Z", "message": "slow", **(nested if is_nested else dotted)}
    (tmp_path / "in.json").write_text(json.dumps({"_index": "x", "_source": hit}) + "\n" + json.dumps({"_source": {}}))
    counts, recording = imported(Elasticsearch(), tmp_path / "in.json")
    assert log_rows(recording) == [("cart", "slow", T, "WARN")] and counts["dead_lettered"] == 1


def test_parquet_is_read_as_csv_is(tmp_path: Path) -> None:
    table = pa.table({
        "timestamp": pa.array([T * NS, (T + 10) * NS], pa.timestamp("ns")), "service": ["cart", "cart"],
        "latency(ms)": [1.5, None],
    })  # fmt: skip
    pq.write_table(table, tmp_path / "in.parquet")
    counts, recording = imported(Parquet(), tmp_path / "in.parquet", service="service")
    assert (counts["samples"], counts["absent"]) == (1, 1) and replayed(recording)["samples.decoded"] == 1


@pytest.mark.parametrize("importer", [Prometheus(), Parquet(), Loki(), Elasticsearch(), OtlpJson()])
def test_an_unknown_option_is_named(tmp_path: Path, importer: Any) -> None:
    (tmp_path / "in.json").write_text("{}")
    with pytest.raises(ImportError_, match="unknown option 'colour'"):
        imported(importer, tmp_path / "in.json", colour="red")
