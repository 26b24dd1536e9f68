"""What the durable ledgers share: the rules as SQL that SQLite and PostgreSQL read alike, so they are written once.

A store brings the connection: how a statement runs, how a group is begun, made durable and given up, and which of its
errors leave durability in doubt. A savepoint for each transaction, so a refusal takes only itself back.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
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
    Reread,
    Seal,
    TargetRow,
    TargetWrite,
    Transaction,
)
from actions._machine_errors import LedgerFault

TABLES = """
create table action (key text primary key, version bigint not null, digest text not null, change_key text not null,
    generation bigint not null, state text not null, ended_ns bigint, body bytes not null,
    unique (change_key, generation)) strict;
create index action_open on action (key) where ended_ns is null;
create index action_ended on action (ended_ns, key) where ended_ns is not null;
create table target (target text primary key, epoch bigint not null, holder text not null,
    ineffective bigint not null, blocked text not null, is_unread bigint not null) strict;
create table intent (target text not null, key text not null, step bigint not null, direction text not null,
    epoch bigint not null, snapshot bytes not null, is_open bigint not null,
    primary key (key, step, direction, epoch)) strict;
create unique index intent_open on intent (target) where is_open = 1;
create table budget (id text primary key, scope text not null, at_ns bigint not null, amount bigint not null) strict;
create index budget_scope on budget (scope, at_ns);
create table approval (id text primary key) strict;
create table nonce (nonce text primary key, until_ns bigint not null, is_used bigint not null) strict;
create table leaf (number bigint primary key, leaf bytes not null, hash bytes not null) strict;
create table inbox (id text primary key, topic text not null, part bigint not null, place bigint not null,
    at_ns bigint not null) strict;
create table position (topic text not null, part bigint not null, place bigint not null,
    primary key (topic, part)) strict;
create table outbox (number bigint primary key, topic text not null, key text not null,
    id text not null, value bytes not null, sequence bigint not null) strict;
