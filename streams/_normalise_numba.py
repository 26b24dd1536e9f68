"""One pass over the points of a message: what has to be known before they can be admitted all at once (needs numba)."""

import numpy as np
from numpy.typing import NDArray

from schemas.core import F64, I64, U64
from streams._id_table import I16
from streams._jit import jit

I32 = NDArray[np.int32]


@jit
def judge(series: U64, t: I64, value: F64, keys: U64, values: I16, shards: I16) -> tuple[int, int, bool, bool]:
    """Oldest and newest time, whether a value is infinite, whether a series is new; n >= 1.

    keys, values: an `IdTable`. shards: int16 (n,), written: the value of each series, -1 where it is new.
    """
    mask = np.uint64(len(keys) - 1)
    oldest = newest = t[0]
    has_infinite = has_new = False
    for i in range(len(series)):
        if t[i] < oldest:
            oldest = t[i]
        if t[i] > newest:
            newest = t[i]
        if np.isinf(value[i]):
            has_infinite = True
        identity = series[i]
        slot = identity & mask
        while values[slot] >= 0 and keys[slot] != identity:
            slot = slot + np.uint64(1) & mask
        shards[i] = values[slot]
        if shards[i] < 0:
            has_new = True
    return oldest, newest, has_infinite, has_new


@jit
def judge_rows(rows: I32, t: I64, value: F64, known: I16, shards: I16) -> tuple[int, int, bool, bool]:
    """The same for points whose series have numbers; known: shard by number, -1 where that is not known yet."""
    oldest = newest = t[0]
    has_infinite = has_new = False
    for i in range(len(rows)):
        if t[i] < oldest:
            oldest = t[i]
        if t[i] > newest:
            newest = t[i]
        if np.isinf(value[i]):
            has_infinite = True
        shards[i] = known[rows[i]] if rows[i] < len(known) else -1
        if shards[i] < 0:
            has_new = True
    return oldest, newest, has_infinite, has_new
