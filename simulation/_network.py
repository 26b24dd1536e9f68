"""The way between a worker and the gateway: requests that are lost, late or doubled, answers that never come.

A client waits `PATIENCE_NS` and then says what it must say when it does not know: `lost`, not fenced, unreadable. What
was sent goes on its way all the same, and may land long after everybody has given up on it.
"""

from typing import Any

from actions._machine_types import Found
from actions._ports import Answer, DryRun, EffectRequest, ProbeRequest, Survey, Unavailable
from schemas import ProposedChange
from schemas.core import NS
from simulation._faults import Faults
from simulation._gateway import MILLISECOND, GatewayProcess
from simulation._loop import Loop, Task, wait

PATIENCE_NS = 4 * NS


class GatewayClient:
    """The worker's `Gateway`. One for all workers: it holds nothing but the way."""

    def __init__(self, loop: Loop, faults: Faults, gateway: GatewayProcess) -> None:
        self._loop, self._faults, self._gateway = loop, faults, gateway

    async def dry_run(self, key: str, step: int, change: ProposedChange) -> DryRun | Unavailable:
        answer: DryRun | Unavailable = await self._ask(
            "dry_run", (key, step, change), Unavailable("GATEWAY_AWAY"), may_repeat=False
        )
        return answer

    async def apply(self, request: EffectRequest) -> Answer:
        answer: Answer = await self._ask("apply", (request,), Answer("lost", "NO_ANSWER"))
        return answer

    async def fence(self, target: str, epoch: int) -> bool:
        answer: bool = await self._ask("fence", (target, epoch), False)
        return answer

    async def probe(self, request: ProbeRequest) -> Found:
        answer: Found = await self._ask("probe", (request,), "unreadable", may_repeat=False)
        return answer

    async def survey(self, target: str) -> Survey | Unavailable:
        answer: Survey | Unavailable = await self._ask(
            "survey", (target,), Unavailable("GATEWAY_AWAY"), may_repeat=False
        )
        return answer

    async def _ask(self, question: str, told: tuple[Any, ...], silence: Any, may_repeat: bool = True) -> Any:

        def begin(task: Task) -> None:
            loop, faults = self._loop, self._faults
            heard = [False]

            def hear(answer: Any) -> None:
                if not heard[0]:
                    heard[0] = True
                    task.answer(answer)

            def come_back(answer: Any) -> None:
                if not faults.strikes("lost_answer", 0.1):
                    loop.after(20 * MILLISECOND, hear, answer)

            loop.after(PATIENCE_NS, hear, silence)
            if faults.strikes("lost_request", 0.1):
                return
            wait_ns = 30 * MILLISECOND
            if faults.strikes("late", 0.1):
                wait_ns = faults.chance("late").between(2_000, 60_000) * MILLISECOND
            loop.after(wait_ns, self._gateway.ask, question, told, come_back)
            if may_repeat and faults.strikes("double", 0.1):
                again_ns = wait_ns + faults.chance("double").between(1, 40_000) * MILLISECOND
                loop.after(again_ns, self._gateway.ask, question, told, come_back)

        return await wait(begin)
