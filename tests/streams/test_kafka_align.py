"""Inputs that wait for others: whoever is far ahead of a backlog does, and never everybody."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import schemas as sc
from schemas.core import NS
from streams import Task, writer_of
from streams._kafka_align import ahead, reached

A, B = writer_of("normalise", "a"), writer_of("normalise", "b")
HERE, THERE, JOURNAL = (sc.SPANS, 0), (sc.SPANS, 1), (sc.OBSERVATIONS, 0)


class Spans:
    """A stage that reads two partitions."""

    name, inputs, outputs, ordered, makes_time = "spans", (sc.SPANS,), (), False, False

    def initial(self) -> int:
        return 0


def task(*marks: tuple[Any, str, int], idle: bool = False, final: bool = False) -> Task:
    both = frozenset({A, B})
    found = Task.start(Spans(), {HERE: both, THERE: both}, 2)  # type: ignore[arg-type]
    for place, writer, through in marks:
        mark = sc.Watermark(stage="normalise", instance=writer[-1], through_ns=through, idle=idle, final=final)
        found.marks[(*place, writer)] = mark
    return found


def test_an_input_was_read_as_far_as_the_slowest_of_its_writers_says_there():
    found = task((HERE, A, 5), (HERE, B, 9), (THERE, A, 7))
    assert reached(found, [HERE, THERE]) == {HERE: 5, THERE: 0}  # of B nothing was heard there yet


@pytest.mark.parametrize("silence", [{"idle": True}, {"final": True}])
def test_inputs_for_which_nobody_waits_are_left_out(silence):
    found = task((HERE, A, 5), (HERE, B, 9), **silence)
    assert reached(found, [HERE, JOURNAL]) == {}


def test_only_a_backlog_lets_others_wait():
    times = {HERE: 0, THERE: 700 * NS}
    assert ahead(times, [HERE, THERE], 600 * NS) == {THERE}
    assert ahead(times, [HERE, THERE], 700 * NS) == frozenset()
    assert ahead(times, [THERE], 600 * NS) == frozenset()  # here merely nothing comes


PLACES = st.tuples(st.sampled_from([sc.SPANS, sc.LOGS]), st.integers(0, 5))


@given(st.dictionaries(PLACES, st.integers(0, 10_000)), st.sets(PLACES), st.integers(0, 5_000))
def test_of_those_with_a_backlog_one_always_reads_on_and_none_that_reads_on_is_too_far_ahead(times, backlog, lead):
    waiting = ahead(times, backlog, lead)
    open_ = [place for place in backlog if place in times and place not in waiting]
    assert bool(open_) == any(place in times for place in backlog)
    assert all(times[a] <= times[b] + lead for a in times.keys() - waiting for b in open_)
