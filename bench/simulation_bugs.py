"""Is the simulation blind, resumable: `python -m bench.simulation_bugs [--seeds 1000] [--seconds S] [--out FILE]`.

Each bug of the catalogue alone, with the defences off that would hide it: first its directed histories, then seeds, all
bugs in rounds of 20 seeds, until three seeds found it or the seeds are over. What is known is kept after each bug of a
round, with the commit at which it ran last, so a stop costs one. Exit code 1 if a bug was found by neither.
"""

import argparse
import json
import math
import sys
import time
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.simulation import ROOT, commit
from simulation import Bug, catalogue, hunt

ROUND = 20
ENOUGH = 3


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=1000, help="at most so many for each bug")
    parser.add_argument("--seconds", type=float, default=math.inf, help="begin nothing later than this")
    parser.add_argument("--out", type=Path, default=ROOT / "docs/results/simulation-bugs.json")
    told = parser.parse_args()
    kept = json.loads(told.out.read_text()) if told.out.exists() else {}
    rows = {row["name"]: row for row in kept.get("bugs", ()) if kept.get("rounds_of") == ROUND}
    end_s = time.monotonic() + told.seconds
    for upto in range(ROUND, told.seeds + ROUND, ROUND):
        for bug in catalogue():
            if time.monotonic() >= end_s:
                break
            if _goes_on(row := rows.get(bug.name) or _nothing(bug), min(upto, told.seeds)):
                rows[bug.name] = _hunted(bug, row, min(upto, told.seeds))
                told.out.write_text(json.dumps(_document(rows), indent=1) + "\n")
    document = _document(rows)
    print(json.dumps({name: value for name, value in document.items() if name != "bugs"}))
    return 0 if document["caught"] == len(catalogue()) else 1


def _nothing(bug: Bug) -> dict[str, Any]:
    return {"name": bug.name, "caught_seeds": 0, "seeds": 0, "directed": None, "invariants": [], "commit": commit()}


def _goes_on(row: dict[str, Any], upto: int) -> bool:
    return bool(row["caught_seeds"] < ENOUGH and row["seeds"] < upto)


def _hunted(bug: Bug, row: dict[str, Any], upto: int) -> dict[str, Any]:
    has_directed = row["directed"] is not None
    more = hunt(
        bug, upto - row["seeds"], row["seeds"], directed=0 if has_directed else 20, enough=ENOUGH - row["caught_seeds"]
    )
    return row | {
        "caught_seeds": row["caught_seeds"] + more.caught_seeds, "seeds": row["seeds"] + more.seeds,
        "directed": row["directed"] if has_directed else more.directed,
        "invariants": list(dict.fromkeys([*row["invariants"], *asdict(more)["invariants"]])), "commit": commit(),
    }  # fmt: skip


def _document(rows: dict[str, dict[str, Any]]) -> dict[str, Any]:
    known = [rows[one.name] for one in catalogue() if one.name in rows]
    return {
        "command": "python -m bench.simulation_bugs", "date": datetime.now(UTC).date().isoformat(), "rounds_of": ROUND,
        "catalogue": len(catalogue()), "tried": len(known),
        "caught": sum(bool(row["caught_seeds"] or row["directed"]) for row in known),
        "caught_by_seeds": sum(bool(row["caught_seeds"]) for row in known),
        "seeds": sum(row["seeds"] for row in known), "bugs": known,
    }  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
