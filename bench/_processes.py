"""Memory of processes over time, and the slope of a series of values that a few odd ones do not bend."""

import statistics
from collections.abc import Sequence
from pathlib import Path


def rss_mib(pid: int) -> float | None:
    """Resident memory now; None if the process is gone."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS:")), None)


def slope(points: Sequence[tuple[float, float]]) -> float:
    """Theil-Sen: the median of the slopes of all pairs (x, y), in y a unit of x; 0 with fewer than two.

    >>> slope([(0, 1), (1, 3), (2, 5), (3, 900), (4, 9)])
    2.0
    """
    found = [
        (y2 - y1) / (x2 - x1) for i, (x1, y1) in enumerate(points) for x2, y2 in points[i + 1 :] if x2 != x1
    ]  # fmt: skip
    return statistics.median(found) if found else 0.0


def last_part(points: Sequence[tuple[float, float]], share: float = 0.75) -> list[tuple[float, float]]:
    """The points of the last `share` of the time that they span."""
    if not points:
        return []
    begin = points[0][0] + (points[-1][0] - points[0][0]) * (1 - share)
    return [point for point in points if point[0] >= begin]


def quantile(values: Sequence[float], share: float) -> float | None:
    """Nearest rank; None of nothing."""
    ordered = sorted(values)
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)] if ordered else None
