"""`tidegate act worker`: the process that decides in its ledger that something happens, and asks the gateway for it.

It holds the ledger, the key that signs permits and the desk for approvals, and no credentials of any target. Whatever
ends it (a fault of the ledger, a signal, a crash), the next one takes everything up from the ledger.
"""

import asyncio
import json
import secrets
import socket
import threading
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import structlog
import uvicorn
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from actions import (
    SUPERVISED_NS,
    ActionsError,
    Approved,
    EffectRequest,
    Inbox,
    KeyRing,
    NotAskable,
    Notice,
    PeopleHead,
    PolicyEngine,
    PolicyGatekeeper,
    Ports,
    Rejected,
    SafetySettings,
    Sealer,
    Transaction,
    View,
    Worker,
    WorkerSettings,
    asked_of,
    is_supervised,
    mint,
    notice_row,
    open_credit,
    open_ledger,
)
from schemas import (
    ACTIONS,
    CHANGES,
    RAW,
    ActionEvent,
    Control,
    Feedback,
    RecordInvalid,
    read,
    record_id,
    record_type,
    why,
)
from schemas.core import NS, Emit, Message
from schemas.signatures import private_key, public_key
from streams import KIND, SOURCE, TRUST
from tidegate import _pipeline
from tidegate._act_audit import AuditKeeper
from tidegate._act_feed import VIEW_NS, Feed
from tidegate._act_override import Overrides
from tidegate._act_ports import Hooks, Orders, SystemClock, Tasks
from tidegate._act_telemetry import PrometheusTelemetry
from tidegate._action_gateway_client import GatewayClient
from tidegate._approvals_http import approvals_app
from tidegate._approve_desk import ApprovalDesk, Decided
from tidegate._audit_follow import Anchor
from tidegate._errors import SettingsError
from tidegate._http import Refused, body_of
from tidegate._live import TENANT
from tidegate._people_file import PeopleFile, known_head
from tidegate._settings import Settings
from tidegate._signals import stops
from tidegate._up import _listen

KEEP_ORDERS_S = 0.5
FORGET_S = 3600.0
MOST_CREDIT_BYTES = 4 << 20
_DECIDE = "tidegate/decide"
FeedOf = Callable[[dict[int, int]], Feed]
"""From the ledger's positions in the actions topic to where the records come from."""


