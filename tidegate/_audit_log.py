"""The audit log as files: entries one a line, checkpoints beside them, bodies that can be erased; one writer.

    entries.jsonl      entries, in order
    checkpoints.jsonl  checkpoints, oldest first; the first is over nothing, so an empty log is vouched for too
    key.vkey           the public key, for readers who were given none; it proves nothing against who writes the log
    bodies/            what entries are about, salted; a body that is gone is gone, its entry still holds
    torn/              halves of entries that a crash left behind, kept

An entry counts when `append` has returned: written and fsynced. After a crash the log is opened again only if every
entry of it holds; half an entry at the end, over which no checkpoint was signed, is put aside. A write or fsync that
failed ends the writer, because nobody knows what is on the disk then: no audit, no action. Checkpoints are signed after
`every` entries, `every_s` seconds of the entries' own times, at `checkpoint()` and at `close()`.
"""

import fcntl
import json
import os
import secrets
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, NamedTuple

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pydantic import ValidationError

from actions import (
    AuditInvalid,
    Frontier,
    Happening,
    Head,
    LogKey,
    NoteInvalid,
    Report,
    TreeHead,
    append_entry,
    body_digest,
    hash_text,
    leaf_hash,
    leaf_of,
    log_key,
    parse_entry,
    read_checkpoint,
    sign_head,
    verify_log,
)  # fmt: skip
from schemas import Checkpoint, RecordInvalid, canonical, why
from tidegate._errors import AuditLogError

ENTRIES, CHECKPOINTS, KEY, BODIES, TORN = "entries.jsonl", "checkpoints.jsonl", "key.vkey", "bodies", "torn"
_LONGEST = 2_000
"""Bytes of a line that are read at once; an entry is shorter."""


class Notes(NamedTuple):
    """The checkpoints of a log; an unreadable one is empty text, which no key verifies."""

    texts: tuple[str, ...]
    is_torn: bool


