"""Other people's software in an environment of its own, made from its lock, as a process of its own.

The environment lies in `.bench/` of the checkout, as those of `bench.throughput` do, and needs uv and a package index
the first time.
"""

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PEERS = ROOT / "bench" / "peers"
LIMIT_S = 900


def interpreter(name: str) -> tuple[Path | None, str]:
    """The interpreter that has the peer of this folder of `bench/peers`, or why there is none."""
    lock = PEERS / name / "uv.lock"
    place = ROOT / ".bench" / f"{name}-{hashlib.sha256(lock.read_bytes()).hexdigest()[:12]}"
    if not (place / "made").exists():
        beside = Path(sys.executable).with_name("uv")
        uv = shutil.which("uv") or (str(beside) if beside.exists() else "")
        if not uv:
            return None, "uv is not installed (pip install uv)"
        place.parent.mkdir(exist_ok=True)
        (place.parent / ".gitignore").write_text("*\n")
        environment = {"UV_PROJECT_ENVIRONMENT": str(place)}
        try:
            call([uv, "sync", "--frozen", "--quiet", "--project", str(PEERS / name)], environment)
        except RuntimeError as error:
            return None, f"it cannot be installed: {error}"
        (place / "made").touch()
    return place / "bin" / "python", ""


def call(line: Sequence[str], more: Mapping[str, str] | None = None) -> str:
    """What it printed. Raises RuntimeError with the end of what it said where it failed."""
    done = subprocess.run(
        line, env={**os.environ, **(more or {})}, capture_output=True, text=True, timeout=LIMIT_S, check=False
    )
    if done.returncode:
        raise RuntimeError((done.stdout + done.stderr).strip()[-300:])
    return done.stdout
