"""The ledger in memory: the same refusals and the same contents as a durable store, for properties and simulation.

Each transaction is tried on a copy of what it touches and kept whole or dropped whole. `crash` forgets what was
submitted and not committed, which is all that a durable store may lose.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import islice
from operator import itemgetter

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
from actions._saga import Direction

_NO_LEAVES = Committed(())
_IntentKey = tuple[str, int, Direction, int]


@dataclass(slots=True)
class _Tables:
    actions: dict[str, ActionRow] = field(default_factory=dict)
    open_actions: set[str] = field(default_factory=set)
    latest: dict[str, str] = field(default_factory=dict)
    targets: dict[str, TargetRow] = field(default_factory=dict)
    unread: set[str] = field(default_factory=set)
    intents: dict[_IntentKey, IntentRow] = field(default_factory=dict)
    open_intents: dict[str, _IntentKey] = field(default_factory=dict)
    budget: dict[str, tuple[str, int, int]] = field(default_factory=dict)
    approvals: set[str] = field(default_factory=set)
    nonces: dict[str, tuple[int, bool]] = field(default_factory=dict)
    leaves: list[LeafRow] = field(default_factory=list)
    inbox: dict[str, tuple[str, int, int, int]] = field(default_factory=dict)
    positions: dict[tuple[str, int], int] = field(default_factory=dict)
    outbox: dict[int, OutboxRow] = field(default_factory=dict)
    timers: dict[str, int] = field(default_factory=dict)
    kept: dict[str, bytes] = field(default_factory=dict)
    counts: dict[tuple[str, str], int] = field(default_factory=dict)
    told: int = 0
    last_ns: int = 0


class ModelLedger:
    def __init__(self, seal: Seal) -> None:
        self._seal = seal
        self._tables = _Tables()
        self._waiting: list[tuple[int, int, Transaction]] = []
        self._tickets = 0

    def submit(self, transaction: Transaction) -> int:
        self._tickets += 1
        self._waiting.append((int(transaction.priority), self._tickets, transaction))
        return self._tickets

    def commit(self) -> dict[int, Committed | Refusal]:
        waiting, self._waiting = self._waiting, []
        waiting.sort(key=itemgetter(0, 1))
        return {ticket: self._try(transaction) for _, ticket, transaction in waiting}

    def crash(self) -> None:
        """What a kill leaves: everything committed, nothing else."""
        self._waiting = []

    def action(self, key: str) -> ActionRow | None:
        return self._tables.actions.get(key)

    def open_actions(self) -> Sequence[str]:
        return sorted(self._tables.open_actions)

    def latest(self, change_key: str) -> ActionRow | None:
        key = self._tables.latest.get(change_key)
        return None if key is None else self._tables.actions[key]

    def ended(self, after_ns: int, limit: int) -> Sequence[ActionRow]:
        rows = [(row.ended_ns, row.key, row) for row in self._tables.actions.values() if row.ended_ns is not None]
        return [row for at_ns, _, row in sorted(rows) if at_ns > after_ns][:limit]

    def target(self, target: str) -> TargetRow:
        return self._tables.targets.get(target) or TargetRow(target)

    def unread(self) -> Sequence[str]:
        return sorted(self._tables.unread)

    def intent(self, target: str) -> IntentRow | None:
        key = self._tables.open_intents.get(target)
        return None if key is None else self._tables.intents[key]

    def spent(self, scope: str, after_ns: int) -> int:
        return sum(amount for one, at_ns, amount in self._tables.budget.values() if one == scope and at_ns > after_ns)

    def head(self) -> tuple[int, bytes]:
        leaves = self._tables.leaves
        return len(leaves), leaves[-1].hash if leaves else ZERO_HASH

    def leaves(self, start: int, limit: int) -> Sequence[LeafRow]:
        return self._tables.leaves[start : start + limit]

    def position(self, topic: str, partition: int) -> int | None:
        return self._tables.positions.get((topic, partition))

    def unsent(self, limit: int, topic: str = "") -> Sequence[OutboxRow]:
        outbox = self._tables.outbox
        if not outbox:
            return []
        if not topic:
            return list(islice(outbox.values(), limit))  # numbers only rise
        return [row for row in outbox.values() if row.record.topic == topic][:limit]

    def kept(self, prefix: str) -> Sequence[tuple[str, bytes]]:
        return sorted(one for one in self._tables.kept.items() if one[0].startswith(prefix))

    def due(self, now_ns: int, limit: int) -> Sequence[str]:
        rung = [(at_ns, name) for name, at_ns in self._tables.timers.items() if at_ns <= now_ns]
        rung.sort()
        return [name for _, name in rung[:limit]]

    def last_ns(self) -> int:
        return self._tables.last_ns

    def forget(self, before_ns: int) -> None:
        t = self._tables
        t.budget = {id: row for id, row in t.budget.items() if row[1] >= before_ns}
        t.inbox = {id: row for id, row in t.inbox.items() if row[3] >= before_ns}
        t.nonces = {nonce: row for nonce, row in t.nonces.items() if row[0] >= before_ns}

    def contents(self) -> Contents:
        t = self._tables
        return Contents(
            actions=tuple(sorted(t.actions.values())),
            targets=tuple(sorted(t.targets.values())),
            intents=tuple(sorted(t.intents.values())),
            budget=tuple(sorted((scope, id, at_ns, amount) for id, (scope, at_ns, amount) in t.budget.items())),
            approvals=tuple(sorted(t.approvals)),
            nonces=tuple(sorted((nonce, *row) for nonce, row in t.nonces.items())),
            leaves=tuple(t.leaves),
            inbox=tuple(sorted((*row[:3], id) for id, row in t.inbox.items())),
            positions=tuple(sorted((topic, part, offset) for (topic, part), offset in t.positions.items())),
            outbox=tuple(t.outbox[number] for number in sorted(t.outbox)),
            timers=tuple(sorted(t.timers.items())),
            kept=tuple(sorted(t.kept.items())),
            told=tuple(sorted((topic, key, count) for (topic, key), count in t.counts.items())),
            last_ns=t.last_ns,
        )

    def close(self) -> None:
        """Nothing to let go of."""

    def _try(self, transaction: Transaction) -> Committed | Refusal:
        refusal = self._refusal(transaction)
        if refusal is not None:
            return refusal
        return self._keep(transaction)

    def _refusal(self, tx: Transaction) -> Refusal | None:
        """The first expectation that does not hold, in the order that every store keeps."""
        t = self._tables
        if tx.inbox and tx.inbox.id in t.inbox:
            return Refusal("DUPLICATE", tx.inbox.id)
        if (tx.action or tx.intent) and not tx.leaves:
            return Refusal("NO_LEAF", tx.action.key if tx.action else "intent")
        if tx.action and (code := self._action_refusal(tx)):
            return Refusal(code, tx.action.key)
        targets = {name: _distrusted(row) for name, row in t.targets.items()} if tx.distrust else {}
        for one in tx.targets:
            row = targets.get(one.target, self.target(one.target))
            if code := _target_refusal(row, one):
                return Refusal(code, one.target)
            targets[one.target] = _after(row, one)
        for place, target in enumerate(tx.closes):
            if target not in t.open_intents or target in tx.closes[:place]:
                return Refusal("NO_INTENT", target)
        if tx.intent:
            row = targets.get(tx.intent.target, self.target(tx.intent.target))
            if tx.intent[1:5] in t.intents:
                return Refusal("INTENT_REPEATED", tx.intent.key)
            if row.holder != tx.intent.key or row.epoch != tx.intent.epoch:
                return Refusal("STALE_EPOCH", tx.intent.target)
            if row.is_unread:
                return Refusal("TARGET_BLOCKED", tx.intent.target)
            if tx.intent.target in t.open_intents and tx.intent.target not in tx.closes:
                return Refusal("INTENT_OPEN", tx.intent.target)
        return self._allowance_refusal(tx)

    def _allowance_refusal(self, tx: Transaction) -> Refusal | None:
        t = self._tables
        if not (tx.takes or tx.used_approvals or tx.issued_nonces or tx.used_nonces):
            return None
        budget = {id: row for id, row in t.budget.items() if id not in tx.gives_back} if tx.takes else {}
        for take in tx.takes:
            budget.pop(take.id, None)
            after_ns = tx.at_ns - take.window_ns
            before = sum(n for scope, at_ns, n in budget.values() if scope == take.scope and at_ns > after_ns)
            if before + take.amount > take.limit:
                return Refusal("BUDGET_SPENT", take.scope)
            budget[take.id] = (take.scope, tx.at_ns, take.amount)
        for place, approval in enumerate(tx.used_approvals):
            if approval in t.approvals or approval in tx.used_approvals[:place]:
                return Refusal("APPROVAL_USED", approval)
        nonces = {nonce: t.nonces[nonce][1] for nonce in (*tx.used_nonces, *_names(tx)) if nonce in t.nonces}
        for one in tx.issued_nonces:
            if one.nonce in nonces:
                return Refusal("NONCE_USED", one.nonce)
            nonces[one.nonce] = False
        for nonce in tx.used_nonces:
            if nonce not in nonces:
                return Refusal("NONCE_UNKNOWN", nonce)
            if nonces[nonce]:
                return Refusal("NONCE_USED", nonce)
            nonces[nonce] = True
        return None

    def _action_refusal(self, tx: Transaction) -> RefusalCode | None:
        assert tx.action is not None
        write, row = tx.action, self.action(tx.action.key)
        if row is not None and row.digest != write.digest:
            return "KEY_REUSED"
        if write.expect_version != (row.version if row else 0):
            return "VERSION_MOVED"
        if row is None:
            last = self.latest(write.change_key)
            if (last.generation + 1 if last else 0) != write.generation:
                return "OWNED"
            if last and (last.ended_ns is None or last.ended_ns + write.cool_down_ns > tx.at_ns):
                return "OWNED"
        return None

    def _keep(self, tx: Transaction) -> Committed:
        t = self._tables
        new = self._sealed(tx.leaves)
        t.leaves += new
        if tx.action:
            key, expected, digest, change_key, generation, state, is_ended, body, _ = tx.action
            ended_ns = tx.at_ns if is_ended else None
            t.actions[key] = ActionRow(key, expected + 1, digest, change_key, generation, state, ended_ns, body)
            t.latest[change_key] = key
            (t.open_actions.discard if is_ended else t.open_actions.add)(key)
        if tx.distrust:
            t.targets = {name: _distrusted(row) for name, row in t.targets.items()}
            t.unread = set(t.targets)
        for one in tx.targets:
            t.targets[one.target] = _after(self.target(one.target), one)
            if isinstance(one, Reread):
                t.unread.discard(one.target)
        for target in tx.closes:
            intent = t.open_intents.pop(target)
            t.intents[intent] = t.intents[intent]._replace(is_open=False)
        if tx.intent:
            t.intents[tx.intent[1:5]] = IntentRow(*tx.intent, True)
            t.open_intents[tx.intent.target] = tx.intent[1:5]
        for id in tx.gives_back:
            t.budget.pop(id, None)
        for take in tx.takes:
            t.budget[take.id] = (take.scope, tx.at_ns, take.amount)
        t.approvals.update(tx.used_approvals)
        for issued in tx.issued_nonces:
            t.nonces[issued.nonce] = (issued.until_ns, False)
        for nonce in tx.used_nonces:
            t.nonces[nonce] = (t.nonces[nonce][0], True)
        if tx.inbox:
            t.inbox[tx.inbox.id] = (tx.inbox.topic, tx.inbox.partition, tx.inbox.offset, tx.at_ns)
            place = (tx.inbox.topic, tx.inbox.partition)
            t.positions[place] = max(t.positions.get(place, tx.inbox.offset), tx.inbox.offset)
        for record in tx.outbox:
            t.told += 1
            sequence = t.counts.get(record[:2], 0)
            t.counts[record[:2]] = sequence + 1
            t.outbox[t.told] = OutboxRow(t.told, record, sequence)
        for number in tx.sent:
            t.outbox.pop(number, None)
        for timer in tx.timers:
            if timer.at_ns is None:
                t.timers.pop(timer.name, None)
            else:
                t.timers[timer.name] = timer.at_ns
        for name, value in tx.keeps:
            if value is None:
                t.kept.pop(name, None)
            else:
                t.kept[name] = value
        t.last_ns = max(t.last_ns, tx.at_ns)
        return Committed(tuple([leaf.number for leaf in new])) if new else _NO_LEAVES

    def _sealed(self, bodies: tuple[bytes, ...]) -> list[LeafRow]:
        """The new leaves; sealing comes before anything changes, since it is the caller's code and may raise."""
        new = list[LeafRow]()
        if not bodies:
            return new
        number, before = self.head()
        for body in bodies:
            leaf, before = self._seal(number, before, body)
            new.append(LeafRow(number, leaf, before))
            number += 1
        return new


