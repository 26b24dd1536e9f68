"""A jump of event time is one stride where nothing is to be said of its panes, and the answers are those of a walk."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from support.windows import COLUMNS, START, definition, frame

from schemas.core import NS
from streams import PANE_NS, Windower, WindowState

ZERO_FOR_NS = 300 * NS
DEFS = [definition(i) for i in range(8)]


class Walking(Windower):
    """Passes over nothing."""

    def _speaks(self, state, start):
        return True


def answers(windower, samples, ticks, stretches):
    """Every block that holds anything with all its columns, gaps in their order, and the last snapshot."""
    state, found = WindowState(), []
    for signal, start, length in stretches:
        state.covered.add(signal, START + start * PANE_NS, START + (start + length) * PANE_NS)
    windower.add(state, frame(samples, DEFS))
    for tick in ticks:
        with np.errstate(all="ignore"):
            for block in windower.close(state, START + tick * PANE_NS):
                found += [getattr(block, name).tobytes() for name in COLUMNS]
                found.append((block.start_ns, block.end_ns))
        found += windower.gaps(state)
    return found, state.dump()


panes = st.integers(0, 400)
sample = st.tuples(st.integers(0, 7), panes.map(lambda pane: START + pane * PANE_NS + NS), st.floats(-9, 9))
stretch = st.tuples(st.sampled_from(["metrics", "logs"]), panes, st.integers(1, 60))


def at(series, *panes):
    return [(series, START + pane * PANE_NS + NS, 1.0) for pane in panes]


@settings(max_examples=40, deadline=None)
@example([*at(0, 0, 10), *at(4, 0, 5, 10)], [], [])  # the second falls silent before the first, both in one stride
@example([*at(2, 0), *at(0, 36)], [], [])  # zeros of an event series slide out just when somebody speaks
@example([*at(0, 0), *at(2, 60)], [], [])  # before an event series first spoke it was zero
@example([*at(1, 0), *at(0, 2)], [], [])  # nothing is known of what lay before the first sample
@given(st.lists(sample, min_size=1, max_size=12), st.lists(panes, max_size=5), st.lists(stretch, max_size=3))
@pytest.mark.parametrize("fast", [False, True])
def test_with_and_without_the_stride_and_at_any_pace_the_answers_are_the_same(fast, samples, between, stretches):
    """A sample now and then in more than an hour, of metrics and of events; some of it was not recorded."""
    makers = [Windower, Walking, Windower]
    ticks = [[420], [420], sorted({*between, 420})]
    found = []
    for make, told in zip(makers, ticks, strict=True):
        windower = make("test", zero_for_ns=ZERO_FOR_NS)
        if fast:
            windower.use_kernels()
        found.append(answers(windower, samples, told, stretches))
    assert found[0] == found[1]
    assert found[2][1] == found[0][1] and sorted(map(str, found[2][0])) == sorted(map(str, found[0][0]))


def test_half_a_year_costs_the_panes_of_a_day():
    windower, state = Windower("test"), WindowState()
    half_a_year = 182 * 8640
    windower.add(state, frame([(2, START, 1.0), (2, START + half_a_year * PANE_NS, 1.0)], DEFS))
    ends = [block.end_ns for block in windower.close(state, START + (half_a_year + 1) * PANE_NS)]
    assert len(set(ends)) <= 8640 + 13
    assert ends[-1] == START + (half_a_year + 1) * PANE_NS


def test_silence_of_an_event_series_means_zero_for_a_day_and_then_nothing():
    windower, state = Windower("test"), WindowState()
    windower.add(state, frame([(2, START, 5.0), *((0, START + n * PANE_NS, 1.0) for n in range(8700))], DEFS))
    totals = {
        (block.end_ns - START) // PANE_NS: float(block.total[block.series == 2][0])
        for block in windower.close(state, START + 8700 * PANE_NS)
        if block.end_ns - block.start_ns == PANE_NS and (block.series == 2).any()
    }
    assert [totals[n] for n in (1, 2, 8641)] == [5.0, 0.0, 0.0]
    assert np.isnan(totals[8642]) and np.isnan(totals[8700])
