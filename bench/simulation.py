"""Very many simulated histories, resumable: `python -m bench.simulation [--seeds N] [--faults full] [--seconds S]`.

Runs seeds from 0 in parts of 100 and writes what is known after each, so a stop costs one part. The root is a chain
over the audit roots of the parts: the same seeds and the same code end in the same one. A violation is kept with its
seed; `tidegate simulate --seeds 1 --start SEED` explains it. The commit must not change between parts; where it does,
it is said from which seed on which commit ran.
"""

import argparse
import hashlib
import json
import math
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tidegate._commands_simulate import simulated

ROOT = Path(__file__).resolve().parent.parent
PART = 100
SUMS = ("seeds", "incidents", "effects", "crashes", "curable", "cured", "steps", "forward_after_kill")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=50_000, help="50,000 are a million incidents")
    parser.add_argument("--faults", choices=("none", "light", "full"), default="full")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=math.inf, help="begin no part later than this")
    parser.add_argument("--out", type=Path, default=ROOT / "docs/results/simulation-full.json")
    told = parser.parse_args()
    kept = json.loads(told.out.read_text()) if told.out.exists() else _nothing(told.faults)
    if kept["faults"] != told.faults:
        parser.error(f"{told.out} has runs with --faults {kept['faults']}; choose another --out")
    began = time.monotonic()
    while kept["seeds"] < told.seeds and time.monotonic() - began < told.seconds:
        start = kept["seeds"]
        total, cpu_s = simulated(range(start, min(start + PART, told.seeds)), told.faults, told.jobs)
        kept = _joined(kept, total.document(cpu_s), start)
        told.out.write_text(json.dumps(kept, indent=1) + "\n")
        print(f"{kept['seeds']} of {told.seeds} seeds, {len(kept['violations'])} violations", file=sys.stderr)
    print(json.dumps(kept))
    return 1 if kept["violations"] else 0


def _nothing(faults: str) -> dict[str, Any]:
    return {"command": f"python -m bench.simulation --faults {faults}", "faults": faults, "violations": [], "root": "",
            "commits": {}, "cpu_s": 0.0, "last_after_kill_s": 0.0, **dict.fromkeys(SUMS, 0)}  # fmt: skip


def _joined(kept: dict[str, Any], part: dict[str, Any], start: int) -> dict[str, Any]:
    joined = {name: kept[name] + part[name] for name in SUMS}
    cpu_s = round(kept["cpu_s"] + part["cpu_s"], 1)
    root = hashlib.sha256((kept["root"] + part["audit_root"]).encode()).hexdigest()
    commits = dict(kept["commits"])
    commits.setdefault(commit(), start)
    return kept | joined | {
        "date": datetime.now(UTC).date().isoformat(), "commits": commits, "cpu_s": cpu_s, "root": root,
        "violations": kept["violations"] + part["violations"],
        "last_after_kill_s": max(kept["last_after_kill_s"], part["last_after_kill_s"]),
        "useful_work": round(joined["cured"] / max(joined["curable"], 1), 4),
        "incidents_per_cpu_minute": round(joined["incidents"] / max(cpu_s, 1e-9) * 60),
    }  # fmt: skip


def commit() -> str:
    """With `-dirty` where anything but a page or result differs from it."""
    commit, changed = (
        subprocess.run(["git", *told], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()
        for told in (("rev-parse", "--short", "HEAD"), ("diff", "--name-only", "HEAD", "--", ":!docs", ":!changelog.d"))
    )
    return f"{commit}-dirty" if changed else commit


if __name__ == "__main__":
    sys.exit(main())
