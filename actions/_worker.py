"""The action worker: what decides in the ledger that something may happen, asks for it, and writes what came of it.

It is `async def` and awaits only ports (`_ports.py`), so production runs it under asyncio and the simulation on a
virtual clock. Every event is one ledger transaction; what the machine then commands is performed beside it, and only
after the transaction is durable. Transactions of the same instant share one commit. Whatever a port raises is silence:
the action's timer decides. A LedgerFault is the end of this worker: open the ledger anew and `begin` again.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import NamedTuple

from actions._acknowledge import PAGE, opened, raised
from actions._autonomy import Trial
from actions._autonomy_kept import SAME, breach_of, kept_trials, new_credit
from actions._drive import NOTHING_ELSE, Prepared, With, open_action, prepare
from actions._kill import Order, breaker_of, covers, order_of
from actions._ledger import (
    Committed,
    Free,
    Hold,
    Inbox,
    Keep,
    Ledger,
    Priority,
    Refusal,
    Reread,
    Timer,
    Transaction,
    Unblock,
)
from actions._machine_errors import IllegalTransition, LedgerFault
from actions._machine_types import (
    Action,
    ActionCommand,
    ActionInput,
    Due,
    Killed,
    Origin,
    Recovered,
    Refused,
    Renewed,
    Reserved,
    Withdrawn,
    load_action,
)
from actions._paging import Paging
from actions._perform import Performer, Reply
from actions._ports import Notice, Ports, Survey
from actions._put_back import distrusted, last_put_back_ns, put_back
from actions._safety import EVERYWHERE, Safety, SafetySettings
from actions._saga import Plan, revert_of
from actions._telling import (
    PEOPLE,
    blocked,
    change_in,
    event_of,
    follow_up,
    key_in,
    notice_row,
    notices_of,
    own_changes,
    read_notice,
)
from actions._temporary import again, over, postponed
from actions._trips import TRIP, tripped
from actions._verbs import service_of
from schemas import ACTIONS, CHANGES, Control, Feedback, canonical, record_id, sha256
from schemas.core import NS

TRIES = 10
"""So often an event is put again to an action that another moved meanwhile; then its timer decides."""
TICK_NS, LOOK_NS, TELL_NS = NS // 5, NS // 2, NS // 5
ALL = 1 << 30
ORDER = "order/"
"""Facts of the ledger: signed orders as they came, by id."""
SAID = "said/"
"""What people said of decisions, by the id of the record."""
AT_ONCE = 200
"""Timers, leaves or records in one round."""


class Asked(NamedTuple):
    """A change that somebody wants; `inbox` is the record it was read from."""

    plan: Plan
    origin: Origin
    inbox: Inbox | None = None


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    safety: SafetySettings = SafetySettings()
    keep_ns: int = 30 * 24 * 3600 * NS
    """How long read ids, budget shares and nonces are remembered; longer than any topic that is read again."""
    acknowledge_ns: int = 0
    """So long a page waits for a person before it goes further up; 0 waits for nobody."""


class Worker:
    """`faults`: what ports have raised, by port and kind; people are told of each kind once."""

    def __init__(self, ledger: Ledger, ports: Ports, settings: WorkerSettings | None = None) -> None:
        self.ledger, self.ports, self.settings = ledger, ports, settings or WorkerSettings()
        self.safety = Safety(self.settings.safety)
        self.performer = Performer(
            ledger, ports.clock, ports.gateway, ports.gatekeeper, ports.telemetry, ports.kill, self.safety,
            ledger.last_ns(),
        )  # fmt: skip
        self.paging = Paging()
        self.faults: dict[str, int] = {}
        self._results: dict[int, Committed | Refusal] = {}
        self._cache: dict[str, Action] = {}

    @property
    def now(self) -> int:
        return self.performer.now()

    async def begin(self) -> None:
        """Take everything up from the ledger: what has ended, what may be old, what was under way."""
        said: list[tuple[int, Order | str]] = [(order.issued_ns, order) for order in self._orders()]
        said += [(int(name.removeprefix(TRIP)), reason.decode()) for name, reason in self.ledger.kept(TRIP)]
        said.sort(key=lambda one: one[0])
        self.performer.leaves, _ = self.ledger.head()
        for row in self.ledger.ended(-1, ALL):
            while said and said[0][0] < (row.ended_ns or 0):
                self._reset_or_trip(*said.pop(0))
            self.safety.learn(load_action(row.body))
        self.safety.take_trials(kept_trials(self.ledger))
        self.safety.same = frozenset(name.removeprefix(SAME) for name, _ in self.ledger.kept(SAME))
        self.safety.breach_ns = breach_of(self.ledger)
        self.safety.put_back_ns = last_put_back_ns(self.ledger)
        for one in said:
            self._reset_or_trip(*one)
        told = (Feedback.from_bytes(body) for _, body in self.ledger.kept(SAID))
        for feedback in sorted(told, key=lambda one: (one.said_ns, one.id)):
            self.safety.heard(feedback)
        await self.reread(check=True)
        for key in self.ledger.open_actions():
            await self.feed(key, Recovered(self.now))

    async def take(self, asked: Asked) -> str:
        """Open the action, or say why there is none: OWNED (it is under way or cools down), DUPLICATE, another code.

        The record counts as read in either case.
        """
        plan, now = asked.plan, self.now
        last = self.ledger.latest(plan.change_key)
        asks = (Keep(_ask(plan, asked.origin.incident_id), b"1"),) if asked.origin.incident_id else ()
        if last is not None and last.ended_ns is None:
            read = await self.commit(Transaction(now, inbox=asked.inbox, keeps=asks))
            return read.code if isinstance(read, Refusal) else "OWNED"
        cool_down_ns = self.safety.cool_down_ns(load_action(last.body)) if last and not asked.origin.reverts else 0
        rest, generation = With(inbox=asked.inbox, keeps=asks), last.generation + 1 if last else 0
        result = await self._write(
            open_action(plan, generation, now, rest, cool_down_ns=cool_down_ns, origin=asked.origin)
        )
        if isinstance(result, Committed):
            return "OPENED"
        if result.code == "DUPLICATE":
            return result.code
        text = f"{plan.steps[0].change.verb} on {plan.targets[0]} is not done again now ({result.code})"
        said = Notice(record_id("notice", plan.change_key, generation, now), "notify", result.code, text, "", now)
        await self.commit(Transaction(now, inbox=asked.inbox, outbox=(notice_row(said),)))
        return result.code

    async def withdraw(self, incident_id: str, inbox: Inbox | None = None) -> None:
        """The incident was withdrawn, merged or has ended; what no other incident asks for is given up."""
        asks = [name.split("/", 2) for name, _ in self.ledger.kept("asks/")]
        mine = [change_key for _, change_key, incident in asks if incident == incident_id]
        gone = tuple(Keep(f"asks/{change_key}/{incident_id}", None) for change_key in mine)
        await self.commit(Transaction(self.now, inbox=inbox, keeps=gone))
        for change_key in mine:
            row = self.ledger.latest(change_key)
            if row is not None and row.ended_ns is None and not self.ledger.kept(f"asks/{change_key}/"):
                await self.feed(row.key, Withdrawn(self.now))

    async def feed(self, key: str, event: ActionInput, rest: With = NOTHING_ELSE) -> Committed | Refusal | None:
        """Put an event to an action; None where it came too late or does not belong there.

        Raises KeyError for an unknown key, LedgerFault.
        """
        result: Committed | Refusal | None = None
        for _ in range(TRIES):
            action = self.read(key)
            try:
                prepared = prepare(action, event, rest)
            except IllegalTransition:
                return None
            result = await self._write(prepared)
            if not isinstance(result, Refusal) or result.code != "VERSION_MOVED":
                break
            self._cache.pop(key, None)
        if isinstance(result, Refusal):
            await self._refused(key, event, result)
        return result

    async def trip(self, reason: str, what: str) -> None:
        """Stop acting everywhere, also after a restart, until a signed order resets the breaker of everything."""
        now = self.now
        self.safety.trip(reason, now)
        await self.commit(tripped(now, reason, what))

    async def credit(self, trials: Iterable[Trial], same: Iterable[str], by: str) -> int:
        """Keep verified drills and agreements, and versions that decide the same; how many were new. `by` signed."""
        new = new_credit(self.ledger, trials, same, by)
        now = self.now
        leaf = canonical({
            "action": "", "version": 0, "from": "", "to": "autonomy_credited", "reason": "CREDIT", "at_ns": now,
            "by": by, "plan": sha256(b"".join(keep.value or b"" for keep in new.keeps)),
        })  # fmt: skip
        if not new.keeps or isinstance(await self.commit(Transaction(now, keeps=new.keeps, leaves=(leaf,))), Refusal):
            return 0
        self.safety.same |= new.same
        self.safety.take_trials(new.trials)
        return len(new.keeps)

    async def heed(self, control: Control) -> None:
        """Keep a verified order, once, with its audit entry; a resume of a target frees it where it was blocked."""
        order, name, now = order_of(control), ORDER + control.id, self.now
        if order is None or any(known == name for known, _ in self.ledger.kept(name)):
            return
        kind, _, target = order.scope.partition(":")
        targets = (Unblock(target),) if kind == "target" and not order.is_stop else ()
        keeps = [Keep(name, control.to_bytes())]
        if breaker_of(order.scope) == EVERYWHERE and not order.is_stop:
            trips = (kept for kept, _ in self.ledger.kept(TRIP))
            keeps += [Keep(kept, None) for kept in trips if int(kept.removeprefix(TRIP)) <= order.issued_ns]
        leaf = canonical({
            "action": "", "version": 0, "from": "", "to": f"order_{control.kind}", "reason": "ORDER", "at_ns": now,
            "plan": sha256(control.to_bytes()),
        })  # fmt: skip
        transaction = Transaction(now, Priority.KILL, targets=targets, keeps=tuple(keeps), leaves=(leaf,))
        if isinstance(await self.commit(transaction), Committed):
            self.safety.heed(order)

    async def hear(self, said: Feedback) -> None:
        """Keep what a person said of a decision, once."""
        name = SAID + said.id
        if not any(known == name for known, _ in self.ledger.kept(name)):
            await self.commit(Transaction(self.now, keeps=(Keep(name, said.to_bytes()),)))
            self.safety.heard(said)
            await self._count()

    def read(self, key: str) -> Action:
        """Raises KeyError."""
        row = self.ledger.action(key)
        if row is None:
            raise KeyError(key)
        known = self._cache.get(key)
        if known is None or known.version != row.version:
            known = load_action(row.body)
        return known

    async def commit(self, transaction: Transaction) -> Committed | Refusal:
        """Durable, together with whatever others submit in the same instant."""
        ticket = self.ledger.submit(transaction)
        await self.ports.clock.sleep(0)
        if ticket not in self._results:
            self._results |= (results := self.ledger.commit())
            self.performer.wrote(leaf for one in results.values() if isinstance(one, Committed) for leaf in one.leaves)
        return self._results.pop(ticket)

    # What happens by itself.

    async def ring(self) -> None:
        """Every timer that has rung."""
        for name in self.ledger.due(self.now, AT_ONCE):
            if name.startswith("revert/"):
                await self._revert(name)
            elif name.startswith(PAGE):
                await self.commit(raised(self.ledger, name, self.now, self.settings.acknowledge_ns))
            else:
                await self.feed(name, Due(self.now))

    async def look(self) -> None:
        """Stop whatever the kill switch covers."""
        watch = await self.ports.kill.read()
        if not watch.scopes:
            return
        for key in self.ledger.open_actions():
            action = self.read(key)
            changes = [step.change for step in action.plan.steps]
            covered = (covers(watch.scopes, one.verb, service_of(one.target), one.target) for one in changes)
            if not action.is_killed and any(covered):
                await self.feed(key, Killed(self.now))

    async def relay(self) -> None:
        """Tell what is in the outbox: people first and by their own way, then each topic in order until it refuses."""
        if not self.ledger.unsent(1):
            return
        told, heard = list[int](), list[Notice]()
        waiting = [(row.number, read_notice(row)) for row in self.ledger.unsent(AT_ONCE, PEOPLE)]
        for said, numbers in self.paging.fold(waiting, self.now):
            if said is None or await self.ports.people.tell(said):
                told += numbers
                heard += [said] if said else []
                self.paging.was_told(said, self.now)
        for row in self.ledger.unsent(AT_ONCE, ACTIONS):
            record = event_of(row, self.read(key_in(row)))
            if record is not None and not await self.ports.bus.send(record):
                break
            told.append(row.number)
        for row in self.ledger.unsent(AT_ONCE, CHANGES):
            if not await self.ports.bus.send(change_in(row)):
                break
            told.append(row.number)
        if told:
            keeps, timers = opened(heard, self.now, self.settings.acknowledge_ns)
            await self.commit(Transaction(self.now, sent=tuple(told), keeps=keeps, timers=timers))

    async def reread(self, *, check: bool = False) -> None:
        """Fence and read every target of which the ledger may be old; `check` asks the gateway first whether it is."""
        if check:
            held = {target for key in self.ledger.open_actions() for target in self.read(key).plan.targets}
            for target in sorted(held):
                survey = await self.ports.gateway.survey(target)
                if isinstance(survey, Survey) and survey.epoch > self.ledger.target(target).epoch:
                    await self.commit(distrusted(self.now))
                    break
        for target in self.ledger.unread():
            await self._reread(target)

    async def keep_time(self) -> None:
        while True:
            await self.ring()
            await self.ports.clock.sleep(TICK_NS)

    async def keep_watch(self) -> None:
        while True:
            await self.look()
            if self.ledger.unread():
                await self.reread()
            await self.ports.clock.sleep(LOOK_NS)

    async def keep_telling(self) -> None:
        while True:
            await self.relay()
            await self.ports.clock.sleep(TELL_NS)

    # What stands behind these.

    async def _write(self, prepared: Prepared) -> Committed | Refusal:
        """One move with everything that goes with it; then its commands are on their way."""
        action, transaction = prepared.action, prepared.transaction
        if told := notices_of(action, prepared.records) + own_changes(action, prepared.commands):
            transaction = transaction._replace(outbox=transaction.outbox + told)
        if action.state == "succeeded" and action.plan.revert_after_ns is not None and not action.origin.reverts:
            timer = Timer(f"revert/{action.key}", action.at_ns + action.plan.revert_after_ns)
            transaction = transaction._replace(timers=(*transaction.timers, timer))
        if action.is_ended:
            asks = self.ledger.kept(f"asks/{action.plan.change_key}/")
            transaction = transaction._replace(keeps=transaction.keeps + tuple(Keep(name, None) for name, _ in asks))
        result = await self.commit(transaction)
        if isinstance(result, Refusal):
            return result
        self._cache[action.key] = action
        if action.is_ended:
            self._cache.pop(action.key)
            if action.key not in self.safety.known:
                self.safety.learn(action)
            await self._tell_blocked(action)
            await self._count()
        for command in prepared.commands:
            name = f"{type(command).__name__} {action.key[7:19]}"
            self.ports.crew.start(name, self._perform(action, command))
        return result

    async def _perform(self, action: Action, command: ActionCommand) -> None:
        try:
            reply = await self.performer.perform(action, command)
        except LedgerFault:
            raise
        except Exception as error:
            await self._fault(f"{type(command).__name__}:{type(error).__name__}", str(error))
            return
        if reply.is_behind:
            await self.commit(distrusted(self.now))
            await self.reread()
        if reply.forgotten:
            await self._put_back(reply.forgotten)
        if reply.event is not None:
            await self._answer(action, command, reply)

    async def _answer(self, action: Action, command: ActionCommand, reply: Reply) -> None:
        assert reply.event is not None
        rest = reply.rest
        if reply.finding is not None and reply.finding.residual:
            rest = rest._replace(outbox=(*rest.outbox, follow_up(action, reply.finding.residual, self.now)))
        result = await self.feed(action.key, reply.event, rest)
        is_stale = isinstance(result, Refusal) and result.code == "STALE_EPOCH"
        if isinstance(reply.event, Renewed) and is_stale and self.ledger.target(action.target).holder == action.key:
            self.ports.crew.start("epoch again", self._perform(self.read(action.key), command))
        if reply.block and isinstance(result, Committed):
            await self._block(action, reply.block)

    async def _refused(self, key: str, event: ActionInput, refusal: Refusal) -> None:
        """What the ledger refused has not happened; a permit is then asked for again, or not at all."""
        if isinstance(event, Reserved):
            await self.feed(key, Refused(self.now, refusal.code, refusal.code == "APPROVAL_USED"))
        elif refusal.code not in ("VERSION_MOVED", "STALE_EPOCH", "INTENT_OPEN", "DUPLICATE", "TARGET_BLOCKED"):
            await self._fault(f"ledger:{refusal.code}", refusal.what)

    async def _block(self, action: Action, reason: str) -> None:
        """The target is for people, from now on or, while an action holds it, from what that leaves."""
        target, hold = action.target, f"block/{reason}"
        said = notice_row(blocked(action, target, reason, self.now))
        writes = (Hold(target, hold), Free(target, hold, None, reason))
        if isinstance(await self.commit(Transaction(self.now, targets=writes, outbox=(said,))), Refusal):
            await self.commit(Transaction(self.now, outbox=(said,)))

    async def _tell_blocked(self, action: Action) -> None:
        for target in action.plan.targets:
            if action.state in ("rolled_back", "escalated") and (reason := self.ledger.target(target).blocked):
                said = notice_row(blocked(action, target, reason, self.now))
                await self.commit(Transaction(self.now, outbox=(said,)))

    async def _revert(self, timer: str) -> None:
        """A temporary change is over: its undo is an action like any other, once the target has been well."""
        original = self.read(timer.removeprefix("revert/"))
        origin = replace(original.origin, reverts=original.key)
        try:
            waits = await postponed(
                replace(original, origin=origin), timer, self.ports.telemetry, self.safety, self.now
            )
        except Exception as error:
            await self._fault(f"is_well:{type(error).__name__}", str(error))
            waits = again(timer, self.now)
        if waits is not None:
            await self.commit(waits)
            return
        outcome = await self.take(Asked(revert_of(original.plan), origin))
        if outcome in ("OPENED", "OWNED"):
            await self.commit(again(timer, self.now) if outcome == "OWNED" else over(timer, self.now))

    async def _put_back(self, targets: tuple[str, ...]) -> None:
        if not self.safety.was_put_back(self.now):
            self.safety.put_back_ns = self.now
            await self.commit(put_back(self.now, targets))
            await self.reread()
        for target in targets:
            await self._reread(target)

    async def _reread(self, target: str) -> None:
        """Fence, then read; a mark that no action of the ledger explains is for a person."""
        survey = await self.ports.gateway.survey(target)
        if not isinstance(survey, Survey):
            return
        epoch = max(survey.epoch, self.ledger.target(target).epoch) + 1
        if not await self.ports.gateway.fence(target, epoch):
            return
        survey = await self.ports.gateway.survey(target)
        if isinstance(survey, Survey):
            unknown = any(not self._explains(key, step) for key, step in survey.marks)
            blocked = "UNKNOWN_MARK" if unknown else ""
            await self.commit(Transaction(self.now, targets=(Reread(target, epoch, blocked),)))

    def _reset_or_trip(self, at_ns: int, said: Order | str) -> None:
        if isinstance(said, str):
            self.safety.trip(said, at_ns)
        else:
            self.safety.heed(said)

    async def _count(self) -> None:
        if self.safety.overruled.is_too_often:
            told = self.safety.overruled.decisions.values()
            await self.trip("OVERRULED", f"people have overruled {sum(told)} of the last {len(told)} decisions")

    def _explains(self, key: str, step: int) -> bool:
        row = self.ledger.action(key)
        if row is None:
            return False
        action = load_action(row.body)
        under_way = action.attempt is not None and action.attempt.step == step and action.attempt.is_sent
        return under_way or any(one.step == step for one in action.applied)

    def _orders(self) -> list[Order]:
        found = (order_of(Control.from_bytes(body)) for _, body in self.ledger.kept(ORDER))
        return [order for order in found if order is not None]

    async def _fault(self, kind: str, text: str) -> None:
        self.faults[kind] = self.faults.get(kind, 0) + 1
        if self.faults[kind] == 1:
            said = Notice(record_id("notice", kind, self.now), "page", f"fault:{kind}", text[:300], "", self.now)
            await self.commit(Transaction(self.now, outbox=(notice_row(said),)))


def _ask(plan: Plan, incident_id: str) -> str:
    return f"asks/{plan.change_key}/{incident_id}"
