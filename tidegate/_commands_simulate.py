"""`tidegate simulate`: histories of the action stage on a virtual clock, judged by the truth of the plant.

A violation ends with exit code 4, after the first failing seeds were made small and their timelines printed.
"""

import difflib
import os
import time
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from typing import Annotated, Any, Literal

import typer

from simulation import KINDS, Found, Outcome, Sum, Violation, catalogue, hunt, run_seeds, shrink
from tidegate._commands import Json, say
from tidegate._errors import SettingsError

CHECK_FAILED = 4
CHUNK = 50
"""Seeds that one process runs at a time."""
SHRUNK = 3
"""Failing seeds that are made small."""
_Faults = Literal["none", "light", "full"]


def register(app: typer.Typer) -> None:
    app.command("simulate")(simulate)


def simulate(
    seeds: Annotated[int, typer.Option(min=0, help="How many histories of 20 incidents.")] = 100,
    start: Annotated[int, typer.Option(min=0, help="The first seed.")] = 0,
    faults: Annotated[_Faults, typer.Option(help="none, light (a bad ordinary day) or full.")] = "full",
    jobs: Annotated[int, typer.Option(min=1, max=1_024, help="Processes.")] = 1,
    bugs: Annotated[bool, typer.Option("--bugs", help="Put each known bug in and say which seeds find it.")] = False,
    bug: Annotated[list[str] | None, typer.Option("--bug", help="Only this one; may be repeated.")] = None,
    json_: Json = False,
) -> None:
    """Run the production code of the action stage through histories full of faults; each seed is one of them."""
    if bugs or bug:
        hunted(seeds, start, faults, jobs, bug or [], json_)
        return
    total, cpu_s = simulated(range(start, start + seeds), faults, jobs)
    document = total.document(cpu_s) | {"start": start, "faults": faults}
    for seed in list(dict.fromkeys(seed for seed, _ in total.violations))[:SHRUNK]:
        _explain(seed, faults)
    if json_:
        say(document)
    else:
        for name, value in document.items():
            typer.echo(f"{name:<26}{value if name != 'violations' else len(total.violations)}")
    if total.violations:
        raise typer.Exit(CHECK_FAILED)


def hunted(seeds: int, start: int, faults: _Faults, jobs: int, only: list[str], json_: bool) -> None:
    """Each bug alone, with the defences off that would hide it: until three seeds found it, then directed histories."""
    known = [one.name for one in catalogue()]
    for name in only:
        if name not in known:
            near = difflib.get_close_matches(name, known, 3)
            todo = f"Nearest: {', '.join(near)}" if near else f"Bugs: {', '.join(known)}"
            raise SettingsError(f"there is no bug '{name}'", where="--bug", todo=todo)
    names = [name for name in known if not only or name in only]
    if jobs == 1:
        found = [_hunted(name, seeds, start, faults) for name in names]
    else:
        many = len(names)
        with ProcessPoolExecutor(min(jobs, os.cpu_count() or 1)) as pool:
            found = list(pool.map(_hunted, names, [seeds] * many, [start] * many, [faults] * many))
    rows = [
        {
            "name": one.name, "caught_seeds": one.caught_seeds, "seeds": one.seeds, "directed": one.directed,
            "invariants": list(one.invariants),
        }
        for one in found
    ]  # fmt: skip
    if json_:
        say({"bugs": rows, "caught": sum(one.is_caught for one in found)})
    else:
        for one in found:
            state = "caught" if one.is_caught else "MISSED"
            text = f"{one.caught_seeds} of {one.seeds} seeds{', directed' if one.directed else ''}"
            typer.echo(f"{state:<8}{one.name:<26}{text:<28}{' '.join(one.invariants)}")
    if not all(one.is_caught for one in found):
        raise typer.Exit(CHECK_FAILED)


def _hunted(name: str, seeds: int, start: int, faults: _Faults) -> Found:
    return hunt(next(one for one in catalogue() if one.name == name), seeds, start, faults)


def simulated(seeds: Iterable[int], faults: _Faults, jobs: int) -> tuple[Sum, float]:
    """The sum over all seeds, and the CPU seconds of all processes."""
    wanted, total, cpu_s = list(seeds), Sum(), 0.0
    chunks = [wanted[at : at + CHUNK] for at in range(0, len(wanted), CHUNK)]
    if jobs == 1:
        results: Iterable[tuple[Sum, float]] = map(_chunk, chunks, [faults] * len(chunks))
        for part, part_s in results:
            total.merge(part)
            cpu_s += part_s
        return total, cpu_s
    with ProcessPoolExecutor(min(jobs, os.cpu_count() or 1)) as pool:
        for part, part_s in pool.map(_chunk, chunks, [faults] * len(chunks)):
            total.merge(part)
            cpu_s += part_s
    return total, cpu_s


def _chunk(seeds: list[int], faults: _Faults) -> tuple[Sum, float]:
    began = time.process_time()
    total = run_seeds(seeds, faults)
    return total, time.process_time() - began


def _explain(seed: int, faults: _Faults) -> None:
    """What the seed breaks, with as few faults as it needs, and what happened."""
    fewest, outcome = shrink(seed, faults)
    typer.echo(f"seed {seed} breaks with {fewest.only() or 'no faults at all'}:", err=True)
    for kind in fewest.only():
        typer.echo(f"    {kind}: {KINDS[kind]}", err=True)
    for one in outcome.violations[:5]:
        typer.echo(f"  {one.invariant}: {one.text}", err=True)
    typer.echo(_excerpt(outcome, outcome.violations), err=True)


def _excerpt(outcome: Outcome, violations: list[Violation], lines: int = 60) -> str:
    """The timeline around the first violation."""
    if not violations:
        return "(it does not break any more when it is run again)"
    named: list[Any] = [word for word in violations[0].text.split() if len(word) >= 8]
    where = [n for n, line in enumerate(outcome.timeline) if any(word[:8] in line for word in named)]
    last = where[-1] if where else len(outcome.timeline)
    return "\n".join(outcome.timeline[max(0, last - lines) : last + 1])
