"""The machine and the ledger of actions in a hostile world: `python -m bench.machine [--seeds N] [--mutants] [--json]`.

`--seeds`: so many runs against the ledger in memory, each a different history, judged by the oracle. `--sqlite N`:
every so-many-th seed on the durable ledger, which must hold the same contents at the end. `--mutants`: put each known
bug in and say how many seeds find it. `--kills N`: real processes killed at named points. Always: transactions a
second of the durable ledger with full sync, alone and in groups. CPU seconds, not wall, except where a disk is waited
for.
"""

import argparse
import json
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from support.actions import plan_of, seal, step_of  # noqa: E402
from support.actions_dying import POINTS, kill_and_resume  # noqa: E402
from support.actions_world import MUTANTS, run_world  # noqa: E402

from actions._drive import open_action  # noqa: E402
from actions._ledger_model import ModelLedger  # noqa: E402
from actions._ledger_sqlite import SqliteLedger  # noqa: E402
from actions._machine_types import TERMINAL  # noqa: E402

STEPS = 600


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=200)
    parser.add_argument("--start", type=int, default=0, help="the first seed")
    parser.add_argument("--sqlite", type=int, default=50)
    parser.add_argument("--mutants", type=int, nargs="?", const=60, default=0, help="seeds a bug")
    parser.add_argument("--kills", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    told = parser.parse_args()
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
    wrong = list[str]()
    for number in range(count):
        point, passing = POINTS[number % len(POINTS)], 1 + number // len(POINTS) % 9
        with tempfile.TemporaryDirectory() as place:
            wrong += [f"{point} {passing}: {one}" for one in kill_and_resume(Path(place) / "ledger", point, passing)]
    return {"kills": count, "kills_wrong": len(wrong), "kills_first_wrong": wrong[:3]}


if __name__ == "__main__":
    sys.exit(main())
