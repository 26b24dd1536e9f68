"""What the gateway must not forget: the highest epoch of each target, and what it answered to each attempt.

SQLite in WAL mode with full sync, read back at start, because an epoch that is forgotten lets a late request land, and
an answer that is forgotten lets one land twice. An attempt is written down as begun before anything is sent, so after a
crash it is in doubt and is found out by fence and read, never sent again. Any write that fails leaves unknown what is
on the disk; the store then refuses everything until it is opened anew.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, Protocol

from actions._gateway import Kept, Known, Name
from actions._machine_errors import LedgerFault

FORMAT = 1
SCHEMA = """
create table epoch (target text primary key, epoch integer not null) strict;
create table attempt (key text not null, step integer not null, direction text not null, epoch integer not null,
    target text not null, result text not null, reason text not null, request_digest text not null,
    effect blob not null, version text not null, at_ns integer not null,
    primary key (key, step, direction, epoch)) strict;
create index attempt_target on attempt (target, epoch);
"""


class Attempt(NamedTuple):
    """One attempt as it was written down. effect: JSON of what is written; version: of the reading before it."""

    name: Name
    target: str
    kept: Kept
    effect: bytes
    version: str
    at_ns: int


class GatewayStore(Protocol):
    """Every method that writes is durable when it returns. Raises LedgerFault, and from then on always."""

    def known(self, target: str, name: Name) -> Known: ...

    def keep(self, attempt: Attempt) -> None:
        """A first answer, or `begun`; raises its target's epoch. An attempt that is there already is not changed."""
        ...

    def settle(self, name: Name, result: str, reason: str) -> None:
        """What became of an attempt that was begun. Nothing else is ever changed."""
        ...

    def fence(self, target: str, epoch: int) -> bool:
        """False if the target is at a higher epoch already."""
        ...

    def attempts(self, target: str) -> tuple[Attempt, ...]:
        """All that were kept for a target, by epoch, newest last."""
        ...

    def newest(self) -> tuple[tuple[str, int], ...]:
        """Target and epoch of the `NEWEST` attempts that were kept last, of all targets."""
        ...


NEWEST = 8
"""So many of the newest attempts are told: a request that comes late may be the newest and not the youngest."""


