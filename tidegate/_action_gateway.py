"""The gateway as a process: the only one that holds credentials. It takes four questions over HTTP, and orders to stop.

It listens on a Unix socket, or on this machine with a token. Executors block, so each call runs in a thread and has a
time; a write that does not come back is lost, a call that has not begun by then is taken back. When the store fails the
process says so and ends, because it could neither remember an epoch nor an answer.
"""

import asyncio
import hmac
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from actions import (
    ActionsError,
    Capabilities,
    Effect,
    Executor,
    GatewayDesk,
    GatewayStore,
    Handled,
    LedgerFault,
    Mark,
    Reading,
    SqliteGatewayStore,
    TargetAway,
    Unavailable,
    Verbs,
    Written,
    gateway_wire,
)
from schemas import Control, RecordInvalid
from tidegate import _catalogue
from tidegate._action_gateway_kill import KillFile
from tidegate._action_gateway_settings import ActGateway
from tidegate._errors import TidegateError
from tidegate._http import Refused, body_of

MOST_BYTES = 256 * 1024
_THREADS = 32
_SPARE_S = 1.0  # beyond an executor's own time, for what it does not count itself
T = TypeVar("T")


class Threads:
    """The desk's `Hands`: executors in threads, by verb."""

    def __init__(self, by_verb: Mapping[str, Executor], timeouts: Mapping[str, float]) -> None:
        self._by_verb, self._timeouts = by_verb, timeouts
        self._pool = ThreadPoolExecutor(_THREADS, "executor")

    def capabilities(self, verb: str) -> Capabilities:
        return self._by_verb[verb].capabilities[verb]

    async def read(self, effect: Effect) -> Reading:
        return await self._away(effect, lambda: self._by_verb[effect.verb].read(effect))

    async def check(self, effect: Effect, reading: Reading) -> str | None:
        return await self._away(effect, lambda: self._by_verb[effect.verb].check(effect, reading))

    async def fence(self, effect: Effect, epoch: int) -> None:
        await self._away(effect, lambda: self._by_verb[effect.verb].fence(effect, epoch))

    async def write(self, effect: Effect, mark: Mark, reading: Reading) -> Written:
        try:
            return await self._run(effect, lambda: self._by_verb[effect.verb].write(effect, mark, reading))
        except TimeoutError:
            return Written("lost", "TIMEOUT")
        except Exception as error:  # an executor that breaks its contract: nobody knows what it did
            return Written("lost", "EXECUTOR_FAILED", f"{type(error).__name__}: {error}")

    async def _away(self, effect: Effect, work: Callable[[], T]) -> T:
        try:
            return await self._run(effect, work)
        except TargetAway:
            raise
        except TimeoutError as error:
            raise TargetAway(f"{effect.target} did not answer in time") from error
        except Exception as error:  # as above
            raise TargetAway(f"the executor of {effect.verb} failed: {type(error).__name__}: {error}") from error

    async def _run(self, effect: Effect, work: Callable[[], T]) -> T:
        limit_s = self._timeouts.get(effect.verb, 10.0) + _SPARE_S
        return await asyncio.wait_for(asyncio.get_running_loop().run_in_executor(self._pool, work), limit_s)

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)


class _Locks:
    def __init__(self) -> None:
        self._locks: dict[str, asyncio.Lock] = {}

    def hold(self, target: str) -> asyncio.Lock:
        return self._locks.setdefault(target, asyncio.Lock())


class _Clock:
    def now_ns(self) -> int:
        return time.time_ns()


