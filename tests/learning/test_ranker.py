import numpy as np
import pytest

from learning import Case, evaluate, fit_ranker, leave_group_out, ranks_of

KINDS = ("good", "useless", "misleading")


def cases(n=40, seed=0):
    rng = np.random.default_rng(seed)
    made = []
    for i in range(n):
        matrix = rng.random((10, 3))
        truth = int(rng.integers(10))
        matrix[truth, 0] += 1.0
        matrix[truth, 2] *= 0.2
        made.append(Case(f"i{i}", f"g{i % 4}", matrix, truth, 10))
    return made


def test_useful_evidence_gets_weight_and_misleading_evidence_none():
    weights = fit_ranker(cases(), KINDS, data="made").weights
    assert weights["good"] > 1 and weights["misleading"] == 0 and weights["good"] > 3 * weights["useless"]


def test_the_fit_is_deterministic_and_names_what_it_was_fitted_on():
    first, second = (fit_ranker(cases(5), KINDS, data="made", held_out=["x"]) for _ in range(2))
    assert first == second and first.fitted_on == ["i0", "i1", "i2", "i3", "i4"] and first.held_out == ["x"]


def test_ties_count_against_us():
    tied = Case("t", "g", np.ones((4, 1)), 2, 6)
    silent = Case("s", "g", np.zeros((4, 1)), 2, 6)
    assert list(ranks_of([tied, silent], lambda case: np.ones(1))) == [4, 6]


def test_a_cause_without_evidence_ranks_last():
    assert list(ranks_of([Case("t", "g", np.ones((4, 1)), None, 46)], lambda case: np.ones(1))) == [46]


@pytest.mark.parametrize("group", [lambda c: c.id, lambda c: c.group], ids=["one", "group"])
def test_the_left_out_are_ranked_far_above_chance(group):
    made = cases()
    result = evaluate(made, leave_group_out(made, KINDS, group=group))
    assert (
        result.ac1 > 0.7
        and result.chance == pytest.approx(0.1)
        and result.interval[0] <= result.ac1 <= result.interval[1]
    )


def test_a_wrong_matrix_is_refused_by_name():
    with pytest.raises(ValueError, match="case i0 has shape"):
        fit_ranker(cases(1), KINDS[:2], data="made")
