"""Detectors of the folder run over labelled series, window by window: score, then learn, as in the pipeline.

Series of one step share blocks, because a detector looks at each row alone (tests/conformance holds that): each is
moved by whole weeks to begin in the same week, so the hour of the day and the day of the week stay what they were.
Where a series has no window the block holds NaN and says that nothing was recorded.
"""

import importlib.util
from collections.abc import Sequence

import numpy as np

from bench.detection._series import Labelled
from detectors import Choosy, Detector, Quick
from schemas.core import F64, NS, WindowBlock

WEEK_NS = 7 * 86_400 * NS


WORTH_P = 0.1


def tails(detector: Detector, series: Sequence[Labelled], worth_p: float = WORTH_P) -> list[F64]:
    """p of every window of every series, float64 (n, dimensions), in the order of `series`.

    Where a detector tells that p is not below `worth_p`, 1 stands for it, as in the pipeline; 1 asks for every p.
    """
    out: list[F64] = [np.ones(one.x.shape) for one in series]
    for step_ns in sorted({one.step_ns for one in series}):
        chosen = [at for at, one in enumerate(series) if one.step_ns == step_ns]
        columns = [_ticks(series[at], step_ns) for at in chosen]
        begin = min(int(ticks[0]) for ticks in columns)
        length = max(int(ticks[-1]) for ticks in columns) - begin + 1
        wide = np.full((length, sum(series[at].x.shape[1] for at in chosen)), np.nan)
        left, places = 0, []
        for at, ticks in zip(chosen, columns, strict=True):
            right = left + series[at].x.shape[1]
            wide[ticks - begin, left:right] = series[at].x
            places.append((at, ticks - begin, slice(left, right)))
            left = right
        p = run(detector, wide, begin * step_ns, step_ns, worth_p)
        for at, rows, place in places:
            out[at] = p[rows, place]
    return out


def run(detector: Detector, x: F64, start_ns: int, step_ns: int, worth_p: float = WORTH_P) -> F64:
    """p float64 (windows, n) of a table of values, NaN where nothing was seen."""
    windows, n = x.shape
    choosy = detector if isinstance(detector, Choosy) and worth_p < 1 else None
    if isinstance(detector, Quick) and importlib.util.find_spec("numba") is not None:
        detector.use_kernels()
    state, p = detector.initial(n), np.ones((windows, n))
    series, unknown = np.arange(n, dtype=np.uint64), np.full(n, np.nan)
    rows = np.arange(n)
    seen = np.isfinite(x)
    with np.errstate(all="ignore"):
        for at in range(windows):
            value, here = x[at], seen[at]
            block = WindowBlock(
                start_ns=start_ns + at * step_ns, end_ns=start_ns + (at + 1) * step_ns, series=series, rows=rows,
                total=value, mean=value, low=value, high=value, last=value, count=here.astype(np.int64),
                expected=unknown, weight=unknown, recorded=here.astype(np.float64),
            )  # fmt: skip
            if choosy is None:
                p[at] = detector.score(state, block).p
            else:
                some = choosy.may_matter(state, block, worth_p)
                if len(some):
                    mine = {name: column[some] for name, column in state.items()}
                    p[at, some] = detector.score(mine, block.take(some)).p
            state = detector.learn(state, block)
    return p


def _ticks(one: Labelled, step_ns: int) -> F64:
    """Numbers of the windows on the grid of the step, moved by whole weeks towards the epoch; no two alike."""
    moved = one.t_ns - one.t_ns[0] // WEEK_NS * WEEK_NS
    ticks = np.round(moved / step_ns).astype(np.int64)
    gaps = np.maximum(np.diff(ticks), 1)
    distinct: F64 = ticks[0] + np.concatenate([[0], np.cumsum(gaps)])
    return distinct
