"""Investigators: inquiries in, observations out. A bounded pool, most severe first; nothing here knows a broker.

It holds no promise: what is waiting or running when the process ends is gone, and the diagnose stage asks again at its
deadline. So nothing is written about an inquiry that was not finished, a failure is an observation like any other, and
the same inquiry twice gives the same id.
"""

import asyncio
import heapq
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import structlog
from pydantic import ValidationError

import schemas as sc
from diagnosis import MOST_BYTES, Answer, Context, Query, QueryFailed
from schemas.core import NS

SOURCE = "tidegate/investigate"
Send = Callable[[sc.Observation], Awaitable[None]]
log = structlog.get_logger()


@dataclass(order=True, slots=True)
class _Waiting:
    order: tuple[float, int, str]
    inquiry: sc.Inquiry = field(compare=False)
    taken_s: float = field(compare=False)


class Pool:
    """`submit` never waits; `run` answers until it is cancelled.

    size: how many run at once. most_waiting: beyond, the least severe is answered with QUEUE_FULL. send: writes an
    observation and returns once it is durable. now_ns: for `observed_ns`; the loop's clock measures waiting.
    """

    def __init__(
        self, queries: Mapping[str, Query], context: Context, send: Send, *, size: int = 64,
        most_waiting: int = 10_000, now_ns: Callable[[], int] = time.time_ns,
    ) -> None:  # fmt: skip
        self._queries, self._context, self._send = dict(queries), context, send
        self._size, self._most_waiting, self._now_ns = size, most_waiting, now_ns
        self._heap: list[_Waiting] = []
        self._known: set[str] = set()
        self._refused: list[_Waiting] = []
        self._news = asyncio.Event()
        self.counts: dict[str, int] = {}
        """taken, repeated, answered, failed, timeout, not_sent."""
        self.running = 0

    @property
    def waiting(self) -> int:
        return len(self._heap) + len(self._refused)

    def submit(self, inquiry: sc.Inquiry) -> None:
        """Take an inquiry; one that waits or runs already is not taken twice."""
        if inquiry.id in self._known:
            self._count("repeated")
            return
        self._count("taken")
        self._known.add(inquiry.id)
        entry = _Waiting((-inquiry.severity, inquiry.asked_ns, inquiry.id), inquiry, self._clock())
        heapq.heappush(self._heap, entry)
        if len(self._heap) > self._most_waiting:
            least = max(self._heap)
            self._heap.remove(least)
            heapq.heapify(self._heap)
            self._refused.append(least)
        self._news.set()

    async def run(self) -> None:
        """Answer until cancelled; what runs then is cancelled too and not answered."""
        async with asyncio.TaskGroup() as group:
            for _ in range(self._size):
                group.create_task(self._work())

    async def _work(self) -> None:
        while True:
            entry = self._next()
            if entry is None:
                self._news.clear()
                await self._news.wait()
                continue
            waiting, reason = entry
            self.running += 1
            try:
                observation = await self._answered(waiting, reason)
                await self._sent(observation)
            finally:
                self.running -= 1
                self._known.discard(waiting.inquiry.id)

    def _next(self) -> tuple[_Waiting, str] | None:
        """What to do next, and the code if it is not even tried."""
        if self._refused:
            return self._refused.pop(), "QUEUE_FULL"
        if not self._heap:
            return None
        entry = heapq.heappop(self._heap)
        patience = (entry.inquiry.deadline_ns - entry.inquiry.asked_ns) / NS
        return entry, "WAITED_TOO_LONG" if self._clock() - entry.taken_s >= patience else ""

    async def _answered(self, waiting: _Waiting, reason: str) -> sc.Observation:
        inquiry = waiting.inquiry
        if reason:
            return self._observation(waiting, "timeout" if reason == "WAITED_TOO_LONG" else "failed", reason)
        query = self._queries.get(inquiry.query)
        if query is None or query.subsystem != inquiry.subsystem:
            return self._observation(waiting, "failed", "QUERY_UNKNOWN")
        left = (inquiry.deadline_ns - inquiry.asked_ns) / NS - (self._clock() - waiting.taken_s)
        try:
            parameters = query.parameters.model_validate(inquiry.parameters)
            async with asyncio.timeout(min(query.timeout_s, left)):
                answer = await query.run(parameters, inquiry.tenant, self._context)
        except TimeoutError:
            return self._observation(waiting, "timeout", "QUERY_TIMEOUT")
        except QueryFailed as error:
            log.warning("query failed", query=query.kind, code=error.code, what=error.what)
            return self._observation(waiting, "failed", error.code)
        except ValidationError as error:
            log.warning("inquiry not understood", query=query.kind, inquiry_id=inquiry.id, what=str(error))
            return self._observation(waiting, "failed", "PARAMETERS_INVALID")
        except Exception as error:  # a plug-in may raise what it likes: that is its failure, not the pool's
            log.error("query broke", query=query.kind, inquiry_id=inquiry.id, error=repr(error))
            return self._observation(waiting, "failed", "QUERY_BROKEN")
        return self._checked(waiting, query, answer)

    def _checked(self, waiting: _Waiting, query: Query, answer: Answer) -> sc.Observation:
        body = answer.model_dump(mode="json")
        if len(sc.canonical(body)) > MOST_BYTES:
            return self._observation(waiting, "failed", "ANSWER_TOO_LARGE")
        if any(finding.kind not in query.evidence for finding in answer.findings):
            return self._observation(waiting, "failed", "ANSWER_INVALID")
        return self._observation(waiting, "answered", "", body, answer.cost)

    def _observation(
        self, waiting: _Waiting, status: Literal["answered", "failed", "timeout"], reason: str,
        answer: dict[str, Any] | None = None, cost: float = 0.0,
    ) -> sc.Observation:  # fmt: skip
        self._count(status)
        inquiry = waiting.inquiry
        return sc.Observation(
            id=sc.record_id("observation", inquiry.id), inquiry_id=inquiry.id, incident_id=inquiry.incident_id,
            status=status, reason=reason, request_sha256=inquiry.request_sha256, observed_ns=self._now_ns(),
            age_s=max(self._clock() - waiting.taken_s, 0.0), cost=cost, answer=answer or {},
        )  # fmt: skip

    async def _sent(self, observation: sc.Observation) -> None:
        try:
            await self._send(observation)
        except Exception as error:  # the transport's own errors; the stage that asked will ask again
            self._count("not_sent")
            log.error("observation not written", inquiry_id=observation.inquiry_id, error=repr(error))

    def _count(self, what: str) -> None:
        self.counts[what] = self.counts.get(what, 0) + 1

    @staticmethod
    def _clock() -> float:
        return asyncio.get_running_loop().time()


def emitted(observation: sc.Observation, asked_ns: int) -> sc.core.Emit:
    """The record as it goes to its topic. Its event time is that of the question: an answer has none of its own."""
    return sc.emit(
        sc.OBSERVATIONS, observation, id=observation.id, key=observation.incident_id, source=SOURCE, event_ns=asked_ns
    )
