"""What is recorded is what is read, in the order in which it arrived; a damaged recording says so."""

import json
import shutil
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from unittest.mock import patch

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.core import Message
from streams import _recording
from streams._errors import RecordingError
from streams._recording import Recording, RecordingWriter

NS64 = st.integers(-(1 << 63), (1 << 63) - 1)
ROWS = st.lists(
    st.tuples(
        st.sampled_from(["otlp_logs", "otlp_metrics", "tidegate.frames.v1"]), st.integers(0, 2), st.binary(max_size=20),
        st.binary(max_size=99), st.lists(st.tuples(st.text(max_size=5), st.binary(max_size=5)), max_size=2), NS64, NS64,
    ),
    max_size=40,
)  # fmt: skip


def numbered(rows: list[tuple]) -> list[Message]:
    """Messages with rising offsets within each partition."""
    offsets: dict[tuple[str, int], int] = {}
    messages = []
    for topic, partition, key, value, headers, event_ns, received_ns in rows:
        offset = offsets[topic, partition] = offsets.get((topic, partition), -1) + 1
        messages.append(Message(topic, partition, offset, key, value, tuple(headers), event_ns, received_ns))
    return messages


def record(path: Path, messages: list[Message]) -> Path:
    with RecordingWriter(path, created_by="test") as writer:
        for message in messages:
            writer.append(message)
        writer.write_labels([{"id": "a"}])
    return path


def small(path: Path) -> Path:
    rows = [("otlp_logs", 0, b"k", bytes([i] * 50), (("h", b"v"),), i, i) for i in range(60)]
    return record(path / "r", numbered([*rows, ("otlp_spans", 1, b"", b"x", (), 3, 3)]))


@settings(max_examples=60, deadline=None)
@given(ROWS, st.sampled_from([100, 1 << 22]))
def test_reading_gives_every_message_by_arrival_topic_partition_offset(rows: list[tuple], group_bytes: int) -> None:
    messages = numbered(rows)
    newest: dict[tuple[str, int], int] = {}
    expected = []
    for m in messages:
        newest[m.topic, m.partition] = arrived = max(newest.get((m.topic, m.partition), m.received_ns), m.received_ns)
        expected.append(((arrived, m.topic, m.partition, m.offset), m))
    with tempfile.TemporaryDirectory() as directory, patch.object(_recording, "_ROW_GROUP_BYTES", group_bytes):
        path = record(Path(directory) / "r", messages)
        assert list(Recording.open(path, verify=True).messages()) == [
            m for _, m in sorted(expected, key=lambda e: e[0])
        ]


def test_the_same_messages_make_the_same_bytes(tmp_path: Path) -> None:
    one, two = small(tmp_path / "1"), small(tmp_path / "2")
    assert {f.name: f.read_bytes() for f in one.iterdir()} == {f.name: f.read_bytes() for f in two.iterdir()}


def test_a_row_group_holds_one_partition_and_memory_is_bounded_by_bytes(tmp_path: Path) -> None:
    rows = numbered([("otlp_logs", i % 2, b"", bytes(1000), (), i, i) for i in range(200)])
    with patch.object(_recording, "_ROW_GROUP_BYTES", 10_000), patch.object(_recording, "_BUFFERED_BYTES", 5_000):
        path = record(tmp_path / "r", rows)
    file = pq.ParquetFile(path / "otlp_logs.parquet")
    groups = [file.read_row_group(g, columns=["partition"]).column(0).to_pylist() for g in range(file.num_row_groups)]
    assert len(groups) > 20 and all(len(set(group)) == 1 for group in groups)


def test_chosen_topics_only_are_read(tmp_path: Path) -> None:
    recording = Recording.open(small(tmp_path))
    assert {m.topic for m in recording.messages(["otlp_spans", "unknown"])} == {"otlp_spans"}
    assert recording.topics()["otlp_spans"].partitions == 2 and recording.labels() == [{"id": "a"}]


