"""The part of the detectors' state that belongs to some rows, when a partition's series move to more partitions."""

import numpy as np

from detectors._detect import DetectState
from schemas.core import I64


def part_of(state: DetectState, rows: I64, *, is_first: bool) -> DetectState:
    """The state for these rows (ascending), which are numbered anew from 0; the given state stays as it is."""
    part = DetectState(suppressed=state.suppressed if is_first else 0)
    for kind, index in state.index.items():
        known = rows[rows < len(index)]
        local = index[known]
        has = local >= 0
        part.tables[kind] = {name: column[local[has]] for name, column in state.tables[kind].items()}
        part.index[kind] = np.where(has, np.cumsum(has) - 1, local).astype(np.int32)
    return part
