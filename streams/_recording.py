"""A recording: a stretch of topics as a directory of Parquet files, one a topic, and a manifest that is written last.

Parquet, because then DuckDB, pandas or Spark can question what was recorded without us; one row group holds rows of
one partition only, so a replay holds one row group a partition in memory, however long the recording. Files have a
temporary name until the end, so a crash leaves no manifest and nothing that could be taken for a whole recording.
"""

import hashlib
import heapq
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

import pyarrow as pa
import pyarrow.parquet as pq

from schemas import why
from schemas.core import Message
from streams._errors import RecordingError

FORMAT = 1
MANIFEST = "manifest.json"
LABELS = "labels.json"
_PARTIAL = ".partial"
_ROW_GROUP_BYTES = 4 << 20
_BUFFERED_BYTES = 32 << 20
_ROW_BYTES = 64  # a row's own cost beside key, value and headers, so that many empty ones are bounded too
_TOPIC = re.compile(r"[A-Za-z0-9._-]{1,249}")  # Kafka's rule for names
_HEADERS = pa.list_(pa.struct([("name", pa.string()), ("value", pa.binary())]))
SCHEMA = pa.schema(
    [
        ("partition", pa.int32()), ("offset", pa.int64()), ("key", pa.binary()), ("value", pa.binary()),
        ("headers", _HEADERS), ("event_ns", pa.int64()), ("received_ns", pa.int64()),
    ]
)  # fmt: skip


class TopicInfo(NamedTuple):
    """What the manifest says of one topic. partitions: the highest partition seen, plus one."""

    rows: int
    partitions: int
    bytes: int
    sha256: str
    footer: str
    """SHA-256 of the Parquet footer alone, so that opening is cheap and damaged metadata never reach the library."""
    first_ns: int
    last_ns: int


class RecordingWriter:
    """Writes a recording; use as a context manager: leaving normally finishes it, an exception removes what there is.

    Offsets must rise within a partition. Raises RecordingError if the directory holds anything already.
    """

    def __init__(self, path: Path, *, created_by: str) -> None:
        self._path, self._created_by = path, created_by
        self._topics: dict[str, _TopicWriter] = {}
        self._labels_file: str | None = None
        path.mkdir(parents=True, exist_ok=True)
        for leftover in [*path.glob(f"*{_PARTIAL}")]:
            leftover.unlink()
        if any(path.iterdir()):
            todo = "Choose another directory or remove this one"
            raise RecordingError("the directory is not empty", where=str(path), todo=todo, code="RECORDING_EXISTS")

    def append(self, message: Message) -> None:
        """Add one message; memory stays bounded by bytes, whatever the number of topics and partitions."""
        topic = self._topics.get(message.topic)
        if topic is None:
            topic = self._topics[message.topic] = _TopicWriter(self._path, message.topic)
        topic.append(message)
        if sum(t.buffered for t in self._topics.values()) > _BUFFERED_BYTES:
            max(self._topics.values(), key=lambda t: t.buffered).flush()

    def write_labels(self, labels: list[dict[str, Any]]) -> None:
        """Ground truth, kept beside the topics and never on one, so that no stage can read it."""
        text = json.dumps(labels, indent=1, sort_keys=True)
        (self._path / (LABELS + _PARTIAL)).write_text(text, encoding="utf-8")
        self._labels_file = LABELS

    def close(self) -> None:
        """Finish: files get their names, the manifest comes last."""
        topics = {name: topic.close()._asdict() for name, topic in sorted(self._topics.items())}
        manifest: dict[str, Any] = {
            "format": FORMAT, "version": _version(), "created_by": self._created_by, "topics": topics,
        }  # fmt: skip
        if self._labels_file:
            manifest["labels_file"] = self._labels_file
            (self._path / (LABELS + _PARTIAL)).rename(self._path / LABELS)
        partial = self._path / (MANIFEST + _PARTIAL)
        partial.write_text(json.dumps(manifest, indent=1, sort_keys=True), encoding="utf-8")
        partial.rename(self._path / MANIFEST)

    def abort(self) -> None:
        """Remove what was written; the directory too, if it is empty then."""
        for topic in self._topics.values():
            topic.abort()
        for name in (LABELS, LABELS + _PARTIAL, MANIFEST + _PARTIAL):
            (self._path / name).unlink(missing_ok=True)
        with suppress(OSError):
            self._path.rmdir()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if kind is not None:
            self.abort()
            return
        try:
            self.close()
        except BaseException:
            self.abort()
            raise


