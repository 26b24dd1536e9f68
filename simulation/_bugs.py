"""Bugs put into the production code on purpose, one at a time, to see whether the simulation finds them.

Each takes away one defence or breaks one rule; the other defences that would hide it are off at the same time, since
a defence is only shown to work where it stands alone. A bug is a set of swaps: a function of a room by name, and what
is put in its place. This is the one place that reaches past the public faces by name, and only while a bug is in.
"""

import importlib
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import _lru_cache_wrapper
from types import ModuleType
from typing import Any

from simulation._faults import Faults, Level
from simulation._runs import run_seed
from simulation._world import World

ENOUGH = 3
"""So many failing seeds show that a bug is found; the rate is these over the seeds that it took."""


@dataclass(frozen=True, slots=True)
class Swap:
    """`place`: module and name, as `actions._gateway:check_kill` or `actions._machine_walk:Walk.stop`. `make`: the
    original to what stands in its place.
    """

    place: str
    make: Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class Bug:
    """text: what is wrong. swaps: the bug and, after it, the other defences that are off.

    directed: faults, with their intensities, under which it shows soonest; for what the seeds see too seldom. arrange:
    more that a directed history has, at its start.
    """

    name: str
    text: str
    swaps: tuple[Swap, ...]
    directed: Mapping[str, float] = field(default_factory=dict)
    arrange: Callable[[World], None] | None = None
    shows: tuple[str, ...] = ()
    """The invariants that count; others may break for the sake of the defences that are off. Empty: all."""


@dataclass(frozen=True, slots=True)
class Found:
    """caught_seeds of seeds found it; directed: of the directed histories at least one did."""

    name: str
    caught_seeds: int
    seeds: int
    directed: bool
    invariants: tuple[str, ...]

    @property
    def is_caught(self) -> bool:
        return self.caught_seeds > 0 or self.directed


@contextmanager
def planted(bug: Bug) -> Iterator[None]:
    """The bug is in, for as long as the block runs."""
    undo: list[Callable[[], None]] = []
    _forget()
    try:
        for swap in bug.swaps:
            undo += _swapped(swap)
        yield
    finally:
        for back in reversed(undo):
            back()
        _forget()


def hunt(
    bug: Bug, seeds: int, start: int = 0, level: Level = "full", directed: int = 20, enough: int = ENOUGH
) -> Found:
    """Run histories with the bug in until it is found often enough or the seeds are over; then directed ones."""
    caught, run, broken = 0, 0, dict[str, None]()
    with planted(bug):
        for seed in range(start, start + seeds):
            run += 1
            if names := _breaks(bug, seed, level, None, None):
                caught += 1
                broken |= dict.fromkeys(names)
            if caught >= enough:
                break
        shown = False
        if bug.directed or bug.arrange:
            for seed in range(start, start + directed):
                names = _breaks(bug, seed, level, Faults(seed, dict(bug.directed)), bug.arrange)
                broken |= dict.fromkeys(names)
                shown = shown or bool(names)
                if shown:
                    break
    return Found(bug.name, caught, run, shown, tuple(broken))


def _breaks(
    bug: Bug, seed: int, level: Level, faults: Faults | None, direct: Callable[[World], None] | None
) -> list[str]:
    """The invariants that break; a process that broke is none of them."""
    outcome = run_seed(seed, level, faults, direct=direct)
    counts = [one.invariant for one in outcome.violations if one.invariant != "BROKE"]
    return [name for name in counts if name in bug.shows] if bug.shows else counts


def _swapped(swap: Swap) -> list[Callable[[], None]]:
    """Put it wherever the original is known by name: modules import names from each other, tables hold functions."""
    module, _, path = swap.place.partition(":")
    holder: Any = importlib.import_module(module)
    *outer, name = path.split(".")
    for part in outer:
        holder = getattr(holder, part)
    if outer:
        original = holder.__dict__[name]
        setattr(holder, name, swap.make(original))
        return [lambda: setattr(holder, name, original)]
    original = getattr(holder, name)
    new, undo = swap.make(original), list[Callable[[], None]]()
    for one in _rooms():
        for table in (vars(one), *(value for value in vars(one).values() if isinstance(value, dict))):
            for known in [known for known, value in table.items() if value is original]:
                table[known] = new
                undo.append(_back(table, known, original))
    return undo


def _forget() -> None:
    """What functions remember of earlier calls was said without the bug, or with it."""
    for one in _rooms():
        for value in vars(one).values():
            if isinstance(value, _lru_cache_wrapper):
                value.cache_clear()


def _back(table: dict[Any, Any], name: Any, original: Any) -> Callable[[], None]:
    return lambda: table.__setitem__(name, original)


def _rooms() -> list[ModuleType]:
    names = [name for name in sys.modules if name.partition(".")[0] in ("actions", "simulation")]
    return [sys.modules[name] for name in sorted(names)]


def always(answer: Any) -> Callable[[Any], Any]:
    """A function in whose place one stands that always answers the same."""
    return lambda original: lambda *told, **named: answer
