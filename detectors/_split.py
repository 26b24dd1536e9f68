"""The part of the detectors' state that belongs to some rows, when a partition's series move to more partitions."""

from dataclasses import replace

import numpy as np

from detectors._detect import NO_HEIRS, DetectState
from schemas.core import I64


def part_of(state: DetectState, rows: I64, *, is_first: bool) -> DetectState:
    """The state for these rows (ascending), which are numbered anew from 0; the given state stays as it is."""
    part = DetectState(suppressed=state.suppressed if is_first else 0)
    part.ledgers = {width: replace(one, spent=None if one.spent is None else one.spent.copy())
                    for width, one in state.ledgers.items()}  # fmt: skip
    for kind, index in state.index.items():
        known = rows[rows < len(index)]
        local = index[known]
        has = local >= 0
        part.tables[kind] = {name: column[local[has]] for name, column in state.tables[kind].items()}
        heirs = state.heirs.get(kind, NO_HEIRS)
        if len(mine := heirs[np.isin(heirs, rows).all(axis=1)]):
            part.heirs[kind] = np.searchsorted(rows, mine)
        part.index[kind] = np.where(has, np.cumsum(has) - 1, local).astype(np.int32)
    return part
