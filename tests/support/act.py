"""A worker with everything around it in memory, on a virtual clock: targets that get ill and well, a gateway that keeps
its promises or loses answers, policies that permit, a kill switch, people who listen, a bus that may be down.
"""

import asyncio
import math
from collections.abc import Coroutine
from dataclasses import dataclass, field, replace
from typing import Any

from support.actions import NS, plan_of, seal, step_of
from support.virtual_loop import run as run_virtually

from actions._ledger import Keep, Ledger
from actions._ledger_model import ModelLedger
from actions._machine_types import Action, Gated, Origin, Refused, Reserved
from actions._ports import (
    Answer,
    DryRun,
    Illness,
    Indicator,
    Notice,
    Ports,
    Reservation,
    Seen,
    Survey,
    Unavailable,
    Watch,
    Window,
)
from actions._safety import SafetySettings
from actions._worker import Asked, Worker, WorkerSettings
from schemas import ActionEvent, Cause, Hypothesis
from schemas.core import Emit

BEGIN_NS = 1_700_000_000 * NS
WINDOW_NS = 10 * NS


class VirtualClock:
    def now_ns(self) -> int:
        return BEGIN_NS + round(asyncio.get_running_loop().time() * NS)

    async def sleep(self, ns: int) -> None:
        await asyncio.sleep(ns / NS)


class Crew:
    """Tasks; the first that raises is remembered."""

    def __init__(self) -> None:
        self.tasks: set[asyncio.Task[None]] = set()
        self.raised: list[BaseException] = []

    def start(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work, name=name)
        self.tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self.tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.raised.append(error)


@dataclass
class Gateway:
    """Keeps epochs and answers; `answers` are given instead of the truth, one each."""

    clock: VirtualClock
    epochs: dict[str, int] = field(default_factory=dict)
    seen: dict[tuple[Any, ...], Answer] = field(default_factory=dict)
    marks: dict[str, dict[tuple[str, int], int]] = field(default_factory=dict)
    effects: list[tuple[int, str, str]] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)
    newest: list[tuple[str, int]] = field(default_factory=list)
    latency_ns: int = 0
    is_away: bool = False

    async def dry_run(self, key: str, step: int, change: Any) -> DryRun | Unavailable:
        if self.is_away:
            return Unavailable("GATEWAY_AWAY")
        return DryRun(f"set {change.parameters}", "sha256:" + "d" * 64, "1", b"before", tuple(self.newest))

    async def apply(self, request: Any) -> Answer:
        await self.clock.sleep(self.latency_ns)
        name = (request.key, request.step, request.direction, request.epoch)
        if name not in self.seen:
            self.seen[name] = self._apply(request)
        return self.answers.pop(0) if self.answers else self.seen[name]

    def _apply(self, request: Any) -> Answer:
        if request.epoch < self.epochs.get(request.target, 0):
            return Answer("not_applied", "STALE_EPOCH")
        self.epochs[request.target] = request.epoch
        self.newest.insert(0, (request.target, request.epoch))
        marks, mark = self.marks.setdefault(request.target, {}), (request.key, request.step)
        if request.direction == "do":
            marks[mark] = self.clock.now_ns()
        elif marks.pop(mark, None) is None:
            return Answer("not_applied", "MARK_GONE")
        self.effects.append((self.clock.now_ns(), request.target, request.direction))
        return Answer("applied")

    async def fence(self, target: str, epoch: int) -> bool:
        if self.is_away or epoch < self.epochs.get(target, 0):
            return False
        self.epochs[target] = epoch
        return True

    async def probe(self, request: Any) -> Any:
        return "applied" if (request.key, request.step) in self.marks.get(request.target, {}) else "not_applied"

    async def survey(self, target: str) -> Survey | Unavailable:
        return Survey(self.epochs.get(target, 0), tuple(self.marks.get(target, {})))


@dataclass
class Gatekeeper:
    """Permits with evidence `age_ns` old, unless `refuses` says why not."""

    clock: VirtualClock
    effect: Any = "permit"
    mode: Any = "act"
    age_ns: int = 0
    refuses: str = ""
    permits: int = 0

    async def gate(self, action: Action) -> Gated:
        return Gated(self.clock.now_ns(), self.effect, "RULE", self.mode, self.clock.now_ns() - self.age_ns)

    async def invite(self, action: Action, dry_run: DryRun) -> tuple[Keep, ...]:
        return (Keep("docket/" + action.key, dry_run.digest.encode()),)

    async def reserve(self, action: Action, step: int, dry_run: DryRun) -> Reservation:
        now = self.clock.now_ns()
        if self.refuses:
            return Reservation(Refused(now, self.refuses, False))
        return Reservation(Reserved(now, action.plan.digest, now + 20 * NS, now - self.age_ns))

    async def permit(self, request: Any) -> bytes:
        self.permits += 1
        return b"" if self.refuses else b"permit"


