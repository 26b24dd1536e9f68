"""The CSV importer finds its way in most files, says clearly what it cannot find, and drops no row silently."""

import gzip
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest as Metrics

from schemas import Coverage, DeadLetter, read, record_type, rfc3339
from schemas.core import NS, Emit, Message
from streams._errors import ImportError_
from streams._import import import_
from streams.importers._rows import iso_ns
from streams.importers.csv import Csv

T0 = 1_396_310_400  # 2014-04-01 00:00:00 UTC


def write(path: Path, text: str) -> Path:
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


def samples(path: Path, **options: str) -> list[tuple[str, str, int, float, dict[str, str]]]:
    """(service, metric, time ns, value, labels) of everything imported."""
    return [
        (group.resource.attributes[0].value.string_value, metric.name, point.time_unix_nano, point.as_double, labels)
        for emit in Csv().read(path, options) if emit.topic == "otlp_metrics" and emit.headers[0][0] == "tidegate-rows"
        for group in Metrics.FromString(emit.value).resource_metrics
        for metric in group.scope_metrics[0].metrics
        for point in metric.gauge.data_points
        for labels in [{a.key: a.value.string_value for a in point.attributes}]
    ]  # fmt: skip


def letters(emits: Iterator[Emit]) -> list[tuple[bytes, DeadLetter]]:
    dead = [emit for emit in emits if emit.topic == "tidegate.dead-letters.v1"]
    return [(e.value, DeadLetter.from_bytes(dict(e.headers)["tidegate-dead-letter"])) for e in dead]


@pytest.mark.parametrize("name", ["cpu.csv", "cpu.csv.gz"])
@pytest.mark.parametrize(
    "time", ["2014-04-01 00:00:00", "2014-04-01T00:00:00Z", "2014-04-01T02:00:00+02:00", "2014-04-01", str(T0),
             f"{T0}000", f"{T0}000000", f"{T0}000000000", f"{T0}.0"],
)  # fmt: skip
def test_time_and_value_are_found_and_times_without_a_zone_are_utc(tmp_path: Path, name: str, time: str) -> None:
    path = write(tmp_path / name, f"timestamp,value\n{time},19.5\n")
    assert samples(path) == [("cpu", "value", T0 * NS, 19.5, {})]


def test_columns_can_be_chosen_by_name(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", f"when,Cpu(%),mem [MiB],app,zone\n{T0},1,2,shop,eu\n{T0},3,4,bank,us\n")
    options = {"time": "when", "value": "Cpu(%),mem [MiB]", "service": "app", "labels": "zone", "format": "epoch_s"}
    assert samples(path, **options) == [
        ("shop", "cpu", T0 * NS, 1.0, {"zone": "eu"}), ("shop", "mem", T0 * NS, 2.0, {"zone": "eu"}),
        ("bank", "cpu", T0 * NS, 3.0, {"zone": "us"}), ("bank", "mem", T0 * NS, 4.0, {"zone": "us"}),
    ]  # fmt: skip


def test_without_a_choice_every_column_of_numbers_is_a_value_and_service_may_be_a_plain_name(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", f"ts,reads,host,writes\n{T0},1,h1,2\n")
    assert [(s[0], s[1], s[3]) for s in samples(path, service="db")] == [("db", "reads", 1.0), ("db", "writes", 2.0)]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"value": "vlaue"}, r"a.csv: unknown column 'vlaue', there are: timestamp, value, host \(nearest: value\)"),
        ({"time": "foo"}, "unknown column 'foo', there are: timestamp, value, host"),
        ({"labels": "hots"}, r"unknown column 'hots'.*nearest: host"),
        ({"format": "epoch"}, r"unknown format 'epoch', there are: iso, epoch_s.*nearest: epoch_s"),
        ({"tiem": "ts"}, r"unknown option 'tiem', there are: .*nearest: time"),
    ],
)
def test_what_is_not_there_is_named_with_what_is(tmp_path: Path, options: dict[str, str], sentence: str) -> None:
    path = write(tmp_path / "a.csv", f"timestamp,value,host\n{T0},1,h\n")
    with pytest.raises(ImportError_, match=sentence):
        samples(path, **options)


