"""Who is to blame: accuracy on labelled incidents, each scored by weights that have not seen it.

`python -m bench.diagnosis --data D [--json] [--fit OUT]`. Per set present: chance, n, AC@1, AC@3, Avg@5 leave-one-out
with a bootstrap interval, leave-service-out, leave-fault-type-out, equal weights. The labelled minute is the trigger;
ties count against us. Confidence is not calibrated yet, so no calibration figures are printed.
"""

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import track

from bench.nezha import FOLDER, Labelled, archives, incidents, labelled
from diagnosis import KINDS
from learning import Case, evaluate, fit_ranker, leave_group_out, ranks_of

FIXED = ("2023-01-29T10:20:10", "2023-01-30T12:29:29")
"""The two incidents that are packed singly; the shipped weights are fitted on the other 43."""


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--data", required=True, type=Path)
    options.add_argument("--json", action="store_true")
    options.add_argument("--fit", type=Path, help="write weights fitted without the two packed incidents")
    chosen = options.parse_args()
    found = archives(chosen.data / FOLDER)
    if not found:
        sys.exit(
            f"{chosen.data} holds no {FOLDER}/*.tar.zst. --data takes a directory with the archive, see docs/proofs.md."
        )
    cases = load(found)
    document = {"nezha_tt": score(cases)}
    if chosen.fit:
        chosen.fit.write_text(fitted(cases).model_dump_json(indent=1) + "\n")
    if not chosen.json:
        show(document["nezha_tt"])
    print(json.dumps(document))


def load(packed: Sequence[Path]) -> list[Labelled]:
    """Every incident as a case, with a progress bar at a terminal."""
    found = (one for archive in packed for one in labelled(archive))
    total = sum(len(incidents(archive)) for archive in packed)
    console = Console(stderr=True)
    return list(track(found, "replaying incidents", total=total, console=console, disable=not sys.stderr.isatty()))


def fitted(cases: Sequence[Labelled]) -> Any:
    """Weights of all incidents but the two packed ones, with the manifest of both."""
    used = [one.case for one in cases if one.case.id not in FIXED]
    return fit_ranker(used, KINDS, data="Nezha Train-Ticket (MIT), 2023-01-29 and 30", held_out=FIXED)


def score(cases: Sequence[Labelled]) -> dict[str, Any]:
    """The figures of one set."""
    families = {one.case.id: one.family for one in cases}
    plain = [one.case for one in cases]

    def out(group: Callable[[Case], str]) -> dict[str, float]:
        found = evaluate(plain, leave_group_out(plain, KINDS, group=group))
        return {"ac1": round(found.ac1, 3), "ac3": round(found.ac3, 3), "avg5": round(found.avg5, 3)}

    ranks = leave_group_out(plain, KINDS, group=lambda case: case.id)
    one = evaluate(plain, ranks)
    equal = evaluate(plain, ranks_of(plain, lambda case: np.ones(len(KINDS))))
    by_family = {
        family: f"{sum(int(r) == 1 for c, r in zip(plain, ranks, strict=True) if families[c.id] == family)}"
        f"/{sum(f == family for f in families.values())}"
        for family in sorted(set(families.values()))
    }
    return {
        "n": one.n, "chance_ac1": round(one.chance, 3), "ac1": round(one.ac1, 3), "ac3": round(one.ac3, 3),
        "avg5": round(one.avg5, 3), "ci95_ac1": [round(v, 3) for v in one.interval], "by_fault_type": by_family,
        "leave_service_out": out(lambda case: case.group), "leave_fault_type_out": out(lambda case: families[case.id]),
        "equal_weights": {"ac1": round(equal.ac1, 3), "ac3": round(equal.ac3, 3)},
        "seconds_per_incident": round(float(np.median([one.seconds for one in cases])), 2),
    }  # fmt: skip


def show(found: dict[str, Any]) -> None:
    print(f"Nezha Train-Ticket, {found['n']} incidents, chance AC@1 {found['chance_ac1']}")
    print(f"  leave-one-out        AC@1 {found['ac1']} (95% {found['ci95_ac1']})  AC@3 {found['ac3']}")
    for name in ("leave_service_out", "leave_fault_type_out", "equal_weights"):
        print(f"  {name.replace('_', '-'):<21}AC@1 {found[name]['ac1']}  AC@3 {found[name]['ac3']}")
    print(f"  right at rank 1 by fault type: {found['by_fault_type']}")


if __name__ == "__main__":
    main()
