"""Proofs of the Merkle tree, each of small trees: all that hold are taken, and what is no proof is said to be none."""

import pytest

from actions import Tree, includes, is_consistent, leaf_hash

MOST = 40
LEAVES = [leaf_hash(bytes([i])) for i in range(MOST)]
TREE = Tree(LEAVES)
ROOTS = [TREE.root(size) for size in range(MOST + 1)]


def test_every_entry_of_every_small_tree_is_proved():
    for size in range(1, MOST + 1):
        for index in range(size):
            assert includes(LEAVES[index], index, size, TREE.inclusion_proof(index, size), ROOTS[size]) is True


def test_every_beginning_of_every_small_tree_is_proved():
    for new in range(MOST + 1):
        for old in range(new + 1):
            proof = TREE.consistency_proof(old, new)
            assert is_consistent(old, new, ROOTS[old], ROOTS[new], proof) is True, f"{old} of {new}"


@pytest.mark.parametrize(("old", "new"), [(3, 5), (7, 12), (8, 13), (12, 33)])
def test_a_proof_of_growth_that_is_short_long_or_in_another_order_is_none(old, new):
    proof = TREE.consistency_proof(old, new)
    for wrong in ([], proof[:-1], [*proof, ROOTS[3]], [*proof, *proof], proof[1:], proof[::-1]):
        assert is_consistent(old, new, ROOTS[old], ROOTS[new], wrong) is (wrong == proof)


@pytest.mark.parametrize(("index", "size"), [(-1, 5), (5, 5), (6, 5), (0, 0)])
def test_an_entry_outside_of_the_tree_is_not_in_it(index, size):
    assert includes(LEAVES[0], index, size, [], LEAVES[0]) is False


def test_a_proof_of_an_entry_that_is_long_or_short_is_none():
    proof = TREE.inclusion_proof(4, 13)
    for wrong in ([], proof[:-1], [*proof, ROOTS[2]], proof[::-1]):
        assert includes(LEAVES[4], 4, 13, wrong, ROOTS[13]) is False
    assert includes(LEAVES[0], 0, 1, [ROOTS[2]], ROOTS[1]) is False


def test_a_tree_is_no_beginning_of_a_smaller_one():
    assert is_consistent(5, 3, ROOTS[5], ROOTS[3], []) is False
    assert is_consistent(-1, 3, ROOTS[0], ROOTS[3], []) is False
    assert is_consistent(3, 3, ROOTS[3], ROOTS[3], [ROOTS[1]]) is False
