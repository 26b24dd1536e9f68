"""A quarter of an hour ahead: is a chosen model better than seasonal-naive, and are its intervals kept?

`python -m bench.forecast --data D [--only ms_cloud,kpi2018] [--quick] [--json]`. For each series the model is chosen on
the training part alone, fitted again on it, and then forecasts the test part step by step, with a fit a week on all
that had come by then. Pinball loss (5 %, 50 %, 95 %) beside that of seasonal-naive with intervals made the same way;
coverage of the 90 % intervals. Labels are not looked at. `--quick`: without statsmodels and Prophet.

Limits: for each series the 90th, 95th and 99th percentile of its training part is a limit; of the moments at which it
was foreseen (`diagnosis.Limit`) and not yet reached, how often was it reached? `--fit FILE` writes the calibration of
all sets together; how well it holds is measured on each set with a map that was fitted on the others.
"""

import argparse
import json
import os
import time
import warnings
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import track

from bench.detection._series import Labelled, archives, tables
from diagnosis import Limit, confidence_of
from learning import (
    MODELS,
    QUICK,
    Chosen,
    Grid,
    Outcome,
    choose,
    crossed,
    fit_calibration,
    horizon,
    on_grid,
    reliability,
    roll,
)  # fmt: skip
from learning._forecast import NAIVE, Rolled, _safely
from learning._forecast_models import SeasonalNaive
from schemas.core import F64, NS

STEP_S, AHEAD_S = 300, 900
REFIT_DAYS, MOST_TEST_DAYS = 7, 28
QUANTILES = (0.9, 0.95, 0.99)
SETS = {"ms_cloud": lambda folder: tables(folder, 0.4), "kpi2018": lambda folder: archives(folder, 60)}


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--data", required=True, type=Path)
    options.add_argument("--only", default=",".join(SETS))
    options.add_argument("--quick", action="store_true")
    options.add_argument("--json", action="store_true")
    options.add_argument("--fit", type=Path, help="write the CalibrationMap of foreseen limits to this file")
    told = options.parse_args()
    document: dict[str, Any] = {"quick": told.quick}
    for name in told.only.split(","):
        if (told.data / name).is_dir():
            document[name] = measured(SETS[name](told.data / name), told.quick, quiet=told.json)
    if len(document) == 1:
        options.error(f"{told.data} holds none of {told.only}")
    by_set = {name: found.pop("outcomes") for name, found in document.items() if isinstance(found, dict)}
    document["crossings"] = held({name: outcomes for name, outcomes in by_set.items() if outcomes})
    if told.fit:
        every = [one for outcomes in by_set.values() for one in outcomes]
        told.fit.write_bytes(fit_calibration(every, data=f"foreseen limits of {', '.join(by_set)}").to_bytes())
    if not told.json:
        show(document)
    print(json.dumps(document))


def held(by_set: dict[str, list[Outcome]]) -> dict[str, Any]:
    """Each set by a map of the others."""
    found = {}
    for name, outcomes in by_set.items():
        others = [one for other, more in by_set.items() if other != name for one in more]
        if others:
            curve = fit_calibration(others, data="the other sets")
            said = [confidence_of(curve, one.standing)[0] for one in outcomes]
            how = reliability(said, [one.is_right for one in outcomes])
            found[name] = {"n": how.n, "ece": round(how.ece, 4), "ci95": [round(end, 4) for end in how.interval],
                           "said": round(float(np.mean(said)), 4), "brier": round(how.brier, 4),
                           "base": round(how.base, 4)}  # fmt: skip
    return found


def measured(series: list[Labelled], quick: bool, *, quiet: bool) -> dict[str, Any]:
    with ProcessPoolExecutor(max(1, (os.cpu_count() or 2) - 1)) as pool:
        work = pool.map(one, series, [quick] * len(series))
        rows = [row for row in track(work, "series", len(series), console=Console(stderr=True), disable=quiet) if row]
    ratio = np.array([row["loss"] / row["naive"] for row in rows if row["naive"] > 0])
    inside = np.array([row["inside"] for row in rows])
    rng = np.random.default_rng(0)
    means = [float(np.exp(np.log(rng.choice(ratio, len(ratio))).mean())) for _ in range(2000)] if len(ratio) else [1.0]
    return {
        "series": len(rows), "without_forecast": len(series) - len(rows),
        "loss_ratio": round(float(np.exp(np.log(ratio).mean())), 4) if len(ratio) else None,
        "ci95": [round(float(q), 4) for q in np.quantile(means, [0.025, 0.975])],
        "better": int((ratio < 1).sum()), "worse": int((ratio > 1).sum()),
        "coverage": round(float(inside.mean()), 4), "coverage_least": round(float(inside.min()), 4),
        "within_3": int((np.abs(inside - 0.9) <= 0.03).sum()),
        "models": dict(Counter(row["model"] for row in rows)),
        "outcomes": (outcomes := [one for row in rows for one in row.pop("foreseen")]), "limits": limits(outcomes),
        "cpu_s_per_series": round(sum(row["cpu_s"] for row in rows) / max(len(rows), 1), 2),
        "rows": rows,
    }  # fmt: skip


