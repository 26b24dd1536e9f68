"""Lines a CPU-second of our miner and of drain3, which is a process of its own with an environment made from its lock.

The environment lies in `.bench/` of the checkout, as those of `bench.throughput` do, and needs uv and a package index
the first time. Without it our figure stands alone, and the ratio is null with the reason.
"""

import hashlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from streams._templates import Miner

LINES, RUNS, BATCH = 1_000_000, 3, 1000
ROOT = Path(__file__).resolve().parents[2]
PEER = ROOT / "bench" / "peers" / "drain3"
_LIMIT_S = 900


def speed(systems: Mapping[str, Sequence[str]], lines: int) -> tuple[dict[str, Any], dict[str, list[int]]]:
    """Keys of both speeds, and the group that drain3 gives to each line of each system (none if it is not there)."""
    each = lines // len(systems)
    with tempfile.TemporaryDirectory() as folder:
        for seed, (name, known) in enumerate(sorted(systems.items())):
            plain = b"\n".join(_one_row(line) for line in known)
            (Path(folder) / f"{name}.known").write_bytes(plain)
            (Path(folder) / f"{name}.fresh").write_bytes(fresh(plain, each, seed))
        python, why = _python()
        ours, theirs, groups = [], [], {}
        for _ in range(RUNS):
            ours.append(_own_seconds(Path(folder)))
            if python is not None:
                found = json.loads(_call([str(python), str(PEER / "lines.py"), folder]))
                theirs.append(found["cpu_s"])
                groups = found["groups"]
    total = each * len(systems)
    own = {"lines": total, "lines_per_s": total / statistics.median(ours)}
    if not theirs:
        return own | {"ratio_to_drain3": None, "drain3_missing": why}, {}
    theirs_s = statistics.median(theirs)
    ratio = theirs_s / statistics.median(ours)
    return own | {"drain3_lines_per_s": total / theirs_s, "ratio_to_drain3": ratio}, groups


def fresh(plain: bytes, lines: int, seed: int) -> bytes:
    """The rows over and over until there are so many, every digit drawn anew."""
    rows = plain.split(b"\n")
    text = np.frombuffer(b"\n".join((rows * (lines // len(rows) + 1))[:lines]), np.uint8).copy()
    digits = np.flatnonzero((text >= ord("0")) & (text <= ord("9")))
    text[digits] = np.random.default_rng(seed).integers(ord("0"), ord("9") + 1, len(digits), np.uint8)
    return text.tobytes()


def _one_row(line: str) -> bytes:
    return line.replace("\n", " ").encode("utf-8", "replace")


def _own_seconds(folder: Path) -> float:
    spent = 0.0
    for file in sorted(folder.glob("*.fresh")):
        rows = file.read_bytes().decode().split("\n")
        miner = Miner()
        begin = time.process_time()
        for at in range(0, len(rows), BATCH):
            miner.keys(rows[at : at + BATCH])
        spent += time.process_time() - begin
    return spent


def _python() -> tuple[Path | None, str]:
    """The interpreter that has drain3, or why there is none."""
    lock = PEER / "uv.lock"
    place = ROOT / ".bench" / f"drain3-{hashlib.sha256(lock.read_bytes()).hexdigest()[:12]}"
    if not (place / "made").exists():
        beside = Path(sys.executable).with_name("uv")
        uv = shutil.which("uv") or (str(beside) if beside.exists() else "")
        if not uv:
            return None, "uv is not installed (pip install uv)"
        place.parent.mkdir(exist_ok=True)
        (place.parent / ".gitignore").write_text("*\n")
        environment = {"UV_PROJECT_ENVIRONMENT": str(place)}
        try:
            _call([uv, "sync", "--frozen", "--quiet", "--project", str(PEER)], environment)
        except RuntimeError as error:
            return None, f"it cannot be installed: {error}"
        (place / "made").touch()
    return place / "bin" / "python", ""


def _call(line: Sequence[str], more: Mapping[str, str] | None = None) -> str:
    done = subprocess.run(
        line, env={**os.environ, **(more or {})}, capture_output=True, text=True, timeout=_LIMIT_S, check=False
    )
    if done.returncode:
        raise RuntimeError((done.stdout + done.stderr).strip()[-300:])
    return done.stdout
