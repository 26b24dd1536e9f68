"""Frames of a few kinds of series for tests of windows, and the names of the columns of a block."""

import numpy as np

import schemas as sc
from schemas.core import NS

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
