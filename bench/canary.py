"""Canary verdicts on changes that are healthy and on changes that are not: `python -m bench.canary [--json]`.

Each change has five endpoints with requests at different rates, judged at every look by both rules: ours, and the
plain one that many use (p99 a fifth higher). Healthy: both sides from the same law. Slower: one endpoint by a factor,
or only its tail. Counted are changes called worse (false alarms where they are healthy), and when.
"""

import argparse
import json
import time
from typing import Any

import numpy as np
from rich.progress import track
from scipy.stats import beta

from detectors import CanaryRule, judge, looks
from schemas.core import F64, NS

ENDPOINTS = (0.5, 1.0, 3.0, 10.0, 30.0)
"""Requests a second, on each side."""
KINDS: dict[str, tuple[float, float]] = {
    "healthy": (1.0, 1.0), "10 % slower": (1.1, 1.0), "30 % slower": (1.3, 1.0), "50 % slower": (1.5, 1.0),
    "tail 3 times": (1.0, 3.0),
}  # fmt: skip
CHANGES = 1000


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--changes", type=int, default=CHANGES)
    options.add_argument("--json", action="store_true")
    told = options.parse_args()
    rows = {kind: measured(kind, told.changes, quiet=told.json) for kind in KINDS}
    if not told.json:
        for kind, row in rows.items():
            print(f"{kind:14} {row}")
    print(json.dumps({"bench": "canary", "changes": told.changes, "rows": rows}))


def measured(kind: str, changes: int, *, quiet: bool) -> dict[str, Any]:
    rng, began = np.random.default_rng(list(KINDS).index(kind)), time.process_time()
    found = [one(rng, *KINDS[kind]) for _ in track(range(changes), kind, disable=quiet)]
    worse = sum(at is not None for at, _, _ in found)
    low, high = beta.ppf([0.025, 0.975], [worse, worse + 1], [changes - worse + 1, changes - worse])
    at = sorted(at for at, _, _ in found if at is not None)
    return {
        "called_worse": worse, "share": round(worse / changes, 4),
        "ci95": [round(float(np.nan_to_num(low)), 4), round(float(np.nan_to_num(high, nan=1.0)), 4)],
        "median_s": at[len(at) // 2] if at else None, "plain_p99_rule": sum(plain for _, plain, _ in found),
        "not_worse_at_end": sum(end == "not_worse" for _, _, end in found),
        "cpu_ms_a_change": round((time.process_time() - began) / changes * 1000, 2),
    }  # fmt: skip


def one(rng: np.random.Generator, scale: float, tail: float) -> tuple[int | None, bool, str]:
    """When a change was called worse (seconds after its warm-up, None for never), whether the plain rule would have,
    and what is said of the changed endpoint at the end."""
    rule = CanaryRule()
    ages = [at // NS - round(rule.warm_up_s) for at in looks(0, 10**5 * NS)]
    tests = len(ages) * len(ENDPOINTS)
    ill = int(rng.integers(len(ENDPOINTS)))
    sides = [[dict[int, int](), dict[int, int]()] for _ in ENDPOINTS]
    raw = [[np.zeros(0), np.zeros(0)] for _ in ENDPOINTS]
    first: int | None = None
    plain, before, end = False, 0, ""
    for age in ages:
        for i, rate in enumerate(ENDPOINTS):
            for side in (0, 1):
                stretched = (scale, tail) if side and i == ill else (1.0, 1.0)
                values = _latencies(rng, int(rng.poisson(rate * (age - before))), *stretched)
                raw[i][side] = np.r_[raw[i][side], values]
                for bucket, count in zip(*np.unique(_buckets(values), return_counts=True), strict=True):
                    sides[i][side][int(bucket)] = sides[i][side].get(int(bucket), 0) + int(count)
            found = judge(*sides[i], tests, rule)
            first = age if found.verdict == "worse" and first is None else first
            end = found.verdict if i == ill else end
            if min(len(side) for side in raw[i]) >= rule.least:
                old, new = (float(np.quantile(side, 0.99)) for side in raw[i])
                plain = plain or new >= 1.2 * old
        before = age
    return first, plain, end


def _latencies(rng: np.random.Generator, n: int, scale: float, tail: float) -> F64:
    values = 0.1 * scale * rng.lognormal(0, 0.6, n)
    return np.where(rng.random(n) < 0.05, values * tail, values)


def _buckets(values: F64) -> Any:
    return np.ceil(np.log2(values) * 8).astype(np.int64) - 1


if __name__ == "__main__":
    main()
