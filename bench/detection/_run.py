"""Detectors of the folder run over labelled series, window by window: score, then learn, as in the pipeline.

Series of one step share blocks, because a detector looks at each row alone (tests/conformance holds that): each is
moved by whole weeks to begin in the same week, so the hour of the day and the day of the week stay what they were.
Where a series has no window the block holds NaN and says that nothing was recorded.
"""

import importlib.util
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from bench.detection._series import Labelled
from detectors import Choosy, Detector, Quick
from detectors.host_residual import HostResidual, departures
from schemas.core import F64, I64, NS, WindowBlock

WEEK_NS = 7 * 86_400 * NS


WORTH_P = 0.1


def tails(detector: Detector, series: Sequence[Labelled], worth_p: float = WORTH_P) -> list[F64]:
    """p of every window of every series, float64 (n, dimensions), in the order of `series`.

    Where a detector tells that p is not below `worth_p`, 1 stands for it, as in the pipeline; 1 asks for every p.
    """
    out: list[F64] = [np.ones(one.x.shape) for one in series]
    for wide, start_ns, step_ns, places in _tables(series):
        p = run(detector, wide, start_ns, step_ns, worth_p)
        for at, rows, columns in places:
            out[at] = p[rows, columns]
    return out


class Host(NamedTuple):
    """size: float64 (n,), departure of all dimensions of a machine together. leading: int64 (n,), which departed most.

    p: float64 (n,), what the detector says of it.
    """

    size: F64
    leading: I64
    p: F64


def hosts(series: Sequence[Labelled], detector: HostResidual | None = None) -> list[Host]:
    """What `host_residual`, or one like it, says of every window of every machine, in the order of `series`."""
    detector = detector or HostResidual()
    out = [Host(np.zeros(len(one.x)), np.zeros(len(one.x), np.int64), np.ones(len(one.x))) for one in series]
    for wide, start_ns, step_ns, places in _tables(series):
        windows, n = wide.shape
        state = detector.initial(n)
        for at, _, columns in places:
            state["entity"][columns] = at
        first = np.array([columns.start for _, _, columns in places])
        of = np.argsort(np.argsort([at for at, _, _ in places]))  # entities are numbered in ascending order
        size, p = np.zeros((windows, len(places))), np.ones((windows, len(places)))
        leading = np.zeros((windows, len(places)), np.int64)
        for window in range(windows):
            block = _block(wide[window], start_ns + window * step_ns, step_ns)
            whole = detector.whole(state, departures(state, block))
            size[window] = whole.size[of]
            leading[window] = np.flatnonzero(whole.rank == 0)[np.argsort(whole.group[whole.rank == 0])][of] - first
            p[window] = np.minimum.reduceat(detector.score(state, block).p, first)
            state = detector.learn(state, block)
        for number, (at, rows, _) in enumerate(places):
            out[at] = Host(size[rows, number], leading[rows, number], p[rows, number])
    return out


def _tables(series: Sequence[Labelled]) -> Iterator[tuple[F64, int, int, list[tuple[int, I64, slice]]]]:
    """For each step: values (windows, n), where they begin, the step, and each series' number, rows and columns."""
    for step_ns in sorted({one.step_ns for one in series}):
        chosen = [at for at, one in enumerate(series) if one.step_ns == step_ns]
        ticks = [_ticks(series[at], step_ns) for at in chosen]
        begin = min(int(mine[0]) for mine in ticks)
        length = max(int(mine[-1]) for mine in ticks) - begin + 1
        wide = np.full((length, sum(series[at].x.shape[1] for at in chosen)), np.nan)
        left, places = 0, []
        for at, mine in zip(chosen, ticks, strict=True):
            right = left + series[at].x.shape[1]
            wide[mine - begin, left:right] = series[at].x
            places.append((at, mine - begin, slice(left, right)))
            left = right
        yield wide, begin * step_ns, step_ns, places


def run(detector: Detector, x: F64, start_ns: int, step_ns: int, worth_p: float = WORTH_P) -> F64:
    """p float64 (windows, n) of a table of values, NaN where nothing was seen."""
    windows, n = x.shape
    choosy = detector if isinstance(detector, Choosy) and worth_p < 1 else None
    if isinstance(detector, Quick) and importlib.util.find_spec("numba") is not None:
        detector.use_kernels()
    state, p = detector.initial(n), np.ones((windows, n))
    with np.errstate(all="ignore"):
        for at in range(windows):
            block = _block(x[at], start_ns + at * step_ns, step_ns)
            if choosy is None:
                p[at] = detector.score(state, block).p
            else:
                some = choosy.may_matter(state, block, worth_p)
                if len(some):
                    mine = {name: column[some] for name, column in state.items()}
                    p[at, some] = detector.score(mine, block.take(some)).p
            state = detector.learn(state, block)
    return p


def _block(value: F64, start_ns: int, step_ns: int) -> WindowBlock:
    n, here = len(value), np.isfinite(value)
    rows, unknown = np.arange(n), np.full(n, np.nan)
    return WindowBlock(
        start_ns=start_ns, end_ns=start_ns + step_ns, series=rows.astype(np.uint64), rows=rows, total=value, mean=value,
        low=value, high=value, last=value, count=here.astype(np.int64), expected=unknown, weight=unknown,
        recorded=here.astype(np.float64),
    )  # fmt: skip


def _ticks(one: Labelled, step_ns: int) -> I64:
    """Numbers of the windows on the grid of the step, moved by whole weeks towards the epoch; no two alike."""
    moved = one.t_ns - one.t_ns[0] // WEEK_NS * WEEK_NS
    ticks = np.round(moved / step_ns).astype(np.int64)
    gaps = np.maximum(np.diff(ticks), 1)
    distinct: I64 = ticks[0] + np.concatenate([[0], np.cumsum(gaps)])
    return distinct
