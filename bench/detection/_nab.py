"""The scoring rules of the Numenta Anomaly Benchmark (Lavin & Ahmad 2015), in arrays.

A window found counts by how early its best alarm is (a sigmoid from its left to its right end), a window missed costs
`missed`, an alarm outside costs `false`, less right behind a window. The first 15 % of a file (at most 750 rows) count
for nothing. One threshold for all files: the best one (official; so a detector's threshold sees the labels), or a given
one (frozen). 0 is what no alarms at all score, 100 what perfect ones do. Checked against the published results of the
bundled detectors, file by file: `python -m bench.detection --only nab`, key `scorer_check`.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from bench.detection._series import Labelled, events
from schemas.core import F64


class Profile(NamedTuple):
    """Costs of a missed window and of a false alarm; a found window is worth 1."""

    missed: float
    false: float


PROFILES = {"standard": Profile(1.0, 0.11), "low_fp": Profile(1.0, 0.22), "low_fn": Profile(2.0, 0.11)}


class Rows(NamedTuple):
    """Rows of all files after probation, the highest score first: what each is worth as an alarm, and its window."""

    score: F64
    worth: F64
    window: F64
    """Number of the labelled window, -1 outside."""
    file: F64
    windows: F64
    """Labelled windows of each file that count."""


def rows_of(files: Sequence[Labelled], scores: Sequence[F64]) -> Rows:
    """The worth of an alarm outside is at a cost of 1; `Profile.false` scales it."""
    parts: list[tuple[F64, F64, F64, F64]] = []
    windows, number = np.zeros(len(files)), 0
    for at, (one, score) in enumerate(zip(files, scores, strict=True)):
        n = len(one.y)
        worth, window = np.full(n, -1.0), np.full(n, -1.0)
        stretches = list(events(one.y))
        for begin, end in stretches:
            inside = np.arange(begin, end)
            worth[inside] = _sigmoid(-(end - inside) / (end - begin)) / _sigmoid(np.array([-1.0]))
            window[inside] = number
            number, windows[at] = number + 1, windows[at] + 1
        for (begin, end), (following, _) in zip(stretches, [*stretches[1:], (n, n)], strict=False):
            behind = np.arange(end, following)
            past = (behind - (end - 1)) / max(end - 1 - begin, 1)
            worth[behind] = np.where(past > 3, -1.0, _sigmoid(past))
        kept = np.arange(n) >= probation(n)
        parts.append((score[kept], worth[kept], window[kept], np.full(int(kept.sum()), float(at))))
    score, worth, window, file = (np.concatenate(column) for column in zip(*parts, strict=True))
    order = np.argsort(-score, kind="stable")
    return Rows(score[order], worth[order], window[order], file[order], windows)


def probation(n: int) -> int:
    """Rows at the beginning of a file that count for nothing."""
    return int(min(0.15 * n, 750))


def sweep(rows: Rows, profile: Profile) -> tuple[float, float]:
    """The best score of all thresholds, 0 to 100, and that threshold (infinite if no alarm is best)."""
    gains = np.where(rows.window < 0, rows.worth * profile.false, 0.0)
    best = np.full(int(rows.windows.sum()), -profile.missed)
    for at in np.flatnonzero(rows.window >= 0).tolist():
        window = int(rows.window[at])
        if rows.worth[at] > best[window]:
            gains[at] = rows.worth[at] - best[window]
            best[window] = rows.worth[at]
    total = np.cumsum(gains)
    ends = np.flatnonzero(np.diff(rows.score, append=-np.inf) < 0)  # rows of equal score come together
    at = int(ends[np.argmax(total[ends])])
    raw, threshold = float(total[at]), float(rows.score[at])
    return (_normal(raw, rows, profile), threshold) if raw > 0 else (0.0, np.inf)


def at_threshold(rows: Rows, profile: Profile, threshold: float) -> float:
    """The score of alarms at `threshold` and above, 0 to 100 (it may be below 0)."""
    raw = per_file(rows, profile, threshold) + profile.missed * rows.windows
    return _normal(float(raw.sum()), rows, profile)


def per_file(rows: Rows, profile: Profile, threshold: float) -> F64:
    """What each file scores, missed windows taken off: the numbers that the benchmark publishes file by file."""
    n = int(np.searchsorted(-rows.score, -threshold, side="right"))
    inside = rows.window[:n] >= 0
    best = np.full(int(rows.windows.sum()), -profile.missed)
    np.maximum.at(best, rows.window[:n][inside].astype(int), rows.worth[:n][inside])
    score = np.zeros(len(rows.windows))
    np.add.at(score, rows.file[:n][~inside].astype(int), rows.worth[:n][~inside] * profile.false)
    np.add.at(score, np.repeat(np.arange(len(rows.windows)), rows.windows.astype(int)), best)
    return score


def _normal(above_null: float, rows: Rows, profile: Profile) -> float:
    return 100.0 * above_null / max(float(rows.windows.sum()) * (1.0 + profile.missed), 1e-9)


def _sigmoid(position: F64) -> F64:
    return np.asarray(2.0 / (1.0 + np.exp(5.0 * position)) - 1.0)
