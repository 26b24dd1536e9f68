"""What the detect stage costs: `python -m bench.detect [--json] [--points N] [--rows 1000:60,...] [--plain]`.

Frames of 1000 points (bytes) go in, anomalies come out, through `Detecting` with all shipped detectors. Gauge series
at a step of 10 s; a tick of time every 60 s (catching up: six panes a tick) or every 10 s (live). CPU time of the
steps alone, first sight of every series included; making the frames is not. Each row is a process of its own, so that
its peak memory is its own; `--plain` leaves numba out. One series in a thousand jumps tenfold at the end.
"""

import argparse
import hashlib
import importlib
import json
import pkgutil
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import chain
from typing import Any

import numpy as np

import detectors
import schemas as sc
from schemas.core import NS, Message, Tick
from tidegate._detecting import Detecting

START = 1_767_225_600 * NS
PANE_NS, FRAME = 10 * NS, 1000
ROWS = tuple((series, tick_s) for series in (1_000, 10_000, 100_000) for tick_s in (60, 10))
SHARDS = 16


class Traffic:
    """Frames of `series` gauges, rendered once and patched, so that making them is cheap."""

    def __init__(self, series: int) -> None:
        self._ids = ids = np.fromiter((int(_definition(i).id, 16) for i in range(series)), np.uint64, series)
        self._rng = np.random.Generator(np.random.PCG64(11))
        self._level = self._rng.uniform(10, 100, series)
        self._phase = self._rng.integers(0, PANE_NS, series)
        self._of = [np.arange(at, min(at + FRAME, series)) for at in range(0, series, FRAME)]
        for i, mine in enumerate(self._of):
            self._of[i] = mine[np.lexsort((ids[mine], ids[mine] % SHARDS))]
        self._patches = [self._patch(mine) for mine in self._of]

    def first(self) -> Iterator[bytes]:
        """Frames of the first pane, with the definitions of their series."""
        values = self._values()
        for mine in self._of:
            yield self._frame(mine, START + self._phase[mine], values[mine], [_definition(i) for i in mine.tolist()])

    def at(self, start_ns: int, *, is_ill: bool = False) -> Iterator[bytes]:
        """Frames of the pane that begins at `start_ns`."""
        values = self._values()
        if is_ill:
            values[::1000] *= 10
        for mine, (data, t_at, v_at) in zip(self._of, self._patches, strict=True):
            frame = data.copy()
            frame[t_at : t_at + 8 * len(mine)] = (start_ns + self._phase[mine]).view(np.uint8)
            frame[v_at : v_at + 8 * len(mine)] = values[mine].view(np.uint8)
            yield frame.tobytes()

    def _values(self) -> Any:
        return self._level * (1 + 0.05 * self._rng.standard_normal(len(self._level)))

    def _frame(self, mine: Any, t: Any, values: Any, defs: list[sc.SeriesDef]) -> bytes:
        shards = (self._ids[mine] % SHARDS).astype(np.int64)
        return sc.encode_frame(self._ids[mine], t, values, shards=shards, defs=defs)

    def _patch(self, mine: Any) -> tuple[Any, int, int]:
        t, values = START + self._phase[mine], self._rng.standard_normal(len(mine))
        data = self._frame(mine, t, values, [])
        return np.frombuffer(data, np.uint8), data.index(t.tobytes()), data.index(values.tobytes())


def _definition(number: int) -> sc.SeriesDef:
    service, name, labels = f"svc{number // 1000:03d}", f"m{number % 10}", {"instance": f"pod-{number % 1000 // 10}"}
    entity = f"default/service/{service}"
    return sc.SeriesDef(
        id=f"{sc.series_id('default', entity, name, labels):016x}", entity_id=entity, service=service, name=name,
        labels=labels,
    )  # fmt: skip


def shipped() -> list[Any]:
    """Every detector of the folder."""
    names = [m.name for m in pkgutil.iter_modules(detectors.__path__) if not m.name.startswith("_")]
    return [importlib.import_module(f"detectors.{name}").PLUGIN() for name in names]


