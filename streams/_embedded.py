"""The embedded log: one process, one SQLite file, no broker to run.

Every append is one transaction. `synchronous=NORMAL` with a write-ahead log survives a crash of the process at any
point and a power cut without corruption (a power cut may lose the last moments; senders resend, ids are the same).
Snapshots of the stages lie beside the records, written in one transaction with a checksum.
"""

import hashlib
import json
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import zstandard

from schemas.core import Emit, Message
from streams._errors import SnapshotError, TransportError
from streams._log import Stored

FORMAT = 1
_TABLES = """
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS record (
  sequence INTEGER PRIMARY KEY AUTOINCREMENT, topic TEXT NOT NULL, partition INTEGER NOT NULL, offset INTEGER NOT NULL,
  key BLOB NOT NULL, value BLOB NOT NULL, headers TEXT NOT NULL, event_ns INTEGER NOT NULL,
  received_ns INTEGER NOT NULL,
  writer TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS by_topic ON record (topic, sequence);
CREATE TABLE IF NOT EXISTS written (writer TEXT PRIMARY KEY, count INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS place (topic TEXT, partition INTEGER, next INTEGER NOT NULL, PRIMARY KEY (topic, partition));
CREATE TABLE IF NOT EXISTS snapshot (
  stage TEXT PRIMARY KEY, code TEXT NOT NULL, sha256 TEXT NOT NULL, data BLOB NOT NULL);
"""


