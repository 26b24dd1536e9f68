"""Whether the share of false discoveries holds, and what is found at that price: `python -m bench.fdr [--json]`.

Shifts of 480 windows of a minute over many series with independent uniform p, some with faults whose windows have a
small p (log-uniform over the five orders below 1e-4). Beside `detection.false_share` (Batch-BH, `detectors/_fdr.py`):
Benjamini and Hochberg in each window alone, which knows nothing of the other 479; one fixed p, as `diagnosis.open_p`;
and fixed p divided by all that is tested (Bonferroni). Counted: shifts with a false discovery, the mean share of false
discoveries with its standard error, and the share of faulty windows that are found. Last, two teams with half of the
series each, one of which has 20 series ill for 5 h: what the other, to which nothing happens, sees of false
discoveries if both share one budget, and with a budget each (`detection.teams`).
"""

import argparse
import json
from collections.abc import Callable
from typing import Any

import numpy as np

from detectors import FdrLedger, FdrRule, discoveries
from schemas.core import F64, NS

MINUTE = 60 * NS
WINDOWS = 480
SHARE, FIXED = 0.05, 1e-6
FAULTS = {"nothing": (0, 0), "one series, 10 min": (1, 10), "20 series, 30 min": (20, 30), "20 series, 5 h": (20, 300)}
"""Series that are ill, and for how many windows."""
Judge = Callable[[F64, int, int], float]
"""From the small p of a window, how many there are in all and its number to the p up to which it discovers."""


def judges(n: int) -> dict[str, Judge]:
    """One of each, new for every shift."""
    ledger, rule = FdrLedger(), FdrRule(SHARE, WINDOWS * 60.0)
    return {
        "batch_bh": lambda p, m, at: discoveries(ledger, p, m, at * MINUTE + MINUTE - 1, rule),
        "bh_each_window": lambda p, m, at: _bh(p, m),
        "fixed_p": lambda p, m, at: FIXED,
        "bonferroni": lambda p, m, at: SHARE / (n * WINDOWS),
    }


def _bh(p: F64, n: int) -> float:
    ordered = np.sort(p)
    passed = np.flatnonzero(ordered <= SHARE * np.arange(1, len(p) + 1) / n)
    return float(ordered[passed[-1]]) if len(passed) else 0.0


def measure(series: int, shifts: int, ill: int, lasting: int) -> dict[str, Any]:
    """Rows by judge. Only p below 1e-2 are drawn, with their binomial number: the others are never discoveries."""
    rng = np.random.default_rng([7, series, ill, lasting])
    shares: dict[str, list[float]] = {}
    found: dict[str, list[int]] = {}
    for _ in range(shifts):
        said = {name: [0, 0] for name in judges(series)}
        some = judges(series)
        for at in range(WINDOWS):
            is_ill = 60 <= at < 60 + lasting
            bad = 10.0 ** rng.uniform(-9, -4, ill) if is_ill else np.zeros(0)
            well = 1e-2 * rng.random(rng.binomial(series - len(bad), 1e-2))
            for name, judge in some.items():
                upto = judge(np.concatenate([bad, well]), series, at)
                said[name][0] += int((well <= upto).sum())
                said[name][1] += int((bad <= upto).sum())
        for name, (false, right) in said.items():
            shares.setdefault(name, []).append(false / max(false + right, 1))
            found.setdefault(name, []).append(right)
    return {
        name: {
            "shifts_with_false": float(np.mean(np.array(part) > 0)), "false_share": float(np.mean(part)),
            "error": float(np.std(part) / np.sqrt(shifts)),
            "recall": float(np.mean(found[name])) / (ill * lasting) if ill else None,
        }
        for name, part in shares.items()
    }  # fmt: skip