create index outbox_topic on outbox (topic, number);
create table told (topic text not null, key text not null, count bigint not null, primary key (topic, key)) strict;
create table kept (name text primary key, value bytes not null) strict;
create table timer (name text primary key, at_ns bigint not null) strict;
create index timer_at on timer (at_ns, name);
create table clock (one bigint primary key check (one = 1), last_ns bigint not null, told bigint not null) strict;
insert into clock values (1, 0, 0);
"""


class Refused(Exception):
    def __init__(self, code: RefusalCode, what: str) -> None:
        super().__init__(code)
        self.refusal = Refusal(code, what)


class SqlLedger(ABC):
    """`at_point` is called with the name of each step between which a process can die; tests kill it there."""

    def __init__(self, where: str, seal: Seal, at_point: Callable[[str], None]) -> None:
        self._where, self._seal, self._at_point = where, seal, at_point
        self._waiting: list[tuple[int, int, Transaction]] = []
        self._tickets = 0
        self._fault = ""

    @abstractmethod
    def _run(self, query: str, values: Sequence[Any]) -> int:
        """One statement with `?` for each value; how many rows it changed."""

    @abstractmethod
    def _fetch(self, query: str, values: Sequence[Any]) -> list[tuple[Any, ...]]: ...

    @abstractmethod
    def _group(self) -> AbstractContextManager[None]:
        """One durable group: committed where it is left, rolled back where it raises."""

    @abstractmethod
    def _guarded(self) -> AbstractContextManager[None]:
        """Turns the store's errors into LedgerFault; whatever fails leaves durability in doubt."""

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
            with self._group():
                for _, ticket, transaction in waiting:
                    results[ticket] = self._try(transaction)
                self._at_point("before_commit")
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
        return next(map(_target, self._rows("select * from target where target = ?", target)), TargetRow(target))

    def unread(self) -> Sequence[str]:
        return [row[0] for row in self._rows("select target from target where is_unread = 1 order by target")]

    def intent(self, target: str) -> IntentRow | None:
        return next(map(_intent, self._rows("select * from intent where target = ? and is_open = 1", target)), None)

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
        query = "select name, value from kept where substr(name, 1, ?) = ?"
        return sorted((name, bytes(value)) for name, value in self._rows(query, len(prefix), prefix))

    def due(self, now_ns: int, limit: int) -> Sequence[str]:
        query = "select name from timer where at_ns <= ? order by at_ns, name limit ?"
        return [row[0] for row in self._rows(query, now_ns, limit)]

    def last_ns(self) -> int:
        return int(self._rows("select last_ns from clock")[0][0])

    def forget(self, before_ns: int) -> None:
        self._check()
        with self._guarded(), self._group():
            self._run("delete from budget where at_ns < ?", (before_ns,))
            self._run("delete from inbox where at_ns < ?", (before_ns,))
            self._run("delete from nonce where until_ns < ?", (before_ns,))

    def contents(self) -> Contents:
        rows = self._rows
        return Contents(
            actions=tuple(sorted(map(_action, rows("select * from action")))),
            targets=tuple(sorted(map(_target, rows("select * from target")))),
            intents=tuple(sorted(map(_intent, rows("select * from intent")))),
            budget=tuple(sorted(rows("select scope, id, at_ns, amount from budget"))),
            approvals=tuple(sorted(row[0] for row in rows("select id from approval"))),
            nonces=tuple(sorted((n, until, bool(used)) for n, until, used in rows("select * from nonce"))),
            leaves=tuple(LeafRow(*row) for row in rows("select * from leaf order by number")),
            inbox=tuple(sorted(rows("select topic, part, place, id from inbox"))),
            positions=tuple(sorted(rows("select * from position"))),
            outbox=tuple(_outbox(row) for row in rows("select * from outbox order by number")),
            timers=tuple(sorted(rows("select * from timer"))),
            kept=tuple(self.kept("")),
            told=tuple(sorted(rows("select topic, key, count from told"))),
            last_ns=self.last_ns(),
        )

    def _check(self) -> None:
        if self._fault:
            what = f"{self._where} failed before ({self._fault}), so what it holds is not known"
            raise LedgerFault(what, todo="Open it anew and take every open action up from it")

    def _rows(self, query: str, *values: Any) -> list[Any]:
        self._check()
        with self._guarded():
            return self._fetch(query, values)

    def _one(self, query: str, *values: Any) -> Any:
        return next(iter(self._fetch(query, values)), None)

    def _try(self, tx: Transaction) -> Committed | Refusal:
        self._run("savepoint one", ())
        try:
            result: Committed | Refusal = self._write(tx)
        except Refused as refused:
            self._run("rollback to savepoint one", ())
            result = refused.refusal
        self._run("release savepoint one", ())
        return result

    def _write(self, tx: Transaction) -> Committed:
        do = self._run
        if tx.inbox:
            self._take_in(tx)
        if (tx.action or tx.intent) and not tx.leaves:
            raise Refused("NO_LEAF", tx.action.key if tx.action else "intent")
        if tx.action:
            self._write_action(tx)
        self._at_point("after_action")
        if tx.distrust:
            self._distrust()
        for one in tx.targets:
            self._write_target(one)
        for target in tx.closes:
            if do("update intent set is_open = 0 where target = ? and is_open = 1", (target,)) != 1:
                raise Refused("NO_INTENT", target)
        if tx.intent:
            self._open_intent(tx)
        self._at_point("after_intent")
        self._write_allowances(tx)
        do("update clock set last_ns = ? where last_ns < ?", (tx.at_ns, tx.at_ns))
        for record in tx.outbox:
            place = record[:2]
            do("update clock set told = told + 1", ())
            do("insert into told values (?, ?, 0) on conflict do nothing", place)
            values = (*record, *place)
            do(
                "insert into outbox select clock.told, ?, ?, ?, ?, count from clock, told where topic = ? and key = ?",
                values,
            )
            do("update told set count = count + 1 where topic = ? and key = ?", place)
        for number in tx.sent:
            do("delete from outbox where number = ?", (number,))
        for timer in tx.timers:
            do("delete from timer where name = ?", (timer.name,))
            if timer.at_ns is not None:
                do("insert into timer values (?, ?)", timer)
        for fact in tx.keeps:
            do("delete from kept where name = ?", (fact.name,))
            if fact.value is not None:
                do("insert into kept values (?, ?)", fact)
        self._at_point("after_outbox")
        return Committed(tuple(self._append(tx.leaves)))

    def _take_in(self, tx: Transaction) -> None:
        assert tx.inbox is not None
        topic, partition, offset, id = tx.inbox
        values = (id, topic, partition, offset, tx.at_ns)
        if not self._run("insert into inbox values (?, ?, ?, ?, ?) on conflict do nothing", values):
            raise Refused("DUPLICATE", id)
        self._run("insert into position values (?, ?, ?) on conflict do nothing", (topic, partition, offset))
        query = "update position set place = ? where topic = ? and part = ? and place < ?"
        self._run(query, (offset, topic, partition, offset))

    def _write_action(self, tx: Transaction) -> None:
        assert tx.action is not None
        key, expected, digest, change_key, generation, state, is_ended, body, cool_down_ns = tx.action
        row = self._one("select version, digest from action where key = ?", key)
        if row and row[1] != digest:
            raise Refused("KEY_REUSED", key)
        if expected != (row[0] if row else 0):
            raise Refused("VERSION_MOVED", key)
        ended_ns = tx.at_ns if is_ended else None
        if row:
            values = (expected + 1, state, ended_ns, body, key)
            self._run("update action set version = ?, state = ?, ended_ns = ?, body = ? where key = ?", values)
            return
        query = "select generation, ended_ns from action where change_key = ? order by generation desc limit 1"
        last = self._one(query, change_key)
        is_next = generation == (last[0] + 1 if last else 0)
        if not is_next or (last and (last[1] is None or last[1] + cool_down_ns > tx.at_ns)):
            raise Refused("OWNED", key)
        values_new = (key, 1, digest, change_key, generation, state, ended_ns, body)
        self._run("insert into action values (?, ?, ?, ?, ?, ?, ?, ?)", values_new)

    def _distrust(self) -> None:
        self._run("update target set epoch = epoch + 1, is_unread = 1", ())

    def _write_target(self, write: TargetWrite) -> None:
        do, target = self._run, write.target
        do("insert into target values (?, 0, '', 0, '', 0) on conflict do nothing", (target,))
        if isinstance(write, Hold):
            holder, blocked, unread = self._one(
                "select holder, blocked, is_unread from target where target = ?", target
            )
            if holder not in ("", write.key):
                raise Refused("TARGET_HELD", target)
            if unread or (blocked and not holder):
                raise Refused("TARGET_BLOCKED", target)
            do("update target set holder = ? where target = ?", (write.key, target))
        elif isinstance(write, Renew):
            query = "update target set epoch = ? where target = ? and holder = ? and epoch = ?"
            if do(query, (write.epoch, target, write.key, write.epoch - 1)) != 1:
                raise Refused("STALE_EPOCH", target)
        elif isinstance(write, Free):
            self._free(write)
        elif isinstance(write, Reread):
            query = """update target set epoch = ?, is_unread = 0, blocked = case when blocked = '' then ?
                else blocked end where target = ? and (is_unread = 1 or epoch = 0) and epoch <= ?"""
            if do(query, (write.epoch, write.blocked, target, write.epoch)) != 1:
                raise Refused("STALE_EPOCH", target)
        else:
            do("update target set blocked = '', ineffective = 0 where target = ?", (target,))

    def _free(self, write: Free) -> None:
        """Only what the action holds; a third action in a row without success blocks the target."""
        count = {None: "ineffective", True: "0", False: "ineffective + 1"}[write.was_effective]
        if write.blocked:
            query = f"update target set holder = '', ineffective = {count}, blocked = ? where target = ? and holder = ?"
            self._run(query, (write.blocked, write.target, write.key))
            return
        query = f"""update target set holder = '', ineffective = {count}, blocked = case when blocked != '' then blocked
            when {count} >= {INEFFECTIVE_LIMIT} then 'INEFFECTIVE' else '' end where target = ? and holder = ?"""
        self._run(query, (write.target, write.key))

    def _open_intent(self, tx: Transaction) -> None:
        intent = tx.intent
        assert intent is not None
        same = "select 1 from intent where key = ? and step = ? and direction = ? and epoch = ?"
        if self._one(same, *intent[1:5]):
            raise Refused("INTENT_REPEATED", intent.key)
        query = "select is_unread from target where target = ? and holder = ? and epoch = ?"
        row = self._one(query, intent.target, intent.key, intent.epoch)
        if row is None:
            raise Refused("STALE_EPOCH", intent.target)
        if row[0]:
            raise Refused("TARGET_BLOCKED", intent.target)
        if self._one("select 1 from intent where target = ? and is_open = 1", intent.target):
            raise Refused("INTENT_OPEN", intent.target)
        self._run("insert into intent values (?, ?, ?, ?, ?, ?, 1)", intent)

    def _write_allowances(self, tx: Transaction) -> None:
        do = self._run
        for id in tx.gives_back:
            do("delete from budget where id = ?", (id,))
        for take in tx.takes:
            do("delete from budget where id = ?", (take.id,))
            do("insert into budget values (?, ?, ?, ?)", (take.id, take.scope, tx.at_ns, take.amount))
            query = "select sum(amount) from budget where scope = ? and at_ns > ?"
            if (self._one(query, take.scope, tx.at_ns - take.window_ns)[0] or 0) > take.limit:
                raise Refused("BUDGET_SPENT", take.scope)
        for approval in tx.used_approvals:
            if not do("insert into approval values (?) on conflict do nothing", (approval,)):
                raise Refused("APPROVAL_USED", approval)
        for one in tx.issued_nonces:
            if not do("insert into nonce values (?, ?, 0) on conflict do nothing", one):
                raise Refused("NONCE_USED", one.nonce)
        for nonce in tx.used_nonces:
            if not self._one("select 1 from nonce where nonce = ?", nonce):
                raise Refused("NONCE_UNKNOWN", nonce)
            if not do("update nonce set is_used = 1 where nonce = ? and is_used = 0", (nonce,)):
                raise Refused("NONCE_USED", nonce)

    def _append(self, bodies: Iterable[bytes]) -> Iterator[int]:
        row = self._one("select number, hash from leaf order by number desc limit 1")
        index, before = (row[0] + 1, row[1]) if row else (0, ZERO_HASH)
        for body in bodies:
            leaf, before = self._seal(index, before, body)
            self._run("insert into leaf values (?, ?, ?)", (index, leaf, before))
            yield index
            index += 1


def _action(row: Any) -> ActionRow:
    return ActionRow(*row)


def _target(row: Any) -> TargetRow:
    target, epoch, holder, ineffective, blocked, unread = row
    return TargetRow(target, epoch, holder, ineffective, blocked, bool(unread))


def _intent(row: Any) -> IntentRow:
    target, key, step, direction, epoch, snapshot, is_open = row
    return IntentRow(target, key, step, direction, epoch, snapshot, bool(is_open))


def _outbox(row: Any) -> OutboxRow:
    number, topic, key, id, value, sequence = row
    return OutboxRow(number, Outbox(topic, key, id, value), sequence)
