"""The gateway at work: a request, the rules, the store, the target, in the one order that survives a crash.

Written down as begun, then written to the target, then answered. Whatever stops in between leaves an attempt in doubt:
it is answered `lost`, and only a fence (at the store and, where there is a doubt, at the target) followed by a read
says what became of it. Every await is on a port, so the same code runs on a virtual clock.
Source: the crash table of docs/actions.md; `_gateway.py` has the rules.
"""

import json
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, Literal, NamedTuple, Protocol

from pydantic_core import to_json

from actions._errors import ActionsError
from actions._executor import Capabilities, Effect, Mark, Reading, TargetAway, Written
from actions._gateway import (
    UNPROVED,
    Kept,
    Name,
    Trust,
    Verdict,
    check,
    check_change,
    check_kill,
    check_target,
    diff_digest,
    differing,
    effect_of,
    mark_of,
    name_of,
    request_digest,
)
from actions._gateway_store import Attempt, GatewayStore
from actions._machine_types import Found
from actions._permit import MS, Permit
from actions._ports import Answer, DryRun, EffectRequest, KillSwitch, ProbeRequest, Survey, Unavailable
from actions._verbs import Verbs
from schemas import ProposedChange, canonical
from schemas.core import NS

LANDING_NS = 30 * NS
"""How long a call that was lost may still land at a target that cannot be fenced. Longer than any executor waits."""


class Hands(Protocol):
    """The executors, awaited. Each call comes back within its executor's time, or as lost (`write`) or TargetAway."""

    def capabilities(self, verb: str) -> Capabilities: ...

    async def read(self, effect: Effect) -> Reading: ...

    async def check(self, effect: Effect, reading: Reading) -> str | None: ...

    async def write(self, effect: Effect, mark: Mark, reading: Reading) -> Written: ...

    async def fence(self, effect: Effect, epoch: int) -> None: ...


class DeskClock(Protocol):
    def now_ns(self) -> int: ...


class Locks(Protocol):
    def hold(self, target: str) -> AbstractAsyncContextManager[Any]:
        """One at a time at each target; a fence waits here for the write that is under way."""
        ...


class Handled(NamedTuple):
    """One request and what became of it, for the gateway's own log."""

    name: Name
    verb: str
    target: str
    verdict: Verdict
    answer: Answer


