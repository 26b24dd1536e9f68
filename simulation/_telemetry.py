"""What telemetry says of the plant: closed windows with noise, gaps and, where somebody forges them, lies.

The control is a group of untouched peers that carries the same noise of the day. A forged source speaks for one target
only, from a time on, and says the opposite of what is true; it is one source of several, as a spoofer has it.
"""

from dataclasses import dataclass, field

from actions._ports import Illness, Indicator, Look, Seen, Window
from schemas.core import NS
from simulation._chance import Chance
from simulation._faults import Faults
from simulation._loop import Loop, Task, wait
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
        shares = iter(Chance(self.faults.seed, "noise").shares(3 * 509))
        self._peers = dict[int, Window]()
        self._noise = [(a + b + c - 1.5) * 0.002 for a, b, c in zip(shares, shares, shares, strict=True)]

    def through_ns(self) -> int:
        """The watermark."""
        return (self.loop.now_ns - self.lag_ns - LATE_NS) // WINDOW_NS * WINDOW_NS

    async def read(self, look: Look) -> Seen:
        self._maybe_dark(look.target)
        seen: Seen = await wait(lambda task: self._after(task, lambda: self._seen(look)))
        return seen

    async def illness(self, target: str) -> tuple[Illness, ...]:
        now = self.loop.now_ns
        targets = self.plant.targets
        ill = {name for name, one in targets.items() for bad in one.illnesses if bad.begin_ns <= now < bad.end_ns}
        return (Illness("zone/a", len(ill), len(targets)),)

    async def is_well(self, target: str, since_ns: int) -> bool:
        now, ill = self.loop.now_ns, self.plant.targets[target].illnesses
        return not any(one.begin_ns <= now and one.end_ns > since_ns for one in ill)

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
        mine, noise = list[Window](), self._noise
        for at in times:
            if dark[0] <= at < dark[1]:
                mine.append(Window(at, at + WINDOW_NS, NAN, 0.0))
                continue
            number = at // WINDOW_NS
            middle = at + WINDOW_NS // 2
            true = target.ratio(middle)
            if forged is not None and at >= forged:
                true = target.base if target.is_ill(middle) else target.base + 0.3
            seen = true + noise[number % 509] + noise[(number * 7 + salt) % 509]
            mine.append(Window(at, at + WINDOW_NS, seen if seen > 0.0 else 0.0, 1.0))
        ratio = Indicator("error_ratio", "1", 1, True, tuple(mine), tuple(map(self._peer, times)), "peers")
        return Seen((ratio,), fault_ns, through)
