"""The Nezha importer on a tiny archive of the same shape: what goes in comes out as OTLP, in order, with its marks."""

import io
import json
import lzma
import tarfile
from pathlib import Path

import pytest
import zstandard
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest as Logs
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest as Metrics
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest as Traces

from schemas import Coverage, DeadLetter, Watermark, read, record_type
from schemas.core import NS, Message
from streams._errors import ImportError_
from streams._import import import_
from streams._recording import Recording
from streams.importers._nezha_rows import _instant
from streams.importers.nezha import Nezha

DAY = 1_674_950_400  # 2023-01-29
POD, SERVICE = "ts-travel-service-64469b5b48-25zj6", "ts-travel-service"
TRACE, SPAN, PARENT = "36894f34249c17c2c36442309d2f7cb2", "3cd0be4d8cc596e6", "852785df2e2f94ce"
LABEL = {
    "inject_time": "2023-01-29 10:20:10", "inject_timestamp": "1674958810", "inject_pod": POD, "inject_type": "return",
}  # fmt: skip
LOG_HEADER = "Timestamp,TimeUnixNano,Node,PodName,Container,TraceID,SpanID,Log\n"
SPAN_HEADER = "TraceID,SpanID,ParentID,PodName,OperationName,StartTimeUnixNano,EndTimeUnixNano,Duration\n"
METRIC_HEADER = "Time,TimeStamp,PodName,CpuUsageRate(%),PodServerLatencyP99(s)\n"


def at(clock: str) -> int:
    h, m, s = (int(part) for part in clock.split(":"))
    return (DAY + h * 3600 + m * 60 + s) * NS


def log(clock: str, text: str = "18:20:10.1 INFO  t.c.Travel#122 hello", time: str = "") -> str:
    inner = json.dumps({"log": text + "\n", "stream": "stdout"}).replace('"', '""')
    return f'2023-01-29T{clock}.5,{time or at(clock)},10.0.0.1,{POD},server,{TRACE},{SPAN},"{inner}"\n'


def span(clock: str, parent: str = PARENT) -> str:
    return f"{TRACE},{SPAN},{parent},{POD},SELECT ts.trip,{at(clock)},{at(clock) + 5000},5\n"


def minute(name: str, first: str, second: str, more: str = "") -> dict[str, str]:
    """One recorded minute; rows stand in the file in falling order of time, as they do in the data."""
    return {
        f"{name}_log.csv": LOG_HEADER + log(second) + log(first) + more,
        f"{name}_trace.csv": SPAN_HEADER + span(second) + span(first, "root"),
    }


FAULT = [
    *minute("10_20", "10:19:20", "10:19:30").items(), *minute("10_21", "10:20:20", "10:20:30").items(),
    *minute("10_22", "10:21:20", "10:21:30").items(),
]  # fmt: skip
METRICS = "".join(
    f"x,{at(t) // NS},{POD},{cpu},{latency}\n"
    for t, cpu, latency in (("09:50:10", 1.5, ""), ("10:20:10", 2.5, 0.25), ("10:30:10", 3.5, "nan"))
)
OUTSIDE = f"x,{at('09:50:09') // NS},{POD},9.9,9.9\n"


def single(more: str = "") -> dict[str, str]:
    normal = minute("faultfree_08_50", "08:49:20", "08:49:30", more)
    return {f"one/{n}": t for n, t in [*normal.items(), *FAULT]} | {
        "one/label.json": json.dumps(LABEL), "one/metrics.csv": METRIC_HEADER + METRICS, "one/LICENSE": "MIT",
    }  # fmt: skip


def whole() -> dict[str, str]:
    other = LABEL | {"inject_time": "2023-01-29 11:04:05", "inject_type": "exception"}

    def place(root: str, files: list[tuple[str, str]]) -> dict[str, str]:
        return {f"{root}/2023-01-29/{'log' if 'log' in n else 'trace'}/{n}": text for n, text in files}

    return {
        **place("rca_data", FAULT), **place("rca_data", list(minute("11_04", "11:03:20", "11:03:30").items())),
        **place("construct_data", list(minute("08_50", "08:49:20", "08:49:30").items())),
        f"rca_data/2023-01-29/metric/{POD}_metric.csv": METRIC_HEADER + OUTSIDE + METRICS,
        f"construct_data/2023-01-29/metric/{POD}_metric.csv": METRIC_HEADER + OUTSIDE + METRICS,
        "rca_data/2023-01-29/2023-01-29-fault_list.json": json.dumps({"10": [LABEL], "11": [other]}),
    }  # fmt: skip


