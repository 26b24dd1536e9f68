"""What a fit on the first half of a week is worth in the second: `python -m bench.pages_split --data D [--json]`.

The fleet of `bench.pages` with real series as noise (`--data`: directory with wsd/ or kpi2018/), no labels. Three and a
half days after the two that taught the detectors are fitted on, the next three and a half are counted, and on the last
day each service has its fault. Four ways: the default `diagnosis.open_p`; that which `tidegate detect fit` says for one
page a week of the fleet (fitted on symptoms, whether or not they could open an incident); the default with the p of
each series corrected by its own tail of the first half (as many symptoms as it had there, the excess exponential with
their mean, never to a smaller p); both at once; and the default without the series that had five symptoms or more.
"""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import schemas as sc
from bench.detection._figures import poisson_interval
from bench.pages import DAY, FAULT_MIN, LOT, TAUGHT_D, Lot, opened, run, stretches_of
from diagnosis import Settings as DiagnoseSettings
from learning import TooShort
from schemas.core import F64
from tidegate import _budget
from tidegate._pipeline import opening

DAYS = 7
BEGIN, HALF, END = TAUGHT_D * DAY, TAUGHT_D * DAY + DAYS * DAY // 2, (TAUGHT_D + DAYS) * DAY
ORDERS = 3.0
"""Symptoms are told from 1e-3 on."""
NATURAL = float(np.log10(np.e))
"""Mean excess, in orders of magnitude, of p that are uniform."""
MOST = 5
Correct = Callable[[sc.Anomaly], float]


def fitted(lot: Lot) -> float:
    """`diagnosis.open_p` of `detect fit` for one page a week of all services, from the first half."""
    surprise: dict[str, F64] = {name: np.zeros(HALF - BEGIN) for name in lot.services}
    for at, one in lot.symptoms:
        if at < HALF:
            mine = surprise[one.service]
            mine[at - BEGIN] = max(mine[at - BEGIN], -np.log10(one.p_value))
    try:
        return float(_budget.fit(_budget.Seen(surprise, 0), "first half", 1.0, 7 * 24.0)["open_p"])
    except _budget.BudgetError as error:
        raise TooShort(str(error)) from error


def by_series(lot: Lot) -> dict[str, F64]:
    """Orders of magnitude of the symptoms of the first half."""
    found: dict[str, list[float]] = {}
    for at, one in lot.symptoms:
        if at < HALF:
            found.setdefault(one.series, []).append(-np.log10(one.p_value))
    return {series: np.array(some) for series, some in found.items()}


def own_tail(known: dict[str, F64]) -> Correct:
    def correct(one: sc.Anomaly) -> float:
        some = known.get(one.series)
        if some is None:
            return one.p_value
        share = max(len(some) / (HALF - BEGIN), 10.0**-ORDERS)
        mean = max(float((some - ORDERS).mean()), NATURAL)
        beyond = -np.log10(one.p_value) - ORDERS
        return float(max(one.p_value, min(1.0, share * np.exp(-beyond / mean))))

    return correct


def measure(data: Path, services: int) -> dict[str, Any]:
    """Keys of the JSON object."""
    begin = time.process_time()
    real = stretches_of(data, (TAUGHT_D + DAYS + 1) * DAY)
    lot = run(0, min(services, LOT), DAYS, 1, real)
    known, usual = by_series(lot), DiagnoseSettings().open_p
    tail, open_p = own_tail(known), fitted(lot)
    ways: dict[str, tuple[float, Correct]] = {
        "default": (usual, lambda one: one.p_value),
        "detect fit": (open_p, lambda one: one.p_value),
        "own tails": (usual, tail),
        "both": (open_p, tail),
        "left out": (usual, lambda one: 1.0 if len(known.get(one.series, ())) >= MOST else one.p_value),
    }
    crying = {one.series for at, one in lot.symptoms if HALF <= at < END}
    return {
        "services": len(lot.services), "stretches": len(real.begin),
        "ways": [_row(name, lot, at_p, correct) for name, (at_p, correct) in ways.items()],
        "series_with_symptoms": {
            "first_half": len(known), "second_half": len(crying), "both": len(crying & set(known)),
        },
        "cpu_s": time.process_time() - begin,
    }  # fmt: skip


def _row(name: str, lot: Lot, open_p: float, correct: Correct) -> dict[str, Any]:
    told = []
    for at, one in lot.symptoms:
        p = correct(one)
        if p < 10.0**-ORDERS:
            told.append((at, one.model_copy(update={"p_value": max(p, 1e-300)})))
    pages = opened(told, opening(open_p), lot.services)
    first, second = sum(at < HALF for at, _ in pages), sum(HALF <= at < END for at, _ in pages)
    low, high = poisson_interval(second)
    found = [
        any(f.begin <= at < f.begin + FAULT_MIN + 5 and lot.services[f.service] in about for at, about in pages)
        for f in lot.faults
    ]
    return {
        "way": name, "open_p": open_p, "pages_first_half": first, "pages_second_half": second,
        "interval95": [low, high], "found": sum(found), "faults": len(found),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench.pages_split", description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--services", type=int, default=LOT, help="at most twenty")
    parser.add_argument("--json", action="store_true", help="only the JSON line")
    chosen = parser.parse_args()
    found = measure(chosen.data, chosen.services)
    for one in found["ways"] if not chosen.json else ():
        low, high = one["interval95"]
        print(
            f"{one['way']:10} open_p {one['open_p']:.0e}: {one['pages_first_half']} pages in the half that was fitted "
            f"on, {one['pages_second_half']} (95% {low:.1f} to {high:.1f}) in the other; "
            f"{one['found']} of {one['faults']} faults found"
        )
    print(json.dumps(found))


if __name__ == "__main__":
    main()
