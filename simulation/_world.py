"""One history: the plant, the processes of the house with their production code, what goes wrong, and the judge.

Nothing here decides anything that the house decides. The world gives the worker its ports, starts its processes and
lets them die, hands in what people and incidents bring, and writes down what truly happened.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from actions import Sealer, Verbs
from actions._gateway import Trust
from actions._gateway_store import ModelGatewayStore
from actions._ledger import Committed, Inbox, Transaction
from actions._ledger_model import ModelLedger
from actions._machine_types import Approved, Origin, Rejected, load_action
from actions._ports import EffectRequest
from actions._saga import Plan, Step, action_key
from actions._worker import Asked, Worker
from schemas.core import NS
from simulation._approvers import Approvers
from simulation._chance import Chance
from simulation._disorder import Disorder
from simulation._durable import sqlite_gateway_store, sqlite_ledger
from simulation._faults import NEVER, Faults
from simulation._gatekeeper import PERMIT_KID, Gate, Put
from simulation._gateway import GatewayProcess
from simulation._loop import Loop, Node, RestlessError
from simulation._oracle import Ended, Oracle, Proposed, Violation
from simulation._people import AGENT_KEY, AUDIENCE, public
from simulation._plant import Plant, Written
from simulation._process import TOPIC, Process
from simulation._scenario import INCIDENTS, MINUTE, START_NS, VERB_OF, Incident, draw_plant, draw_scenario
from simulation._store import Store
from simulation._switch import Reader, Switch
from simulation._telemetry import Instruments
from simulation._verbs import VERBS, PlantExecutor, as_plugins

DEADLY = {"crash": 0.0015, "sleep": 0.0005, "rebalance": 0.0005, "gateway_crash": 0.002}
"""How likely at each await, at intensity 1."""
WORKERS = 3
"""One acts; the others take over from it, sometimes while it still goes on."""


class Outcome(NamedTuple):
    """What one seed came to. curable, cured: by the truth of the plant."""

    seed: int
    incidents: int
    effects: int
    crashes: int
    curable: int
    cured: int
    steps: int
    violations: list[Violation]
    kill_waits_ns: list[int]
    root: str
    ends: dict[str, int]
    timeline: list[str]


class Incoming(NamedTuple):
    """A record of the topic that the worker reads: an incident that asks, or one that asks no more."""

    incident: Incident
    asked_as: str
    is_withdrawal: bool


class World:
    def __init__(
        self, seed: int, faults: Faults, *, durable: bool = False, count: int = INCIDENTS, telling: bool = False,
        direct: "Callable[[World], None] | None" = None,
    ) -> None:  # fmt: skip
        self.seed, self.faults = seed, faults
        self._next = {kind: faults.until(kind, probability) for kind, probability in DEADLY.items()}
        self.is_calm = True
        self.loop = Loop(START_NS, self._may_die)
        self._draw_near()
        self.scenario = draw_scenario(seed, faults, count)
        self.plant: Plant = draw_plant(self.scenario)
        self.verbs = Verbs(as_plugins(), [verb.name for verb in VERBS])
        self.timeline: list[str] | None = [] if telling else None
        self.telemetry = Instruments(self.loop, self.plant, faults)
        self.switch = Switch(self.loop)
        self.disorder = Disorder(self)
        self.gate = Gate(self.loop, faults, self.telemetry, self.disorder.freezes)
        self.oracle = Oracle(self.plant, self.disorder.freezes, self.disorder.blind, unheard=self.switch.unheard)
        self.plant.on_write = self._wrote
        self.gate.signed = self._signed
        trust = Trust(AUDIENCE, {PERMIT_KID: public(AGENT_KEY)}, ("sim/",))
        executor = PlantExecutor(self.plant, faults, lambda: self.loop.now_ns)
        self.gateway = GatewayProcess(
            self.loop, faults, trust, self.verbs, executor, Reader(self.switch, faults),
            sqlite_gateway_store() if durable else ModelGatewayStore(),
        )  # fmt: skip
        self.store = Store(self.loop, faults, sqlite_ledger if durable else ModelLedger, lambda: Sealer("simulation"))
        self.store.on_commit = self._committed
        self._plans = dict[tuple[str, ...], Plan]()
        self.timers: dict[str, int] = {}
        self.outbox = 0
        self.topic: list[Incoming] = []
        self.crashes = 0
        self.broke: list[str] = []
        self.anchors: list[tuple[int, bytes]] = []
        self.approvers = Approvers(self.loop, faults, self.gate, self.oracle, self._approved, self._rejected)
        self.processes = [Process(self, n) for n in range(WORKERS)]
        self.active = 0
        self._chance = Chance(seed, "world")
        self.disorder.arrange()
        self.is_calm = False
        if direct is not None:
            direct(self)

    def run(self) -> Outcome:
        """The whole history, then an hour without faults in which everything must end, then the judgement."""
        try:
            self._happen()
        except RestlessError as error:
            self.oracle.violate("I13", f"it never rests: {error}", self.loop.now_ns)
        return self._judged()

    def _happen(self) -> None:
        self.processes[0].start()
        for incident in self.scenario.incidents:
            self.loop.at(incident.asked_ns, self._begin, incident)
        self.loop.run(self.scenario.end_ns)
        self.faults.is_over = self.is_calm = True
        self.disorder.end()
        until_ns = self.scenario.end_ns + 60 * MINUTE
        while self.loop.now_ns < until_ns:
            self.loop.run(until_ns, self._is_done)
            self.loop.run(self.loop.now_ns + 2 * MINUTE)
            if self._is_done():
                return

    def close(self) -> None:
        for node in (*(process.node for process in self.processes), self.gateway.node):
            node.die()
        self.loop.close()
        self.store.ledger.close()

    def let_go(self) -> None:
        """Its parts hold each other in circles: taken apart, what they hold is gone at once and nobody looks for it."""
        nodes = [self.gateway.node, *(process.node for process in self.processes)]
        workers = [process.worker for process in self.processes if process.worker is not None]
        parts = (self.loop, self.store, self.gateway.desk, self.gateway, self.oracle, self.approvers, self.gate,
                 self.telemetry, self.disorder, self.plant, self.switch)  # fmt: skip
        for part in (*nodes, *workers, *self.processes, *parts, self):
            vars(part).clear()

    def tell(self, text: str) -> None:
        if self.timeline is not None:
            self.timeline.append(f"{(self.loop.now_ns - START_NS) / NS:10.3f}  {text}")

    # What comes in.

    def _begin(self, incident: Incident) -> None:
        self.publish(incident)
        self.disorder.asked(incident)

    def publish(self, incident: Incident, asked_as: str = "") -> None:
        """An incident asks for its change; `asked_as` where it is another incident about the same."""
        self.telemetry.begun[asked_as or incident.id] = incident.begin_ns
        self._publish(Incoming(incident, asked_as or incident.id, False))

    def withdraw(self, incident: Incident, asked_as: str = "") -> None:
        self._publish(Incoming(incident, asked_as or incident.id, True))

    def _publish(self, record: Incoming) -> None:
        self.tell(f"{record.asked_as} {'is withdrawn' if record.is_withdrawal else 'asks'}: {record.incident.asked}")
        self.topic.append(record)
        for process in self.processes:
            process.intake.wake(0)

    def plan_of(self, incident: Incident) -> Plan:
        """The exact plan, made once for each incident and the state that its targets were in."""
        found = (incident.id, *(self.plant.targets[asked.target].setting for asked in incident.asked))
        if found not in self._plans:
            self._plans[found] = self._planned(incident)
        return self._plans[found]

    def _planned(self, incident: Incident) -> Plan:
        steps = []
        for asked in incident.asked:
            target = self.plant.targets[asked.target]
            before = "as declared" if target.setting == asked.setting else target.setting
            parameters: dict[str, Any] = {"value": asked.setting, "before": before, "takes": asked.takes}
            change = self.verbs.change(VERB_OF[target.kind], asked.target, parameters, "simulation")
            steps.append(Step(change, target.kind, 900 * NS, undo_on_no_effect=incident.undo_on_no_effect))
        return Plan(tuple(steps), rollback_on_kill=incident.rollback_on_kill)

    async def take(self, worker: Worker, offset: int) -> None:
        record = self.topic[offset]
        inbox = Inbox(TOPIC, 0, offset, f"record-{offset}")
        if record.is_withdrawal:
            await worker.withdraw(record.asked_as, inbox)
            return
        plan = self.plan_of(record.incident)
        last = worker.ledger.latest(plan.change_key)
        for generation in range(last.generation + 2 if last else 1):
            self._expect(plan, generation, record.incident)
        tier = "critical" if record.incident.is_critical else "standard"
        await worker.take(Asked(plan, Origin(incident_id=record.asked_as, tier=tier), inbox))

    def _expect(self, plan: Plan, generation: int, incident: Incident) -> None:
        key = action_key(plan, generation)
        if key in self.gate.put:
            return
        self.gate.put[key] = Put(incident, plan)
        verb = plan.steps[0].change.verb
        self.oracle.proposed[key] = Proposed(
            incident, plan.digest, tuple(step.change.target for step in plan.steps), verb,
            tuple(str(step.change.parameters["before"]) for step in plan.steps),
            any(self.plant.targets[one.target].kind == "unsafe" for one in incident.asked), plan.rollback_on_kill,
        )  # fmt: skip

    # What becomes durable, and what happens.

    def _committed(self, transaction: Transaction, result: Committed) -> None:
        now = self.loop.now_ns
        for timer in transaction.timers:
            if timer.at_ns is None:
                self.timers.pop(timer.name, None)
            else:
                self.timers[timer.name] = timer.at_ns
        self.outbox += len(transaction.outbox) - len(transaction.sent)
        write = transaction.action
        if write is not None:
            for to in self.oracle.committed(transaction.leaves, now):
                self.tell(f"{write.key[7:15]} {to}")
                self.disorder.moved(write.key, to)
                if to == "awaiting_approval":
                    self.loop.after(3 * NS, self.approvers.asked, write.key)
        due_ns = min(self.timers.values(), default=None) if transaction.timers else None
        for process in self.processes:
            if process.node.is_up:
                process.heard(transaction, due_ns)

    def _signed(self, request: EffectRequest) -> None:
        self.oracle.permits[request.key, request.step, request.direction, request.epoch] = self.loop.now_ns

    def _wrote(self, one: Written) -> None:
        self.tell(f"{one.key[7:15]} WRITES {one.way} {one.step} at {one.target}, epoch {one.epoch}: {one.setting}")
        self.oracle.wrote(one)
        if one.way == "do":
            self.loop.after(10 * MINUTE, self.plant.come_back, one.target, one.key, one.step)

    def _approved(self, key: str) -> None:
        digest = self.gate.put[key].plan.digest
        self._feed(key, lambda now: Approved(now, digest))

    def _rejected(self, key: str) -> None:
        self._feed(key, Rejected)

    def _feed(self, key: str, event: Callable[[int], Any], tries: int = 60) -> None:
        """The worker that acts hears of it; told again until the action no longer waits."""
        row = self.store.ledger.action(key)
        if row is None or row.state != "awaiting_approval" or not tries:
            return
        process = self.processes[self.active]
        if process.worker is not None and process.is_ready and process.node.is_up:
            process.start_task(self._fed(process.worker, key, event))
        self.loop.after(5 * NS, self._feed, key, event, tries - 1)

    async def _fed(self, worker: Worker, key: str, event: Callable[[int], Any]) -> None:
        await worker.feed(key, event(worker.now))

    # Processes.

    def _draw_near(self) -> None:
        """What happens next at an await, and when."""
        self._near = min(self._next, key=self._next.__getitem__)
        self.loop.ask_at = self._next[self._near]

    def _may_die(self, node: Node) -> bool:
        """Asked before and after everything that a process waits for, once it is time for the next that happens."""
        loop, kind = self.loop, self._near
        if self.is_calm:
            loop.ask_at = NEVER
            return False
        if (kind == "gateway_crash") != (node is self.gateway.node):
            return False  # the next process of that kind that asks
        self._next[kind] = loop.asked + 1 + self.faults.until(kind, DEADLY[kind])
        self._draw_near()
        if kind == "sleep":
            self.disorder.falls_asleep(node)
        elif kind == "rebalance":
            self.take_over("a rebalance")
        return kind in ("crash", "gateway_crash")

    def take_over(self, why: str) -> None:
        """Another worker acts from now on; the one that did goes on for a while, not knowing."""
        before = self.processes[self.active]
        self.active = (self.active + 1) % WORKERS
        self.tell(f"worker {self.active} takes over: {why}")
        after = self.processes[self.active]
        if not after.node.is_up:
            after.start()
        self.loop.after(self._chance.between(1, 60) * NS, before.retire)

    def died(self, process: Process) -> None:
        self.crashes += 1
        self.tell(f"{process.node.name} dies")
        if process.number == self.active:
            wait_ns = self._chance.between(200, 5_000) * (NS // 1000)
            self.loop.after(wait_ns, self._revive)

    def _revive(self) -> None:
        if not self.processes[self.active].node.is_up:
            self.active = (self.active + 1) % WORKERS if self._chance.happens(0.4) else self.active
            if not self.processes[self.active].node.is_up:
                self.processes[self.active].start()

    def put_back(self, to_ns: int) -> None:
        """The store is as it was then; what the judge knows to be durable is, too."""
        told = self.store.put_back(to_ns)
        ledger, now = self.store.ledger, self.loop.now_ns
        self.timers = dict(ledger.contents().timers)
        self.outbox = len(ledger.contents().outbox)
        self.anchors = []
        self.oracle.forget_after(now, told)
        self.loop.after(2 * NS, self._revive)

    def restart_all(self) -> None:
        for process in self.processes:
            process.node.die()
        self.gateway.node.die()

    def _is_done(self) -> bool:
        return not self.timers and not self.outbox and not self.store.ledger.open_actions()

    def _judged(self) -> Outcome:
        ledger, oracle, now = self.store.ledger, self.oracle, self.loop.now_ns
        contents = ledger.contents()
        ended, ends = list[Ended](), dict[str, int]()
        for row in contents.actions:
            action = load_action(row.body)
            ends[row.state] = ends.get(row.state, 0) + 1
            if row.ended_ns is not None:
                left = {one.step: one.left for one in action.residue}
                ended.append(Ended(row.key, row.state, action.reason, dict(left), row.ended_ns))
        oracle.judge(ended, ledger.open_actions(), now)
        root = oracle.audit([leaf.leaf for leaf in contents.leaves], self.anchors, now)
        if contents.outbox:
            oracle.violate("I13", f"{len(contents.outbox)} records are not told, an hour after the faults", now)
        if len(contents.inbox) < len(self.topic):
            oracle.violate("I9", f"{len(contents.inbox)} of {len(self.topic)} records were taken", now)
        for text in dict.fromkeys(self.broke):
            oracle.violate("BROKE", text, now)
        for number, error in enumerate(self.gateway.broke[:1]):
            oracle.violate("BROKE", f"gateway {number}: {error!r}", now)
        cured = self._cured()
        curable = sum(one.is_curable for one in self.scenario.incidents)
        return Outcome(
            self.seed, len(self.scenario.incidents), len(self.plant.written), self.crashes, curable, cured,
            self.loop.steps, oracle.violations, oracle.late_after_kill_ns, root, ends, self.timeline or [],
        )  # fmt: skip

    def _cured(self) -> int:
        ended = {ill.cure for target in self.plant.targets.values() for ill in target.illnesses if ill.cured_by}
        return sum(all(asked.setting in ended for asked in one.asked) for one in self.scenario.incidents)
