"""The Merkle tree of RFC 6962: one hash stands for all entries, short proofs for one entry or for growth.

A leaf is hashed behind 0x00 and a node behind 0x01, so neither can be shown as the other; a tree that is not full
splits at the largest power of two below its size. Adding a leaf needs only the roots of the perfect subtrees to its
left (`Frontier`); proofs need all leaf hashes. Proofs are checked as in RFC 9162, sections 2.1.3.2 and 2.1.4.2.
Source: RFC 6962, section 2.1.
"""

import hashlib
from collections.abc import Sequence

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


def root_of(leaves: Sequence[bytes]) -> bytes:
    """The root over leaf hashes."""
    tree = Frontier()
    for leaf in leaves:
        tree.add(leaf)
    return tree.root


def inclusion_proof(index: int, leaves: Sequence[bytes]) -> list[bytes]:
    """The hashes beside the way from leaf `index` to the root, lowest first. `leaves`: all leaf hashes of the tree.

    Raises IndexError if there is no such leaf.
    """
    if not 0 <= index < len(leaves):
        raise IndexError(f"entry {index} of {len(leaves)}")
    if len(leaves) == 1:
        return []
    k = _split(len(leaves))
    if index < k:
        return [*inclusion_proof(index, leaves[:k]), root_of(leaves[k:])]
    return [*inclusion_proof(index - k, leaves[k:]), root_of(leaves[:k])]


def consistency_proof(old: int, leaves: Sequence[bytes]) -> list[bytes]:
    """The hashes that show the tree of the first `old` leaves to be the beginning of the tree of all of them.

    Empty if `old` is 0 or everything. Raises IndexError if `old` is more than there is.
    """
    if not 0 <= old <= len(leaves):
        raise IndexError(f"size {old} of {len(leaves)}")
    return _subproof(old, leaves, True) if old else []


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


def _subproof(old: int, leaves: Sequence[bytes], is_known: bool) -> list[bytes]:
    if old == len(leaves):
        return [] if is_known else [root_of(leaves)]
    k = _split(len(leaves))
    if old <= k:
        return [*_subproof(old, leaves[:k], is_known), root_of(leaves[k:])]
    return [*_subproof(old - k, leaves[k:], False), root_of(leaves[:k])]


def _split(size: int) -> int:
    return 1 << ((size - 1).bit_length() - 1)