class GatewayDesk:
    """Satisfies the worker's `Gateway` port, and is what the gateway process serves."""

    def __init__(
        self, trust: Trust, verbs: Verbs, store: GatewayStore, hands: Hands, kill: KillSwitch, clock: DeskClock,
        locks: Locks, *, on_handled: Callable[["Handled"], None] = lambda handled: None,
        at_point: Callable[[str], None] = lambda name: None,
    ) -> None:  # fmt: skip
        """at_point: called with the name of each step between which a process can die; tests kill it there."""
        self.trust, self.verbs, self._store, self._hands = trust, verbs, store, hands
        self._kill, self._clock, self._locks = kill, clock, locks
        self._on_handled, self._at_point = on_handled, at_point

    async def dry_run(self, key: str, step: int, change: ProposedChange) -> DryRun | Unavailable:
        """What it would change now, exactly; nothing is changed. The target itself is asked where it can say."""
        verdict = check_change(self.trust, self.verbs, change, "do", change.target)
        if not verdict.may_write:
            return Unavailable(verdict.reason, is_final=True)
        effect = effect_of(self.verbs, change, "do")
        try:
            reading = await self._hands.read(effect)
            against = await self._hands.check(effect, reading)
        except TargetAway as error:
            return Unavailable(error.code, is_final=error.code == "TARGET_ABSENT")
        if against is not None:
            return Unavailable("TARGET_REFUSES", is_final=True)
        diff = {"target": change.target, "verb": change.verb, "diff": differing(effect, reading)}
        snapshot = canonical({"uid": reading.uid, "version": reading.version, "state": dict(reading.state)})
        text, newest = to_json(diff, indent=1).decode(), self._store.newest()
        return DryRun(text, diff_digest(effect, reading), reading.version, snapshot, newest)

    async def apply(self, request: EffectRequest) -> Answer:
        """Raises LedgerFault if the store fails; what was asked is then not known and never `applied`."""
        async with self._locks.hold(request.target):
            verdict, answer = await self._applied(request)
        self._on_handled(Handled(name_of(request), request.change.verb, request.target, verdict, answer))
        return answer

    async def _applied(self, request: EffectRequest) -> tuple[Verdict, Answer]:
        known, watch = self._store.known(request.target, name_of(request)), await self._kill.read()
        self._at_point("asked")
        verdict, permit = check(self.trust, self.verbs, known, watch, request, self._clock.now_ns())
        if verdict.reason == "ANSWERED" and known.kept is not None and known.kept.result != "begun":
            return verdict, Answer(known.kept.result, known.kept.reason)
        if verdict.reason == "IN_DOUBT":
            return verdict, Answer("lost", "IN_DOUBT")
        if verdict.reason == "SENT_BEFORE":
            return verdict, Answer("lost", "SENT_BEFORE")
        if permit is None or verdict.reason in UNPROVED:
            return verdict, Answer("not_applied", verdict.reason)
        if not verdict.may_write:
            return verdict, self._refuse(request, verdict.reason)
        return await self._at_target(request, permit)

    async def _at_target(self, request: EffectRequest, permit: Permit) -> tuple[Verdict, Answer]:
        effect = effect_of(self.verbs, request.change, request.direction)
        try:
            reading = await self._hands.read(effect)
        except TargetAway as error:
            return Verdict("NOT_AS_EXPECTED", str(error)), self._refuse(request, error.code)
        try:
            verdict = check_target(self.trust, self.verbs.get(effect.verb), effect, permit, reading)
        except (ActionsError, ValueError) as error:
            verdict = Verdict("PARAMETERS_INVALID", str(error)[:200])
        now_ns = self._clock.now_ns()
        if verdict.may_write:  # the read took time: once more what time changes
            verdict = check_kill(await self._kill.read(), permit, now_ns)
        if verdict.may_write and now_ns // MS >= permit.expires_ms:
            verdict = Verdict("EXPIRED", "it ran out while the target was read")
        if not verdict.may_write:
            return verdict, self._refuse(request, verdict.reason)
        self._keep(request, Kept("begun", "", request_digest(request)), effect, reading.version)
        self._at_point("begun")
        written = await self._hands.write(effect, mark_of(request), reading)
        self._at_point("written")
        if written.outcome == "lost":
            return verdict, Answer("lost", written.reason)
        result: Literal["applied", "not_applied"] = "applied" if written.outcome == "written" else "not_applied"
        self._store.settle(name_of(request), result, written.reason)
        self._at_point("answered")
        return verdict, Answer(result, written.reason)

    def _refuse(self, request: EffectRequest, reason: str) -> Answer:
        """A refusal is an answer like any other: the same attempt never gets another one."""
        self._keep(request, Kept("not_applied", reason, request_digest(request)), None, "")
        return Answer("not_applied", reason)

    def _keep(self, request: EffectRequest, kept: Kept, effect: Effect | None, version: str) -> None:
        body = canonical(effect._asdict()) if effect else b""
        now_ns = self._clock.now_ns()
        self._store.keep(Attempt(name_of(request), request.target, kept, body, version, now_ns))

    async def fence(self, target: str, epoch: int) -> bool:
        """True when nothing older than the epoch can happen any more, at this gateway or at the target."""
        async with self._locks.hold(target):
            if not self._store.fence(target, epoch):
                return False
            for attempt in self._store.attempts(target):
                if attempt.kept.result == "begun" and attempt.name.epoch < epoch:
                    if not await self._fenced(attempt, epoch):
                        return False
                    self._store.settle(attempt.name, "lost", "FENCED")
        return True

    async def _fenced(self, attempt: Attempt, epoch: int) -> bool:
        effect = Effect(**json.loads(attempt.effect))
        if not self._hands.capabilities(effect.verb).fences:
            return self._clock.now_ns() >= attempt.at_ns + LANDING_NS
        try:
            await self._hands.fence(effect, epoch)
        except TargetAway:
            return False
        return True

    async def survey(self, target: str) -> Survey | Unavailable:
        """The highest epoch that was ever seen there, and what is on the target now of all that we did to it.

        Where nobody can say whether a mark is there it is named: whoever asks must then look himself.
        """
        async with self._locks.hold(target):
            known = self._store.known(target, Name("", 0, "do", 0))
            attempts = [one for one in self._store.attempts(target) if one.effect]
            steps = dict.fromkeys((one.name.key, one.name.step) for one in attempts)
            marks = list[tuple[str, int]]()
            for step in steps:
                mine = [one for one in attempts if (one.name.key, one.name.step) == step]
                done = [one for one in mine if one.name.direction == "do" and one.kept.result != "not_applied"]
                if not done:
                    continue
                try:
                    reading = await self._hands.read(Effect(**json.loads(done[-1].effect)))
                except TargetAway as error:
                    return Unavailable(error.code)
                if self._read_back(mine, Effect(**json.loads(done[-1].effect)), reading, *step) != "not_applied":
                    marks.append(step)
            return Survey(known.epoch, tuple(marks))

    async def probe(self, request: ProbeRequest) -> Found:
        """Is the mark of this step on its target; after a fence, so that the answer stays true."""
        async with self._locks.hold(request.target):
            return await self._found(request)

    async def _found(self, request: ProbeRequest) -> Found:
        verdict = check_change(self.trust, self.verbs, request.change, "do", request.target)
        if not verdict.may_write:
            return "unreadable"
        mine = [
            one
            for one in self._store.attempts(request.target)
            if (one.name.key, one.name.step) == (request.key, request.step) and one.effect
        ]
        effect = effect_of(self.verbs, request.change, "do")
        try:
            reading = await self._hands.read(effect)
        except TargetAway:
            return "unreadable"
        return self._read_back(mine, effect, reading, request.key, request.step)

    def _read_back(self, mine: list[Attempt], effect: Effect, reading: Reading, key: str, step: int) -> Found:
        if not self._hands.capabilities(effect.verb).keeps_mark:
            return _found_by_state(mine, effect, reading)
        mark = reading.mark
        if mark is not None and (mark.key, mark.step) == (key, step):
            if mark.direction == "undo":
                return "not_applied"
            return "foreign" if differing(effect, reading) else "applied"  # our mark, and somebody else's value
        sent = [one for one in mine if one.kept.result != "not_applied"]
        if not sent:
            return "not_applied"  # nothing of ours ever went there, and after the fence nothing will
        return "not_applied" if reading.version == sent[-1].version else "foreign"


def _found_by_state(mine: list[Attempt], effect: Effect, reading: Reading) -> Found:
    """Where a target keeps no mark: what we know we did, and for what was lost, whether the target is as wanted."""
    sent = [one for one in mine if one.kept.result != "not_applied"]
    if not sent:
        return "not_applied"
    last = sent[-1]
    if any(reading.state.get(field) is None for field in effect.sets):  # a system that can only be told
        certain: Found = "applied" if last.name.direction == "do" else "not_applied"
        return certain if last.kept.result == "applied" else "unreadable"
    is_so = not differing(effect, reading)
    if last.name.direction == "undo":
        return "not_applied" if not is_so else "applied"
    return "applied" if is_so else "not_applied" if last.kept.result != "applied" else "foreign"