class Recording:
    """An opened recording. Opening checks the manifest, sizes, footers and row counts; `verify` the digests too."""

    def __init__(self, path: Path, manifest: Mapping[str, Any]) -> None:
        self.path, self.manifest = path, manifest
        self._topics = {name: _topic_info(path, name, entry) for name, entry in manifest["topics"].items()}

    @classmethod
    def open(cls, path: Path, *, verify: bool = False) -> Self:
        """Raises RecordingError: RECORDING_UNFINISHED, _CUT_SHORT, _MISMATCH, _TOO_NEW, _UNREADABLE."""
        recording = cls(path, _manifest(path))
        for name, info in recording._topics.items():
            with recording._parquet(name) as file:
                if file.metadata.num_rows != info.rows or file.schema_arrow != SCHEMA:
                    raise _mismatch(path, name, f"holds {file.metadata.num_rows} rows, the manifest says {info.rows}")
            if verify and _digest(path / f"{name}.parquet") != info.sha256:
                raise _mismatch(path, name, "is not what was written: its SHA-256 differs from the manifest's")
        return recording

    def topics(self) -> dict[str, TopicInfo]:
        return dict(self._topics)

    def labels(self) -> list[dict[str, Any]]:
        """Ground truth for evaluation; empty where there is none."""
        if not (name := self.manifest.get("labels_file")):
            return []
        try:
            labels: list[dict[str, Any]] = json.loads((self.path / Path(name).name).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise _cut_short(self.path, str(name), why(error)) from error
        return labels

    def messages(self, topics: Iterable[str] | None = None) -> Iterator[Message]:
        """Messages as they arrived: by (received_ns, topic, partition, offset), one row group a partition in memory.

        Within a partition the order of offsets always holds, also where a clock stepped back. Raises RecordingError.
        """
        names = sorted(self._topics) if topics is None else sorted(set(topics) & set(self._topics))
        cursors = (self._cursor(name, p) for name in names for p in range(self._topics[name].partitions))
        for _, message in heapq.merge(*cursors, key=lambda row: row[0]):
            yield message

    def _cursor(self, topic: str, partition: int) -> Iterator[tuple[tuple[int, str, int, int], Message]]:
        newest = -(1 << 63)
        with self._parquet(topic) as file:
            groups = [g for g in range(file.num_row_groups) if _partition_of(file, g) == partition]
            for group in groups:
                try:
                    table = file.read_row_group(group)
                except (pa.ArrowException, OSError) as error:
                    raise _cut_short(self.path, f"{topic}.parquet", why(error)) from error
                for message in _messages(topic, table):
                    newest = max(newest, message.received_ns)
                    yield (newest, topic, partition, message.offset), message

    def _parquet(self, topic: str) -> Any:
        path = self.path / f"{topic}.parquet"
        try:
            if path.stat().st_size != self._topics[topic].bytes:
                expected = f"{path.stat().st_size} bytes instead of {self._topics[topic].bytes}"
                raise _cut_short(self.path, path.name, expected)
            if _footer_digest(path) != self._topics[topic].footer:
                raise _cut_short(self.path, path.name, "its footer is not the one that was written")
            return pq.ParquetFile(path, page_checksum_verification=True)
        except (pa.ArrowException, OSError) as error:
            raise _cut_short(self.path, path.name, why(error)) from error


class _TopicWriter:
    """One Parquet file; buffers each partition until it makes a row group."""

    def __init__(self, directory: Path, topic: str) -> None:
        if not _TOPIC.fullmatch(topic) or topic.strip(".") == "":
            raise RecordingError(f"'{topic[:80]}' is not the name of a topic", where=str(directory))
        self._final = directory / f"{topic}.parquet"
        self._partial = directory / f"{topic}.parquet{_PARTIAL}"
        self._file = pq.ParquetWriter(
            self._partial, SCHEMA, compression="zstd", use_dictionary=False, write_page_checksum=True,
            write_statistics=["partition", "offset", "event_ns", "received_ns"],
        )  # fmt: skip
        self._waiting: dict[int, list[Message]] = {}
        self._bytes: dict[int, int] = {}
        self._rows, self._partitions, self._first, self._last = 0, 0, 1 << 63, -(1 << 63)

    @property
    def buffered(self) -> int:
        return sum(self._bytes.values())

    def append(self, message: Message) -> None:
        p = message.partition
        self._waiting.setdefault(p, []).append(message)
        size = _ROW_BYTES + len(message.key) + len(message.value) + sum(len(n) + len(v) for n, v in message.headers)
        self._bytes[p] = self._bytes.get(p, 0) + size
        self._rows, self._partitions = self._rows + 1, max(self._partitions, p + 1)
        self._first, self._last = min(self._first, message.received_ns), max(self._last, message.received_ns)
        if self._bytes[p] >= _ROW_GROUP_BYTES:
            self._flush_partition(p)

    def flush(self) -> None:
        for partition in sorted(self._waiting):
            self._flush_partition(partition)

    def close(self) -> TopicInfo:
        self.flush()
        self._file.close()
        self._partial.rename(self._final)
        digest, size = _digest(self._final), self._final.stat().st_size
        footer = _footer_digest(self._final)
        return TopicInfo(self._rows, self._partitions, size, digest, footer, self._first, self._last)

    def abort(self) -> None:
        self._file.close()
        self._partial.unlink(missing_ok=True)
        self._final.unlink(missing_ok=True)

    def _flush_partition(self, partition: int) -> None:
        rows = self._waiting.pop(partition)
        del self._bytes[partition]
        _, partitions, offsets, keys, values, headers, event, received = zip(*rows, strict=True)
        named = [[{"name": n, "value": v} for n, v in pairs] for pairs in headers]
        columns = (partitions, offsets, keys, values, named, event, received)
        table = pa.table([pa.array(c, t) for c, t in zip(columns, SCHEMA.types, strict=True)], schema=SCHEMA)
        self._file.write_table(table, row_group_size=len(rows))


def _messages(topic: str, table: Any) -> Iterator[Message]:
    headers = [tuple((h["name"], h["value"]) for h in pairs) for pairs in table.column("headers").to_pylist()]
    columns = [table.column(name).to_pylist() for name in SCHEMA.names if name != "headers"]
    for named, partition, offset, key, value, event, received in zip(headers, *columns, strict=True):
        yield Message(topic, partition, offset, key, value, named, event, received)


def _manifest(path: Path) -> Mapping[str, Any]:
    where = str(path)
    if not path.is_dir():
        raise RecordingError("there is no recording here", where=where, todo="Give the directory of a recording")
    try:
        manifest: Any = json.loads((path / MANIFEST).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        todo = "The recording was not finished: record or import it again"
        raise RecordingError(f"no {MANIFEST}", where=where, todo=todo, code="RECORDING_UNFINISHED") from error
    except (OSError, ValueError) as error:
        raise _cut_short(path, MANIFEST, why(error)) from error
    found = manifest.get("format") if isinstance(manifest, dict) else None
    if not isinstance(found, int) or not isinstance(manifest.get("topics"), dict):
        raise RecordingError(f"{MANIFEST} is not the manifest of a recording", where=where)
    if found > FORMAT:
        what = f"the recording has format {found}, this version reads up to {FORMAT}"
        raise RecordingError(what, where=where, todo="Upgrade Tidegate", code="RECORDING_TOO_NEW")
    return dict(manifest)


def _topic_info(path: Path, name: str, entry: Any) -> TopicInfo:
    if not _TOPIC.fullmatch(name):
        raise RecordingError(f"'{name[:80]}' is not the name of a topic", where=str(path / MANIFEST))
    try:
        return TopicInfo(**{key: kind(entry[key]) for key, kind in TopicInfo.__annotations__.items()})
    except (KeyError, TypeError, ValueError) as error:
        raise RecordingError(f"topic '{name}': {error!r}", where=str(path / MANIFEST)) from error


def _partition_of(file: Any, group: int) -> int:
    return int(file.metadata.row_group(group).column(0).statistics.min)


def _version() -> str:
    try:
        return metadata.version("tidegate")
    except metadata.PackageNotFoundError:
        return "unknown"


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()


def _footer_digest(path: Path) -> str:
    """Digest of a Parquet file's footer: its length stands in front of the magic number at the end."""
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(size - 8, 0))
        length = int.from_bytes(file.read(4), "little")
        file.seek(max(size - 8 - length, 0))
        return "sha256:" + hashlib.sha256(file.read()).hexdigest()


def _cut_short(path: Path, name: str, why: str) -> RecordingError:
    todo = "Copy the recording again or import it again"
    what = f"{name} is cut short or damaged ({why[:160]})"
    return RecordingError(what, where=str(path), todo=todo, code="RECORDING_CUT_SHORT")


def _mismatch(path: Path, name: str, what: str) -> RecordingError:
    todo = "Copy the recording again or import it again"
    return RecordingError(f"{name}.parquet {what}", where=str(path), todo=todo, code="RECORDING_MISMATCH")
