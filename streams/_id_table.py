"""Small numbers by 64-bit id, for millions of look-ups a second: open addressing in two arrays, 20 to 40 bytes an id.

Ids are hashes already, so their low bits choose the slot. The kernel of `_normalise_numba` looks into the same arrays.
"""

import numpy as np
from numpy.typing import NDArray

from schemas.core import I64, U64

I16 = NDArray[np.int16]


class IdTable:
    """Numbers 0 to 32767; `keys` and `values` have a power of two slots, value -1 is an empty one."""

    def __init__(self, slots: int = 1024) -> None:
        self.keys: U64 = np.zeros(slots, np.uint64)
        self.values: I16 = np.full(slots, -1, np.int16)
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def find(self, ids: U64) -> I16:
        """Values int16 (n,) of ids uint64 (n,), -1 where an id is unknown."""
        mask = np.uint64(len(self.keys) - 1)
        slots = ids & mask
        found: I16 = self.values[slots]
        open_ = np.flatnonzero((self.keys[slots] != ids) & (found >= 0))
        while len(open_):
            slots[open_] = slots[open_] + np.uint64(1) & mask
            found[open_] = self.values[slots[open_]]
            open_ = open_[(self.keys[slots[open_]] != ids[open_]) & (found[open_] >= 0)]
        return found

    def add(self, ids: U64, values: I16) -> None:
        """Put in ids that are new and differ."""
        size = len(self.keys)
        while 2 * (self._count + len(ids)) > size:
            size *= 2
        if size > len(self.keys):
            old = self.items()
            self.keys, self.values = np.zeros(size, np.uint64), np.full(size, -1, np.int16)
            self._fill(*old)
        self._fill(ids, values)
        self._count += len(ids)

    def _fill(self, ids: U64, values: I16) -> None:
        """Many at a time: of all that want a free slot the first one gets it, the others look further."""
        mask = np.uint64(len(self.keys) - 1)
        slots = ids & mask
        waiting = np.arange(len(ids))
        while len(waiting):
            wanted, first = np.unique(slots[waiting], return_index=True)
            first = first[self.values[wanted] < 0]
            winners = waiting[first]
            self.keys[slots[winners]], self.values[slots[winners]] = ids[winners], values[winners]
            waiting = np.delete(waiting, first)
            slots[waiting] = slots[waiting] + np.uint64(1) & mask

    def items(self) -> tuple[U64, I16]:
        """Ids in ascending order, and their values."""
        at = np.flatnonzero(self.values >= 0)
        order: I64 = at[np.argsort(self.keys[at], kind="stable")]
        return self.keys[order], self.values[order]

    @classmethod
    def of(cls, ids: U64, values: I16) -> "IdTable":
        """A table of ids that differ."""
        table = cls(max(1024, 1 << (2 * len(ids) + 1).bit_length()))
        table._fill(ids, values)
        table._count = len(ids)
        return table
