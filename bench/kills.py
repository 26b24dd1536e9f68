"""Kills, broker restarts and cut networks on three real brokers: `python -m bench.kills [--rounds N] [--json]`.

Each round plays a recorded shop through one process a stage and makes trouble meanwhile; at the end the digest and both
ledgers must be those of one undisturbed process. A round that is done is kept in `docs/results/kills.json`, so the
command goes on where it was stopped; `--fresh` begins anew.
"""

import argparse
import json
import logging
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
KEPT = ROOT / "docs/results/kills.json"
MINUTES, SECONDS = 24, 150.0
PER_ROUND = {"kills": 10, "stops": 2, "restarts": 4, "cuts": 4}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="5 are 50 kills, 20 broker restarts, 20 cuts")
    parser.add_argument("--fresh", action="store_true", help="forget the rounds that are done")
    parser.add_argument("--json", action="store_true")
    told = parser.parse_args()
    logging.disable(logging.CRITICAL)  # clients of a dead broker say so many times a second
    document = {} if told.fresh or not KEPT.exists() else json.loads(KEPT.read_text())
    rounds: list[dict[str, Any]] = document.get("rounds", [])
    while len(rounds) < told.rounds:
        rounds.append(_round(len(rounds) + 1))
        document = _summary(rounds)
        KEPT.parent.mkdir(parents=True, exist_ok=True)
        KEPT.write_text(json.dumps(document, indent=1) + "\n")
    if told.json:
        print(json.dumps({name: value for name, value in document.items() if name != "rounds"}))
    else:
        for name, value in document.items():
            if name != "rounds":
                print(f"{name:16} {value}")
    return 0 if document["wrong"] == 0 else 1


def _round(seed: int) -> dict[str, Any]:
    sys.path.insert(0, str(ROOT / "tests"))
    from support.chaos import chaos
    from support.kafka import Cluster
    from support.pipeline import recorded_shop

    from tidegate._pipeline import build
    from tidegate._replay import replay
    from tidegate._settings import Settings

    whole = replay(recorded_shop(MINUTES), build(Settings()))
    began = time.monotonic()
    with Cluster(3, proxied=True) as cluster, tempfile.TemporaryDirectory() as place:
        report = chaos(
            cluster, Path(place), whole, prefix=f"round-{seed}", minutes=MINUTES, seconds=SECONDS, seed=seed,
            on_trouble=lambda text: print(f"round {seed}, {time.monotonic() - began:.0f} s: {text}", file=sys.stderr),
            **PER_ROUND,
        )  # fmt: skip
    print(f"round {seed}: {report.wrong or 'right'}", file=sys.stderr)
    return asdict(report) | {"seed": seed, "seconds": round(time.monotonic() - began, 1)}


def _summary(rounds: list[dict[str, Any]]) -> dict[str, Any]:
    resumed = sorted(s for one in rounds for s in one["resume_s"])
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True)
    return {
        "command": "make kills", "date": time.strftime("%Y-%m-%d", time.gmtime()), "commit": commit.stdout.strip(),
        **{name: sum(one[name] for one in rounds) for name in (*PER_ROUND, "redelivered", "started_again")},
        "wrong": sum(bool(one["wrong"]) for one in rounds),
        "resume_p50_s": round(resumed[len(resumed) // 2], 1) if resumed else None,
        "resume_p99_s": round(resumed[min(int(len(resumed) * 0.99), len(resumed) - 1)], 1) if resumed else None,
        "rounds": rounds,
    }  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
