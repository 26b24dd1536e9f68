"""Outcomes of foreseen limits: what counts as foreseen, and what as reached within the lead."""

import numpy as np

from diagnosis import Limit
from learning import QUICK, Grid, crossed, crossings
from schemas.core import NS

LIMIT = Limit("shop", "rate", 10.0, "load_ahead")
VALUES = np.array([5.0, 6.0, 7.0, 8.0, 11.0, 9.0, 8.0])


def told(at, middle, h=2, values=VALUES, limit=LIMIT):
    ends = tuple(np.array([middle + d]) for d in (-2.0, 0.0, 2.0))
    return [(o.standing.odds, o.is_right) for o in crossed(values, np.array([at]), ends, h, [limit], "s")]


def test_a_limit_that_is_touched_anywhere_within_the_lead_was_reached():
    assert told(5, 10.0) == [(0.0, True)], "from 8 at position 3 over 11 to 9"
    assert told(3, 12.0) == [(1.0, False)], "from 6 over 7 to 8"


def test_where_it_is_not_foreseen_or_reached_already_nothing_is_learned():
    assert told(5, 9.9) == [] and told(6, 12.0) == []


def test_a_gap_teaches_nothing():
    gap = VALUES.copy()
    gap[4] = np.nan
    assert told(5, 10.0, values=gap) == []


def test_a_lower_limit_is_the_mirror():
    assert told(5, -12.0, values=-VALUES, limit=LIMIT._replace(at=-10.0, most=False)) == [(1.0, True)]


def test_a_daily_course_that_crosses_its_limit_is_foreseen_before_it_is_reached():
    step, day = 300, 288
    n = 12 * day
    noise = np.random.default_rng(1).normal(0, 1, n)
    grid = Grid(0, step * NS, 100 + 40 * np.sin(2 * np.pi * np.arange(n) / day) + noise)
    found = crossings(grid, QUICK, (), 3, [LIMIT._replace(at=120.0)], "s")
    assert 3 <= len(found) <= 6, "six days, of which the middle of the forecast is late on some"
    assert all(one.is_right for one in found)
