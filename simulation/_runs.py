"""Many seeds: run, summed up, and a failing one made small.

The root over a run is a hash over the audit roots of its seeds in order, so two runs of the same seeds agree in one
line or something was not deterministic. A failing seed is shrunk by taking its faults away one by one, for as long as
the same invariant breaks: what is left is what it needs.
"""

import gc
import hashlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from schemas import Json
from simulation._faults import Faults, Level, draw_faults
from simulation._oracle import Violation
from simulation._world import Outcome, World

EVERY_DURABLE = 50
"""Each so-many-th seed runs on SQLite."""
EVERY_TWICE = 100
"""Each so-many-th seed runs twice, and both must end in the same root."""


@dataclass
class Sum:
    """What a run of seeds comes to."""

    seeds: int = 0
    incidents: int = 0
    effects: int = 0
    crashes: int = 0
    curable: int = 0
    cured: int = 0
    steps: int = 0
    violations: list[tuple[int, Violation]] = field(default_factory=list)
    kill_waits_ns: list[int] = field(default_factory=list)
    roots: list[tuple[int, str]] = field(default_factory=list)

    def add(self, one: Outcome) -> None:
        self.seeds += 1
        self.incidents += one.incidents
        self.effects += one.effects
        self.crashes += one.crashes
        self.curable += one.curable
        self.cured += one.cured
        self.steps += one.steps
        self.violations += [(one.seed, violation) for violation in one.violations]
        self.kill_waits_ns += one.kill_waits_ns
        self.roots.append((one.seed, one.root))

    def merge(self, other: "Sum") -> None:
        for name in ("seeds", "incidents", "effects", "crashes", "curable", "cured", "steps"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.violations += other.violations
        self.kill_waits_ns += other.kill_waits_ns
        self.roots += other.roots

    @property
    def useful_work(self) -> float:
        return round(self.cured / self.curable, 4) if self.curable else 0.0

    @property
    def audit_root(self) -> str:
        lines = "".join(f"{seed} {root}\n" for seed, root in sorted(self.roots))
        return "sha256:" + hashlib.sha256(lines.encode()).hexdigest()

    def document(self, cpu_s: float) -> dict[str, Json]:
        """The keys of the contract."""
        waits = sorted(self.kill_waits_ns)
        return {
            "seeds": self.seeds, "incidents": self.incidents, "effects": self.effects, "crashes": self.crashes,
            "violations": [
                {"seed": seed, "invariant": one.invariant, "text": one.text} for seed, one in self.violations
            ],
            "useful_work": self.useful_work, "curable": self.curable, "cured": self.cured,
            "incidents_per_cpu_minute": round(self.incidents / max(cpu_s, 1e-9) * 60),
            "audit_root": self.audit_root, "steps": self.steps, "cpu_s": round(cpu_s, 2),
            "forward_after_kill": len(waits), "last_after_kill_s": round(waits[-1] / 1e9, 3) if waits else 0.0,
        }  # fmt: skip


def run_seed(seed: int, level: Level, faults: Faults | None = None, *, durable: bool = False, **rest: Any) -> Outcome:
    """One history. `faults` in place of those that the seed draws, to take some away."""
    with _garbage_at_the_end():
        world = World(seed, faults if faults is not None else draw_faults(seed, level), durable=durable, **rest)
        try:
            return world.run()
        finally:
            world.close()
            world.let_go()


@contextmanager
def _garbage_at_the_end() -> Iterator[None]:
    """A history is one heap that lives to its end: looking for garbage in between costs a tenth and finds little."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
        gc.collect(0)


def run_seeds(seeds: Iterable[int], level: Level, on_seed: Callable[[Outcome], None] = lambda one: None) -> Sum:
    """Each seed once; some on SQLite, some twice."""
    total = Sum()
    for seed in seeds:
        outcome = run_seed(seed, level)
        if seed % EVERY_DURABLE == 0 and run_seed(seed, level, durable=True).root != outcome.root:
            outcome.violations.append(Violation("I11", "on SQLite the same seed ends in another audit root", 0))
        if seed % EVERY_TWICE == 0 and run_seed(seed, level).root != outcome.root:
            outcome.violations.append(Violation("DETERMINISM", "the same seed ends in another audit root", 0))
        total.add(outcome)
        on_seed(outcome)
    return total


def shrink(seed: int, level: Level) -> tuple[Faults, Outcome]:
    """The fewest faults, found by taking away one after the other, with which the seed still breaks what it broke.

    The outcome has its timeline.
    """
    faults = draw_faults(seed, level)
    broken = {one.invariant for one in run_seed(seed, level).violations}
    for kind in sorted(faults.only()):
        fewer = faults.without(kind)
        if broken & {one.invariant for one in run_seed(seed, level, fewer).violations}:
            faults = faults.without(kind)
    faults = Faults(seed, faults.only())
    outcome = run_seed(seed, level, Faults(seed, faults.only()), telling=True)
    return faults, outcome
