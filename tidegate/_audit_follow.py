"""From the ledger to an audit log on files, and from there to where the writer has no power.

The ledger's leaves are entries already, sealed in the transaction of what they are about; here they are copied in order
and must chain on to what the log has. A ledger that has fewer entries than its log, or others, was restored from a
backup or is another one: that is found before anything new is done. Checkpoints go to anchors; one that fails is told
of and tried again with the next, since what is done does not wait for it.
"""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from actions._ledger import Ledger
from schemas import Checkpoint, why
from tidegate._audit_log import AuditLog
from tidegate._errors import AuditLogError

AT_ONCE = 1000
_NOTES = re.compile(r"[^\n]+\n[^\n]+\n[^\n]+\n\n(?:\u2014 [^\n]*\n)+")


class Anchor(Protocol):
    """A place for checkpoints that the writer of the log cannot change afterwards."""

    name: str

    def put(self, checkpoint: Checkpoint) -> None:
        """Durable when it returns. Raises AuditLogError."""
        ...

    def notes(self) -> Sequence[str]:
        """The checkpoints that lie there, as they are there. Raises AuditLogError."""
        ...


class Followed(NamedTuple):
    """copied: entries. anchored: entries under the last checkpoint handed over. failed: anchor to why."""

    copied: int
    anchored: int
    failed: dict[str, str]


class Follower:
    def __init__(self, log: AuditLog, anchors: Sequence[Anchor] = ()) -> None:
        self._log, self._anchors = log, tuple(anchors)
        self._put: dict[str, int] = {}
        self.anchored = 0

    def follow(self, ledger: Ledger, *, now: bool = False) -> Followed:
        """Copies what is new; at each checkpoint, and where `now`, hands the newest to every anchor.

        Raises AuditLogError, code LEDGER_WENT_BACK where the ledger has not what the log has: distrust it then.
        """
        copied = self.copy(ledger)
        return Followed(copied, self.anchored, self.hand_over(now=now))._replace(anchored=self.anchored)

    def copy(self, ledger: Ledger) -> int:
        """How many entries were new. Raises AuditLogError, AuditInvalid."""
        self._check(ledger)
        copied = 0
        while rows := ledger.leaves(self._log.head.size, AT_ONCE):
            self._log.take([row.leaf for row in rows])
            copied += len(rows)
        return copied

    def hand_over(self, *, now: bool = False) -> dict[str, str]:
        """Gives the newest checkpoint to every anchor that has it not; anchor to why, where one does not take it.

        It reads no ledger, so it may wait in another thread. Raises AuditLogError where the log cannot be written.
        """
        if now and (self._log.newest is None or self._log.head.size > self._log.signed.size):
            self._log.checkpoint()
        failed = {}
        for anchor in self._anchors:
            newest = self._log.newest
            if newest is None or self._put.get(anchor.name, -1) >= newest.size:
                continue
            try:
                anchor.put(newest)
            except AuditLogError as error:
                failed[anchor.name] = str(error)
            else:
                self._put[anchor.name] = newest.size
        self.anchored = min(self._put.values(), default=0) if len(self._put) == len(self._anchors) else 0
        return failed

    def _check(self, ledger: Ledger) -> None:
        size, head = ledger.head()[0], self._log.head
        if size < head.size:
            raise AuditLogError(
                f"the ledger has {size} entries and its audit log {head.size}", where=str(self._log.place),
                code="LEDGER_WENT_BACK", todo="It was restored: read every target before anything new",
            )  # fmt: skip
        if head.size and "sha256:" + ledger.leaves(head.size - 1, 1)[0].hash.hex() != head.prev:
            raise AuditLogError(
                "the ledger's entries are not those of its audit log", where=str(self._log.place),
                code="LEDGER_WENT_BACK", todo="It was restored or is another one: keep both, and ask people",
            )  # fmt: skip


def notes_in(text: str, where: str) -> list[str]:
    """The checkpoints in a text: signed notes one after the other, or records one a line. Raises AuditLogError."""
    if text.startswith("{"):
        try:
            return [str(json.loads(line)["note"]) for line in text.splitlines()]
        except (ValueError, KeyError, TypeError) as error:
            raise AuditLogError(f"the checkpoints cannot be read: {error}", where=where) from error
    if not _NOTES.findall(text) or _NOTES.sub("", text).strip():
        raise AuditLogError("it holds something else than checkpoints", where=where)
    return _NOTES.findall(text)


class FileAnchor:
    """Appends checkpoints to a file: on another machine's share, a write-once disk, paper."""

    def __init__(self, path: Path) -> None:
        self.name, self._path = f"file:{path}", path

    def put(self, checkpoint: Checkpoint) -> None:
        import os

        try:
            with self._path.open("ab") as file:
                file.write((b"\n" if file.tell() else b"") + checkpoint.note.encode())
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise AuditLogError(f"a checkpoint cannot be put there: {why(error)}", where=str(self._path)) from error

    def notes(self) -> Sequence[str]:
        try:
            return notes_in(self._path.read_text(), str(self._path)) if self._path.exists() else ()
        except (OSError, ValueError) as error:
            raise AuditLogError(f"an anchor cannot be read: {why(error)}", where=str(self._path)) from error


class GitAnchor:
    """Commits checkpoints to a file of a repository, whose remote somebody else keeps; pushing is theirs."""

    def __init__(self, repository: Path, file: str = "checkpoints.txt") -> None:
        self.name, self._repository, self._file = f"git:{repository}", repository, file

    def notes(self) -> Sequence[str]:
        return FileAnchor(self._repository / self._file).notes()

    def put(self, checkpoint: Checkpoint) -> None:
        try:
            from dulwich import porcelain
            from dulwich.errors import NotGitRepository
        except ImportError as error:
            raise AuditLogError("dulwich is not installed", where=self.name, todo="Install `gitops`") from error
        FileAnchor(self._repository / self._file).put(checkpoint)
        try:
            porcelain.add(str(self._repository), paths=[str(self._repository / self._file)])
            who = b"tidegate <tidegate@localhost>"
            text = f"Checkpoint of {checkpoint.origin} over {checkpoint.size} entries"
            porcelain.commit(str(self._repository), message=text.encode(), author=who, committer=who)
        except (NotGitRepository, OSError, ValueError) as error:
            raise AuditLogError(f"it cannot be committed: {why(error)}", where=self.name) from error
