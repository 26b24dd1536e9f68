"""The ledger on one node: SQLite in WAL mode, synced in full at each commit.

`synchronous=FULL` because an action happens at most a few times a minute and its intent must survive a power cut;
`commit` makes a group durable with one sync, a savepoint for each transaction, so a refusal takes only itself back.
Whether the settings hold is read back at start. A failed write leaves unknown what is on the disk (a failed sync may
have dropped pages), so the ledger then refuses everything until it is opened anew.
"""

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from actions._ledger import (
    INEFFECTIVE_LIMIT,
    ZERO_HASH,
    ActionRow,
    Committed,
    Contents,
    Free,
    Hold,
    IntentRow,
    LeafRow,
    Outbox,
    OutboxRow,
    Refusal,
    RefusalCode,
    Renew,
    Seal,
    TargetRow,
    TargetWrite,
    Transaction,
)
from actions._machine_errors import LedgerFault

FORMAT = 2
SCHEMA = """
create table action (key text primary key, version integer not null, digest text not null, change_key text not null,
    generation integer not null, state text not null, ended_ns integer, body blob not null,
    unique (change_key, generation)) strict;
create index action_open on action (key) where ended_ns is null;
create index action_ended on action (ended_ns, key) where ended_ns is not null;
create table target (target text primary key, epoch integer not null, holder text not null,
    ineffective integer not null, blocked text not null) strict;
create table intent (target text not null, key text not null, step integer not null, direction text not null,
    epoch integer not null, snapshot blob not null, is_open integer not null,
    primary key (key, step, direction, epoch)) strict;
create unique index intent_open on intent (target) where is_open;
create table budget (id text primary key, scope text not null, at_ns integer not null, amount integer not null) strict;
create index budget_scope on budget (scope, at_ns);
create table approval (id text primary key) strict;
create table nonce (nonce text primary key, until_ns integer not null, is_used integer not null) strict;
create table leaf (number integer primary key, leaf blob not null, hash blob not null) strict;
create table inbox (id text primary key, topic text not null, part integer not null, place integer not null,
    at_ns integer not null) strict;
create table position (topic text not null, part integer not null, place integer not null,
    primary key (topic, part)) strict;
create table outbox (number integer primary key autoincrement, topic text not null, key text not null,
    id text not null, value blob not null, sequence integer not null) strict;
create index outbox_topic on outbox (topic, number);
create table told (topic text not null, key text not null, count integer not null, primary key (topic, key)) strict;
create table kept (name text primary key, value blob not null) strict;
create table timer (name text primary key, at_ns integer not null) strict;
create index timer_at on timer (at_ns, name);
create table clock (one integer primary key check (one = 1), last_ns integer not null) strict;
insert into clock values (1, 0);
"""


class _Refused(Exception):
    def __init__(self, code: RefusalCode, what: str) -> None:
        super().__init__(code)
        self.refusal = Refusal(code, what)