def run(series: int, tick_s: int, points: int, fast: bool | None) -> dict[str, Any]:
    """One row. first_sight_us: CPU microseconds a series of the first pane, its points included."""
    stage = _stage(fast)
    _warm(stage)
    traffic, state = Traffic(series), stage.initial()
    panes, spent, first_s, anomalies = max(points // series, 12), 0.0, 0.0, 0
    digest = hashlib.sha256()
    for pane in range(panes):
        start = START + pane * PANE_NS
        events: Iterator[Any] = (
            Message(sc.FRAMES, 0, 0, b"", data, (), start, start)
            for data in (traffic.first() if pane == 0 else traffic.at(start, is_ill=pane >= panes - 6))
        )
        if (pane + 1) % (tick_s // 10) == 0 or pane == panes - 1:
            events = chain(events, [Tick(start + PANE_NS, pane == panes - 1)])
        for event in events:
            begin = time.process_time()
            state, out = stage.step(state, event)
            spent += time.process_time() - begin
            for emit in out:
                digest.update(emit.value)
            anomalies += len(out)
        first_s = first_s or spent
    counts = stage.ledger(state).counts
    assert counts["samples.processed"] == panes * series, counts
    total = panes * series
    return {
        "system": "tidegate", "stage": "detect", "series": series, "layout": f"frames of {FRAME}", "tick_s": tick_s,
        "points": total, "cpu_s_per_million": round(spent / total * 1e6, 4),
        "first_sight_us": round(first_s / series * 1e6, 1), "points_per_s": round(total / spent),
        "peak_rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024, "anomalies": anomalies,
        "digest": digest.hexdigest()[:16],
    }  # fmt: skip


def _stage(fast: bool | None) -> Detecting:
    return Detecting(shipped()) if fast is None else Detecting(shipped(), fast=fast)


def _warm(stage: Detecting) -> None:
    """Compile what numba compiles, on a state that is thrown away."""
    traffic, state = Traffic(100), stage.initial()
    for pane in range(30):
        start = START + pane * PANE_NS
        for data in traffic.first() if pane == 0 else traffic.at(start, is_ill=pane > 20):
            state, _ = stage.step(state, Message(sc.FRAMES, 0, 0, b"", data, (), start, start))
        state, _ = stage.step(state, Tick(start + PANE_NS))


def main() -> None:
    options = argparse.ArgumentParser(description="CPU and memory of the detect stage")
    options.add_argument("--json", action="store_true", help="only the JSON line")
    options.add_argument("--points", type=int, default=10_000_000)
    options.add_argument("--rows", default=",".join(f"{series}:{tick_s}" for series, tick_s in ROWS))
    options.add_argument("--plain", action="store_true", help="without numba")
    options.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    chosen = options.parse_args()
    wanted = [tuple(map(int, row.split(":"))) for row in chosen.rows.split(",")]
    if chosen.one:
        print(json.dumps(run(*wanted[0], chosen.points, not chosen.plain)))
        return
    rows = []
    for series, tick_s in wanted:
        command = [sys.executable, "-m", "bench.detect", "--one", "--rows", f"{series}:{tick_s}"]
        command += ["--points", str(chosen.points), *(["--plain"] if chosen.plain else [])]
        row = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        rows.append(row)
        if not chosen.json:
            facts = f"{row['cpu_s_per_million']:7.3f} CPU-s/M, first sight {row['first_sight_us']:6.1f} us a series"
            print(f"{series:7d} series, tick {tick_s:2d} s: {facts}, peak {row['peak_rss_mb']} MB", flush=True)
    worst = max(row["cpu_s_per_million"] for row in rows)
    print(json.dumps({"bench": "detect", "numba": not chosen.plain, "worst_cpu_s_per_million": worst, "rows": rows}))


if __name__ == "__main__":
    main()