def one(series: Labelled, quick: bool) -> dict[str, Any] | None:
    """A series; None where there is too little history for seasonal-naive."""
    warnings.simplefilter("ignore")
    began = time.process_time()
    step = max(STEP_S * NS, series.step_ns)
    grid = on_grid(series.t_ns, series.x[:, 0], step)
    first = int((series.t_ns[series.first] - grid.start_ns) // step)
    grid = grid.head(first + round(MOST_TEST_DAYS * 86_400 * NS / step))
    h = horizon(step, AHEAD_S)
    chosen = choose(QUICK if quick else MODELS, grid.head(first), (), h)
    naive = choose((SeasonalNaive(),), grid.head(first), (), h)
    if chosen is None or naive is None:
        return None
    mine, theirs = (_test(c, grid, first, h) for c in (chosen, naive))
    values = grid.values
    losses = mine.loss(values), theirs.loss(values)
    both = np.isfinite(losses[0]) & np.isfinite(losses[1])
    told = np.isfinite(values[mine.at]) & np.isfinite(mine.low)
    inside = (mine.low <= values[mine.at]) & (values[mine.at] <= mine.high)
    return {
        "name": series.name, "model": chosen.model.name, "n": int(both.sum()),
        "loss": float(losses[0][both].mean()), "naive": float(losses[1][both].mean()),
        "inside": float(inside[told].mean()), "cpu_s": time.process_time() - began,
        "foreseen": crossed(
            values, mine.at[::h], (mine.low[::h], mine.middle[::h], mine.high[::h]), h,
            [Limit("", "", at, "load_ahead") for at in np.nanquantile(values[:first], QUANTILES).tolist()], series.name,
        ),
    }  # fmt: skip


def limits(outcomes: list[Outcome]) -> list[dict[str, Any]]:
    """By margin: how many were foreseen, what the quantiles alone would say, and how often the limit was reached."""
    edges, found = [0.0, 0.25, 0.5, 1.0, 2.0, 4.0, 20.1], []
    for low, high in pairwise(edges):
        held = [one.is_right for one in outcomes if low <= one.standing.odds < high]
        if held:
            found.append({"from": low, "n": len(held), "reached": round(float(np.mean(held)), 4)})
    return found


def _test(chosen: Chosen, grid: Grid, first: int, h: int) -> Rolled:
    """The test part in stretches, each with a model that was fitted on all before it."""
    by_name = {model.name: model for model in (*MODELS, SeasonalNaive())}
    width = round(REFIT_DAYS * 86_400 * NS / grid.step_ns)
    model, errors, parts = chosen.model, chosen.errors, list[Rolled]()
    for begin in range(first, len(grid.values), width):
        part = roll(model, grid.values[: begin + width], begin, errors)
        parts.append(part)
        errors = np.r_[errors, grid.values[part.at] - part.middle]
        if chosen.model.name != NAIVE:
            model = _safely(by_name[chosen.model.name], grid.head(begin + width), (), h) or model
    columns: list[F64] = [np.concatenate(c) for c in zip(*parts, strict=True)]
    return Rolled(columns[0].astype(np.int64), *columns[1:])


def show(document: dict[str, Any]) -> None:
    for name, found in document.items():
        if name == "crossings":
            for each, one in found.items():
                print(f"foreseen limits of {each} by the map of the others: {one}")
        elif isinstance(found, dict):
            print(f"{name}: {found['series']} series ({found['without_forecast']} with too little history)")
            print(f"  pinball loss / seasonal-naive  {found['loss_ratio']} {found['ci95']}  (1 = no better)")
            print(f"  better / worse                 {found['better']} / {found['worse']}")
            print(f"  coverage of 90 % intervals     {found['coverage']}, {found['within_3']} series within 3 points")
            for row in found["limits"]:
                print(f"  limit foreseen, margin from {row['from']:<4}  reached {row['reached']:.3f} of {row['n']}")
            print(f"  models                         {found['models']}, {found['cpu_s_per_series']} CPU-s a series")


if __name__ == "__main__":
    main()
