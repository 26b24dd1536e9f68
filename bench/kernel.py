"""What the stage adds to its kernel: `python -m bench.kernel [--json]`, in points a CPU-second.

Three ways over the same gauges, one window a minute, two days in, so every hour is known. `stage` is `Detect.observe`
with `seasonal_local`: selection, thresholds, anomalies. `bare` is the compiled code of that detector called straight
on its arrays, nothing else. `sketch` is the smallest kernel that deserves the name (a profile, a level, a scale and two
sums, 20 bytes a point): it says what a point costs if nothing is kept that p needs to mean the same for every series.
Rows of several sizes, because the state of many series lies in memory and that of few in cache. Medians of five.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from typing import Any

import numba
import numpy as np

from detectors import Detect, _season_numba
from detectors._local import GROWTH, LEVEL_SHARE
from detectors._season import clock_of
from detectors._seasonal import WARMUP
from detectors._tail_online import SHARE
from detectors._tails import cut_of, upper_t4
from detectors.seasonal_local import SeasonalLocal
from schemas import SeriesDef
from schemas.core import F64, NS, WindowBlock

ROWS, POINTS, RUNS, WARM = (1_000, 10_000, 100_000), 1_000_000, 5, 2 * 1440
P = 1e-3
START = 1_767_571_200 * NS


def measure(rows: int) -> dict[str, Any]:
    """Points a CPU-second of each way, and the stage as a share of the others."""
    windows, rng = max(POINTS // rows, 10), np.random.default_rng(3)
    level = rng.uniform(10, 100, rows)
    values = [level * (1 + 0.05 * rng.standard_normal(rows)) for _ in range(16)]
    blocks = [_block(at, values[at % 16]) for at in range(WARM, WARM + RUNS * windows)]
    one = SeriesDef(id=f"{1:016x}", entity_id="default/service/s", service="s", name="m")
    known = dict.fromkeys(range(rows), one)
    detect = Detect([SeasonalLocal()], emit_p=P)
    detect.use_kernels()
    state = detect.initial()
    state, _ = detect.observe(state, _block(0, values[0]), known)
    table = state.tables["seasonal_local"]
    _teach(table, level, rng)
    bare = {name: column.copy() for name, column in table.items()}
    own = _sketch_state(level)
    excesses, cut = float(np.log(SHARE / P)) - 1e-6, cut_of(lambda z: 2.0 * upper_t4(z), P)

    def stage(block: WindowBlock) -> None:
        detect.observe(state, block, known)

    def straight(block: WindowBlock) -> None:
        clock = clock_of(block)
        _season_numba.may_matter(block.mean, bare, clock, cut, excesses, LEVEL_SHARE, WARMUP)
        _season_numba.learn(block.mean, bare, clock, block.start_ns, LEVEL_SHARE, GROWTH)

    def sketch(block: WindowBlock) -> None:
        _sketch(block.mean, int(block.start_ns // (300 * NS)) % 288, *own)

    rates = {}
    for name, way in (("stage", stage), ("bare", straight), ("sketch", sketch)):
        way(blocks[0])
        rates[name] = statistics.median(
            _rate(way, blocks[run * windows : (run + 1) * windows], rows) for run in range(RUNS)
        )
    return {
        "series": rows, **{f"{name}_points_per_s": rate for name, rate in rates.items()},
        "of_bare": rates["stage"] / rates["bare"], "of_sketch": rates["stage"] / rates["sketch"],
    }  # fmt: skip


def _rate(way: Callable[[WindowBlock], None], blocks: list[WindowBlock], rows: int) -> float:
    begin = time.process_time()
    for block in blocks:
        way(block)
    return rows * len(blocks) / (time.process_time() - begin)


def _teach(table: dict[str, Any], level: F64, rng: np.random.Generator) -> None:
    """The state of a gauge after two days, written down instead of run through: it is speed that is measured."""
    table["profile"][:] = level[:, None]
    table["profile_spread"][:] = 0.05 * level[:, None]
    table["profile_learned"][:] = 120
    table["since_ns"][:] = START
    for name, value in (("windows", WARM), ("steady", WARM), ("tail_peaks", 50), ("tail_seen", WARM), ("tail_at", 2.0)):
        table[name][:] = value
    table["level"][:] = table["last"][:] = level
    for name in ("scale", "season_scale", "near_scale", "near_long", "far"):
        table[name][:] = 0.05 * level


def _block(at: int, value: F64) -> WindowBlock:
    rows = np.arange(len(value))
    full = np.ones(len(value))
    return WindowBlock(
        start_ns=START + at * 60 * NS, end_ns=START + (at + 1) * 60 * NS, series=rows.astype(np.uint64), rows=rows,
        total=value, mean=value, low=value, high=value, last=value, count=np.full(len(value), 6), expected=6 * full,
        weight=np.full(len(value), np.nan), recorded=full,
    )  # fmt: skip


def _sketch_state(level: F64) -> tuple[Any, ...]:
    n = len(level)
    flat = level.astype(np.float32)
    return (
        np.repeat(flat[:, None], 288, axis=1),
        flat.copy(),
        0.05 * flat,
        np.zeros(n, np.float32),
        np.zeros(n, np.float32),
    )


@numba.njit(cache=True, fastmath=True)
def _sketch(x: Any, slot: int, profile: Any, level: Any, scale: Any, up: Any, down: Any) -> int:
    found = 0
    for row in range(len(x)):
        usual = profile[row, slot]
        residual = x[row] - usual
        z = (residual - level[row] + usual) / max(scale[row], 1e-9)
        held = min(max(z, -3.0), 3.0)
        profile[row, slot] = usual + 0.02 * held * scale[row]
        level[row] += 0.03 * held * scale[row]
        scale[row] += 0.01 * (abs(held) * scale[row] - scale[row])
        up[row] = max(0.0, up[row] + z - 0.5)
        down[row] = max(0.0, down[row] - z - 0.5)
        found += up[row] > 50.0 or down[row] > 50.0
    return found


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench.kernel", description=__doc__)
    parser.add_argument("--json", action="store_true", help="only the JSON line")
    chosen = parser.parse_args()
    found = [measure(rows) for rows in ROWS]
    if not chosen.json:
        for one in found:
            print(
                f"{one['series']:7,} series: stage {one['stage_points_per_s'] / 1e6:.1f} M points/s, "
                f"bare {one['bare_points_per_s'] / 1e6:.1f} ({one['of_bare']:.2f}), "
                f"sketch {one['sketch_points_per_s'] / 1e6:.1f} ({one['of_sketch']:.2f})"
            )
    print(json.dumps({"kernel": found}))


if __name__ == "__main__":
    main()
