"""The machine and the ledger of actions in a hostile world: `python -m bench.machine [--seeds N] [--mutants] [--json]`.

`--seeds`: so many runs against the ledger in memory, each a different history, judged by the oracle. `--sqlite N`:
every so-many-th seed on the durable ledger, which must hold the same contents at the end. `--mutants`: put each known
bug in and say how many seeds find it. `--kills N`: real processes killed at named points;
with `--out FILE` that alone is done, goes on where it was stopped, and is kept there (the processes are then forked and
not started, which costs a tenth). Else always: transactions a second of the durable ledger with full sync, alone and in
groups. CPU seconds, not wall, except where a disk is waited for.
"""

import argparse
import json
import math
import sys
import tempfile
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from support.actions import plan_of, seal, step_of  # noqa: E402
from support.actions_dying import kill_and_resume, places  # noqa: E402
from support.actions_world import MUTANTS, run_world  # noqa: E402

from actions._drive import open_action  # noqa: E402
from actions._ledger_model import ModelLedger  # noqa: E402
from actions._ledger_sqlite import SqliteLedger  # noqa: E402
from actions._machine_types import TERMINAL  # noqa: E402
from bench.simulation import commit  # noqa: E402

STEPS = 600


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=200)
    parser.add_argument("--start", type=int, default=0, help="the first seed")
    parser.add_argument("--sqlite", type=int, default=50)
    parser.add_argument("--mutants", type=int, nargs="?", const=60, default=0, help="seeds a bug")
    parser.add_argument("--kills", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=math.inf, help="with --out: begin no kill later than this")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--json", action="store_true")
    told = parser.parse_args()
    if told.out:
        return kept_kills(told.kills, told.out, told.seconds)
    document = worlds(told.start, told.seeds, told.sqlite) | durable()
    if told.mutants:
        document["mutants"] = {name: mutated(name, told.mutants) for name in MUTANTS}
    if told.kills:
        document |= kills(told.kills)
    print(json.dumps(document) if told.json else "\n".join(f"{name:24} {value}" for name, value in document.items()))
    missed = [name for name, found in document.get("mutants", {}).items() if not found]
    return 1 if document["wrong"] or document.get("kills_wrong") or missed else 0


def worlds(start: int, seeds: int, every: int) -> dict[str, Any]:
    counts, wrong, compared = Counter[str](), list[str](), 0
    began = time.process_time()
    for seed in range(start, start + seeds):
        world = run_world(seed, ModelLedger(seal), crashed, steps=STEPS)
        counts += world.counts
        wrong += [f"seed {seed}: {one}" for one in world.wrong]
    seconds = time.process_time() - began
    for seed in range(start, start + seeds, every) if every else ():
        compared += 1
        if run_on_sqlite(seed) != run_world(seed, ModelLedger(seal), crashed, steps=150).ledger.contents():
            wrong.append(f"seed {seed}: the durable ledger holds something else")
    ends = {name: n for name, n in sorted(counts.items()) if name in TERMINAL}
    return {
        "seeds": seeds, "actions": sum(ends.values()),
        **{name: counts[name] for name in ("steps", "crashes", "effects")},
        "compared_with_sqlite": compared, "wrong": len(wrong), "first_wrong": wrong[:3], "ends": ends,
        "cpu_s": round(seconds, 1), "steps_per_cpu_s": round(counts["steps"] / max(seconds, 1e-9)),
    }  # fmt: skip


def run_on_sqlite(seed: int) -> Any:
    with tempfile.TemporaryDirectory() as place:
        world = run_world(seed, SqliteLedger(Path(place) / "ledger", seal), reopened, steps=150)
        contents = world.ledger.contents()
        world.ledger.close()
    return contents


def crashed(ledger: Any) -> Any:
    ledger.crash()
    return ledger


def reopened(ledger: Any) -> Any:
    ledger.close()
    return SqliteLedger(ledger.path, seal)


def mutated(name: str, seeds: int) -> int:
    """How many seeds find the bug."""
    return sum(
        bool(run_world(seed, ModelLedger(seal), crashed, steps=STEPS, mutant=name).wrong) for seed in range(seeds)
    )


def durable(transactions: int = 200, group: int = 20) -> dict[str, Any]:
    """Transactions a second with full sync: new actions with leaf, outbox and timer, on the disk of the checkout."""
    found = dict[str, Any]()
    with tempfile.TemporaryDirectory(dir=ROOT) as place:
        for name, size in (("alone", 1), ("grouped", group)):
            ledger = SqliteLedger(Path(place) / name, seal)
            ready = [open_action(plan_of(step_of(value=str(n))), 0, n).transaction for n in range(transactions)]
            waits, began = [], time.monotonic()
            for at in range(0, transactions, size):
                before = time.monotonic()
                for one in ready[at : at + size]:
                    ledger.submit(one)
                ledger.commit()
                waits.append(time.monotonic() - before)
            found[f"full_sync_{name}_per_s"] = round(transactions / (time.monotonic() - began))
            found[f"commit_{name}_p99_ms"] = round(sorted(waits)[int(len(waits) * 0.99)] * 1e3, 1)
            ledger.close()
    return found


def kills(count: int) -> dict[str, Any]:
    """Each point in turn, each time later in the run."""
    every, wrong = every_place(), list[str]()
    for number in range(count):
        wrong += killed(*every[number % len(every)])
    return {"kills": count, "kills_wrong": len(wrong), "kills_first_wrong": wrong[:3]}


def every_place() -> list[tuple[str, int]]:
    with tempfile.TemporaryDirectory() as folder:
        found: list[tuple[str, int]] = places(Path(folder) / "ledger")
        return found


def killed(point: str, passing: int, fork: bool = False) -> list[str]:
    with tempfile.TemporaryDirectory() as folder:
        return [f"{point} {passing}: {one}" for one in kill_and_resume(Path(folder) / "ledger", point, passing, fork)]


def kept_kills(count: int, out: Path, seconds: float) -> int:
    """Each place in turn, from where the last run was stopped; what is known is written after every ten."""
    kept: dict[str, Any] = json.loads(out.read_text()) if out.exists() else {"kills": 0, "wrong": [], "commits": {}}
    every, end_s = every_place(), time.monotonic() + seconds
    kept["commits"].setdefault(commit(), kept["kills"])  # what was loaded at the start is what runs
    while kept["kills"] < count and time.monotonic() < end_s:
        for number in range(kept["kills"], min(kept["kills"] + 10, count)):
            kept["wrong"] += killed(*every[number % len(every)], fork=True)
            kept["kills"] += 1
        kept |= {
            "command": f"python -m bench.machine --kills {count} --out FILE", "places": len(every),
            "date": datetime.now(UTC).date().isoformat(),
        }  # fmt: skip
        out.write_text(json.dumps(kept, indent=1) + "\n")
    print(json.dumps(kept))
    return 1 if kept["wrong"] else 0


if __name__ == "__main__":
    sys.exit(main())
