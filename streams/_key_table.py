"""Keys of a kernel and the rows of a book that they stand for: open addressing, and a guess at the next row.

Needs numba. keys, rows: a power of two long, key 0 is a free slot. by_row: the key of each row.
"""

import numpy as np

from schemas.core import U64
from streams import _otlp_numba as kernel
from streams._otlp_known import Book
from streams._otlp_numba import I32


class KeyTable:
    """What the keys of one tenant stand for."""

    def __init__(self) -> None:
        self.keys: U64 = np.zeros(1024, np.uint64)
        self.rows: I32 = np.zeros(1024, np.int32)
        self.by_row: U64 = np.zeros(1024, np.uint64)
        self.used = 0
        self.book = Book()

    def learn(self, keys: U64, rows: I32) -> None:
        """Let keys stand for rows."""
        self.used += len(keys)
        if 2 * self.used > len(self.keys):
            old, size = self.keys != 0, 1 << (4 * self.used).bit_length()
            old_keys, old_rows = self.keys[old], self.rows[old]
            self.keys, self.rows = np.zeros(size, np.uint64), np.zeros(size, np.int32)
            kernel.insert(self.keys, self.rows, old_keys, old_rows)
        kernel.insert(self.keys, self.rows, keys, rows)
        last = int(rows.max())
        if last >= len(self.by_row):
            self.by_row = np.concatenate([self.by_row, np.zeros(last + last // 2, np.uint64)])
        self.by_row[rows] = keys
