"""Labelled series as the public sets hold them: values, event times, labels, and where the training part ends.

Archives of numpy (`*.npz` with train, test, test_label and, where there are, train_label and timestamps) and text
(`*.csv.gz` with time, value, label). A series without timestamps gets the step of its set and begins at midnight.
"""

import csv
import gzip
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from schemas.core import F64, I64, NS, Bool

MONDAY_NS = 1_767_571_200 * NS
"""A Monday at midnight, where series without times begin."""


@dataclass(frozen=True, slots=True)
class Labelled:
    """One series, or one machine of several.

    t_ns: int64 (n,), starts of its windows, ascending. x: float64 (n, dimensions), NaN where nothing was seen.
    y: bool (n,), labelled abnormal; outside the test part perhaps unknown. first: index of the first test window.
    """

    name: str
    t_ns: I64
    x: F64
    y: Bool
    first: int
    step_ns: int

    @property
    def test_days(self) -> float:
        """Days of event time in the test part."""
        return (len(self.t_ns) - self.first) * self.step_ns / (86_400 * NS)

    @property
    def train_days(self) -> float:
        """Days of event time before the test part."""
        return self.first * self.step_ns / (86_400 * NS)


def archives(folder: Path, step_s: int | None = None) -> list[Labelled]:
    """Every `*.npz` of the folder. Raises SystemExit with a sentence if there is none, or no time and no step."""
    found = [_archive(file, step_s) for file in sorted(folder.rglob("*.npz"))]
    if not found:
        raise SystemExit(f"{folder} holds no *.npz. --data takes its parent, with a folder a set.")
    return found


def _archive(file: Path, step_s: int | None) -> Labelled:
    with np.load(file) as arrays:
        first = len(arrays["train"])
        x = np.concatenate([arrays["train"], arrays["test"]]).astype(np.float64)
        before = arrays["train_label"] if "train_label" in arrays else np.zeros(first)
        y = np.concatenate([before, arrays["test_label"]]).astype(bool)
        if "test_timestamp" in arrays:
            t_ns = np.concatenate([arrays["train_timestamp"], arrays["test_timestamp"]]).astype(np.int64) * NS
        elif step_s is not None:
            t_ns = MONDAY_NS + np.arange(len(x), dtype=np.int64) * step_s * NS
        else:
            raise SystemExit(f"{file} has neither timestamps nor a step. Name the step in the file of its set.")
    return Labelled(file.stem, t_ns, x.reshape(len(x), -1), y, first, step_of(t_ns))


def tables(folder: Path, train_share: float) -> list[Labelled]:
    """Every `*.csv.gz` of the folder; the first `train_share` of a file is its training part."""
    found = [_table(file, train_share) for file in sorted(folder.rglob("*.csv.gz"))]
    if not found:
        raise SystemExit(f"{folder} holds no *.csv.gz. --data takes its parent, with a folder a set.")
    return found


def _table(file: Path, train_share: float) -> Labelled:
    with gzip.open(file, "rt", encoding="utf-8", newline="") as text:
        rows = list(csv.reader(text))[1:]
    t_ns = np.array([nanoseconds(row[0]) for row in rows], np.int64)
    x = np.array([float(row[1]) if row[1] else np.nan for row in rows])
    y = np.array([float(row[2] or 0) > 0 for row in rows])
    order = np.argsort(t_ns, kind="stable")
    first = int(train_share * len(rows))
    return Labelled(file.name.removesuffix(".csv.gz"), t_ns[order], x[order, None], y[order], first, step_of(t_ns))


def nanoseconds(text: str) -> int:
    """An ISO time, UTC unless it says otherwise, as nanoseconds since the epoch."""
    moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
    return round((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000) * (NS // 1000)


def step_of(t_ns: I64) -> int:
    """The usual distance of two windows."""
    return int(np.median(np.diff(t_ns)))


def events(y: NDArray[np.bool_]) -> Iterator[tuple[int, int]]:
    """Stretches [first, end) of labelled windows."""
    edges = np.diff(np.concatenate([[0], y.astype(np.int8), [0]]))
    yield from zip(np.flatnonzero(edges == 1).tolist(), np.flatnonzero(edges == -1).tolist(), strict=True)