@pytest.mark.parametrize("name", ["manifest.json", "otlp_logs.parquet", "otlp_spans.parquet"])
def test_a_recording_cut_short_at_any_byte_is_refused_with_a_sentence(tmp_path: Path, name: str) -> None:
    file = small(tmp_path) / name
    whole = file.read_bytes()
    for size in {*range(0, len(whole), 23), len(whole) - 1}:
        file.write_bytes(whole[:size])
        with pytest.raises(RecordingError, match=r"cut short or damaged .* again") as caught:
            Recording.open(file.parent)
        assert caught.value.code == "RECORDING_CUT_SHORT"


def test_a_flipped_byte_is_found_when_verifying_and_without_it_never_changes_what_is_read(tmp_path: Path) -> None:
    path = small(tmp_path)
    file, good = path / "otlp_logs.parquet", list(Recording.open(path).messages())
    whole = file.read_bytes()
    for at in range(0, len(whole), 37):
        file.write_bytes(whole[:at] + bytes([whole[at] ^ 0x10]) + whole[at + 1 :])
        with pytest.raises(RecordingError):
            Recording.open(path, verify=True)
        with suppress(RecordingError):
            assert list(Recording.open(path).messages()) == good


def break_nothing(path: Path) -> None:
    (path / "manifest.json").unlink()


def break_format(path: Path) -> None:
    edit(path, lambda manifest: manifest.update(format=2))


def break_rows(path: Path) -> None:
    edit(path, lambda manifest: manifest["topics"]["otlp_logs"].update(rows=59))


def break_name(path: Path) -> None:
    edit(path, lambda manifest: manifest["topics"].update({"../x": manifest["topics"]["otlp_logs"]}))


def break_entry(path: Path) -> None:
    edit(path, lambda manifest: manifest["topics"]["otlp_logs"].pop("rows"))


def edit(path: Path, change: Callable[[dict], object]) -> None:
    manifest = json.loads((path / "manifest.json").read_text())
    change(manifest)
    (path / "manifest.json").write_text(json.dumps(manifest))


@pytest.mark.parametrize(
    ("damage", "code", "sentence"),
    [
        (break_nothing, "RECORDING_UNFINISHED", "not finished"),
        (break_format, "RECORDING_TOO_NEW", "format 2, this version reads up to 1"),
        (break_rows, "RECORDING_MISMATCH", "holds 60 rows, the manifest says 59"),
        (break_name, "RECORDING_UNREADABLE", "'../x' is not the name of a topic"),
        (break_entry, "RECORDING_UNREADABLE", "rows"),
        (lambda path: (path / "otlp_logs.parquet").unlink(), "RECORDING_CUT_SHORT", "otlp_logs.parquet"),
        (shutil.rmtree, "RECORDING_UNREADABLE", "there is no recording here"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, damage: Callable[[Path], None], code: str, sentence: str) -> None:
    path = small(tmp_path)
    damage(path)
    with pytest.raises(RecordingError, match=sentence) as caught:
        Recording.open(path)
    assert caught.value.code == code and str(path) in str(caught.value)


def test_a_crash_leaves_no_manifest_and_no_data_and_a_new_start_is_possible(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), RecordingWriter(tmp_path / "r", created_by="test") as writer:
        writer.append(numbered([("otlp_logs", 0, b"", b"", (), 1, 1)])[0])
        raise RuntimeError
    assert not (tmp_path / "r").exists()
    small(tmp_path)


def test_a_killed_writer_leaves_only_partial_files_which_the_next_one_removes(tmp_path: Path) -> None:
    writer = RecordingWriter(tmp_path / "r", created_by="test")
    writer.append(numbered([("otlp_logs", 0, b"", b"", (), 1, 1)])[0])
    assert [file.suffix for file in (tmp_path / "r").iterdir()] == [".partial"]
    assert len(list(Recording.open(small(tmp_path)).messages())) == 61


def test_a_directory_that_holds_something_is_not_written_to(tmp_path: Path) -> None:
    path = small(tmp_path)
    with pytest.raises(RecordingError, match="not empty") as caught:
        RecordingWriter(path, created_by="test")
    assert caught.value.code == "RECORDING_EXISTS" and Recording.open(path)


def test_a_topic_that_would_leave_the_directory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match="not the name of a topic"):
        record(tmp_path / "r", numbered([("../evil", 0, b"", b"", (), 1, 1)]))
