"""Baselines of a series that ended, in the series that goes on in its place."""

import numpy as np
import pytest
from support.windows import block, definition

from detectors import Detect
from detectors._split import part_of
from detectors.seasonal_local import SeasonalLocal

DAY = 1440
DEFS = {i: definition(0).model_copy(update={"id": f"{i:016x}"}) for i in range(4)}
DETECT = Detect([SeasonalLocal()])


def swing(m, level=50.0):
    """A day, and noise that is the same in every run."""
    return level + 15 * np.sin(2 * np.pi * m / DAY) + np.random.default_rng(m).normal(0, 1)


def told(state, begin, end, value, *, row=1):
    """Anomalies by minute of one row; `value` by minute."""
    found = {}
    for m in range(begin, end):
        values = np.full(row + 1, np.nan)
        values[row] = value(m)
        state, anomalies = DETECT.observe(state, block(m, values).take(np.array([row])), DEFS)
        if anomalies:
            found[m] = anomalies[0].p_value
    return state, found


@pytest.fixture(scope="module")
def taught():
    """A snapshot: row 0 was seen for three days and is gone."""
    return DETECT.dump(told(DETECT.initial(), 0, 3 * DAY, swing, row=0)[0])


def heir(taught, *, row=1):
    state = DETECT.load(taught)
    DETECT.hand_on(state, [(0, row)])
    return state


def odd(m, *, at=3 * DAY + 40, level=50.0):
    return swing(m, level) + (9.0 if at <= m < at + 10 else 0.0)


def test_an_heir_finds_within_the_hour_what_one_without_a_past_cannot_tell(taught):
    assert min(told(heir(taught), 3 * DAY, 3 * DAY + 60, odd)[1].values()) < 1e-4
    alone = told(DETECT.load(taught), 3 * DAY, 3 * DAY + 60, odd)[1]
    assert min(alone.values(), default=1.0) > 1e-4


@pytest.mark.parametrize("level", [20.0, 50.0, 90.0])
def test_the_level_is_the_heirs_own(taught, level):
    _, found = told(heir(taught), 3 * DAY, 3 * DAY + 600, lambda m: swing(m, level))
    assert min(found.values(), default=1.0) > 1e-5
    _, found = told(heir(taught), 3 * DAY, 3 * DAY + 60, lambda m: odd(m, level=level))
    assert min(found.values()) < 1e-4


def test_an_heir_that_was_judged_for_longer_keeps_what_it_knows(taught):
    young, old = told(DETECT.load(taught), 3 * DAY, 3 * DAY + 60, swing, row=1)[0], DETECT.load(taught)
    old, _ = told(old, 3 * DAY, 3 * DAY + 60, swing, row=1)
    DETECT.hand_on(old, [(1, 0)])
    for state in (young, old):
        told(state, 3 * DAY + 60, 3 * DAY + 90, swing, row=0)
    assert DETECT.dump(young) == DETECT.dump(old)


def test_an_heir_of_one_that_nobody_knew_knows_nothing():
    state = DETECT.initial()
    DETECT.hand_on(state, [(0, 1)])
    state, _ = told(state, 0, 60, swing)
    assert DETECT.dump(state) == DETECT.dump(told(DETECT.initial(), 0, 60, swing)[0])


def test_a_snapshot_before_an_heir_has_a_level_changes_nothing(taught):
    state, found = told(heir(taught), 3 * DAY, 3 * DAY + 2, odd)
    _, rest = told(DETECT.load(DETECT.dump(state)), 3 * DAY + 2, 3 * DAY + 60, odd)
    assert found | rest == told(heir(taught), 3 * DAY, 3 * DAY + 60, odd)[1] and rest


def test_an_heir_that_moves_to_another_partition_takes_what_it_waits_for_along(taught):
    state, _ = told(heir(taught, row=3), 3 * DAY, 3 * DAY + 2, odd, row=3)
    part = part_of(state, np.array([0, 3]), is_first=True)
    found = [told(one, 3 * DAY + 2, 3 * DAY + 60, odd, row=row)[1] for one, row in ((part, 1), (state, 3))]
    assert found[0] == found[1] and found[0]
