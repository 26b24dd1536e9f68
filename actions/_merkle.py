"""The Merkle tree of RFC 6962: one hash stands for all entries, short proofs for one entry or for growth.

A leaf is hashed behind 0x00 and a node behind 0x01, so neither can be shown as the other; a tree that is not full
splits at the largest power of two below its size. Adding a leaf needs only the roots of the perfect subtrees to its
left (`Frontier`); proofs need all leaf hashes (`Tree`). Checks are those of RFC 9162, 2.1.3.2 and 2.1.4.2.
Source: RFC 6962, section 2.1.
"""

import hashlib
from collections.abc import Iterable, Sequence

EMPTY = hashlib.sha256(b"").digest()
"""The root of a tree without leaves."""


def leaf_hash(entry: bytes) -> bytes:
    """32 bytes."""
    return hashlib.sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """32 bytes."""
    return hashlib.sha256(b"\x01" + left + right).digest()


class Frontier:
    """A tree that only grows: its size and the roots of its perfect subtrees, largest first.

    >>> tree = Frontier()
    >>> tree.add(leaf_hash(b""))
    >>> tree.root.hex()[:8], tree.size
    ('6e340b9c', 1)
    """

    __slots__ = ("_roots", "size")

    def __init__(self) -> None:
        self.size = 0
        self._roots: list[bytes] = []

    def add(self, leaf: bytes) -> None:
        """One more leaf, given by its hash."""
        roots, full = self._roots, self.size
        while full & 1:
            leaf = hashlib.sha256(b"\x01" + roots.pop() + leaf).digest()
            full >>= 1
        roots.append(leaf)
        self.size += 1

    @property
    def root(self) -> bytes:
        """32 bytes."""
        if not self._roots:
            return EMPTY
        right = self._roots[-1]
        for left in reversed(self._roots[:-1]):
            right = node_hash(left, right)
        return right


class Tree:
    """All leaf hashes with the roots of all perfect subtrees: any proof in microseconds, 64 bytes a leaf."""

    def __init__(self, leaves: Iterable[bytes]) -> None:
        self._levels = [list(leaves)]
        while len(lower := self._levels[-1]) > 1:
            self._levels.append([node_hash(lower[i], lower[i + 1]) for i in range(0, len(lower) - 1, 2)])

    @property
    def size(self) -> int:
        return len(self._levels[0])

    def root(self, size: int) -> bytes:
        """The root of the first `size` leaves. Raises IndexError if there are fewer."""
        return self._over(0, self._held(size))

    def inclusion_proof(self, index: int, size: int) -> list[bytes]:
        """The hashes beside the way from leaf `index` to the root of the first `size` leaves, lowest first.

        Raises IndexError if there is no such leaf.
        """
        if not 0 <= index < self._held(size):
            raise IndexError(f"entry {index} of {size}")
        path, start, end = [], 0, size
        while end - start > 1:
            middle = start + _split(end - start)
            if index < middle:
                path.append(self._over(middle, end))
                end = middle
            else:
                path.append(self._over(start, middle))
                start = middle
        return path[::-1]

    def consistency_proof(self, old: int, size: int) -> list[bytes]:
        """The hashes that show the tree of the first `old` leaves to be the beginning of that of the first `size`.

        Empty if `old` is 0 or `size`. Raises IndexError if `old` is more than that.
        """
        if not 0 <= old <= self._held(size):
            raise IndexError(f"size {old} of {size}")
        path, start, end = [], 0, size
        while old and old < end:
            middle = start + _split(end - start)
            if old <= middle:
                path.append(self._over(middle, end))
                end = middle
            else:
                path.append(self._over(start, middle))
                start = middle
        if start:
            path.append(self._over(start, end))
        return path[::-1]

    def _over(self, start: int, end: int) -> bytes:
        """The root over [start, end), where start is a multiple of a power of two not below the width."""
        width = end - start
        if width == 0:
            return EMPTY
        if width & (width - 1) == 0:
            level = width.bit_length() - 1
            return self._levels[level][start >> level]
        middle = start + _split(width)
        return node_hash(self._over(start, middle), self._over(middle, end))

    def _held(self, size: int) -> int:
        if not 0 <= size <= self.size:
            raise IndexError(f"size {size} of {self.size}")
        return size


def includes(leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> bool:
    """Whether the proof shows that `leaf` is entry `index` of the tree of that size and root."""
    if not 0 <= index < size:
        return False
    fn, sn, found = index, size - 1, leaf
    for p in proof:
        if sn == 0:
            return False
        if fn & 1 or fn == sn:
            found = node_hash(p, found)
            while not fn & 1 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            found = node_hash(found, p)
        fn, sn = fn >> 1, sn >> 1
    return sn == 0 and found == root


def is_consistent(old: int, new: int, old_root: bytes, new_root: bytes, proof: Sequence[bytes]) -> bool:
    """Whether the proof shows that the tree of size `old` is the beginning of the tree of size `new`."""
    if not 0 <= old <= new:
        return False
    if old in (0, new):
        return not proof and old_root == (new_root if old else EMPTY)
    path = list(proof) if old & (old - 1) else [old_root, *proof]
    if not path:
        return False
    fn, sn = old - 1, new - 1
    while fn & 1:
        fn, sn = fn >> 1, sn >> 1
    first = second = path[0]
    for c in path[1:]:
        if sn == 0:
            return False
        if fn & 1 or fn == sn:
            first, second = node_hash(c, first), node_hash(c, second)
            while not fn & 1 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            second = node_hash(second, c)
        fn, sn = fn >> 1, sn >> 1
    return sn == 0 and first == old_root and second == new_root


def _split(size: int) -> int:
    return 1 << ((size - 1).bit_length() - 1)
