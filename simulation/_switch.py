"""The kill switch as a worker or a gateway reads it, and how long it takes until somebody reads it."""

from dataclasses import dataclass, field

from actions._ports import Watch
from schemas.core import NS
from simulation._faults import Faults
from simulation._loop import Loop, Task, wait


@dataclass
class Switch:
    """The orders as they are durable. `orders`: scope, from, to."""

    loop: Loop
    orders: list[tuple[str, int, int]] = field(default_factory=list)
    deaf_from_ns: int = 0
    deaf_until_ns: int = 0
    """From when until when nobody could read it."""
    unheard: list[tuple[int, int]] = field(default_factory=list)
    """All such times."""

    def deafen(self, from_ns: int, until_ns: int) -> None:
        self.deaf_from_ns, self.deaf_until_ns = from_ns, until_ns
        self.unheard.append((from_ns, until_ns))

    def scopes(self, at_ns: int) -> frozenset[str]:
        if not self.orders:
            return frozenset()
        return frozenset([scope for scope, begin, end in self.orders if begin <= at_ns < end])


@dataclass
class Reader:
    """One process's `KillSwitch`. It has looked within the last second, unless it cannot."""

    switch: Switch
    faults: Faults
    skew_ns: int = 0
    alone_from_ns: int = 0
    alone_until_ns: int = 0

    async def read(self) -> Watch:
        watch: Watch = await wait(self._begin)
        return watch

    def _begin(self, task: Task) -> None:
        self.switch.loop.after(0, task.answer, self.now())

    def now(self) -> Watch:
        switch, faults = self.switch, self.faults
        now = switch.loop.now_ns
        if now >= switch.deaf_until_ns and faults.strikes("kill_unheard", 0.002):
            switch.deafen(now, now + faults.chance("kill_unheard").between(2, 90) * NS)
        if now >= self.alone_until_ns and faults.strikes("supervisor", 0.001):
            self.alone_from_ns, self.alone_until_ns = now, now + faults.chance("supervisor").between(2, 90) * NS
        looked = now - now % NS
        if now < switch.deaf_until_ns:
            looked = min(looked, switch.deaf_from_ns)
        alive = self.alone_from_ns if now < self.alone_until_ns else now
        return Watch(switch.scopes(looked), looked + self.skew_ns, alive + self.skew_ns)
