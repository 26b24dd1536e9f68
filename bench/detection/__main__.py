"""`python -m bench.detection --data PATH [--only SET,...] [--peers] [--json]`: a table a set, then JSON."""

import argparse
import json
from pathlib import Path

from bench.detection import sets

BUDGET = "budget"
"""Not a set: what every set with labelled windows says of its alarm budget, by set. Asked for, all sets are run."""

PEERED = ("kpi2018", "ms_cloud", "wsd")
"""Sets of single series, which other systems can be given as they are."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench.detection", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="directory with a folder a set")
    parser.add_argument("--only", default="", help="names of sets, separated by commas")
    parser.add_argument("--peers", action="store_true", help="other systems on some series of " + ", ".join(PEERED))
    parser.add_argument("--json", action="store_true", help="only the JSON line")
    chosen = parser.parse_args()
    known, found = sets(), {}
    only = [name for name in chosen.only.split(",") if name]
    for name in only:
        if name not in known and name != BUDGET:
            parser.error(f"there is no set '{name}'. Known: {', '.join(sorted(known))}, {BUDGET}.")
    if BUDGET in only:
        only = []
    budgets = {}
    for name, module in sorted(known.items()):
        if (only and name not in only) or not (chosen.data / name).is_dir():
            continue
        more = {"with_peers": True} if chosen.peers and name in PEERED else {}
        found[name] = module.measure(chosen.data / name, **more)
        if "budget" in found[name]:
            budgets[name] = found[name]["budget"]
        if not chosen.json:
            print(f"{name}", *module.table(found[name]), "", sep="\n")
    if not found:
        parser.error(
            f"{chosen.data} holds none of {', '.join(only or sorted(known))}. --data takes their parent folder."
        )
    if budgets:
        found[BUDGET] = budgets
    print(json.dumps(found))


if __name__ == "__main__":
    main()
