"""The order of the rows of a frame in one pass and without a sort of ids (needs numba)."""

import numpy as np

from schemas.core import I64, U64
from streams._id_table import I16
from streams._jit import jit


@jit
def arrange(series: U64, shards: I16, shard_count: int, slots: I64, block: I64, rows: I64) -> tuple[int, I64]:
    """Sort points by (block, shard); points of one block and shard stay in their order. Returns the number of blocks
    and how many points each (block, shard) has, int64 (blocks * shard_count,).

    slots: scratch, a power of two at least twice n long. block, rows (n,), written: the block of each point, and
    positions in order.
    """
    n = len(series)
    slots[:] = -1
    mask = np.uint64(len(slots) - 1)
    blocks = 0
    for i in range(n):
        slot = series[i] & mask
        while slots[slot] >= 0 and series[slots[slot]] != series[i]:
            slot = slot + np.uint64(1) & mask
        block[i] = 0 if slots[slot] < 0 else block[slots[slot]] + 1
        slots[slot] = i
        blocks = max(blocks, block[i] + 1)
    sizes = np.zeros(blocks * shard_count, np.int64)
    for i in range(n):
        sizes[block[i] * shard_count + shards[i]] += 1
    at = np.cumsum(sizes) - sizes
    for i in range(n):
        group = block[i] * shard_count + shards[i]
        rows[at[group]] = i
        at[group] += 1
    return blocks, sizes