class ActionGateway:
    """Everything the process holds. say: gets the name of an event and its facts. broken: set when the store failed."""

    def __init__(
        self, settings: ActGateway, *, say: Callable[..., None] = lambda event, **facts: None,
        store: GatewayStore | None = None, executors: Mapping[str, Executor] | None = None,
        at_point: Callable[[str], None] = lambda name: None,
    ) -> None:  # fmt: skip
        """Raises SettingsError, LedgerFault."""
        self.settings, self._say, self.counts, self.broken = settings, say, Counter[str](), ""
        by_verb = settings.open_executors() if executors is None else dict(executors)
        timeouts = {verb: _timeout_s(settings, one.kind) for verb, one in by_verb.items()}
        self.verbs = Verbs([type(verb) for verb in _catalogue.find("verbs").values()], by_verb)
        self.kill = KillFile(settings.kill_file, settings.orderers(), time.time_ns)
        self._token, self._threads = settings.secret(), Threads(by_verb, timeouts)
        self._store = store or SqliteGatewayStore(Path(settings.store))
        self.desk = GatewayDesk(
            settings.trust(), self.verbs, self._store, self._threads, self.kill, _Clock(), _Locks(),
            on_handled=self._handled, at_point=at_point,
        )  # fmt: skip
        asked = {"dry-run": self._dry_run, "apply": self._apply, "fence": self._fence, "probe": self._probe,
                 "survey": self._survey, "control": self._control}  # fmt: skip
        routes = [Route(f"/v1/{name}", self._route(work), methods=["POST"]) for name, work in asked.items()]
        routes += [Route("/healthz", self._healthz), Route("/metrics", self._metrics)]
        self.app = Starlette(routes=routes)

    def close(self) -> None:
        self._threads.close()

    def _route(self, work: Callable[[bytes], Awaitable[dict[str, Any]]]) -> Callable[[Request], Awaitable[Response]]:
        async def answer(request: Request) -> Response:
            try:
                self._admit(request)
                return JSONResponse(await work(await body_of(request, MOST_BYTES, lambda size: None)))
            except Refused as refused:
                return JSONResponse({"error": {"code": "REFUSED", "what": refused.what}}, refused.status)
            except LedgerFault as error:
                self.broken = str(error)
                self._say("gateway store failed", error=str(error))
                return JSONResponse({"error": {"code": error.code, "what": str(error)}}, 503)
            except (ActionsError, RecordInvalid, TidegateError) as error:
                return JSONResponse({"error": {"code": error.code, "what": str(error)}}, 400)

        return answer

    def _admit(self, request: Request) -> None:
        if not self._token:
            return
        told = request.headers.get("authorization", "").encode()
        if not hmac.compare_digest(told, f"Bearer {self._token}".encode()):
            raise Refused(401, "the token is not the one of this gateway")

    async def _dry_run(self, body: bytes) -> dict[str, Any]:
        key, step, change = gateway_wire.load_dry_run_request(body)
        return gateway_wire.dump_dry_run(await self.desk.dry_run(key, step, change))

    async def _apply(self, body: bytes) -> dict[str, Any]:
        answer = await self.desk.apply(gateway_wire.load_effect(body))
        return {"answer": answer._asdict()}

    def _handled(self, handled: Handled) -> None:
        name, answer = handled.name, handled.answer
        self.counts[f"{handled.verb} {name.direction} {answer.result} {answer.reason}"] += 1
        self._say(
            f"effect {answer.result}", idempotency_key=name.key, step=name.step, direction=name.direction,
            epoch=name.epoch, target=handled.target, verb=handled.verb, reason=answer.reason, text=handled.verdict.text,
        )  # fmt: skip

    async def _fence(self, body: bytes) -> dict[str, Any]:
        target, epoch = gateway_wire.load_fence(body)
        is_fenced = await self.desk.fence(target, epoch)
        self._say("target fenced" if is_fenced else "target not fenced", target=target, epoch=epoch)
        return {"fenced": is_fenced}

    async def _probe(self, body: bytes) -> dict[str, Any]:
        return {"found": await self.desk.probe(gateway_wire.load_probe(body))}

    async def _survey(self, body: bytes) -> dict[str, Any]:
        target, _ = gateway_wire.load_fence(body)
        found = await self.desk.survey(target)
        return {"unavailable" if isinstance(found, Unavailable) else "survey": found._asdict()}

    async def _control(self, body: bytes) -> dict[str, Any]:
        control = Control.from_bytes(body, strict=True)
        self.kill.add(control)
        self._say("order taken", kind=control.kind, scope=control.scope, issuer=control.issuer)
        return {"stopped": sorted(self.kill.look().scopes)}

    async def _healthz(self, request: Request) -> Response:
        watch = self.kill.look()
        is_well = not self.broken and not self.kill.fault
        told = {"ok": is_well, "store": self.broken or "ok", "kill_switch": self.kill.fault or "ok",
                "stopped": sorted(watch.scopes), "verbs": sorted(self.verbs.executors)}  # fmt: skip
        return JSONResponse(told, 200 if is_well else 503)

    async def _metrics(self, request: Request) -> Response:
        lines = ["# TYPE tidegate_gateway_answers_total counter"]
        for name, count in sorted(self.counts.items()):
            verb, direction, result, reason = name.split(" ", 3)
            labels = f'verb="{verb}",direction="{direction}",result="{result}",reason="{reason}"'
            lines.append(f"tidegate_gateway_answers_total{{{labels}}} {count}")
        stopped = len(self.kill.look().scopes)
        lines += ["# TYPE tidegate_gateway_stopped_scopes gauge", f"tidegate_gateway_stopped_scopes {stopped}"]
        return PlainTextResponse("\n".join(lines) + "\n")


def _timeout_s(settings: ActGateway, kind: str) -> float:
    told = settings.executors.get(kind, {}).get("timeout_s", 10.0)
    return float(told)