def _names(tx: Transaction) -> list[str]:
    return [one.nonce for one in tx.issued_nonces]


def _target_refusal(row: TargetRow, write: TargetWrite) -> RefusalCode | None:
    if isinstance(write, Hold):
        if row.holder not in ("", write.key):
            return "TARGET_HELD"
        return "TARGET_BLOCKED" if row.is_unread or (row.blocked and not row.holder) else None
    if isinstance(write, Reread):
        return None if (row.is_unread or not row.epoch) and row.epoch <= write.epoch else "STALE_EPOCH"
    if isinstance(write, Renew) and (row.holder != write.key or write.epoch != row.epoch + 1):
        return "STALE_EPOCH"
    return None


def _after(row: TargetRow, write: TargetWrite) -> TargetRow:
    if isinstance(write, Hold):
        return row._replace(holder=write.key)
    if isinstance(write, Renew):
        return row._replace(epoch=write.epoch)
    if isinstance(write, Free):
        return _freed(row, write)
    if isinstance(write, Reread):
        return row._replace(epoch=write.epoch, is_unread=False, blocked=row.blocked or write.blocked)
    return row._replace(blocked="", ineffective=0)


def _distrusted(row: TargetRow) -> TargetRow:
    return row._replace(epoch=row.epoch + 1, is_unread=True)


def _freed(row: TargetRow, write: Free) -> TargetRow:
    if row.holder != write.key:
        return row
    ineffective = row.ineffective
    if write.was_effective is not None:
        ineffective = 0 if write.was_effective else ineffective + 1
    blocked = write.blocked or row.blocked or ("INEFFECTIVE" if ineffective >= INEFFECTIVE_LIMIT else "")
    return row._replace(holder="", ineffective=ineffective, blocked=blocked)