def packed(path: Path, files: dict[str, str]) -> Path:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as tar:
        for name, text in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(text.encode())
            tar.addfile(info, io.BytesIO(text.encode()))
    path.write_bytes((zstandard.compress if path.suffix == ".zst" else lzma.compress)(raw.getvalue()))
    return path


def run(path: Path, files: dict[str, str], **options: str) -> tuple[dict[str, int], Recording]:
    source = packed(path, files)
    out = path.with_suffix(".out")
    return import_(Nezha(), source, out, options), Recording.open(out, verify=True)


def messages(recording: Recording, topic: str) -> list[Message]:
    return [m for m in recording.messages([topic]) if not record_type(m)]


def files_of(recording: Recording) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in recording.path.iterdir()}


def test_a_single_incident_is_counted_and_labelled_by_its_inject_time_as_utc(tmp_path: Path) -> None:
    counts, recording = run(tmp_path / "a.tar.xz", single())
    assert {k: v for k, v in counts.items() if k != "messages"} == {
        "incidents": 1, "samples": 4, "log_lines": 8, "spans": 8, "dead_lettered": 0, "absent": 2,
    }  # fmt: skip
    label = {"id": "2023-01-29T10:20:10", "at_ns": at("10:20:10"), "entity": SERVICE, "family": "return"}
    assert recording.labels() == [label]


def test_a_log_line_keeps_body_time_ids_and_has_no_code_attributes(tmp_path: Path) -> None:
    _, recording = run(tmp_path / "a.tar.xz", single())
    group = Logs.FromString(messages(recording, "otlp_logs")[0].value).resource_logs[0]
    line = group.scope_logs[0].log_records[0]
    assert (line.time_unix_nano, line.body.string_value) == (at("08:49:20"), "18:20:10.1 INFO  t.c.Travel#122 hello")
    assert (line.trace_id.hex(), line.span_id.hex(), list(line.attributes)) == (TRACE, SPAN, [])
    found = {a.key: a.value.string_value for a in group.resource.attributes}
    assert found == {"service.name": SERVICE, "k8s.pod.name": POD, "k8s.node.name": "10.0.0.1"}


def test_a_span_has_its_times_and_root_has_no_parent(tmp_path: Path) -> None:
    _, recording = run(tmp_path / "a.tar.xz", single())
    (first,) = Traces.FromString(messages(recording, "otlp_spans")[0].value).resource_spans[0].scope_spans[0].spans
    assert (first.parent_span_id, first.kind, first.name) == (b"", 0, "SELECT ts.trip")
    assert first.end_time_unix_nano - first.start_time_unix_nano == 5000


def test_metrics_are_gauges_in_snake_case_and_an_empty_cell_is_absent_not_zero(tmp_path: Path) -> None:
    _, recording = run(tmp_path / "a.tar.xz", single())
    found = [
        (m.name, m.unit, m.gauge.data_points[0].as_double)
        for message in messages(recording, "otlp_metrics")
        for m in Metrics.FromString(message.value).resource_metrics[0].scope_metrics[0].metrics
    ]
    cpu = [("cpu_usage_rate", "%", value) for value in (1.5, 2.5, 3.5)]
    assert sorted(found) == [*cpu, ("pod_server_latency_p99", "s", 0.25)]


def test_one_incident_of_the_whole_archive_has_the_very_bytes_of_the_single_one(tmp_path: Path) -> None:
    _, one = run(tmp_path / "one.tar.xz", single())
    _, cut = run(tmp_path / "cut.tar.zst", whole(), incident="2023-01-29T10:20:10")
    _, numbered = run(tmp_path / "numbered.tar.zst", whole(), incident="1")
    assert files_of(one) == files_of(cut) == files_of(numbered)


def test_importing_twice_makes_the_same_bytes_packed_or_not(tmp_path: Path) -> None:
    _, first = run(tmp_path / "1.tar.zst", whole())
    with tarfile.open(packed(tmp_path / "2.tar.xz", whole())) as tar:
        tar.extractall(tmp_path / "dir")  # Python 3.11.2 of Debian 12 knows no filter yet
    import_(Nezha(), tmp_path / "dir", tmp_path / "2")
    assert files_of(first) == files_of(Recording.open(tmp_path / "2"))


def test_the_whole_archive_holds_all_incidents_and_no_metric_twice(tmp_path: Path) -> None:
    counts, recording = run(tmp_path / "a.tar.zst", whole())
    assert (counts["incidents"], counts["samples"], counts["log_lines"]) == (2, 6, 10)
    assert [label["family"] for label in recording.labels()] == ["return", "exception"]


