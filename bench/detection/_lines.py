"""Lines a CPU-second of our miner and of drain3, which is a process of its own with an environment made from its lock.

Without the environment of drain3 (`_peer.py`) our figure stands alone, and the ratio is null with the reason.
"""

import json
import statistics
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bench.detection._peer import PEERS, call, interpreter
from streams._templates import Miner

LINES, RUNS, BATCH = 1_000_000, 3, 1000
KINDS = ("fresh", "identified")
"""Lines with fresh digits, and a tenth as many that begin with a fresh identifier."""


def speed(systems: Mapping[str, Sequence[str]], lines: int) -> tuple[dict[str, Any], dict[str, list[int]]]:
    """Keys of both speeds, and the group that drain3 gives to each line of each system (none if it is not there)."""
    each = lines // len(systems)
    with tempfile.TemporaryDirectory() as folder:
        for seed, (name, known) in enumerate(sorted(systems.items())):
            plain = b"\n".join(_one_row(line) for line in known)
            (Path(folder) / f"{name}.known").write_bytes(plain)
            rows = fresh(plain, each, seed)
            (Path(folder) / f"{name}.fresh").write_bytes(rows)
            (Path(folder) / f"{name}.identified").write_bytes(identified(rows, each // 10, seed))
        python, why = interpreter("drain3")
        ours: dict[str, list[float]] = {kind: [] for kind in KINDS}
        theirs: dict[str, list[float]] = {kind: [] for kind in KINDS}
        groups = {}
        for _ in range(RUNS):
            for kind in KINDS:
                ours[kind].append(_own_seconds(Path(folder), kind))
            if python is not None:
                found = json.loads(call([str(python), str(PEERS / "drain3" / "lines.py"), folder, *KINDS]))
                groups = found["groups"]
                for kind in KINDS:
                    theirs[kind].append(found["cpu_s"][kind])
    n = each * len(systems)
    rates = {kind: _rates(count, ours[kind], theirs[kind]) for kind, count in zip(KINDS, (n, n // 10), strict=True)}
    missing = {"drain3_missing": why} if why else {}
    return {"lines": n, **rates["fresh"], **missing, "with_identifiers": rates["identified"]}, groups


def _rates(lines: int, ours: list[float], theirs: list[float]) -> dict[str, Any]:
    own_s = statistics.median(ours)
    if not theirs:
        return {"lines_per_s": lines / own_s, "ratio_to_drain3": None}
    theirs_s = statistics.median(theirs)
    rates = {"lines_per_s": lines / own_s, "drain3_lines_per_s": lines / theirs_s}
    return {**rates, "ratio_to_drain3": theirs_s / own_s}


def fresh(plain: bytes, lines: int, seed: int) -> bytes:
    """The rows over and over until there are so many, every digit drawn anew."""
    rows = plain.split(b"\n")
    text = np.frombuffer(b"\n".join((rows * (lines // len(rows) + 1))[:lines]), np.uint8).copy()
    digits = np.flatnonzero((text >= ord("0")) & (text <= ord("9")))
    text[digits] = np.random.default_rng(seed).integers(ord("0"), ord("9") + 1, len(digits), np.uint8)
    return text.tobytes()


def identified(rows: bytes, lines: int, seed: int) -> bytes:
    """The first rows, a fresh identifier of 32 hexadecimal digits before each: no cache knows such a line."""
    names = np.random.default_rng(seed).bytes(16 * lines).hex().encode()
    taken = rows.split(b"\n")[:lines]
    return b"\n".join(names[32 * at : 32 * at + 32] + b" " + row for at, row in enumerate(taken))


def _one_row(line: str) -> bytes:
    return line.replace("\n", " ").encode("utf-8", "replace")


def _own_seconds(folder: Path, kind: str) -> float:
    spent = 0.0
    for file in sorted(folder.glob(f"*.{kind}")):
        rows = file.read_bytes().decode().split("\n")
        miner = Miner()
        begin = time.process_time()
        for at in range(0, len(rows), BATCH):
            miner.keys(rows[at : at + BATCH])
        spent += time.process_time() - begin
    return spent