class ActWorker:
    """`broken`: why it had to end, empty while it runs or after a clean stop."""

    def __init__(self, settings: Settings, feed_of: FeedOf, anchors: Sequence[Anchor] = ()) -> None:
        """Raises SettingsError, LedgerFault, PolicyError, TransportError; a ledger that it made is then gone again."""
        self.settings, act, self._anchors = settings, settings.act, anchors
        self._sign_key = _private_key(settings)
        self.view = View({name: one.profile() for name, one in settings.actions.services.items()})
        self.clock, self._log = SystemClock(), structlog.get_logger()
        self.verbs = _pipeline.verbs(settings.actions.executors)
        self.policies: PolicyEngine = _pipeline.engine(settings)
        keys = {issuer: public_key(text) for issuer, text in settings.control.keys.items()}
        people, self.broken, self._is_alone = settings.approvals, "", False
        self._began_ns = self.clock.now_ns()
        self._listener = _listen("127.0.0.1", act.listen_port)
        with _kept_if_it_starts(act.ledger, self._listener):
            self.ledger = open_ledger(act.ledger, Sealer("tidegate/act"))
            self.orders = Orders(act.kill_file, self.ledger, keys, act.supervisor_file, signer=act.permit_kid)
            known, where = partial(known_head, self.ledger), people.people
            self._people = PeopleFile(where, people.root_keys(), people.deployment, known) if where else None
            self.feed = feed_of({0: place} if (place := self.ledger.position(ACTIONS, 0)) is not None else {})

    async def run(self, stop: threading.Event, on_ready: Callable[[str], None] = lambda address: None) -> None:
        """Until `stop` is set or something fails that only a new start can mend."""
        tasks = Tasks()
        self.worker = self._worker(tasks)
        follows = self.settings.act.audit.log is not None
        self.audit = AuditKeeper(self.settings.act.audit, self.ledger, self.worker, self._anchors) if follows else None
        listener = self._listener
        config = uvicorn.Config(self._app(), log_config=None, access_log=False, lifespan="off", server_header=False)
        server = uvicorn.Server(config)
        server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
        await self.worker.begin()
        if self.audit is not None:
            await self.audit.look()
        await self.desk.resume()
        loops = [
            self.worker.keep_time(), self.worker.keep_watch(), self.worker.keep_telling(), self._read(),
            self._keep_orders(), self._forget(),
        ]  # fmt: skip
        loops += [self.audit.run()] if self.audit else []
        for number, loop in enumerate(loops):
            tasks.start(f"loop {number}", loop)
        serving = asyncio.create_task(server.serve([listener]))
        on_ready(f"http://127.0.0.1:{listener.getsockname()[1]}")
        while not stop.is_set() and not tasks.failed.done() and not serving.done():
            await asyncio.sleep(0.05)
        server.should_exit = True
        if tasks.failed.done():
            self.broken = f"{type(tasks.failed.result()).__name__}: {tasks.failed.result()}"
        await asyncio.gather(serving, return_exceptions=True)
        await tasks.stop()
        if self.audit is not None:
            self.audit.close()
        self.feed.close()
        self.ledger.close()

    def _worker(self, tasks: Tasks) -> Worker:
        act, actions = self.settings.act, self.settings.actions
        keeper = PolicyGatekeeper(
            self.clock, self.ledger, self.policies, self.view, self._ring, self._sign,
            self.settings.approvals.deployment,
        )  # fmt: skip
        telemetry = PrometheusTelemetry(act.prometheus, act.measures, act.window_s, self.view, act.services)
        gateway = GatewayClient(act.gateway, act.token())
        ports = Ports(
            self.clock, tasks, gateway, keeper, telemetry, Hooks(act.people_url, escalation=act.escalation),
            self.orders, _Bus(self.feed),
        )  # fmt: skip
        safety = SafetySettings(levels=actions.modes)
        worker = Worker(self.ledger, ports, WorkerSettings(safety, acknowledge_ns=act.acknowledge_s * NS))
        bridges = self.settings.approvals.bridges()
        self.desk = ApprovalDesk(
            self.ledger, worker.commit, self._decided, self._ring, lambda: worker.now // NS, bridges,
            Overrides(worker, self.verbs, self.policies), self._head,
        )  # fmt: skip
        return worker

    def _ring(self) -> KeyRing:
        return self._people.ring() if self._people else KeyRing()

    def _head(self) -> PeopleHead:
        return self._people.head if self._people else PeopleHead()

    def _sign(self, request: EffectRequest, people: int) -> bytes:
        """Empty where the request has run out."""
        try:
            return mint(
                request, audience=self.settings.approvals.deployment, now_ns=self.worker.now, nonce=_nonce(),
                kid=self.settings.act.permit_kid, key=self._sign_key, is_under_kill=request.is_under_kill,
                approved_by=people,
            )  # fmt: skip
        except ValueError:
            return b""

    async def _decided(self, key: str, decided: Decided) -> None:
        action = self.worker.read(key)
        now = self.worker.now
        await self.worker.feed(key, Approved(now, action.plan.digest) if decided == "approved" else Rejected(now))

    async def _read(self) -> None:
        while True:
            for message in await self.feed.take():
                try:
                    await self._take(message)
                except (ActionsError, RecordInvalid) as error:
                    if getattr(error, "code", "") == "LEDGER_FAULT":
                        raise
                    await self._refused(message, error)
                if message.topic == ACTIONS:
                    self.feed.done(message)

    async def _take(self, message: Message) -> None:
        """What a record asks for or says. Raises NotAskable, RecordInvalid and others for a record of no use."""
        kind = record_type(message)
        if kind == Control.TYPE:
            control = read(message)
            if isinstance(control, Control) and not self.orders.hear(control) and control.kind in ("kill", "resume"):
                raise NotAskable("an order that nobody may give was refused", where=control.id)
        elif kind == Feedback.TYPE:
            said = read(message)
            if isinstance(said, Feedback):
                await self.worker.hear(said)
        elif message.topic != ACTIONS:
            over = self.view.take(message)
            if over:
                await self.worker.withdraw(over)
        elif kind == ActionEvent.TYPE and message.header("ce_source") == _DECIDE:
            event = read(message)
            if isinstance(event, ActionEvent):
                inbox = Inbox(ACTIONS, message.partition, message.offset, event.id)
                asked = asked_of(event, self.verbs, self.policies.digest, inbox)
                if asked is not None:
                    outcome = await self.worker.take(asked)
                    self._log.info("action asked for", action_id=event.action_id, incident_id=event.incident_id,
                                   verb=event.change.verb, target=event.change.target, outcome=outcome)  # fmt: skip

    async def _refused(self, message: Message, error: Exception) -> None:
        """A record of no use is told to people and read over; nothing is lost, the topic still has it."""
        code = str(getattr(error, "code", "REFUSED"))
        self._log.warning("record refused", topic=message.topic, offset=message.offset, reason=code, what=str(error))
        id = record_id("notice", message.topic, message.partition, message.offset)
        text = f"{message.topic} at offset {message.offset}: {error}"
        said = Notice(id, "notify", f"refused:{code}", text[:300], "", self.worker.now)
        await self.worker.commit(Transaction(self.worker.now, outbox=(notice_row(said),)))

    async def _keep_orders(self) -> None:
        """Orders from the file and the topic go into the ledger, so that each place knows them all."""
        while True:
            for control in self.orders.unkept():
                await self.worker.heed(control)
                self.orders.heard.pop(control.id, None)
                self._log.warning("order kept", kind=control.kind, scope=control.scope, issuer=control.issuer)
            await self._watch_supervisor()
            await asyncio.sleep(KEEP_ORDERS_S)

    async def _watch_supervisor(self) -> None:
        """People hear once that nobody supervises any more, and what that means."""
        is_silent = not is_supervised(self.orders.look(), self.worker.now)
        is_new = is_silent and not self._is_alone and self.worker.now - self._began_ns > SUPERVISED_NS
        self._is_alone = is_new or (is_silent and self._is_alone)
        if is_new:
            text = "the supervisor is silent: nothing but advice until `tidegate act supervise` runs again"
            said = Notice(record_id("notice", "supervisor", self.worker.now), "page", "supervisor", text, "",
                          self.worker.now)  # fmt: skip
            await self.worker.commit(Transaction(self.worker.now, outbox=(notice_row(said),)))

    async def _forget(self) -> None:
        while True:
            self.ledger.forget(self.worker.now - self.worker.settings.keep_ns)
            self.view.forget(self.worker.now - VIEW_NS)
            await asyncio.sleep(FORGET_S)

    def _app(self) -> Any:
        """Approvals, and whether it is well; this machine only."""
        app = approvals_app(self.desk, self._ring, self.settings.approvals.identity())
        app.router.routes.append(Route("/healthz", self._health, methods=["GET"]))
        app.router.routes.append(Route("/v1/autonomy/credits", self._credit, methods=["POST"]))
        app.router.routes.append(Route("/metrics", self._metrics, methods=["GET"]))
        return app

    async def _health(self, request: Request) -> Response:
        watch = self.orders.look()
        told = {
            "broken": self.broken, "stopped": sorted(watch.scopes), "kill_file": self.orders.fault,
            "supervised": is_supervised(watch, self.worker.now),
            "broker": self.feed.is_connected, "open_actions": len(self.ledger.open_actions()),
            "faults": self.worker.faults, "audit": self.audit.fault if self.audit else "",
        }  # fmt: skip
        return JSONResponse(told, status_code=200 if not self.broken and not self.orders.fault else 503)

    async def _credit(self, request: Request) -> Response:
        """Drills and agreements of a replay, signed by who may give orders."""
        keys = {issuer: public_key(text) for issuer, text in self.settings.control.keys.items()}
        try:
            envelope = await body_of(request, MOST_CREDIT_BYTES, lambda size: None)
            credit, by = open_credit(envelope, self.settings.approvals.deployment, keys)
        except Refused as refused:
            return JSONResponse({"error": {"code": "BODY_INVALID", "what": refused.what}}, refused.status)
        except ActionsError as error:
            return JSONResponse({"error": {"code": error.code, "what": str(error)}}, 403)
        new = await self.worker.credit(credit.trials, credit.same, by)
        self._log.warning("autonomy credited", by=by, new=new, trials=len(credit.trials), same=len(credit.same))
        return JSONResponse({"new": new, "trials": len(credit.trials), "same": len(credit.same)})

    async def _metrics(self, request: Request) -> Response:
        states: dict[str, int] = {}
        for key in self.ledger.open_actions():
            state = self.worker.read(key).state
            states[state] = states.get(state, 0) + 1
        lines = ["# TYPE tidegate_open_actions gauge"]
        lines += [f'tidegate_open_actions{{state="{state}"}} {count}' for state, count in sorted(states.items())]
        lines += ["# TYPE tidegate_act_faults counter"]
        lines += [f"tidegate_act_faults_total{{kind={json.dumps(kind)}}} {n}" for kind, n in self.worker.faults.items()]
        return Response("\n".join(lines) + "\n", media_type="text/plain")