def test_coverage_comes_first_idle_after_each_stretch_and_final_last(tmp_path: Path) -> None:
    _, recording = run(tmp_path / "a.tar.xz", single())
    logs = list(recording.messages(["otlp_logs"]))
    marks = [(i, read(m)) for i, m in enumerate(logs) if record_type(m)]
    covered = [(i, m.start_ns, m.end_ns) for i, m in marks if isinstance(m, Coverage)]
    assert covered[0] == (0, at("08:49:20"), at("08:49:30") + 5001) and len(covered) == 4
    water = [(i, m) for i, m in marks if isinstance(m, Watermark)]
    assert [m.idle for _, m in water] == [True] * 4 + [False]
    assert water[-1][0] == len(logs) - 1 and water[-1][1].final and water[-1][1].through_ns == at("10:30:10")


def test_arrival_never_goes_back_and_a_message_spans_ten_seconds_at_most(tmp_path: Path) -> None:
    _, recording = run(tmp_path / "a.tar.xz", single())
    found = list(recording.messages())
    assert all(m.received_ns == m.event_ns for m in found)
    assert [m.received_ns for m in found] == sorted(m.received_ns for m in found)
    assert len(messages(recording, "otlp_logs")) == 8


@pytest.mark.parametrize(
    ("row", "reason", "sentence"),
    [
        ("a,b,c\n", "ROW_UNREADABLE", "faultfree_08_50_log.csv:4: 3 cells where the header has 8"),
        (log("08:49:25", time="soon"), "TIME_INVALID", "'soon' is not a time since the epoch"),
        (log("08:49:25").replace(TRACE, "zz"), "ID_INVALID", "'zz' is not an id of 32 hex digits"),
        (log("08:49:25").replace('"{', '"'), "LOG_JSON_INVALID", "no container log line"),
    ],
)
def test_a_row_that_cannot_be_converted_is_kept_with_its_bytes(
    tmp_path: Path, row: str, reason: str, sentence: str
) -> None:
    counts, recording = run(tmp_path / "a.tar.xz", single(row))
    (dead,) = recording.messages(["tidegate.dead-letters.v1"])
    letter = DeadLetter.from_bytes(dead.header("tidegate-dead-letter").encode())
    assert (counts["dead_lettered"], counts["log_lines"], dead.value) == (1, 8, row.encode())
    assert letter.reason == reason and sentence in letter.what


def test_where_the_number_holds_gos_zero_time_the_written_time_counts(tmp_path: Path) -> None:
    _, recording = run(tmp_path / "a.tar.xz", single(log("08:49:22", time="-6795364578871345152")))
    lines = Logs.FromString(messages(recording, "otlp_logs")[0].value).resource_logs[0].scope_logs[0].log_records
    assert [line.time_unix_nano for line in lines] == [at("08:49:20"), at("08:49:22") + NS // 2]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"incident": "7"}, "there is no incident '7', there are 1 to 2"),
        ({"incidnet": "1"}, r"unknown option 'incidnet', there are: baseline, incident \(nearest: incident\)"),
    ],
)
def test_a_wrong_option_is_named_and_nothing_is_left(tmp_path: Path, options: dict[str, str], sentence: str) -> None:
    with pytest.raises(ImportError_, match=sentence):
        run(tmp_path / "a.tar.zst", whole(), **options)
    assert not (tmp_path / "a.tar.out").exists()


def test_progress_rises_to_one_and_tells_the_counts(tmp_path: Path) -> None:
    seen: list[tuple[float, int]] = []
    source = packed(tmp_path / "a.tar.xz", single())
    import_(Nezha(), source, tmp_path / "out", None, lambda share, counts: seen.append((share, counts["spans"])))
    assert seen == sorted(seen) and seen[-1] == (1.0, 8)


def test_fault_free_minutes_of_all_days_can_be_moved_to_before_the_incident(tmp_path: Path) -> None:
    _, recording = run(tmp_path / "a.tar.zst", whole(), incident="1", baseline="all")
    times = [
        record.time_unix_nano
        for message in messages(recording, "otlp_logs")
        for record in Logs.FromString(message.value).resource_logs[0].scope_logs[0].log_records
    ]
    assert times[:2] == [at("10:15:20"), at("10:15:30")] and times[2] == at("10:19:20")


def test_a_baseline_without_an_incident_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ImportError_, match="baseline=all goes with incident=ID"):
        run(tmp_path / "a.tar.zst", whole(), baseline="all")


def test_seconds_that_lie_years_from_the_written_time_beside_them_are_not_believed() -> None:
    text = "2022-08-22 03:51:19.607158889 +0000 UTC m=+0.113112869"
    assert _instant("1861140279", text) == _instant("1661140279", text) == 1_661_140_279 * NS
    assert _instant("1661140279", "x") == 1_661_140_279 * NS
