"""What baselines handed on are worth: `python -m bench.heirs [--seeds N] [--json] [--write]`.

Twenty made pods with a daily swing, a slow wander and noise; each is replaced every day at its own hour by one of
another name and another level (standard deviation 3 of a swing of 15 and noise of about 1). From the fifth to the
eighth day every second new pod has twenty minutes of a fault, three to twenty hours after it began: `--size` higher.
Three ways: pods that keep their name, for comparison; replaced pods whose baselines are handed on; the same without.
Found: an anomaly of p below 1e-4 in the fault or three minutes after. False: any other, half an hour apart.
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np

import schemas as sc
from detectors import Detect
from detectors.seasonal_local import SeasonalLocal
from schemas.core import NS
from streams import Windower, WindowState
from tidegate._detecting import Definitions

DAY, PODS, DAYS, JUDGED = 1440, 20, 8, 4
P = 1e-4
START_NS = 1_699_920_000 * NS
WAYS = ("same name", "handed on", "anew")
OUT = Path("docs/results/heirs.json")


class Pods:
    """Values minute by minute, and who they are; the same for every way of a seed."""

    def __init__(self, seed: int, size: float, *, is_replaced: bool) -> None:
        self._rng, self._size, self._is_replaced = np.random.default_rng(seed), size, is_replaced
        self._noise, self._wander = np.zeros(PODS), np.zeros(PODS)
        self._level, self._phase = self._rng.normal(0, 3, PODS), self._rng.uniform(-30, 30, PODS)
        self._born = np.zeros(PODS, int)
        self.faults: list[tuple[int, int]] = []
        """Slot and the minute in which it begins."""

    def minute(self, m: int) -> tuple[list[sc.SeriesDef], sc.core.F64]:
        births = np.flatnonzero((m >= DAY) & ((m - np.arange(PODS) * 67) % DAY == 0))
        for slot in births.tolist():
            level, is_ill, after = self._rng.normal(0, 3), self._rng.random() < 0.5, self._rng.integers(180, 1200)
            if self._is_replaced:
                self._born[slot], self._level[slot] = m, level
            if is_ill and JUDGED * DAY < m < (DAYS - 1) * DAY:
                self.faults.append((slot, m + int(after)))
        self._noise = 0.7 * self._noise + self._rng.normal(0, 0.7, PODS)
        self._wander = 0.999 * self._wander + self._rng.normal(0, 0.03, PODS)
        at = 2 * np.pi * (m + self._phase) / DAY
        value = 50 + self._level + 15 * np.sin(at) + 8 * np.sin(2 * at) + self._noise + self._wander
        for slot, begin in self.faults:
            value[slot] += self._size if begin <= m < begin + 20 else 0.0
        return [_defined(slot, int(self._born[slot])) for slot in range(PODS)], value


def _defined(slot: int, born: int) -> sc.SeriesDef:
    entity = f"default/instance/cart/cart-{born:010x}-x{slot:04d}"
    number = sc.series_id("default", entity, "cpu", {})
    return sc.SeriesDef(id=f"{number:016x}", entity_id=entity, service="cart", name="cpu")


def run(seed: int, size: float, way: str) -> dict[str, int]:
    """Faults, how many were found, and false events of one week of one seed."""
    pods = Pods(seed, size, is_replaced=way != "same name")
    detect, windower, windows = Detect([SeasonalLocal()]), Windower("bench"), WindowState()
    state, said = detect.initial(), list[tuple[int, int]]()
    for m in range(DAYS * DAY):
        defs, value = pods.minute(m)
        ids = np.array([int(one.id, 16) for one in defs], np.uint64)
        for second in (0, 20, 40):
            t = np.full(PODS, START_NS + (m * 60 + second) * NS)
            windower.add(windows, sc.Frame(ids, t, value, sc.SeriesDefs.of(defs)))
        for block in windower.close(windows, START_NS + (m + 1) * 60 * NS):
            heirs = windower.heirs(windows)
            detect.hand_on(state, heirs if way == "handed on" else [])
            state, anomalies = detect.observe(state, block, Definitions(windows))
            said += [(int(a.entity_id[-4:]), m) for a in anomalies if a.p_value < P and m >= JUDGED * DAY]
    found = {(slot, at) for slot, at in pods.faults if any(s == slot and at <= m < at + 23 for s, m in said)}
    false, last = 0, dict[int, int]()
    for slot, m in said:
        if not any(s == slot and at - 1 <= m < at + 60 for s, at in pods.faults):
            false += m - last.get(slot, -DAY) > 30
            last[slot] = m
    return {"faults": len(pods.faults), "found": len(found), "false": false}


def measure(seeds: int, size: float) -> dict[str, Any]:
    begin, rows = time.process_time(), []
    for way in WAYS:
        each = [run(seed, size, way) for seed in range(seeds)]
        total = {name: sum(one[name] for one in each) for name in ("faults", "found", "false")}
        weeks = seeds * (DAYS - JUDGED) / 7
        rows.append({"way": way, **total, "false_a_week": round(total["false"] / weeks, 2)})
    return {"bench": "heirs", "pods": PODS, "size": size, "seeds": seeds, "p": P, "ways": rows,
            "cpu_s": round(time.process_time() - begin, 1)}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench.heirs", description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--size", type=float, default=8.0, help="of a fault, in units of the series")
    parser.add_argument("--json", action="store_true", help="only the JSON line")
    parser.add_argument("--write", action="store_true", help=f"keep the result in {OUT}")
    chosen = parser.parse_args()
    found = measure(chosen.seeds, chosen.size)
    for row in found["ways"] if not chosen.json else ():
        print(f"{row['way']:10} {row['found']} of {row['faults']} faults found, {row['false_a_week']} false a week")
    print(json.dumps(found))
    if chosen.write:
        OUT.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