class AuditLog:
    """A log that is written. Close it, or use it in `with`."""

    def __init__(
        self, place: Path, key: Ed25519PrivateKey, *, origin: str = "tidegate/audit", every: int = 1000,
        every_s: float = 60.0,
    ) -> None:  # fmt: skip
        """Opens or begins a log. Raises AuditLogError if another writer has it, or it does not hold."""
        self.place, self.every, self.every_ns = place, every, round(every_s * 1e9)
        self._key, self._reader = key, LogKey(origin, key.public_key())
        self._head, self._tree, self._signed, self._is_broken = Head(), Frontier(), Head(), False
        self._newest: Checkpoint | None = None
        try:
            (place / BODIES).mkdir(parents=True, exist_ok=True)
            self._lock = (place / "lock").open("ab")
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._begin_or_recover()
            self._entries = (place / ENTRIES).open("ab", buffering=0)
            self._checkpoints = (place / CHECKPOINTS).open("ab", buffering=0)
        except BlockingIOError as error:
            raise AuditLogError("another process writes it", where=str(place), todo="Stop it first") from error
        except OSError as error:
            raise AuditLogError(f"it cannot be opened: {why(error)}", where=str(place)) from error
        if not (place / CHECKPOINTS).stat().st_size:
            self.checkpoint()
        _sync_folder(place)

    @property
    def head(self) -> Head:
        """Where the chain ends, as it is on the disk."""
        return self._head

    @property
    def signed(self) -> Head:
        """What the last checkpoint is over."""
        return self._signed

    @property
    def newest(self) -> Checkpoint | None:
        """The last checkpoint that this writer signed; None before its first."""
        return self._newest

    @property
    def key(self) -> LogKey:
        """What a reader needs to verify it."""
        return self._reader

    def keep(self, body: object) -> str:
        """Keeps what an entry is about; returns the digest for `Happening.body_digest`. Durable when it returns."""
        salt = secrets.token_bytes(16)
        digest = body_digest(salt, body)
        path = self.place / BODIES / f"{digest.removeprefix('sha256:')}.json"
        try:
            with path.open("xb") as file:
                file.write(canonical({"salt": salt.hex(), "body": body}))
                file.flush()
                os.fsync(file.fileno())
            _sync_folder(path.parent)
        except OSError as error:
            raise AuditLogError(f"a body cannot be kept: {why(error)}", where=str(path)) from error
        return digest

    def append(self, *what: Happening) -> list[bytes]:
        """Writes all of them with one fsync; returns their bytes. They are durable when it returns, all or, if it
        raises, none of them counts.

        Raises AuditInvalid, with nothing written, or AuditLogError, after which this writer writes no more.
        """
        head, entries = self._head, []
        for happening in what:
            head, entry = append_entry(head, happening)
            entries.append(entry)
        self._add(head, entries)
        return entries

    def take(self, entries: Sequence[bytes]) -> None:
        """Writes entries that were made elsewhere, as those of the ledger; they must go on from the last one here.

        Raises AuditInvalid, with nothing written, or AuditLogError, after which this writer writes no more.
        """
        head = self._head
        for entry in entries:
            parsed = parse_entry(entry, head.size)
            if (parsed.number, parsed.prev.decode()) != (head.size, head.prev) or parsed.at_ns < head.at_ns:
                raise AuditInvalid("it does not follow the entry before", where=f"entry {head.size}")
            head = Head(head.size + 1, hash_text(parsed.leaf), parsed.at_ns)
        self._add(head, entries)

    def _add(self, head: Head, entries: Sequence[bytes]) -> None:
        self._write(self._entries, b"".join(entry + b"\n" for entry in entries))
        for entry in entries:
            self._tree.add(leaf_hash(entry))
        self._head = head
        if not self._signed.at_ns:
            self._signed = self._signed._replace(at_ns=head.at_ns)
        if head.size - self._signed.size >= self.every or head.at_ns - self._signed.at_ns >= self.every_ns:
            self.checkpoint()

    def checkpoint(self) -> Checkpoint:
        """Signs what is there: before anything that cannot be undone, and to be put where this process has no power."""
        signed = sign_head(TreeHead(self._reader.name, self._head.size, self._tree.root), self._key)
        self._write(self._checkpoints, canonical(signed.model_dump(mode="json")) + b"\n")
        self._signed, self._newest = self._head, signed
        return signed

    def close(self) -> None:
        """A last checkpoint, if there is anything that none is over."""
        if not self._is_broken and self._signed.size < self._head.size:
            self.checkpoint()
        for file in (self._entries, self._checkpoints, self._lock):
            file.close()

    def __enter__(self) -> "AuditLog":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _write(self, file: BinaryIO, data: bytes) -> None:
        if self._is_broken:
            raise AuditLogError("an earlier write failed", where=str(self.place), todo="Open the log again")
        self._is_broken = True
        try:
            written = 0
            while written < len(data):
                written += file.write(data[written:]) or 0
            os.fsync(file.fileno())
        except OSError as error:
            raise AuditLogError(
                f"it cannot be written: {why(error)}", where=str(self.place), todo="Nothing may be done until it can"
            ) from error
        self._is_broken = False

    def _begin_or_recover(self) -> None:
        path = self.place / KEY
        if not (self.place / ENTRIES).exists():
            if (self.place / CHECKPOINTS).exists():
                raise AuditLogError("its entries are gone", where=str(self.place), todo="See `tidegate audit verify`")
            path.write_text(self._reader.text + "\n")
            (self.place / ENTRIES).touch()
            return
        if path.read_text().strip() != self._reader.text:
            raise AuditLogError("it was begun with another key or name", where=str(self.place))
        self._cut(CHECKPOINTS)
        if not any(
            (self.place / name).exists() and (self.place / name).stat().st_size for name in (ENTRIES, CHECKPOINTS)
        ):
            return
        report, _ = verify_place(self.place, self._reader)
        if report.reason == "TORN":
            self._cut(ENTRIES)
            report, _ = verify_place(self.place, self._reader)
        if report.verdict not in ("ok", "unanchored"):
            raise AuditLogError(
                f"it does not hold: {report.text} [{report.reason}]", where=str(self.place),
                todo="Keep it as it is, run `tidegate audit verify`, and begin another one",
            )  # fmt: skip
        with (self.place / ENTRIES).open("rb") as file:
            for line in file:
                self._tree.add(leaf_hash(line[:-1]))
        if self._tree.size:
            last = leaf_of(line[:-1])
            self._head = Head(last.index + 1, hash_text(leaf_hash(line[:-1])), last.at_ns)
        self._signed = Head(report.anchored, at_ns=self._head.at_ns)

    def _cut(self, name: str) -> None:
        """Puts what stands after the last line end aside."""
        path = self.place / name
        data = path.read_bytes() if path.exists() else b""
        whole = data.rfind(b"\n") + 1
        if whole < len(data):
            (self.place / TORN).mkdir(exist_ok=True)
            (self.place / TORN / f"{name}.{whole}").write_bytes(data[whole:])
            with path.open("r+b") as file:
                file.truncate(whole)
                os.fsync(file.fileno())


