"""Every verb, done by its executor through the gateway: once, exactly, only where nobody moved, and undone.

A new executor needs a rig in tests/support/rigs.py; PostgreSQL's verbs run in tests/servers.
"""

import pytest
from support.effects import (
    check_a_moved_target_is_left_alone,
    check_done_once_and_undone,
    check_what_somebody_changed_since_is_not_undone,
)
from support.gateway import VERBS
from support.rigs import RIGS

from tidegate import _catalogue

EXECUTORS = _catalogue.classes("executors")
ELSEWHERE = {"postgres"}
CASES = [(kind, verb) for kind in RIGS for verb in EXECUTORS[kind].verbs]


def test_every_executor_has_a_rig():
    assert set(RIGS) | ELSEWHERE == set(EXECUTORS)


@pytest.fixture
def rig(kind, tmp_path):
    with RIGS[kind](tmp_path) as found:
        yield found


@pytest.mark.parametrize(("kind", "verb"), CASES)
def test_it_is_done_once_and_undone_as_it_was(rig, verb):
    check_done_once_and_undone(rig, verb)


@pytest.mark.parametrize(("kind", "verb"), [case for case in CASES if case[0] != "webhook"])
def test_a_target_that_somebody_moved_is_left_alone(rig, verb):
    check_a_moved_target_is_left_alone(rig, verb)


MARKED = [(kind, verb) for kind, verb in CASES if VERBS.get(verb).is_reversible]


@pytest.mark.parametrize(("kind", "verb"), MARKED)
def test_what_somebody_has_changed_since_is_not_undone(rig, verb):
    check_what_somebody_changed_since_is_not_undone(rig, verb)
