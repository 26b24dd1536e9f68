"""What telemetry says of the plant: closed windows with noise, gaps and, where somebody forges them, lies.

The control is a group of untouched peers that carries the same noise of the day. A forged source speaks for one target
only, from a time on, and says the opposite of what is true; it is one source of several, as a spoofer has it.
"""

from dataclasses import dataclass, field

from actions._ports import Illness, Indicator, Look, Seen, Window
from schemas.core import NS
from simulation._chance import Chance
from simulation._faults import Faults
from simulation._loop import Loop, Task, Wait
from simulation._plant import Plant

WINDOW_NS = 10 * NS
BEFORE = 12
"""Windows before the fault."""
LATE_NS = 5 * NS
"""So long after its end a window is closed."""
NAN = float("nan")


@dataclass
class Instruments:
    """The worker's `Telemetry`. begun: when the disturbance of each incident began, as the diagnosis found it."""

    loop: Loop
    plant: Plant
    faults: Faults
    begun: dict[str, int] = field(default_factory=dict)
    forged: dict[str, int] = field(default_factory=dict)
    dark: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Stretches of time of which nothing was seen, by target."""
    lag_ns: int = 0
    """How far what is read lies behind: a backlog."""

    def __post_init__(self) -> None:
        chance = Chance(self.faults.seed, "noise")
        self._peers = dict[int, Window]()
        self._noise = [(chance.share() + chance.share() + chance.share() - 1.5) * 0.002 for _ in range(509)]

    def through_ns(self) -> int:
        """The watermark."""
        return (self.loop.now_ns - self.lag_ns - LATE_NS) // WINDOW_NS * WINDOW_NS

    async def read(self, look: Look) -> Seen:
        self._maybe_dark(look.target)
        seen: Seen = await Wait(lambda task: self._after(task, lambda: self._seen(look)))
        return seen

    async def illness(self, target: str) -> tuple[Illness, ...]:
        now = self.loop.now_ns
        ill = sum(one.is_ill(now) for one in self.plant.targets.values() if one.illnesses)
        return (Illness("zone/a", ill, len(self.plant.targets)),)

    def _peer(self, at: int) -> Window:
        """What the untouched peers show, the same for all targets."""
        if at not in self._peers:
            self._peers[at] = Window(at, at + WINDOW_NS, max(0.0, 0.003 + self._noise[at // WINDOW_NS % 509]), 1.0)
        return self._peers[at]

    def _after(self, task: Task, answer: "object") -> None:
        self.loop.after(NS // 20, lambda: task.answer(answer()))  # type: ignore[operator]

    def _maybe_dark(self, target: str) -> None:
        if self.faults.strikes("gaps", 0.15):
            chance = self.faults.chance("gaps")
            start = self.loop.now_ns - chance.between(0, 120) * NS
            self.dark[target] = (start, start + chance.between(20, 400) * NS)

    def _seen(self, look: Look) -> Seen:
        through = self.through_ns()
        fault_ns = self.begun.get(look.incident_id, look.since_ns)
        start = min(fault_ns, look.since_ns) // WINDOW_NS * WINDOW_NS - BEFORE * WINDOW_NS
        end = min(look.until_ns, through)
        times = range(start, end - WINDOW_NS + 1, WINDOW_NS)
        target = self.plant.targets[look.target]
        dark, forged = self.dark.get(look.target, (0, 0)), self.forged.get(look.target)
        salt = len(look.target) + sum(look.target.encode())
        mine = list[Window]()
        for at in times:
            number = at // WINDOW_NS
            middle = at + WINDOW_NS // 2
            shared, own = self._noise[number % 509], self._noise[(number * 7 + salt) % 509]
            true = target.ratio(middle)
            if forged is not None and at >= forged:
                true = target.base if target.is_ill(middle) else target.base + 0.3
            hidden = dark[0] <= at < dark[1]
            mine.append(
                Window(at, at + WINDOW_NS, NAN if hidden else max(0.0, true + shared + own), 0.0 if hidden else 1.0)
            )
        ratio = Indicator("error_ratio", "1", 1, True, tuple(mine), tuple(map(self._peer, times)), "peers")
        return Seen((ratio,), fault_ns, through)
