"""When what goes wrong goes wrong: the faults that belong to no single port, put on the clock of one history."""

from typing import TYPE_CHECKING

from actions._ledger import Transaction
from actions._ports import Notice
from schemas.core import NS
from simulation._chance import Chance
from simulation._loop import Node
from simulation._scenario import MINUTE, START_NS, Incident

if TYPE_CHECKING:
    from simulation._world import World

HOUR = 60 * MINUTE
Stretch = tuple[int, int]


class Disorder:
    def __init__(self, world: "World") -> None:
        self._world, self._faults = world, world.faults
        chance = Chance(world.seed, "calendar")
        end = world.scenario.end_ns
        begin = START_NS + chance.between(0, end - START_NS)
        self.freezes: tuple[Stretch, ...] = ((begin, begin + 6 * MINUTE),) if chance.happens(0.3) else ()
        self.blind: tuple[Stretch, ...] = ()
        self._chat: tuple[Stretch, ...] = ()
        self._kafka: tuple[Stretch, ...] = ()
        self._executing = 0
        self._kill_at_number = 0
        if self._faults.has("backlog"):
            until = START_NS + self._faults.chance("backlog").between(30, 140) * MINUTE
            self.blind = ((START_NS, until),)
            world.telemetry.lag_ns = 6 * HOUR
        self._chat = self._stretches("chat_down", 40)
        self._kafka = self._stretches("kafka_down", 60)

    def _stretches(self, kind: str, longest_min: int) -> tuple[Stretch, ...]:
        if not self._faults.has(kind):
            return ()
        chance = self._faults.chance(kind)
        begin = START_NS + chance.between(0, 150) * MINUTE
        return ((begin, begin + chance.between(1, longest_min) * MINUTE),)

    def arrange(self) -> None:
        """Put on the clock what has a time of its own."""
        world, loop, faults = self._world, self._world.loop, self._faults
        for _, until in self.blind:
            loop.at(until, self._caught_up)
        for kind, call in (
            ("restart", world.restart_all), ("replica", self._promote), ("backup", self._restore),
            ("spoof", self._spoof),
        ):  # fmt: skip
            for _ in range(2 if faults.of.get(kind, 0) > 1 else 1):
                if faults.has(kind):
                    loop.at(self._some_time(kind), self._if_not_over, call)
        if faults.has("people"):
            for _ in range(6):
                if faults.strikes("people", 0.4):
                    loop.at(self._some_time("people"), self._if_not_over, self._by_hand)
        if faults.has("kill"):
            if faults.chance("kill").happens(0.5):
                self._kill_at_number = 1 + faults.chance("kill").below(10)
            else:
                loop.at(self._some_time("kill"), self._if_not_over, self._throw)
        loop.after(MINUTE, self._anchor)

    def _some_time(self, kind: str) -> int:
        """Around one of the incidents more often than not, since there something is under way."""
        chance, incidents = self._faults.chance(kind), self._world.scenario.incidents
        if chance.happens(0.7) and incidents:
            return chance.pick(incidents).asked_ns + chance.between(0, 480_000) * (NS // 1000)
        return START_NS + chance.between(0, 150) * MINUTE

    def _if_not_over(self, call: object) -> None:
        if not self._world.is_calm:
            call()  # type: ignore[operator]

    def end(self) -> None:
        """What is still wrong is mended: orders are lifted, blocked targets freed at the next look of a person."""
        world = self._world
        now = world.loop.now_ns
        world.telemetry.lag_ns = 0
        world.oracle.blind = tuple((begin, min(until, now)) for begin, until in world.oracle.blind)
        world.switch.orders[:] = [(scope, begin, min(end, now)) for scope, begin, end in world.switch.orders]
        world.take_over("the faults are over")

    def _caught_up(self) -> None:
        self._world.telemetry.lag_ns = 0
        self._world.tell("telemetry has caught up")

    def _anchor(self) -> None:
        world = self._world
        world.anchors.append(world.store.ledger.head())
        if not world.is_calm:
            world.loop.after(5 * MINUTE, self._anchor)

    # The store.

    def _promote(self) -> None:
        """An asynchronous replica takes over, without the last 100 ms; the store says so, as PostgreSQL's does."""
        self._put_back(self._world.loop.now_ns - NS // 10, "a replica is promoted")
        self._world.store.write((Transaction(self._world.loop.now_ns, distrust=True),))

    def _restore(self) -> None:
        """A backup is restored, and nobody tells the worker."""
        age_ns = self._faults.chance("backup").between(1, 90) * MINUTE
        self._put_back(self._world.loop.now_ns - age_ns, f"a backup of {age_ns // MINUTE} min ago is restored")

    def _put_back(self, to_ns: int, text: str) -> None:
        world = self._world
        world.tell(text)
        for process in world.processes:
            process.node.die()
        world.put_back(to_ns)

    # The switch.

    def _throw(self) -> None:
        world, chance = self._world, self._faults.chance("kill")
        now = world.loop.now_ns
        incident = chance.pick(world.scenario.incidents)
        target = incident.asked[0].target
        scope = chance.pick(("all", "all", f"target:{target}", f"service:{target.split('/')[2]}", "verb:sim.set_flag"))
        order = (scope, now, now + chance.between(60, 600) * NS)
        world.switch.orders.append(order)
        world.oracle.thrown.append(order)
        world.tell(f"kill switch: {scope}")
        if self._faults.has("kill_unheard") and chance.happens(0.5):
            world.switch.deafen(now - NS, now + chance.between(5, 90) * NS)
            world.tell("and nobody can read it")
        for process in world.processes:
            process.watching.wake(NS // 2)

    def moved(self, key: str, to: str) -> None:
        """An action moved; the worst moment for the switch is right after an effect was commanded."""
        if to == "executing":
            self._executing += 1
            if self._executing == self._kill_at_number:
                wait_ns = self._faults.chance("kill").between(0, 60) * (NS // 1000)
                self._world.loop.after(wait_ns, self._throw)

    def next_look(self) -> int | None:
        """When a worker looks at the switch again: each half second while there are orders, else when one comes."""
        if not self._world.switch.orders:
            return None
        now = self._world.loop.now_ns
        return now + NS // 2 if any(begin <= now < end for _, begin, end in self._world.switch.orders) else None

    # People, incidents, telemetry, clocks.

    def asked(self, incident: Incident) -> None:
        """What becomes of the incident later."""
        faults, world = self._faults, self._world
        if not faults.strikes("churn", 0.3):
            return
        chance, loop = faults.chance("churn"), world.loop
        later = chance.between(1, 400) * NS
        kind = chance.pick(("withdrawn", "merged", "split", "reopened", "again"))
        if kind in ("withdrawn", "reopened"):
            loop.after(later, world.withdraw, incident)
        if kind == "merged":
            loop.after(later, world.publish, incident, f"{incident.id}-merged")
            loop.after(later + NS, world.withdraw, incident)
        if kind in ("split", "again"):
            loop.after(later, world.publish, incident, f"{incident.id}-{kind}")
        if kind == "reopened":
            loop.after(later + chance.between(1, 1800) * NS, world.publish, incident, f"{incident.id}-reopened")

    def _by_hand(self) -> None:
        world, chance = self._world, self._faults.chance("people")
        target = chance.pick(chance.pick(world.scenario.incidents).asked).target
        world.tell(f"somebody changes {target}")
        world.plant.overwrite(target, f"by hand {chance.below(1000)}")

    def _spoof(self) -> None:
        world, chance = self._world, self._faults.chance("spoof")
        target = chance.pick(chance.pick(world.scenario.incidents).asked).target
        world.telemetry.forged[target] = world.loop.now_ns
        world.oracle.forged.add(target)
        world.tell(f"the telemetry of {target} is forged from now on")

    def falls_asleep(self, node: Node) -> None:
        world, chance = self._world, self._faults.chance("sleep")
        node.asleep_until_ns = world.loop.now_ns + chance.between(5_000, 120_000) * (NS // 1000)
        world.tell(f"{node.name} sleeps until {(node.asleep_until_ns - START_NS) / NS:.3f}")
        if node is world.processes[world.active].node:
            world.loop.after(chance.between(2, 12) * NS, self._missed, node)

    def _missed(self, node: Node) -> None:
        if self._world.processes[self._world.active].node is node and not self._world.is_calm:
            self._world.take_over(f"{node.name} is not heard of")

    def skew(self) -> int:
        """How wrong the clock of a worker is that starts now."""
        if not self._faults.strikes("skew", 0.3):
            return 0
        chance = self._faults.chance("skew")
        size = chance.pick((NS // 2, 5 * NS, 60 * NS, HOUR))
        return chance.pick((-1, 1)) * int(size * chance.share())

    def chat_is_down(self) -> bool:
        now = self._world.loop.now_ns
        return not self._world.is_calm and any(begin <= now < end for begin, end in self._chat)

    def kafka_is_down(self) -> bool:
        now = self._world.loop.now_ns
        return not self._world.is_calm and any(begin <= now < end for begin, end in self._kafka)

    def told(self, notice: Notice) -> None:
        self._world.oracle.heard(notice.group, notice.action_key, notice.text)