def overlapping(series: int, shifts: int) -> dict[str, Any]:
    """The same of windows of a minute that begin every 10 s, nothing wrong: neighbours share five sixths."""
    from scipy.special import ndtr

    rng, false = np.random.default_rng([7, series, 6]), 0
    for _ in range(shifts):
        ledger, rule = FdrLedger(), FdrRule(SHARE, WINDOWS * 60.0)
        ring, here = rng.standard_normal((6, series)), 0
        for at in range(WINDOWS * 6):
            ring[at % 6] = rng.standard_normal(series)
            p = ndtr(-ring.sum(axis=0) / np.sqrt(6.0))
            upto = discoveries(ledger, p[p < 1e-2], series, at * MINUTE // 6 + MINUTE // 6 - 1, rule)
            here += int((p <= upto).sum())
        false += here > 0
    share = false / shifts
    row = {"shifts_with_false": share, "false_share": share, "error": float(np.sqrt(share * (1 - share) / shifts))}
    return {"batch_bh": {**row, "recall": None, "shifts": shifts}}


def teams(series: int, shifts: int) -> dict[str, Any]:
    """False discoveries of a team with nothing wrong beside one that is ill for hours; of that one also what it finds.

    Keys: `calm team, one budget`, `calm team, its own`, `ill team, one budget`, `ill team, its own`.
    """
    rng, each, rule = np.random.default_rng([7, series, 8]), series // 2, FdrRule(SHARE, WINDOWS * 60.0)
    ill, lasting = FAULTS["20 series, 5 h"]
    counts: dict[str, list[tuple[int, int]]] = {}
    for _ in range(shifts):
        ledgers = {name: FdrLedger() for name in ("both", "calm", "ill")}
        said = {f"{team} team, {how}": [0, 0] for team in ("calm", "ill") for how in ("one budget", "its own")}
        for at in range(WINDOWS):
            bad = 10.0 ** rng.uniform(-9, -4, ill) if 60 <= at < 60 + lasting else np.zeros(0)
            calm, well = (1e-2 * rng.random(rng.binomial(n, 1e-2)) for n in (each, each - len(bad)))
            end = at * MINUTE + MINUTE - 1
            both = discoveries(ledgers["both"], np.concatenate([calm, well, bad]), 2 * each, end, rule)
            own = {
                "calm": discoveries(ledgers["calm"], calm, each, end, rule),
                "ill": discoveries(ledgers["ill"], np.concatenate([well, bad]), each, end, rule),
            }
            for how in ("one budget", "its own"):
                for team, false, right in (("calm", calm, np.zeros(0)), ("ill", well, bad)):
                    upto = both if how == "one budget" else own[team]
                    said[f"{team} team, {how}"][0] += int((false <= upto).sum())
                    said[f"{team} team, {how}"][1] += int((right <= upto).sum())
        for name, (wrong, hits) in said.items():
            counts.setdefault(name, []).append((wrong, hits))
    rows = {}
    for name, pairs in counts.items():
        share = np.array([false / max(false + right, 1) for false, right in pairs])
        found = float(np.mean([right for _, right in pairs])) / (ill * lasting)
        rows[name] = {
            "shifts_with_false": float(np.mean([false > 0 for false, _ in pairs])), "false_share": float(share.mean()),
            "error": float(share.std() / np.sqrt(shifts)), "recall": found if name.startswith("ill") else None,
        }  # fmt: skip
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench.fdr", description=__doc__)
    parser.add_argument("--series", type=int, default=5000)
    parser.add_argument("--shifts", type=int, default=60)
    parser.add_argument("--json", action="store_true", help="only the JSON line")
    chosen = parser.parse_args()
    rows = {name: measure(chosen.series, chosen.shifts, *fault) for name, fault in FAULTS.items()}
    rows["nothing, overlapping"] = overlapping(chosen.series // 10, max(chosen.shifts, 1))
    rows["two teams"] = teams(chosen.series, chosen.shifts)
    for name, row in rows.items() if not chosen.json else ():
        for judge, one in row.items():
            recall = "" if one["recall"] is None else f", found {one['recall']:.2f}"
            print(
                f"{name:20} {judge:22} false {one['false_share']:.3f} +- {one['error']:.3f}, "
                f"shifts with a false one {one['shifts_with_false']:.2f}{recall}"
            )
    print(json.dumps({"series": chosen.series, "shifts": chosen.shifts, "share": SHARE, "rows": rows}))


if __name__ == "__main__":
    main()