@dataclass
class Telemetry:
    """One error ratio in windows of 10 s. `cures`: what an effect does. `missing`: windows that are not there."""

    clock: VirtualClock
    gateway: Gateway
    cures: str = "recovered"
    missing: float = 0.0
    groups: tuple[Illness, ...] = ()
    unwell_until_ns: int = 0
    is_ill: bool = True

    async def read(self, look: Any) -> Seen:
        through_ns, fault_ns = self.clock.now_ns(), BEGIN_NS - 120 * NS
        marked = list(self.gateway.marks.get(look.target, {}).values())
        windows, peers = [], []
        for start in range(fault_ns - 300 * NS, look.until_ns, WINDOW_NS):
            is_cured = any(at_ns <= start for at_ns in marked)
            value = 0.2 if start >= fault_ns and self.is_ill else 0.01
            if is_cured:
                value = {"recovered": 0.01, "regressed": 0.6}.get(self.cures, 0.2)
            value += 0.0001 * (start // WINDOW_NS % 7)
            seen = (start // WINDOW_NS * 7919) % 100 >= self.missing * 100
            complete = 1.0 if seen else 0.0
            windows.append(Window(start, start + WINDOW_NS, value if seen else math.nan, complete))
            peers.append(Window(start, start + WINDOW_NS, 0.01, 1.0))
        one = Indicator("error_ratio", "1", 1, True, tuple(windows), tuple(peers), "peers")
        return Seen((one,), fault_ns, through_ns)

    async def illness(self, target: str) -> tuple[Illness, ...]:
        return self.groups

    async def is_well(self, target: str, since_ns: int) -> bool:
        return since_ns >= self.unwell_until_ns


@dataclass
class People:
    told: list[Notice] = field(default_factory=list)
    is_away: bool = False

    async def tell(self, notice: Notice) -> bool:
        if not self.is_away:
            self.told.append(notice)
        return not self.is_away

    @property
    def pages(self) -> list[Notice]:
        return [notice for notice in self.told if notice.urgency == "page"]


@dataclass
class KillSwitch:
    clock: VirtualClock
    scopes: frozenset[str] = frozenset()
    stale_ns: int = 0
    silent_ns: int = 0

    async def read(self) -> Watch:
        now = self.clock.now_ns()
        return Watch(self.scopes, now - self.stale_ns, now - self.silent_ns)


@dataclass
class Bus:
    sent: list[Emit] = field(default_factory=list)
    is_down: bool = False

    async def send(self, record: Emit) -> bool:
        if not self.is_down:
            self.sent.append(record)
        return not self.is_down


ACT = WorkerSettings(SafetySettings(levels={"*": "act"}, has_canary=False, must_earn=False))


class Stand:
    """A worker and its world. `restart` is what a kill leaves: the ledger, the gateway and the rest of the world."""

    def __init__(self, ledger: Ledger | None = None, settings: WorkerSettings = ACT) -> None:
        self.clock = VirtualClock()
        self.gateway = Gateway(self.clock)
        self.gatekeeper = Gatekeeper(self.clock)
        self.telemetry = Telemetry(self.clock, self.gateway)
        self.people, self.kill, self.bus = People(), KillSwitch(self.clock), Bus()
        self.ledger, self.settings = ledger or ModelLedger(seal), settings
        self.crew = Crew()
        self.loops: list[asyncio.Task[None]] = []
        self.worker = self._worker()

    def _worker(self) -> Worker:
        ports = Ports(
            self.clock, self.crew, self.gateway, self.gatekeeper, self.telemetry, self.people, self.kill, self.bus
        )
        return Worker(self.ledger, ports, self.settings)

    async def begin(self) -> None:
        await self.worker.begin()
        loop = asyncio.get_running_loop()
        work = (self.worker.keep_time(), self.worker.keep_watch(), self.worker.keep_telling())
        self.loops = [loop.create_task(one) for one in work]

    async def kill_it(self) -> None:
        tasks = [*self.loops, *self.crew.tasks]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def restart(self) -> None:
        await self.kill_it()
        if isinstance(self.ledger, ModelLedger):
            self.ledger.crash()
        self.crew = Crew()
        self.worker = self._worker()
        await self.begin()

    async def ask(self, target: str = "t/service/a", value: str = "v1", incident: str = "i1", **rest: Any) -> str:
        """Ask for a change of the target; the code of the answer."""
        family = rest.pop("family", "code")
        plan = rest.pop("plan", None) or plan_of(step_of(target, value, undo_on_no_effect=True), **rest)
        return await self.worker.take(Asked(plan, Origin("a1", incident, "standard", "v1", asked=asked(plan, family))))

    async def wait(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    @property
    def states(self) -> list[str]:
        """Of all actions, in order of keys."""
        return [row.state for row in self.ledger.contents().actions]

    @property
    def reasons(self) -> list[str]:
        return [self.worker.read(row.key).reason for row in self.ledger.contents().actions]


def asked(plan: Any, family: str = "code") -> str:
    """The record that asks, as decide writes it."""
    hypothesis = Hypothesis(cause=Cause(entity="a", entity_id="t/service/a", family=family), score=1.0, reason="test")
    return ActionEvent(
        id="e1", action_id="a1", incident_id="i1", diagnosis_id="d1", tenant="t", sequence=0, state="approved",
        at_ns=BEGIN_NS, change=plan.steps[0].change, hypothesis=hypothesis,
    ).model_dump_json()  # fmt: skip


def stand(scene: Any, *args: Any, **settings: Any) -> Any:
    """Run `async scene(stand)` by the virtual clock; a fault of the crew is raised at its end."""

    async def whole() -> Any:
        one = Stand(*args, **settings)
        await one.begin()
        found = await scene(one)
        await one.kill_it()
        if one.crew.raised:
            raise one.crew.raised[0]
        return found

    return run_virtually(whole())


__all__ = ["ACT", "BEGIN_NS", "NS", "Stand", "asked", "plan_of", "replace", "stand", "step_of"]
