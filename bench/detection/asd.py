"""Application Server Dataset: servers with 19 dimensions at five minutes; a server is one series."""

from pathlib import Path
from typing import Any

from bench.detection import smd

STEP_S = 300


def measure(data: Path) -> dict[str, Any]:
    """Keys of the set, as those of `smd`."""
    return smd.measure(data, STEP_S)


def table(found: dict[str, Any]) -> list[str]:
    """Lines to print."""
    return smd.table(found)
