"""The gateway as a process of the simulation: the production desk, a store that survives, and deaths at every await.

It serves one coroutine a request. When it dies, what it held is gone and what it sent to a target goes on its way; it
starts again with its store. A write can be swallowed by a slow target and land much later, while everybody was told
that nobody knows.
"""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Any

from actions import Verbs
from actions._executor import Capabilities, Effect, Mark, Reading, Written
from actions._gateway import Trust
from actions._gateway_desk import GatewayDesk
from actions._gateway_store import GatewayStore
from actions._ports import KillSwitch
from schemas.core import NS
from simulation._faults import Faults
from simulation._loop import Loop, Node, Task, wait
from simulation._verbs import PlantExecutor

MILLISECOND = NS // 1000


class _Hold(AbstractAsyncContextManager[None]):
    def __init__(self, locks: "Locks", target: str) -> None:
        self._locks, self._target = locks, target

    async def __aenter__(self) -> None:
        await wait(self._begin)

    def _begin(self, task: Task) -> None:
        line = self._locks.lines.setdefault(self._target, [])
        line.append(task)
        if len(line) == 1:
            task.answer(None)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        line = self._locks.lines[self._target]
        line.pop(0)
        if line:
            self._locks.loop.after(0, line[0].answer, None)
        else:
            del self._locks.lines[self._target]


class Locks:
    """One at a time at each target; those who wait go in the order in which they came."""

    def __init__(self, loop: Loop) -> None:
        self.loop = loop
        self.lines: dict[str, list[Task]] = {}

    def hold(self, target: str) -> AbstractAsyncContextManager[Any]:
        return _Hold(self, target)


class Hands:
    """The executor, awaited: each call takes its time on the way."""

    def __init__(self, loop: Loop, faults: Faults, executor: PlantExecutor) -> None:
        self._loop, self._faults, self._executor = loop, faults, executor

    def capabilities(self, verb: str) -> Capabilities:
        return self._executor.capabilities[verb]

    async def read(self, effect: Effect) -> Reading:
        reading: Reading = await self._call(lambda: self._executor.read(effect))
        return reading

    async def check(self, effect: Effect, reading: Reading) -> str | None:
        return self._executor.check(effect, reading)

    async def fence(self, effect: Effect, epoch: int) -> None:
        self._executor.fence(effect, epoch)

    async def write(self, effect: Effect, mark: Mark, reading: Reading) -> Written:
        def begin(task: Task) -> None:
            loop, faults = self._loop, self._faults
            if faults.strikes("slow_target", 0.04):
                landing_ns = faults.chance("slow_target").between(1_000, 25_000) * MILLISECOND
                loop.after(landing_ns, self._executor.write, effect, mark, reading, loop.now_ns)
                loop.after(3 * NS, task.answer, Written("lost", "TIMED_OUT"))
                return
            loop.after(15 * MILLISECOND, lambda: task.answer(self._executor.write(effect, mark, reading)))

        written: Written = await wait(begin)
        return written

    async def _call(self, call: Callable[[], Any]) -> Any:
        def begin(task: Task) -> None:
            def come_back() -> None:
                try:
                    answer = call()
                except Exception as error:
                    task.fail(error)
                else:
                    task.answer(answer)

            self._loop.after(10 * MILLISECOND, come_back)

        return await wait(begin)


class GatewayProcess:
    """`ask` is what arrives over the wire. The store outlives the process."""

    def __init__(
        self, loop: Loop, faults: Faults, trust: Trust, verbs: Verbs, executor: PlantExecutor, kill: KillSwitch,
        store: GatewayStore,
    ) -> None:  # fmt: skip
        self.node = Node(loop, "gateway", self._died)
        self._loop, self._faults, self._trust, self._verbs = loop, faults, trust, verbs
        self._executor, self._kill = executor, kill
        self.store = store
        self.broke: list[Exception] = []
        self.start()

    def start(self) -> None:
        self.node.start()
        self.desk = GatewayDesk(
            self._trust, self._verbs, self.store, Hands(self._loop, self._faults, self._executor), self._kill, self,
            Locks(self._loop),
        )  # fmt: skip

    def now_ns(self) -> int:
        """Its own clock is right: what it decides by time it decides by that of the plant."""
        return self._loop.now_ns

    def ask(self, question: str, told: tuple[Any, ...], hear: Callable[[Any], None]) -> None:
        """A request arrives; `hear` gets the answer, if there is one."""
        if not self.node.is_up:
            return
        task = self.node.spawn(self._serve(question, told, hear))
        task.on_end = lambda: self._ended(task)

    async def _serve(self, question: str, told: tuple[Any, ...], hear: Callable[[Any], None]) -> None:
        hear(await getattr(self.desk, question)(*told))

    def _ended(self, task: Task) -> None:
        if task.error is not None:
            self.broke.append(task.error)

    def _died(self) -> None:
        self._loop.after(2 * NS, self.start)