class _Bus:
    def __init__(self, feed: Feed) -> None:
        self._send: Callable[[Emit], Awaitable[bool]] = feed.send

    async def send(self, record: Emit) -> bool:
        """What we change ourselves comes in where everything comes in, so a replay hears it when the live run did."""
        if record.topic == CHANGES:
            tenant = record.key.split(b"/")[0]
            said = ((KIND, b"records"), (SOURCE, b"tidegate-act"), (TENANT, tenant), (TRUST, b"2"))
            record = replace(record, topic=RAW, headers=(*record.headers, *said))
        return await self._send(record)


@contextmanager
def _kept_if_it_starts(place: str, listener: socket.socket) -> Iterator[None]:
    """A ledger that was not there before is not left behind by a start that fails."""
    is_new = "://" not in place and not Path(place).exists()
    try:
        yield
    except BaseException:
        listener.close()
        for rest in ("", "-wal", "-shm") if is_new else ():
            Path(place + rest).unlink(missing_ok=True)
        raise


def run_act_worker(
    settings: Settings,
    feed_of: FeedOf,
    *,
    anchors: Sequence[Anchor] = (),
    on_ready: Callable[[str], None] = lambda address: None,
    stop: threading.Event | None = None,
) -> str:
    """Run it to its end; why it had to end, empty after a clean stop."""
    stopping = stop or threading.Event()
    with stops(stopping):
        return asyncio.run(_run(ActWorker(settings, feed_of, anchors), stopping, on_ready))


async def _run(worker: ActWorker, stop: threading.Event, on_ready: Callable[[str], None]) -> str:
    await worker.run(stop, on_ready)
    return worker.broken


def _private_key(settings: Settings) -> Any:
    place = settings.act.permit_key
    try:
        return private_key(place.read_bytes())
    except (OSError, ValueError) as error:
        raise SettingsError(
            f"the key for permits cannot be used: {why(error)}", where=str(place),
            todo="`tidegate control keygen FILE` makes one; its public key goes into the gateway's permit_keys",
        ) from error  # fmt: skip


def _nonce() -> str:

    return secrets.token_hex(16)
