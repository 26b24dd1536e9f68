"""The ledger on many nodes: PostgreSQL that acts only while a synchronous standby holds what it acknowledged.

A primary without one can lose what it said was durable, and an action would be taken twice. So a standby that is
`sync` or `quorum` and streaming is looked for at each connection and before each group, and `synchronous_commit` is
set and read back. A commit whose wait for the standby was cut short is reported by the server as a success with a
warning ("the transaction has already committed locally"); here it is a fault, and so is one that takes too long.
Opening writes a row: its acknowledgement proves that everything before it is on the standby too. The row is the
writer's number, so whoever opens last is the only one who commits. There is no switch that turns any of this off.

Another system identifier or timeline than at the last opening means a failover or a restored backup. Then what the
ledger says of targets may be old, so each gets a new epoch and must be fenced and read before anything new.
Source: PostgreSQL 18 documentation, 26.2.8 Synchronous Replication, 27.4 pg_stat_replication; SyncRepWaitForLSN.
"""

import select
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg.pq import ExecStatus

from actions._ledger import Seal
from actions._ledger_sql import TABLES, SqlLedger
from actions._machine_errors import LedgerFault
from schemas import why

FORMAT = 1
SCHEMA = TABLES.replace(" bytes", " bytea").replace(" text", ' text collate "C"').replace(" strict;", ";")
SCHEMA += """
create table writer (one bigint primary key check (one = 1), number bigint not null, format bigint not null,
    system text not null, timeline text not null);
"""
STANDBYS = "select count(*) from pg_stat_replication where state = 'streaming' and sync_state in ('sync', 'quorum')"
HERE = """select (select system_identifier::text from pg_control_system()),
    substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8)"""


class PostgresLedger(SqlLedger):
    """has_failed_over: this opening found another server or timeline than the last one, see `unread()`."""

    def __init__(
        self,
        place: str,
        seal: Seal,
        at_point: Callable[[str], None] = lambda name: None,
        *,
        schema: str = "tidegate",
        wait_s: float = 10.0,
    ) -> None:
        """place: a libpq connection string or URL; several hosts are tried in order and the primary is taken.

        wait_s: how long a commit may wait for the standby. Raises LedgerFault if there is no server that can be
        durable, or the tables are none of ours.
        """
        super().__init__("the PostgreSQL ledger", seal, at_point)
        self._schema, self._wait_s, self._number = schema, wait_s, 0
        self._warnings: list[str] = []
        with self._guarded():
            self._db = psycopg.connect(place, autocommit=True, connect_timeout=10, target_session_attrs="read-write")
            self._where = f"the ledger on {self._db.info.host}:{self._db.info.port}/{self._db.info.dbname}"
            self._db.add_notice_handler(lambda notice: self._warnings.append(str(notice.message_primary)))
            self._check_settings()
            self._check_standby()
            self.has_failed_over = self._take_over()

    def close(self) -> None:
        self._db.close()

    def _check_settings(self) -> None:
        if self._one("show synchronous_commit")[0] != "remote_apply":
            self._db.execute("set synchronous_commit = on")
        wrong = [
            f"{name} is {found}"
            for name, right in (("synchronous_commit", ("on", "remote_apply")), ("fsync", ("on",)),
                                ("full_page_writes", ("on",)))
            if (found := self._one(f"show {name}")[0]) not in right
        ]  # fmt: skip
        if wrong:
            raise LedgerFault(f"{self._where} is not durable: {', '.join(wrong)}", todo="Change its settings")

    def _check_standby(self) -> None:
        if not self._one(STANDBYS)[0]:
            raise LedgerFault(
                "no synchronous standby is streaming, so what is acknowledged could be lost", where=self._where,
                todo="Set synchronous_standby_names and start the standby; the ledger's role needs pg_read_all_stats",
            )  # fmt: skip

    def _take_over(self) -> bool:
        """Make the tables if they are not there, become the one writer, and compare where we are with the last time."""
        if not self._one("select 1 from pg_namespace where nspname = ?", self._schema):
            self._db.execute(f'create schema if not exists "{self._schema}"'.encode())
        self._db.execute(f'set search_path to "{self._schema}"'.encode())
        system, timeline = self._one(HERE)
        with self._transaction():
            self._run("select pg_advisory_xact_lock(hashtext(?))", (f"tidegate ledger {self._schema}",))
            if self._one("select to_regclass('writer')")[0] is None:
                self._db.execute(SCHEMA.encode())
                self._run("insert into writer values (1, 0, ?, ?, ?)", (FORMAT, system, timeline))
            number, found, *before = self._one("select number, format, system, timeline from writer for update")
            if found != FORMAT:
                raise LedgerFault(f"{self._where} has format {found}, this version reads {FORMAT}")
            self._number = number + 1
            query = "update writer set number = ?, system = ?, timeline = ?"
            self._run(query, (self._number, system, timeline))
            has_failed_over: bool = before != [system, timeline]
            if has_failed_over:
                self._distrust()
        return has_failed_over

    @contextmanager
    def _group(self) -> Iterator[None]:
        self._check_standby()
        with self._transaction():
            (number,) = self._one("select number from writer for update")
            if number != self._number:
                raise LedgerFault(f"{self._where} was taken over by another worker", todo="Stop; the other one goes on")
            yield

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._warnings.clear()
        self._db.execute("begin")
        try:
            yield
        except BaseException:
            if not self._db.closed:
                self._db.execute("rollback")
            raise
        self._durable()

    def _durable(self) -> None:
        """Commit, and believe only an answer without a warning that comes in time."""
        connection = self._db.pgconn
        connection.send_query(b"commit")
        while connection.is_busy():
            if not select.select([connection.socket], [], [], self._wait_s)[0]:
                self._db.close()
                raise LedgerFault(
                    f"a commit was not acknowledged by the standby within {self._wait_s} s", where=self._where,
                    todo="It may be durable or not: open the ledger anew once a standby is back",
                )  # fmt: skip
            connection.consume_input()
        status, tag = ExecStatus.FATAL_ERROR, b""
        while result := connection.get_result():
            status, tag = ExecStatus(result.status), result.command_status or b""
        if status != ExecStatus.COMMAND_OK or tag != b"COMMIT" or self._warnings:
            why = "; ".join(self._warnings) or connection.error_message.decode(errors="replace").strip() or tag.decode()
            raise LedgerFault(f"a commit is not known to be durable: {why}", where=self._where)

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        """Whatever fails inside leaves durability in doubt, so nothing more is taken."""
        try:
            yield
        except LedgerFault as fault:
            self._fault = self._fault or fault.what
            raise
        except (psycopg.Error, OSError) as error:
            self._fault = self._fault or why(error)
            raise LedgerFault(
                f"PostgreSQL says: {self._fault}", where=self._where, todo="Nothing may act until it opens again"
            ) from error

    def _run(self, query: str, values: Sequence[Any]) -> int:
        return self._db.execute(query.replace("?", "%s").encode(), values).rowcount

    def _fetch(self, query: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        return self._db.execute(query.replace("?", "%s").encode(), values).fetchall()