class EmbeddedLog:
    """Implements `Log` on a SQLite file. One writing process at a time; a second is refused.

    Raises TransportError if the file cannot be opened, is locked by another process, or has a newer format.
    """

    def __init__(self, path: Path, *, code: str = "0") -> None:
        self.path, self._code = path, code
        self._lock = threading.RLock()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(path, isolation_level=None, timeout=2.0, check_same_thread=False)
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=NORMAL")
            self._db.executescript(_TABLES)
            found = self._db.execute("SELECT value FROM meta WHERE name='format'").fetchone()
        except sqlite3.Error as error:
            raise TransportError(
                f"the embedded log cannot be opened: {error}", where=str(path), code="LOG_UNREADABLE",
                todo="Stop the other process that uses it, or choose another --dir",
            ) from error  # fmt: skip
        if found is None:
            self._db.execute("INSERT INTO meta VALUES ('format', ?)", (str(FORMAT),))
        elif int(found[0]) > FORMAT:
            raise TransportError(
                f"the log has format {found[0]}, this version reads up to {FORMAT}", where=str(path),
                code="LOG_FROM_THE_FUTURE", todo="Upgrade Tidegate or choose another --dir",
            )  # fmt: skip

    def append(self, emits: Sequence[Emit], *, writer: str, received_ns: int | None = None) -> None:
        if not emits:
            return
        with self._lock:
            try:
                self._db.execute("BEGIN IMMEDIATE")
                for emit in emits:
                    received = emit.event_ns if received_ns is None else received_ns
                    self._insert(emit, self._next(emit.topic, emit.partition), received, writer)
                self._db.execute(
                    "INSERT INTO written VALUES (?, ?) "
                    "ON CONFLICT (writer) DO UPDATE SET count = count + excluded.count",
                    (writer, len(emits)),
                )
                self._db.execute("COMMIT")
            except sqlite3.Error as error:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise TransportError(
                    f"{len(emits)} records could not be written: {error}", where=str(self.path),
                    code="LOG_WRITE_FAILED",
                    todo="Free disk space or check permissions; nothing of this batch was kept",
                ) from error  # fmt: skip

    def _insert(self, emit: Emit, offset: int, received: int, writer: str) -> None:
        headers = json.dumps([[name, value.decode("latin-1")] for name, value in emit.headers])
        self._db.execute(
            "INSERT INTO record (topic, partition, offset, key, value, headers, event_ns, received_ns, writer) "
            "VALUES (?,?,?,?,?,?,?,?,?)",
            (emit.topic, emit.partition, offset, emit.key, emit.value, headers, emit.event_ns, received, writer),
        )

    def _next(self, topic: str, partition: int) -> int:
        row = self._db.execute(
            "INSERT INTO place VALUES (?, ?, 1) "
            "ON CONFLICT (topic, partition) DO UPDATE SET next = next + 1 RETURNING next",
            (topic, partition),
        ).fetchone()
        return int(row[0]) - 1

    def read(self, topics: Sequence[str], after: int, limit: int) -> list[Stored]:
        marks = ",".join("?" * len(topics))
        columns = "sequence, topic, partition, offset, key, value, headers, event_ns, received_ns, writer"
        with self._lock:
            rows = self._db.execute(
                f"SELECT {columns} FROM record WHERE topic IN ({marks}) AND sequence > ? ORDER BY sequence LIMIT ?",
                (*topics, after, limit),
            ).fetchall()
        return [_stored(row) for row in rows]

    def topics(self) -> list[str]:
        with self._lock:
            return [row[0] for row in self._db.execute("SELECT DISTINCT topic FROM place ORDER BY topic")]

    def messages(self, topics: Iterable[str]) -> Iterator[Message]:
        """All records of the topics in order of append, in bounded batches."""
        names, after = list(topics), 0
        while batch := self.read(names, after, 1000):
            for stored in batch:
                yield stored.message
            after = batch[-1].sequence

    def written(self, writer: str) -> int:
        with self._lock:
            row = self._db.execute("SELECT count FROM written WHERE writer = ?", (writer,)).fetchone()
        return int(row[0]) if row else 0

    def last(self) -> int:
        with self._lock:
            return int(self._db.execute("SELECT coalesce(max(sequence), 0) FROM record").fetchone()[0])

    def ends(self) -> Mapping[str, int]:
        with self._lock:
            rows = self._db.execute("SELECT topic, partition, next FROM place ORDER BY topic, partition")
            return {f"{topic}/{partition}": end for topic, partition, end in rows}

    def behind(self, topics: Sequence[str], after: int) -> tuple[int, int]:
        """How many records of the topics lie above a sequence, and how many bytes their values have."""
        marks = ",".join("?" * len(topics))
        with self._lock:
            row = self._db.execute(
                "SELECT count(*), coalesce(sum(length(value)), 0) FROM record "
                f"WHERE topic IN ({marks}) AND sequence > ?",
                (*topics, after),
            ).fetchone()
        return int(row[0]), int(row[1])

    def save(self, snapshots: Mapping[str, bytes]) -> None:
        """Snapshots of all stages, replaced together; raises TransportError, and then the old ones stand."""
        packer = zstandard.ZstdCompressor(level=3)
        with self._lock:
            try:
                self._db.execute("BEGIN IMMEDIATE")
                for stage, data in snapshots.items():
                    digest = hashlib.sha256(data).hexdigest()
                    self._db.execute(
                        "INSERT OR REPLACE INTO snapshot VALUES (?,?,?,?)",
                        (stage, self._code, digest, packer.compress(data)),
                    )
                self._db.execute("COMMIT")
            except sqlite3.Error as error:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise TransportError(
                    f"the snapshots could not be written: {error}", where=str(self.path), code="LOG_WRITE_FAILED",
                    todo="Free disk space or check permissions; the older snapshots still stand",
                ) from error  # fmt: skip

    def snapshot(self, stage: str) -> bytes | None:
        """The snapshot of a stage, None if there is none. Raises SnapshotError if it does not fit its checksum."""
        with self._lock:
            row = self._db.execute("SELECT sha256, data FROM snapshot WHERE stage = ?", (stage,)).fetchone()
        if row is None:
            return None
        try:
            data = zstandard.ZstdDecompressor().decompress(row[1])
        except zstandard.ZstdError as error:
            raise _corrupt(self.path, stage) from error
        if hashlib.sha256(data).hexdigest() != row[0]:
            raise _corrupt(self.path, stage)
        return data

    def close(self) -> None:
        self._db.close()


def _corrupt(path: Path, stage: str) -> SnapshotError:
    return SnapshotError(
        f"the snapshot of stage '{stage}' does not fit its checksum", where=str(path), code="SNAPSHOT_CORRUPT",
        todo="Start with --rebuild: the state is made again from the log",
    )  # fmt: skip


def _stored(row: tuple[int, str, int, int, bytes, bytes, str, int, int, str]) -> Stored:
    sequence, topic, partition, offset, key, value, headers, event_ns, received_ns, writer = row
    pairs = tuple((name, text.encode("latin-1")) for name, text in json.loads(headers))
    return Stored(sequence, Message(topic, partition, offset, key, value, pairs, event_ns, received_ns), writer)
