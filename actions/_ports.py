"""What the action worker asks of the world, and nothing else: every `await` of the worker is on one of these.

So the same worker runs under asyncio in production and, by `coroutine.send(None)`, on a virtual clock in simulation.
Every port says what it knows as a value and never raises for what can be expected (a target that is away, a policy
engine that is down): the effect side fails closed (`lost`, `unreadable`, `Refused`), people are told and that fails
open. A port that raises anyway is taken for silence; the machine's timers then decide. The ledger is a port as it
stands in `_ledger.py`.
"""

from collections.abc import Coroutine
from typing import Any, Literal, NamedTuple, Protocol

from actions._contract import EffectClass
from actions._ledger import Keep
from actions._machine_types import Action, Found, Gated, Refused, Reserved
from actions._saga import Direction
from schemas import ProposedChange
from schemas.core import Emit


class Clock(Protocol):
    def now_ns(self) -> int:
        """UTC nanoseconds; may jump, the worker never believes a time before the ledger's last."""
        ...

    async def sleep(self, ns: int) -> None:
        """0 lets everything else that is ready go first: what it submits to the ledger joins the same commit."""
        ...


class Crew(Protocol):
    def start(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        """Run it beside the others. Whatever it raises is a fault of the process: stop, open the ledger anew."""
        ...


class DryRun(NamedTuple):
    """What a change would do now. `digest` is over the diff.

    snapshot: JSON with the target's `uid`, `version` and `state` before; it is kept with the intent. newest: target and
    epoch of what the gateway was asked to write last, whatever for; a ledger that has never given such an epoch out is
    an old copy.
    """

    diff: str
    digest: str
    target_version: str
    snapshot: bytes = b""
    newest: tuple[tuple[str, int], ...] = ()


class Unavailable(NamedTuple):
    """Why there is no dry run: a stable code. `is_final`: asking again is of no use (the change does not fit)."""

    reason: str
    is_final: bool = False


class EffectRequest(NamedTuple):
    """One effect. `direction` undo: `undo_verb` with `undo_parameters` of the same change, if our mark is there.

    The mark of an effect is (key, step). `until_ns`: the gateway writes nothing after it. `permit` is empty while one
    is asked for. expected_version: of the dry run at the reservation, empty for an undo (its condition is the mark).
    is_under_kill: the plan says that what it did is undone under a kill switch too.
    """

    key: str
    plan_digest: str
    step: int
    direction: Direction
    change: ProposedChange
    effect_class: EffectClass
    target: str
    epoch: int
    until_ns: int
    evidence_ns: int
    expected_version: str = ""
    dry_run_digest: str = ""
    is_under_kill: bool = False
    permit: bytes = b""


class Answer(NamedTuple):
    """`lost` wherever it is not certain; `reason` is a stable code where it was not applied."""

    result: Literal["applied", "not_applied", "lost"]
    reason: str = ""


class ProbeRequest(NamedTuple):
    """Is the mark (key, step) of this change's `do` on the target?"""

    key: str
    step: int
    change: ProposedChange
    target: str
    epoch: int


class Survey(NamedTuple):
    """What the gateway knows of a target: the highest epoch it ever saw there, and the marks (key, step) upon it."""

    epoch: int
    marks: tuple[tuple[str, int], ...]


class Gateway(Protocol):
    """The only holder of credentials; a process of its own."""

    async def dry_run(self, key: str, step: int, change: ProposedChange) -> DryRun | Unavailable: ...

    async def apply(self, request: EffectRequest) -> Answer:
        """The same answer to the same (key, step, direction, epoch), durably."""
        ...

    async def fence(self, target: str, epoch: int) -> bool:
        """True: everything older than the epoch is refused from now on, durably. False: not known."""
        ...

    async def probe(self, request: ProbeRequest) -> Found: ...

    async def survey(self, target: str) -> Survey | Unavailable:
        """Asked only where the ledger may be old (a restored backup, a failover), before anything new."""
        ...


class Reservation(NamedTuple):
    """`used_approvals` are spent in the transaction of the intent; each serves once."""

    outcome: Reserved | Refused
    used_approvals: tuple[str, ...] = ()


class Gatekeeper(Protocol):
    """Policies, approvals and evidence. The worker adds what it knows itself: kill switch, mode, breakers, budgets."""

    async def gate(self, action: Action) -> Gated: ...

    async def invite(self, action: Action, dry_run: DryRun) -> tuple[Keep, ...]:
        """What the ledger keeps for people, in the transaction that makes the action wait for them."""
        ...

    async def reserve(self, action: Action, step: int, dry_run: DryRun) -> Reservation:
        """Policies, approvals and evidence looked at again, against the target as the dry run saw it."""
        ...

    async def permit(self, request: EffectRequest) -> bytes:
        """A signed permit for exactly this request; empty where it is refused, and then nothing is sent."""
        ...


class Window(NamedTuple):
    """One closed window of one indicator. value: NaN where nothing was seen; completeness: seen / expected, 0 to 1."""

    start_ns: int
    end_ns: int
    value: float
    completeness: float


class Indicator(NamedTuple):
    """One thing that is measured, at the target and at its control, window by window (paired by start).

    worse: +1 where more is worse, -1 where less is. goal: it is what the action was to mend; the others must only not
    become worse. control_kind: untouched peers; what a forecast expected; own history at the same load; none.
    """

    name: str
    unit: str
    worse: Literal[-1, 1]
    is_goal: bool
    target: tuple[Window, ...]
    control: tuple[Window, ...]
    control_kind: Literal["peers", "forecast", "history", "none"]


class Look(NamedTuple):
    """Which windows: `healthy_from_ns` to the fault, the fault to the effect, the effect to `until_ns`."""

    target: str
    incident_id: str
    since_ns: int
    until_ns: int


class Seen(NamedTuple):
    """What telemetry has. fault_ns: when the disturbance began; through_ns: the watermark."""

    indicators: tuple[Indicator, ...]
    fault_ns: int
    through_ns: int


class Illness(NamedTuple):
    """How many of a group (a zone, a class of services) are ill now. foreseen: of how many more a forecast says that
    they will be.
    """

    group: str
    ill: int
    members: int
    foreseen: int = 0


class Telemetry(Protocol):
    async def read(self, look: Look) -> Seen: ...

    async def illness(self, target: str) -> tuple[Illness, ...]:
        """The groups that the target is in; empty where nothing is known, which stops nothing."""
        ...

    async def is_well(self, target: str, since_ns: int) -> bool:
        """No open incident has touched the target since then. What is not known, or old, is not well."""
        ...


class Notice(NamedTuple):
    """Something for people; told at least once, `id` tells repeats apart. `group` may be folded into one message."""

    id: str
    urgency: Literal["page", "notify"]
    group: str
    text: str
    action_key: str
    at_ns: int
    level: int = 0
    """How far up a page has gone that nobody acknowledged."""
    of: str = ""
    """The id of the page that this says again; it is what is to be acknowledged."""


class People(Protocol):
    async def tell(self, notice: Notice) -> bool:
        """By any way that works, Kafka not needed. False: nobody was reached, it is told again."""
        ...


class Watch(NamedTuple):
    """The kill switch as it was last read. scopes: `all`, `verb:NAME`, `service:NAME`, `target:ID`.

    looked_ns: when the freshest of its sources was read; supervised_ns: the supervisor's last sign of life.
    """

    scopes: frozenset[str]
    looked_ns: int
    supervised_ns: int


class KillSwitch(Protocol):
    async def read(self) -> Watch: ...


class Bus(Protocol):
    async def send(self, record: Emit) -> bool:
        """Kafka has it. False: not now; it is sent again under the same id."""
        ...


class Ports(NamedTuple):
    clock: Clock
    crew: Crew
    gateway: Gateway
    gatekeeper: Gatekeeper
    telemetry: Telemetry
    people: People
    kill: KillSwitch
    bus: Bus
