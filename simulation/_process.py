"""A worker as a process of the simulation: its ports, and loops around it that wake where there is something to do.

In production the loops look every fifth of a second. Here nothing happens in between, so they sleep until something is
due or has become durable, which is the same history at a hundredth of the cost.
"""

from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

from actions._ledger import Transaction
from actions._machine_errors import LedgerFault
from actions._ports import Notice, Ports
from actions._safety import SafetySettings
from actions._worker import Worker, WorkerSettings
from schemas.core import NS, Emit
from simulation._loop import Loop, Node, Task, wait
from simulation._network import GatewayClient
from simulation._store import View
from simulation._switch import Reader

if TYPE_CHECKING:
    from simulation._world import World

TOPIC = "tidegate.actions.v1"
SETTINGS = WorkerSettings(SafetySettings(levels={"*": "act"}, has_canary=False, must_earn=False))


class Wake:
    """Something a coroutine waits for: an instant, or an earlier one once it is known."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._task: Task | None = None
        self._at_ns = 0
        self._until_ns: int | None = None
        self._is_due = False

    async def wait(self, at_ns: int | None) -> None:
        """Until then, or `wake`."""
        self._until_ns = at_ns
        await wait(self._begin)

    def _begin(self, task: Task) -> None:
        self._task = task
        if self._is_due:
            self._is_due = False
            self._set(self._loop.now_ns)
        elif self._until_ns is not None:
            self._set(self._until_ns)

    def wake(self, wait_ns: int) -> None:
        if self._task is None:
            self._is_due = True
        elif not self._at_ns or self._loop.now_ns + wait_ns < self._at_ns:
            self._set(self._loop.now_ns + wait_ns)

    def _set(self, at_ns: int) -> None:
        self._at_ns = at_ns
        self._loop.at(at_ns, self._ring, self._task, at_ns)

    def _ring(self, task: Task, at_ns: int) -> None:
        if self._task is task and self._at_ns == at_ns:
            self._task, self._at_ns = None, 0
            task.answer(None)


class Crew:
    def __init__(self, process: "Process") -> None:
        self._process = process

    def start(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        self._process.start_task(work)


class Process:
    """A worker as a process: its ports, and the loops around it, which wake where there is something to do."""

    def __init__(self, world: "World", number: int) -> None:
        self.world, self.number = world, number
        self.node = Node(world.loop, f"worker-{number}", lambda: world.died(self))
        self.worker: Worker | None = None
        self.is_ready = False
        self._fresh()

    def _fresh(self) -> None:
        loop = self.world.loop
        self.intake, self.timing, self.telling, self.watching = Wake(loop), Wake(loop), Wake(loop), Wake(loop)

    def start(self) -> None:
        world, node = self.world, self.node
        node.start()
        self._fresh()
        self.is_ready = False
        node.skew_ns = world.disorder.skew()
        ports = Ports(
            clock=self, crew=Crew(self), gateway=GatewayClient(world.loop, world.faults, world.gateway),
            gatekeeper=world.gate, telemetry=world.telemetry, people=self, bus=self,
            kill=Reader(world.switch, world.faults, node.skew_ns),
        )  # fmt: skip
        self.worker = Worker(View(world.store), ports, SETTINGS)
        world.tell(f"{node.name} starts")
        self.start_task(self._main(self.worker))

    def retire(self) -> None:
        """The group has told it that it has nothing to do any more."""
        if self.node.is_up and self.number != self.world.active:
            self.node.die()

    def start_task(self, work: Coroutine[Any, Any, None]) -> None:
        task = self.node.spawn(work)
        task.on_end = lambda: self._ended(task)

    def _ended(self, task: Task) -> None:
        if task.error is None:
            return
        if not isinstance(task.error, LedgerFault):
            self.world.broke.append(f"a worker broke: {task.error!r}")
        self.node.die()

    async def _main(self, worker: Worker) -> None:
        await worker.begin()
        self.is_ready = True
        self.start_task(self._keep_time(worker))
        self.start_task(self._keep_watch(worker))
        self.start_task(self._keep_telling(worker))
        await self._keep_taking(worker)

    async def _keep_taking(self, worker: Worker) -> None:
        while True:
            position = worker.ledger.position(TOPIC, 0)
            offset = 0 if position is None else position + 1
            if offset < len(self.world.topic):
                await self.world.take(worker, offset)
            else:
                await self.intake.wait(None)

    async def _keep_time(self, worker: Worker) -> None:
        while True:
            await worker.ring()
            due = min(self.world.timers.values(), default=None)
            at_ns = None if due is None else max(due - self.node.skew_ns, self.world.loop.now_ns + NS // 10) + NS // 10
            await self.timing.wait(at_ns)

    async def _keep_watch(self, worker: Worker) -> None:
        while True:
            await worker.look()
            if worker.ledger.unread():
                await worker.reread()
            await self.watching.wait(self.world.disorder.next_look())

    async def _keep_telling(self, worker: Worker) -> None:
        while True:
            await worker.relay()
            now = self.world.loop.now_ns
            await self.telling.wait(now + 10 * NS if self.world.outbox else None)

    def heard(self, transaction: Transaction, due_ns: int | None) -> None:
        """Something became durable that may be this process's business; `due_ns`: when the next timer rings."""
        if transaction.timers and due_ns is not None:
            self.timing.wake(max(0, due_ns - self.node.skew_ns - self.world.loop.now_ns) + NS // 10)
        if transaction.outbox:
            self.telling.wake(2 * NS)
        if transaction.distrust:
            self.watching.wake(NS // 2)

    # The ports that are its own.

    def now_ns(self) -> int:
        return self.world.loop.now_ns + self.node.skew_ns

    async def sleep(self, ns: int) -> None:
        await wait(lambda task: self.world.loop.after(ns, task.answer, None))

    async def tell(self, notice: Notice) -> bool:
        return await self._say(self.world.disorder.chat_is_down, lambda: self.world.disorder.told(notice))

    async def send(self, record: Emit) -> bool:
        return await self._say(self.world.disorder.kafka_is_down, lambda: None)

    async def _say(self, is_down: Callable[[], bool], done: Callable[[], None]) -> bool:
        def begin(task: Task) -> None:
            reached = not is_down()
            if reached:
                done()
            self.world.loop.after(NS // 100, task.answer, reached)

        answer: bool = await wait(begin)
        return answer
