"""The ledger on one node: SQLite in WAL mode, synced in full at each commit.

`synchronous=FULL` because an action happens at most a few times a minute and its intent must survive a power cut;
`commit` makes a group durable with one sync. Whether the settings hold is read back at start. A failed write leaves
unknown what is on the disk (a failed sync may have dropped pages), so the ledger then refuses everything until it is
opened anew.
"""

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from actions._ledger import Seal
from actions._ledger_sql import TABLES, SqlLedger
from actions._machine_errors import LedgerFault

FORMAT = 3
SCHEMA = TABLES.replace(" bytes", " blob").replace("bigint", "integer")


class SqliteLedger(SqlLedger):
    def __init__(self, path: Path, seal: Seal, at_point: Callable[[str], None] = lambda name: None) -> None:
        """Open or make the ledger at `path`. Raises LedgerFault if it is none of ours or cannot be durable."""
        super().__init__(str(path), seal, at_point)
        self.path = path
        with self._guarded():
            self._db = sqlite3.connect(path, isolation_level=None)
            mode = self._one("pragma journal_mode=wal")[0]
            self._db.execute("pragma synchronous=full")
            if mode != "wal" or self._one("pragma synchronous")[0] != 2:
                raise LedgerFault(f"{path} runs in mode {mode}, not WAL with full sync", todo="Use a local disk")
            self._make()

    def close(self) -> None:
        self._db.close()

    def _make(self) -> None:
        found = self._one("pragma user_version")[0]
        if found == 0 and self._one("select count(*) from sqlite_schema")[0] == 0:
            self._db.executescript(f"begin immediate;{SCHEMA}pragma user_version={FORMAT};commit;")
        elif found != FORMAT:
            raise LedgerFault(f"{self.path} has format {found}, this version reads {FORMAT}")
        broken = self._one("pragma quick_check")[0]
        if broken != "ok":
            raise LedgerFault(
                f"{self.path} is damaged: {broken}", todo="Restore it, then read every target before acting"
            )

    @contextmanager
    def _group(self) -> Iterator[None]:
        self._db.execute("begin immediate")
        try:
            yield
            self._db.execute("commit")
        finally:
            if self._db.in_transaction:
                self._db.execute("rollback")

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        """Whatever fails inside leaves durability in doubt, so nothing more is taken."""
        try:
            yield
        except sqlite3.Error as error:
            self._fault = str(error)
            where = str(self.path)
            raise LedgerFault(
                f"SQLite says: {error}", where=where, todo="Nothing may act until it opens again"
            ) from error

    def _run(self, query: str, values: Sequence[Any]) -> int:
        return self._db.execute(query, values).rowcount

    def _fetch(self, query: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        return self._db.execute(query, values).fetchall()
