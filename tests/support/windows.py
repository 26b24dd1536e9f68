"""Frames and blocks of a few kinds of series for tests of windows and detectors."""

import numpy as np

import schemas as sc
from schemas.core import NS, WindowBlock

START = 1_767_225_600 * NS
COLUMNS = (
    "total", "mean", "low", "high", "last", "count", "expected", "weight", "weight_before", "recorded", "completeness",
)  # fmt: skip
TRAITS = (
    {"name": "cpu"},
    {"name": "sent", "kind": "count", "temporality": "cumulative"},
    {"name": "log.lines", "kind": "count", "signal": "logs", "is_event": True, "denominator": f"{3:016x}"},
    {"name": "log.lines.total", "kind": "count", "signal": "logs", "is_event": True},
)


def definition(i):
    return sc.SeriesDef(id=f"{i:016x}", entity_id="default/service/a", service="a", **TRAITS[i % 4])


def frame(samples, defs):
    columns = zip(*samples, strict=True) if samples else ((), (), ())
    series, t, value = (np.array(c, k) for c, k in zip(columns, (np.uint64, np.int64, np.float64), strict=True))
    return sc.Frame(series, t, value, sc.SeriesDefs.of(defs))


def block(at, value, width_s=60, start_ns=None, is_tumbling=True):
    """The window `at` of gauges with one sample in each, `value` (n); NaN where none came."""
    n, blank = len(value), np.isnan(value)
    start_ns = at * width_s * NS if start_ns is None else start_ns
    return WindowBlock(
        start_ns=start_ns, end_ns=start_ns + width_s * NS, series=np.arange(n, dtype=np.uint64), rows=np.arange(n),
        total=value, mean=value, low=value, high=value, last=value, count=(~blank).astype(np.int64),
        expected=np.full(n, np.nan), weight=np.full(n, np.nan), recorded=np.where(blank, 0.0, 1.0),
        is_tumbling=is_tumbling,
    )  # fmt: skip
