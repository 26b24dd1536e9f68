"""The simulation is not blind: every bug of the catalogue is found, alone, with the defences off that would hide it."""

import pytest

from simulation import catalogue, hunt, planted, run_seed

QUICK = ("lost_is_refused", "read_without_fence", "no_floor", "chain_broken", "success_assumed", "one_is_a_quorum")
"""Found within a few seeds; the whole catalogue is `tidegate simulate --bugs`."""


def bug(name):
    return next(one for one in catalogue() if one.name == name)


def test_the_catalogue_has_at_least_thirty_bugs_each_with_a_name_of_its_own():
    names = [one.name for one in catalogue()]
    assert len(names) >= 30
    assert len(set(names)) == len(names)


def test_every_bug_of_the_catalogue_still_has_the_place_that_it_is_put_into():
    for one in catalogue():
        with planted(one):
            pass


@pytest.mark.parametrize("name", QUICK)
def test_a_bug_put_in_is_found(name):
    assert hunt(bug(name), seeds=15, directed=0, enough=1).caught_seeds >= 1


@pytest.mark.parametrize("name", ["doubt_is_retried", "fails_open", "foreign_is_ours", "waits_by_another_clock"])
def test_a_bug_that_seeds_meet_seldom_is_found_by_a_directed_history(name):
    assert hunt(bug(name), seeds=0).directed


def test_a_bug_is_out_again_after_it_was_in():
    before = run_seed(3, "full").root
    with planted(bug("lost_is_refused")):
        assert run_seed(3, "full").root != before
    assert run_seed(3, "full").root == before