class SqliteGatewayStore:
    """One process, one writer; `path` may be `:memory:` where nothing has to survive."""

    def __init__(self, path: Path | str) -> None:
        """Raises LedgerFault if it is none of ours or cannot be durable."""
        self._is_broken = False
        try:
            self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
            mode = self._db.execute("pragma journal_mode=wal").fetchone()[0]
            self._db.execute("pragma synchronous=full")
            sync = self._db.execute("pragma synchronous").fetchone()[0]
            held = self._db.execute("pragma user_version").fetchone()[0]
            is_new = not self._db.execute("select count(*) from sqlite_master").fetchone()[0]
            if is_new:
                self._db.executescript(f"begin; {SCHEMA} pragma user_version={FORMAT}; commit;")
        except sqlite3.Error as error:
            raise LedgerFault(f"the gateway's store cannot be opened: {error}", where=str(path)) from error
        if (mode, sync) != ("wal", 2) and str(path) != ":memory:":
            raise LedgerFault(f"it would not be durable: {mode}, synchronous {sync}", where=str(path))
        if not is_new and held != FORMAT:
            raise LedgerFault(f"its format is {held}, this program reads {FORMAT}", where=str(path))

    def known(self, target: str, name: Name) -> Known:
        with self._whole() as db:
            row = db.execute("select epoch from epoch where target = ?", (target,)).fetchone()
            epoch = row[0] if row else 0
            users = db.execute(
                "select key, step, direction, epoch from attempt where target = ? and epoch = ?"
                " order by key, step, direction", (target, epoch),
            ).fetchall()  # fmt: skip
            kept = db.execute(
                "select result, reason, request_digest from attempt"
                " where key = ? and step = ? and direction = ? and epoch = ?", name,
            ).fetchone()  # fmt: skip
            sent = db.execute(
                "select count(*) from attempt where key = ? and step = ? and direction = ? and epoch != ?"
                " and result != 'not_applied'", name,
            ).fetchone()[0]  # fmt: skip
        return Known(epoch, Name(*users[0]) if users else None, Kept(*kept) if kept else None, sent > 0)

    def keep(self, attempt: Attempt) -> None:
        with self._whole() as db:
            db.execute(
                "insert into attempt values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) on conflict do nothing",
                (*attempt.name, attempt.target, *attempt.kept, attempt.effect, attempt.version, attempt.at_ns),
            )
            self._raise_epoch(db, attempt.target, attempt.name.epoch)

    def settle(self, name: Name, result: str, reason: str) -> None:
        with self._whole() as db:
            db.execute(
                "update attempt set result = ?, reason = ?"
                " where key = ? and step = ? and direction = ? and epoch = ? and result = 'begun'",
                (result, reason, *name),
            )

    def fence(self, target: str, epoch: int) -> bool:
        with self._whole() as db:
            row = db.execute("select epoch from epoch where target = ?", (target,)).fetchone()
            if row and row[0] > epoch:
                return False
            self._raise_epoch(db, target, epoch)
        return True

    def attempts(self, target: str) -> tuple[Attempt, ...]:
        with self._whole() as db:
            rows = db.execute(
                "select * from attempt where target = ? order by epoch, key, step, direction", (target,)
            ).fetchall()
        return tuple(Attempt(Name(*row[:4]), row[4], Kept(*row[5:8]), *row[8:]) for row in rows)

    def newest(self) -> tuple[tuple[str, int], ...]:
        with self._whole() as db:
            rows = db.execute("select target, epoch from attempt order by rowid desc limit ?", (NEWEST,)).fetchall()
        return tuple(rows)

    def close(self) -> None:
        self._db.close()

    @staticmethod
    def _raise_epoch(db: sqlite3.Connection, target: str, epoch: int) -> None:
        db.execute(
            "insert into epoch values (?, ?) on conflict do update set epoch = max(epoch, excluded.epoch)",
            (target, epoch),
        )

    @contextmanager
    def _whole(self) -> Iterator[sqlite3.Connection]:
        if self._is_broken:
            raise LedgerFault("a write has failed before, so nothing is known", todo="Open the store anew")
        try:
            self._db.execute("begin immediate")
            yield self._db
            self._db.execute("commit")
        except sqlite3.Error as error:
            self._is_broken = True
            raise LedgerFault(f"the gateway's store failed: {error}", todo="Open the store anew") from error


class ModelGatewayStore:
    """The same in memory, for simulation; a copy of it is what a crash leaves."""

    def __init__(self) -> None:
        self._epochs: dict[str, int] = {}
        self._attempts: dict[Name, Attempt] = {}

    def known(self, target: str, name: Name) -> Known:
        epoch = self._epochs.get(target, 0)
        users = sorted(n for n, a in self._attempts.items() if a.target == target and n.epoch == epoch)
        kept = self._attempts.get(name)
        sent = any(
            one[:3] == name[:3] and one != name and told.kept.result != "not_applied"
            for one, told in self._attempts.items()
        )
        return Known(epoch, users[0] if users else None, kept.kept if kept else None, sent)

    def keep(self, attempt: Attempt) -> None:
        self._attempts.setdefault(attempt.name, attempt)
        self._epochs[attempt.target] = max(self._epochs.get(attempt.target, 0), attempt.name.epoch)

    def settle(self, name: Name, result: str, reason: str) -> None:
        attempt = self._attempts.get(name)
        if attempt is not None and attempt.kept.result == "begun":
            kept = Kept(result, reason, attempt.kept.request_digest)  # type: ignore[arg-type]
            self._attempts[name] = attempt._replace(kept=kept)

    def fence(self, target: str, epoch: int) -> bool:
        if self._epochs.get(target, 0) > epoch:
            return False
        self._epochs[target] = epoch
        return True

    def newest(self) -> tuple[tuple[str, int], ...]:
        last = list(self._attempts.values())[-NEWEST:]
        return tuple((one.target, one.name.epoch) for one in reversed(last))

    def attempts(self, target: str) -> tuple[Attempt, ...]:
        mine = (a for a in self._attempts.values() if a.target == target)
        return tuple(sorted(mine, key=lambda a: (a.name.epoch, a.name.key, a.name.step, a.name.direction)))
