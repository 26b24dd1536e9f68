"""Accuracy and calibration on labelled incidents, each ranked by a model that has not seen it.

`python -m bench.diagnosis --data D [--train D2] [--only nezha_tt,...] [--json] [--fit OUT]`. Per set present: accuracy
at rank 1 and 3 with chance and a bootstrap interval, ties against us; ECE and Brier of the confidences; the gate
(lower end of the two-sided 90 % interval at least .8); fault-free windows; incidents that our own detection opens;
baselines in the same run. With --train everything is fitted on D2 alone, and D is only scored. --halves fits on one
half of the incidents and scores the other, both ways; --weak loses telemetry behind detection; --openings says how far
faint incidents rise above fault-free minutes, alone and with their neighbours. --fit writes what
ships: fitted on Nezha without the two incidents that are packed singly.
"""

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from bench.diagnosis._fit import ship, train
from bench.diagnosis._halves import halves
from bench.diagnosis._openings import openings
from bench.diagnosis._score import Said, crossed_set, pooled, trained_set
from bench.diagnosis._sets import FOLDERS, PLAIN, Found, load
from bench.diagnosis._weak import weak


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--data", required=True, type=Path, help="directory with the sets' archives in folders")
    options.add_argument("--train", type=Path, help="fit on these sets only")
    options.add_argument("--only", default="", help=f"of {', '.join(FOLDERS)}")
    options.add_argument("--json", action="store_true")
    options.add_argument("--halves", action="store_true", help="fit on one half of D, score the other, both ways")
    options.add_argument("--weak", action="store_true", help="lose signals, spans, metrics of one service")
    options.add_argument("--openings", action="store_true", help="faint incidents against fault-free minutes (Nezha)")
    options.add_argument("--fit", type=Path, help="write the shipped artefacts to this directory")
    chosen = options.parse_args()
    if chosen.openings:
        nezha = load("nezha_tt", chosen.data)
        print(json.dumps(openings(nezha.incidents) if nezha else {}))
        return
    only = {name for name in chosen.only.split(",") if name}
    if unknown := only - set(FOLDERS):
        sys.exit(f"There is no set {', '.join(sorted(unknown))}. Sets: {', '.join(FOLDERS)}.")
    sets = loaded(chosen.data, only, chosen.train)
    if not sets:
        sys.exit(f"{chosen.data} holds none of {', '.join(sorted(set(FOLDERS.values())))}/*.tar.xz|.zst.")
    if chosen.fit:
        plain = load(PLAIN, chosen.data)
        if plain is None or "nezha_tt" not in sets:
            sys.exit(f"The shipped artefacts are fitted on {FOLDERS['nezha_tt']}, which is not in {chosen.data}.")
        ship({**sets, PLAIN: plain}, chosen.fit)
        return
    if chosen.halves or chosen.weak:
        print(json.dumps(halves(sets) if chosen.halves else {n: weak(n, f.incidents) for n, f in sets.items()}))
        return
    document = trained(sets, chosen.train) if chosen.train else crossed(sets)
    if not chosen.json:
        show(document)
    print(json.dumps(document))


def loaded(data: Path, only: set[str], beside: Path | None = None) -> dict[str, Found]:
    """The sets that are there, in order."""
    found = {name: load(name, data, beside) for name in FOLDERS if not only or name in only}
    return {name: one for name, one in found.items() if one is not None}


def crossed(sets: Mapping[str, Found]) -> dict[str, Any]:
    document: dict[str, Any] = {}
    said: list[Said] = []
    for name, found in sets.items():
        document[name], mine, _, _ = crossed_set(name, found)
        said += mine
        print(f"{name} done", file=sys.stderr)
    return document | {"pooled": pooled(said)}


def trained(sets: Mapping[str, Found], data: Path) -> dict[str, Any]:
    document: dict[str, Any] = {}
    said: list[Said] = []
    sources = loaded(data, set(sets))
    if set(sets) - set(sources):
        sources |= loaded(data, {"nezha_tt"}) or loaded(data, set())
    if not sources:
        sys.exit(f"{data} holds none of {', '.join(sorted(set(FOLDERS.values())))}/*.tar.xz|.zst to fit on.")
    fitted = train(sources, list(sets))
    for name, found in sets.items():
        one = fitted[name]
        document[name], mine = trained_set(found, one.model, one.curve, one.without)
        said += mine
        print(f"{name} done", file=sys.stderr)
    return document | {"pooled": pooled(said)}


def show(document: Mapping[str, Any]) -> None:
    table = Table(title="Causes named, out of fold")
    for column in ("set", "n", "chance", "AC@1", "95 %", "AC@3", "ECE", "gate", "right", "specificity", "type out"):
        table.add_column(column)
    for name, one in document.items():
        out = one.get("leave_fault_type_out", {})
        interval = "-".join(f"{v:.2f}" for v in one.get("ci95_ac1", []))
        cells = (
            one["n"], one.get("chance_ac1"), one.get("ac1"), interval, one.get("ac3"), one["ece"], one["gate_coverage"],
            one["gate_right"], one.get("specificity"), out.get("ac1"),
        )  # fmt: skip
        table.add_row(name, *("-" if cell is None else str(cell) for cell in cells))
    Console().print(table)


if __name__ == "__main__":
    main()
