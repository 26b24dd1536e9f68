"""Our frames for any reader with numpy and pyarrow: hand messages in, get anomalies back.

A partition of the frames topic holds Arrow streams and watermarks (CloudEvents with JSON). Its time is the smallest
watermark of the writers that are not idle; points wait until time has passed their window. No framework is needed for
that and none is used: it is what a user of a peer would write to read us fast.
"""

import json
from collections.abc import Mapping

import numpy as np
import pyarrow as pa
from robust import HISTORY, LEAST, LIMIT, WINDOW_MS, anomaly

WINDOW_NS = WINDOW_MS * 1_000_000


class Frames:
    """One partition. writers: how many have to speak before there is time."""

    def __init__(self, writers: int) -> None:
        self._writers = writers
        self._marks: dict[str, tuple[int, bool]] = {}
        self._waiting: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
        self._through = 0
        self._ids = np.zeros(0, np.uint64)
        """Sorted; `_row` is the row of each in the history."""
        self._row = np.zeros(0, np.int64)
        self._means = np.full((0, HISTORY), np.nan)
        self._seen = np.zeros(0, np.int64)

    def take(self, value: bytes, headers: Mapping[str, bytes]) -> list[dict[str, object]]:
        """One message of the partition, in order; returns the anomalies of the windows that time has passed by it."""
        kind = headers.get("ce_type")
        if kind is None:
            with pa.ipc.open_stream(value) as stream:
                batch = stream.read_next_batch()
            self._waiting.append((
                batch.column(0).to_numpy(), batch.column(1).cast(pa.int64()).to_numpy(), batch.column(2).to_numpy()
            ))  # fmt: skip
            return []
        mark = json.loads(value)
        if "through_ns" not in mark:
            return []
        self._marks[f"{mark['stage']}@{mark['instance']}"] = (mark["through_ns"], mark.get("idle", False))
        if len(self._marks) < self._writers:
            return []
        through = min((at for at, idle in self._marks.values() if not idle), default=0) // WINDOW_NS * WINDOW_NS
        if through <= self._through:
            return []
        self._through = through
        return self._close(through)

    def _close(self, through: int) -> list[dict[str, object]]:
        if not self._waiting:
            return []
        series, t, value = (np.concatenate([chunk[i] for chunk in self._waiting]) for i in range(3))
        due = t < through
        self._waiting = [] if due.all() else [(series[~due], t[~due], value[~due])]
        series, window, value = series[due], t[due] // WINDOW_NS, value[due]
        if not len(series):
            return []
        rows = self._rows(series)
        first = int(window.min())
        cell = (window - first) * len(self._seen) + rows
        order = np.argsort(cell, kind="stable")  # keeps the order of time in which one series came
        cell, value = cell[order], value[order]
        starts = np.flatnonzero(np.r_[True, cell[1:] != cell[:-1]])
        n = np.diff(np.r_[starts, len(cell)])
        mean = np.add.reduceat(value, starts) / n
        low, high = np.minimum.reduceat(value, starts), np.maximum.reduceat(value, starts)
        cell = cell[starts]
        found = []
        bounds = np.searchsorted(cell, np.arange(cell[-1] // len(self._seen) + 2) * len(self._seen))
        for k, (a, b) in enumerate(zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True)):
            if a == b:
                continue
            row = cell[a:b] - k * len(self._seen)
            for i, z in self._judge(row, mean[a:b]):
                j = a + i
                key = f"{self._name(int(row[i])):016x}"
                found.append(anomaly(
                    key, (first + k) * WINDOW_MS, float(mean[j]), float(low[j]), float(high[j]), int(n[j]), z
                ))  # fmt: skip
        return found

    def _judge(self, row: np.ndarray, mean: np.ndarray) -> list[tuple[int, float]]:
        """Positions and z of the anomalies of one window; then it joins the histories."""
        found = []
        ready = np.flatnonzero(self._seen[row] >= LEAST)
        if len(ready):
            history = self._means[row[ready]]
            centre = _median(history, self._seen[row[ready]])
            spread = 1.4826 * _median(np.abs(history - centre[:, None]), self._seen[row[ready]])
            gap = mean[ready] - centre
            odd = np.flatnonzero(np.abs(gap) > LIMIT * spread)
            found = [
                (int(ready[i]), float(gap[i] / spread[i]) if spread[i] else float("inf")) for i in odd.tolist()
            ]  # fmt: skip
        self._means[row, self._seen[row] % HISTORY] = mean
        self._seen[row] += 1
        return found

    def _rows(self, series: np.ndarray) -> np.ndarray:
        at = np.searchsorted(self._ids, series)
        inside = at < len(self._ids)
        known = inside.copy()
        known[inside] = self._ids[at[inside]] == series[inside]
        if not known.all():
            new = np.unique(series[~known])
            ids = np.r_[self._ids, new]
            rows = np.r_[self._row, np.arange(len(self._seen), len(self._seen) + len(new))]
            order = np.argsort(ids)
            self._ids, self._row = ids[order], rows[order]
            self._means = np.r_[self._means, np.full((len(new), HISTORY), np.nan)]
            self._seen = np.r_[self._seen, np.zeros(len(new), np.int64)]
            at = np.searchsorted(self._ids, series)
        return self._row[at]

    def _name(self, row: int) -> int:
        return int(self._ids[np.flatnonzero(self._row == row)[0]])


def _median(values: np.ndarray, n: np.ndarray) -> np.ndarray:
    """Of the numbers of each row; those with equally many are taken together, so that numpy need not look for NaN."""
    n = np.minimum(n, HISTORY)
    out = np.empty(len(values))
    for size in np.unique(n).tolist():
        mine = n == size
        part = np.partition(values[mine][:, :size], [(size - 1) // 2, size // 2], axis=1)
        out[mine] = (part[:, (size - 1) // 2] + part[:, size // 2]) / 2
    return out