@pytest.mark.parametrize(("text", "sentence"), [("a,b\n1,2\n", "no column looks like a time"), ("", "is empty")])
def test_a_file_without_what_is_needed_is_refused(tmp_path: Path, text: str, sentence: str) -> None:
    with pytest.raises(ImportError_, match=sentence):
        samples(write(tmp_path / "a.csv", text))


def test_a_packed_file_cut_short_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv.gz", "timestamp,value\n" + "".join(f"{T0 + i},{i * i}\n" for i in range(500)))
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(ImportError_, match="cannot be read to its end"):
        samples(path)


@pytest.mark.parametrize(
    ("row", "sentence"),
    [
        ("soon,1\n", "a.csv:3: 'soon' is not a time since the epoch"),
        (f"{T0},much\n", "a.csv:3: column 'value': 'much' is not a number"),
        (f"{T0},inf\n", "a.csv:3: column 'value' is infinite"),
        (f"{T0},1,2\n", "a.csv:3: 3 cells where the header has 2"),
        ("99999999999999,1\n", "a.csv:3: '99999999999999' is outside the times"),
    ],
)
def test_a_row_that_does_not_parse_is_kept_with_line_and_reason(tmp_path: Path, row: str, sentence: str) -> None:
    path = write(tmp_path / "a.csv", f"timestamp,value\n{T0},1\n{row}{T0 + 1},2\n")
    ((raw, letter),) = letters(Csv().read(path, {}))
    assert raw == row.encode() and sentence in letter.what and letter.reason == "ROW_UNREADABLE"
    assert len(samples(path)) == 2


def test_a_bad_first_row_does_not_mislead_the_search_for_times_and_numbers(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", f"time,reads,host\nsoon,,a\n{T0},2,b\n")
    assert [(s[1], s[3]) for s in samples(path)] == [("reads", 2.0)] and len(letters(Csv().read(path, {}))) == 1


def test_empty_cells_and_nan_are_absent_not_zero_and_not_dead(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", f"timestamp,value\n{T0},\n{T0 + 1},nan\n{T0 + 2},0\n\n")
    counts = import_(Csv(), path, tmp_path / "out")
    assert (counts["samples"], counts["absent"], counts["dead_lettered"]) == (1, 2, 0)


def test_coverage_reaches_from_first_to_last_row_whatever_their_order(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", f"timestamp,value\n{T0 + 90},1\n{T0},1\n{T0 + 30},1\n")
    emits = list(Csv().read(path, {}))
    first = Message(emits[0].topic, 0, 0, b"", emits[0].value, emits[0].headers, 0, 0)
    mark = read(first)
    assert record_type(first) == "coverage" and isinstance(mark, Coverage)
    assert (mark.start_ns, mark.end_ns) == (T0 * NS, (T0 + 90) * NS + 1)
    assert [e.event_ns for e in emits] == sorted(e.event_ns for e in emits)


@given(st.lists(st.tuples(st.integers(1, 10**9), st.integers(0, 2), st.floats(allow_nan=False, width=32))))
def test_every_row_is_either_a_sample_absent_or_a_dead_letter(rows: list[tuple[int, int, float]]) -> None:
    with tempfile.TemporaryDirectory() as directory:
        lines = [
            f"{T0 + t},{value}" if kind == 0 else f"{T0 + t}," if kind == 1 else f"{t},x,{t}" for t, kind, value in rows
        ]
        path = write(Path(directory) / "a.csv", "\n".join(["timestamp,value", *lines]))
        counts = import_(Csv(), path, Path(directory) / "out", {"format": "epoch_s"})
    assert counts["samples"] + counts["absent"] + counts["dead_lettered"] == len(rows)


@given(st.integers(0, 4_000_000_000 * NS))
def test_iso_times_keep_every_nanosecond(t_ns: int) -> None:
    assert iso_ns(rfc3339(t_ns)) == t_ns