class SqliteLedger:
    """`at_point` is called with the name of each step between which a process can die; tests kill it there."""

    def __init__(self, path: Path, seal: Seal, at_point: Callable[[str], None] = lambda name: None) -> None:
        """Open or make the ledger at `path`. Raises LedgerFault if it is none of ours or cannot be durable."""
        self.path, self._seal, self._at_point = path, seal, at_point
        self._waiting: list[tuple[int, int, Transaction]] = []
        self._tickets = 0
        self._fault = ""
        with self._guarded():
            self._db = sqlite3.connect(path, isolation_level=None)
            mode = self._one("pragma journal_mode=wal")[0]
            self._db.execute("pragma synchronous=full")
            if mode != "wal" or self._one("pragma synchronous")[0] != 2:
                raise LedgerFault(f"{path} runs in mode {mode}, not WAL with full sync", todo="Use a local disk")
            self._make()

    def submit(self, transaction: Transaction) -> int:
        self._check()
        self._tickets += 1
        self._waiting.append((int(transaction.priority), self._tickets, transaction))
        return self._tickets

    def commit(self) -> dict[int, Committed | Refusal]:
        self._check()
        waiting, self._waiting = sorted(self._waiting, key=lambda one: one[:2]), []
        results: dict[int, Committed | Refusal] = {}
        with self._guarded():
            self._at_point("before_begin")
            self._db.execute("begin immediate")
            try:
                for _, ticket, transaction in waiting:
                    results[ticket] = self._try(transaction)
                self._at_point("before_commit")
                self._db.execute("commit")
            finally:
                if self._db.in_transaction:
                    self._db.execute("rollback")
            self._at_point("after_commit")
        return results

    def action(self, key: str) -> ActionRow | None:
        return next(map(_action, self._rows("select * from action where key = ?", key)), None)

    def open_actions(self) -> Sequence[str]:
        return [row[0] for row in self._rows("select key from action where ended_ns is null order by key")]

    def latest(self, change_key: str) -> ActionRow | None:
        query = "select * from action where change_key = ? order by generation desc limit 1"
        return next(map(_action, self._rows(query, change_key)), None)

    def ended(self, after_ns: int, limit: int) -> Sequence[ActionRow]:
        query = "select * from action where ended_ns > ? order by ended_ns, key limit ?"
        return [_action(row) for row in self._rows(query, after_ns, limit)]

    def target(self, target: str) -> TargetRow:
        return next(
            (TargetRow(*r) for r in self._rows("select * from target where target = ?", target)), TargetRow(target)
        )

    def intent(self, target: str) -> IntentRow | None:
        return next(map(_intent, self._rows("select * from intent where target = ? and is_open", target)), None)

    def spent(self, scope: str, after_ns: int) -> int:
        query = "select coalesce(sum(amount), 0) from budget where scope = ? and at_ns > ?"
        return int(self._rows(query, scope, after_ns)[0][0])

    def head(self) -> tuple[int, bytes]:
        rows = self._rows("select number, hash from leaf order by number desc limit 1")
        return (rows[0][0] + 1, rows[0][1]) if rows else (0, ZERO_HASH)

    def leaves(self, start: int, limit: int) -> Sequence[LeafRow]:
        query = "select * from leaf where number >= ? order by number limit ?"
        return [LeafRow(*row) for row in self._rows(query, start, limit)]

    def position(self, topic: str, partition: int) -> int | None:
        rows = self._rows("select place from position where topic = ? and part = ?", topic, partition)
        return rows[0][0] if rows else None

    def unsent(self, limit: int, topic: str = "") -> Sequence[OutboxRow]:
        if not topic:
            return [_outbox(row) for row in self._rows("select * from outbox order by number limit ?", limit)]
        query = "select * from outbox where topic = ? order by number limit ?"
        return [_outbox(row) for row in self._rows(query, topic, limit)]

    def kept(self, prefix: str) -> Sequence[tuple[str, bytes]]:
        query = "select name, value from kept where substr(name, 1, length(?1)) = ?1 order by name"
        return self._rows(query, prefix)

    def due(self, now_ns: int, limit: int) -> Sequence[str]:
        query = "select name from timer where at_ns <= ? order by at_ns, name limit ?"
        return [row[0] for row in self._rows(query, now_ns, limit)]

    def last_ns(self) -> int:
        return int(self._rows("select last_ns from clock")[0][0])

    def forget(self, before_ns: int) -> None:
        self._check()
        with self._guarded():
            self._db.execute("begin immediate")
            self._db.execute("delete from budget where at_ns < ?", (before_ns,))
            self._db.execute("delete from inbox where at_ns < ?", (before_ns,))
            self._db.execute("delete from nonce where until_ns < ?", (before_ns,))
            self._db.execute("commit")

    def contents(self) -> Contents:
        rows = self._rows
        return Contents(
            actions=tuple(sorted(map(_action, rows("select * from action")))),
            targets=tuple(sorted(TargetRow(*row) for row in rows("select * from target"))),
            intents=tuple(sorted(map(_intent, rows("select * from intent")))),
            budget=tuple(sorted(rows("select scope, id, at_ns, amount from budget"))),
            approvals=tuple(sorted(row[0] for row in rows("select id from approval"))),
            nonces=tuple(sorted((n, until, bool(used)) for n, until, used in rows("select * from nonce"))),
            leaves=tuple(LeafRow(*row) for row in rows("select * from leaf order by number")),
            inbox=tuple(sorted(rows("select topic, part, place, id from inbox"))),
            positions=tuple(sorted(rows("select * from position"))),
            outbox=tuple(_outbox(row) for row in rows("select * from outbox order by number")),
            timers=tuple(sorted(rows("select * from timer"))),
            kept=tuple(rows("select name, value from kept order by name")),
            told=tuple(sorted(rows("select topic, key, count from told"))),
            last_ns=self.last_ns(),
        )

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

    def _check(self) -> None:
        if self._fault:
            what = f"{self.path} failed before ({self._fault}), so what it holds is not known"
            raise LedgerFault(what, todo="Open it anew and take every open action up from it")

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

    def _rows(self, query: str, *values: Any) -> list[Any]:
        self._check()
        with self._guarded():
            return self._db.execute(query, values).fetchall()

    def _one(self, query: str, *values: Any) -> Any:
        return self._db.execute(query, values).fetchone()

    def _try(self, tx: Transaction) -> Committed | Refusal:
        self._db.execute("savepoint one")
        try:
            result: Committed | Refusal = self._write(tx)
        except _Refused as refused:
            self._db.execute("rollback to one")
            result = refused.refusal
        self._db.execute("release one")
        return result

    def _write(self, tx: Transaction) -> Committed:
        do = self._db.execute
        if tx.inbox:
            self._take_in(tx)
        if (tx.action or tx.intent) and not tx.leaves:
            raise _Refused("NO_LEAF", tx.action.key if tx.action else "intent")
        if tx.action:
            self._write_action(tx)
        self._at_point("after_action")
        for one in tx.targets:
            self._write_target(one)
        for target in tx.closes:
            if do("update intent set is_open = 0 where target = ? and is_open", (target,)).rowcount != 1:
                raise _Refused("NO_INTENT", target)
        if tx.intent:
            self._open_intent(tx)
        self._at_point("after_intent")
        self._write_allowances(tx)
        do("update clock set last_ns = max(last_ns, ?)", (tx.at_ns,))
        for record in tx.outbox:
            count = (
                """insert into told values (?, ?, 1) on conflict do update set count = count + 1 returning count - 1"""
            )
            sequence = self._one(count, *record[:2])[0]
            do("insert into outbox (topic, key, id, value, sequence) values (?, ?, ?, ?, ?)", (*record, sequence))
        for number in tx.sent:
            do("delete from outbox where number = ?", (number,))
        for timer in tx.timers:
            if timer.at_ns is None:
                do("delete from timer where name = ?", (timer.name,))
            else:
                do("insert or replace into timer values (?, ?)", timer)
        for fact in tx.keeps:
            if fact.value is None:
                do("delete from kept where name = ?", (fact.name,))
            else:
                do("insert or replace into kept values (?, ?)", fact)
        self._at_point("after_outbox")
        return Committed(tuple(self._append(tx.leaves)))

    def _take_in(self, tx: Transaction) -> None:
        assert tx.inbox is not None
        topic, partition, offset, id = tx.inbox
        values = (id, topic, partition, offset, tx.at_ns)
        if not self._db.execute("insert or ignore into inbox values (?, ?, ?, ?, ?)", values).rowcount:
            raise _Refused("DUPLICATE", id)
        query = "insert into position values (?, ?, ?) on conflict do update set place = max(place, excluded.place)"
        self._db.execute(query, (topic, partition, offset))

    def _write_action(self, tx: Transaction) -> None:
        assert tx.action is not None
        key, expected, digest, change_key, generation, state, is_ended, body, cool_down_ns = tx.action
        row = self._one("select version, digest from action where key = ?", key)
        if row and row[1] != digest:
            raise _Refused("KEY_REUSED", key)
        if expected != (row[0] if row else 0):
            raise _Refused("VERSION_MOVED", key)
        ended_ns = tx.at_ns if is_ended else None
        if row:
            values = (expected + 1, state, ended_ns, body, key)
            self._db.execute("update action set version = ?, state = ?, ended_ns = ?, body = ? where key = ?", values)
            return
        query = "select generation, ended_ns from action where change_key = ? order by generation desc limit 1"
        last = self._one(query, change_key)
        is_next = generation == (last[0] + 1 if last else 0)
        if not is_next or (last and (last[1] is None or last[1] + cool_down_ns > tx.at_ns)):
            raise _Refused("OWNED", key)
        values_new = (key, 1, digest, change_key, generation, state, ended_ns, body)
        self._db.execute("insert into action values (?, ?, ?, ?, ?, ?, ?, ?)", values_new)

    def _write_target(self, write: TargetWrite) -> None:
        do, target = self._db.execute, write.target
        do("insert or ignore into target values (?, 0, '', 0, '')", (target,))
        if isinstance(write, Hold):
            holder, blocked = self._one("select holder, blocked from target where target = ?", target)
            if holder not in ("", write.key):
                raise _Refused("TARGET_HELD", target)
            if blocked and not holder:
                raise _Refused("TARGET_BLOCKED", target)
            do("update target set holder = ? where target = ?", (write.key, target))
        elif isinstance(write, Renew):
            query = "update target set epoch = ? where target = ? and holder = ? and epoch = ? - 1"
            if do(query, (write.epoch, target, write.key, write.epoch)).rowcount != 1:
                raise _Refused("STALE_EPOCH", target)
        elif isinstance(write, Free):
            self._free(write)
        else:
            do("update target set blocked = '', ineffective = 0 where target = ?", (target,))

    def _free(self, write: Free) -> None:
        """Only what the action holds; a third action in a row without success blocks the target."""
        count = {None: "ineffective", True: "0", False: "ineffective + 1"}[write.was_effective]
        query = f"""update target set holder = '', ineffective = {count}, blocked = case
            when ?1 != '' then ?1 when blocked != '' then blocked
            when {count} >= {INEFFECTIVE_LIMIT} then 'INEFFECTIVE' else '' end
            where target = ?2 and holder = ?3"""
        self._db.execute(query, (write.blocked, write.target, write.key))

    def _open_intent(self, tx: Transaction) -> None:
        intent = tx.intent
        assert intent is not None
        same = "select 1 from intent where key = ? and step = ? and direction = ? and epoch = ?"
        if self._one(same, *intent[1:5]):
            raise _Refused("INTENT_REPEATED", intent.key)
        if not self._one(
            "select 1 from target where target = ? and holder = ? and epoch = ?",
            intent.target,
            intent.key,
            intent.epoch,
        ):
            raise _Refused("STALE_EPOCH", intent.target)
        if self._one("select 1 from intent where target = ? and is_open", intent.target):
            raise _Refused("INTENT_OPEN", intent.target)
        self._db.execute("insert into intent values (?, ?, ?, ?, ?, ?, 1)", intent)

    def _write_allowances(self, tx: Transaction) -> None:
        do = self._db.execute
        for id in tx.gives_back:
            do("delete from budget where id = ?", (id,))
        for take in tx.takes:
            values = (take.id, take.scope, tx.at_ns, take.amount)
            do("insert or replace into budget values (?, ?, ?, ?)", values)
            query = "select sum(amount) from budget where scope = ? and at_ns > ?"
            if self._one(query, take.scope, tx.at_ns - take.window_ns)[0] > take.limit:
                raise _Refused("BUDGET_SPENT", take.scope)
        for approval in tx.used_approvals:
            if not do("insert or ignore into approval values (?)", (approval,)).rowcount:
                raise _Refused("APPROVAL_USED", approval)
        for one in tx.issued_nonces:
            if not do("insert or ignore into nonce values (?, ?, 0)", one).rowcount:
                raise _Refused("NONCE_USED", one.nonce)
        for nonce in tx.used_nonces:
            if not self._one("select 1 from nonce where nonce = ?", nonce):
                raise _Refused("NONCE_UNKNOWN", nonce)
            if not do("update nonce set is_used = 1 where nonce = ? and not is_used", (nonce,)).rowcount:
                raise _Refused("NONCE_USED", nonce)

    def _append(self, bodies: Iterable[bytes]) -> Iterator[int]:
        row = self._one("select number, hash from leaf order by number desc limit 1")
        index, before = (row[0] + 1, row[1]) if row else (0, ZERO_HASH)
        for body in bodies:
            leaf, before = self._seal(index, before, body)
            self._db.execute("insert into leaf values (?, ?, ?)", (index, leaf, before))
            yield index
            index += 1


def _action(row: Any) -> ActionRow:
    return ActionRow(*row)


def _intent(row: Any) -> IntentRow:
    target, key, step, direction, epoch, snapshot, is_open = row
    return IntentRow(target, key, step, direction, epoch, snapshot, bool(is_open))


def _outbox(row: Any) -> OutboxRow:
    number, topic, key, id, value, sequence = row
    return OutboxRow(number, Outbox(topic, key, id, value), sequence)
