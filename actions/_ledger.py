"""The ledger of actions: one transaction holds everything that must be true together.

The action's state, its intent, the epoch of its target, budget, approvals, nonces, audit leaves, what was read from a
topic (inbox), what is to be told (outbox) and the timers change in one transaction or not at all, so there is no
crash between them. A transaction is data, not code: what it expects and what it writes. An expectation that does not
hold refuses the whole of it with a stable code, as a value; a store that cannot promise durability raises.

`submit` collects, `commit` makes everything submitted durable with one sync, the urgent first. There is one writer.
The stores: `SqliteLedger` on one node, `PostgresLedger` on many, `ModelLedger` in memory for properties and simulation;
the same tests hold all three.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Literal, NamedTuple, Protocol, runtime_checkable

from actions._saga import Direction
from schemas import ActionState

Seal = Callable[[int, bytes, bytes], tuple[bytes, bytes]]
"""(index, hash of the leaf before, body) -> (leaf, its hash). The ledger keeps leaves and never looks into them."""

ZERO_HASH = bytes(32)
"""What the first leaf follows."""

INEFFECTIVE_LIMIT = 3
"""So many actions in a row without success block their target until a person frees it."""

RefusalCode = Literal[
    "VERSION_MOVED", "KEY_REUSED", "OWNED", "TARGET_HELD", "TARGET_BLOCKED", "STALE_EPOCH", "INTENT_OPEN",
    "INTENT_REPEATED", "NO_INTENT", "NO_LEAF", "BUDGET_SPENT", "APPROVAL_USED", "NONCE_UNKNOWN", "NONCE_USED",
    "DUPLICATE",
]  # fmt: skip


class Priority(IntEnum):
    """Which of the submitted go first in a group."""

    KILL = 0
    APPROVAL = 1
    INTENT = 2
    OTHER = 3


class ActionWrite(NamedTuple):
    """The new row of an action. `expect_version` 0: it must not exist, and generation - 1 of the same change, if there
    was one, must have ended `cool_down_ns` ago (else OWNED). A key that exists with another digest is KEY_REUSED.
    """

    key: str
    expect_version: int
    digest: str
    change_key: str
    generation: int
    state: ActionState
    is_ended: bool
    body: bytes
    cool_down_ns: int = 0


class Hold(NamedTuple):
    """The action becomes the only one that may do anything at the target, until it frees it."""

    target: str
    key: str


class Renew(NamedTuple):
    """The next epoch of a target that the action holds: exactly one more than the last (else STALE_EPOCH)."""

    target: str
    key: str
    epoch: int


class Free(NamedTuple):
    """The holder lets go; what it does not hold is left alone. `was_effective` None does not count; `blocked` is a
    reason to let nobody at it any more.
    """

    target: str
    key: str
    was_effective: bool | None = None
    blocked: str = ""


class Unblock(NamedTuple):
    """A person frees a target."""

    target: str


class Reread(NamedTuple):
    """A target that was distrusted, or never had an epoch, was fenced with `epoch`, higher than any it saw, and read.

    `epoch` is at least the one that the ledger has (else STALE_EPOCH). `blocked`: why a person must look first, where
    the read found what the ledger does not know; a reason that was there before stays.
    """

    target: str
    epoch: int
    blocked: str = ""


TargetWrite = Hold | Renew | Free | Unblock | Reread


class Intent(NamedTuple):
    """What is about to be commanded, under the target's newest epoch; at most one is open for a target.

    `snapshot`: the state before, as the executor read it, for people and for the undo.
    """

    target: str
    key: str
    step: int
    direction: Direction
    epoch: int
    snapshot: bytes = b""


class Take(NamedTuple):
    """A share of a budget, by its id: refused if `scope` then has more than `limit` taken within `window_ns`."""

    scope: str
    id: str
    amount: int
    window_ns: int
    limit: int


class NonceIssue(NamedTuple):
    nonce: str
    until_ns: int


class Inbox(NamedTuple):
    """A record read from a topic; its id is taken once (else DUPLICATE), its offset is kept as read through."""

    topic: str
    partition: int
    offset: int
    id: str


class Outbox(NamedTuple):
    """A record to tell, at least once; consumers dedupe by `id`."""

    topic: str
    key: str
    id: str
    value: bytes


class Timer(NamedTuple):
    """`at_ns` None takes it away."""

    name: str
    at_ns: int | None


class Keep(NamedTuple):
    """A small fact by its name, such as a signed order; `value` None takes it away."""

    name: str
    value: bytes | None


class Transaction(NamedTuple):
    """What is expected and written together. Nothing in it is written unless all of it is.

    An approval id serves once. `sent` are numbers of outbox rows. An action or an intent without a leaf is refused
    (NO_LEAF).
    """

    at_ns: int
    priority: Priority = Priority.OTHER
    action: ActionWrite | None = None
    distrust: bool = False
    """Others may have acted since: the next epoch for every target, and each must be read (`Reread`) before a `Hold`
    or an intent. For a restored backup, and by the store itself after a failover.
    """
    targets: tuple[TargetWrite, ...] = ()
    intent: Intent | None = None
    closes: tuple[str, ...] = ()
    """Targets whose open intent has found its outcome."""
    takes: tuple[Take, ...] = ()
    gives_back: tuple[str, ...] = ()
    used_approvals: tuple[str, ...] = ()
    issued_nonces: tuple[NonceIssue, ...] = ()
    used_nonces: tuple[str, ...] = ()
    leaves: tuple[bytes, ...] = ()
    inbox: Inbox | None = None
    outbox: tuple[Outbox, ...] = ()
    sent: tuple[int, ...] = ()
    timers: tuple[Timer, ...] = ()
    keeps: tuple[Keep, ...] = ()


class Committed(NamedTuple):
    """Durable. `leaves`: indexes of the audit leaves."""

    leaves: tuple[int, ...] = ()


class Refusal(NamedTuple):
    """Nothing was written. `code` is stable; `what` says which thing."""

    code: RefusalCode
    what: str


class ActionRow(NamedTuple):
    key: str
    version: int
    digest: str
    change_key: str
    generation: int
    state: ActionState
    ended_ns: int | None
    body: bytes


class TargetRow(NamedTuple):
    """holder: key of the action that may act there, or empty. ineffective: actions in a row without success.

    is_unread: what the ledger says of it may be old, see `Transaction.distrust`.
    """

    target: str
    epoch: int = 0
    holder: str = ""
    ineffective: int = 0
    blocked: str = ""
    is_unread: bool = False


class IntentRow(NamedTuple):
    target: str
    key: str
    step: int
    direction: Direction
    epoch: int
    snapshot: bytes
    is_open: bool


class OutboxRow(NamedTuple):
    """`sequence` counts what was told under one topic and key, from 0 without holes."""

    number: int
    record: Outbox
    sequence: int


class LeafRow(NamedTuple):
    number: int
    leaf: bytes
    hash: bytes


@dataclass(frozen=True, slots=True)
class Contents:
    """All of a ledger, each part sorted: what two stores must agree upon."""

    actions: tuple[ActionRow, ...] = ()
    targets: tuple[TargetRow, ...] = ()
    intents: tuple[IntentRow, ...] = ()
    budget: tuple[tuple[str, str, int, int], ...] = ()
    approvals: tuple[str, ...] = ()
    nonces: tuple[tuple[str, int, bool], ...] = ()
    leaves: tuple[LeafRow, ...] = ()
    inbox: tuple[tuple[str, int, int, str], ...] = ()
    positions: tuple[tuple[str, int, int], ...] = ()
    outbox: tuple[OutboxRow, ...] = ()
    timers: tuple[tuple[str, int], ...] = ()
    kept: tuple[tuple[str, bytes], ...] = ()
    told: tuple[tuple[str, str, int], ...] = ()
    last_ns: int = field(default=0)


@runtime_checkable
class Ledger(Protocol):
    """One writer. Reads see what was committed. Every method raises LedgerFault once durability is in doubt; the
    ledger must then be opened anew and every open action taken up from it.
    """

    def submit(self, transaction: Transaction) -> int:
        """Queue it; the ticket names its result. Nothing is durable before `commit`."""
        ...

    def commit(self) -> dict[int, Committed | Refusal]:
        """Make all that was submitted durable with one sync, in order of (priority, ticket); each or not at all."""
        ...

    def action(self, key: str) -> ActionRow | None: ...

    def open_actions(self) -> Sequence[str]:
        """Keys of the actions that have not ended, sorted."""
        ...

    def latest(self, change_key: str) -> ActionRow | None:
        """The newest generation of a physical change."""
        ...

    def ended(self, after_ns: int, limit: int) -> Sequence[ActionRow]:
        """Actions that ended later than `after_ns`, by (time of their end, key)."""
        ...

    def target(self, target: str) -> TargetRow: ...

    def unread(self) -> Sequence[str]:
        """Targets that must be fenced and read before anything new, sorted."""
        ...

    def intent(self, target: str) -> IntentRow | None:
        """The open one."""
        ...

    def spent(self, scope: str, after_ns: int) -> int:
        """What was taken from a budget later than `after_ns`."""
        ...

    def head(self) -> tuple[int, bytes]:
        """Number of leaves and the hash of the last."""
        ...

    def leaves(self, start: int, limit: int) -> Sequence[LeafRow]: ...

    def position(self, topic: str, partition: int) -> int | None:
        """The last offset read, None before the first."""
        ...

    def unsent(self, limit: int, topic: str = "") -> Sequence[OutboxRow]:
        """Records not told yet, oldest first; of one topic if it is named."""
        ...

    def kept(self, prefix: str) -> Sequence[tuple[str, bytes]]:
        """The facts whose names begin so, by name."""
        ...

    def due(self, now_ns: int, limit: int) -> Sequence[str]:
        """Names of timers that have rung, earliest first."""
        ...

    def last_ns(self) -> int:
        """The latest time of any transaction: a clock that shows less has gone back."""
        ...

    def forget(self, before_ns: int) -> None:
        """Drop budget shares, inbox ids and nonces of before; actions, intents, approvals and leaves stay."""
        ...

    def contents(self) -> Contents: ...

    def close(self) -> None: ...


def write(ledger: Ledger, transaction: Transaction) -> Committed | Refusal:
    """Submit and commit at once, with whatever else was submitted."""
    ticket = ledger.submit(transaction)
    return ledger.commit()[ticket]