def read_lines(place: Path) -> Iterator[bytes]:
    """The entries with their line ends; a line without end is the last, or longer than any entry.

    Raises AuditLogError if there is no log.
    """
    try:
        with (place / ENTRIES).open("rb") as file:
            yield from iter(lambda: file.readline(_LONGEST), b"")
    except OSError as error:
        raise AuditLogError(
            f"there is no audit log: {error.strerror}", where=str(place), todo="Give its directory with --log"
        ) from error


def read_notes(place: Path, key: LogKey) -> Notes:
    """The log's own checkpoints."""
    path = place / CHECKPOINTS
    data = path.read_bytes() if path.exists() else b""
    *lines, rest = data.split(b"\n")
    return Notes(tuple(_note(line, key) for line in lines), bool(rest))


def read_key(place: Path) -> LogKey:
    """The key that lies in the log itself. Raises AuditLogError if there is none that can be read."""
    if not place.is_dir():
        raise AuditLogError("there is no audit log", where=str(place), todo="Give its directory with --log")
    try:
        return log_key((place / KEY).read_text())
    except (OSError, ValueError, NoteInvalid) as error:
        raise AuditLogError(
            f"no key of the log can be read: {why(error)}", where=str(place / KEY), todo="Give it with --key"
        ) from error


def verify_place(place: Path, key: LogKey, anchors: tuple[str, ...] = ()) -> tuple[Report, Notes]:
    """The whole log, from its files. Raises AuditLogError if there is none."""
    notes = read_notes(place, key)
    return verify_log(read_lines(place), notes.texts, key, anchors), notes


def kept_bodies(place: Path) -> list[str]:
    """Digests of the bodies that are there."""
    return sorted(f"sha256:{path.stem}" for path in (place / BODIES).glob("*.json"))


def body_of(place: Path, digest: str) -> object | None:
    """What an entry is about; None if it was erased. Raises AuditLogError if it is not what the entry says."""
    path = place / BODIES / f"{digest.removeprefix('sha256:')}.json"
    if not path.exists():
        return None
    try:
        found = json.loads(path.read_bytes())
        if body_digest(bytes.fromhex(found["salt"]), found["body"]) == digest:
            return found["body"]  # type: ignore[no-any-return]
    except (ValueError, KeyError, TypeError, AuditInvalid) as error:
        raise AuditLogError(f"the body cannot be read: {error}", where=str(path)) from error
    raise AuditLogError("the body is not the one that was written", where=str(path))


def _note(line: bytes, key: LogKey) -> str:
    try:
        record = Checkpoint.from_bytes(line, strict=True)
        read_checkpoint(record, key)
        return record.note if canonical(record.model_dump(mode="json")) == line else ""
    except (RecordInvalid, NoteInvalid, ValidationError, ValueError):
        return ""


def _sync_folder(place: Path) -> None:
    handle = os.open(place, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
