"""A level that a change moved for good is the usual one within hours; watches go on judging by what was before."""

import numpy as np
import pytest

from detectors.cusum import Cusum
from detectors.host_residual import HostResidual
from detectors.seasonal_local import SeasonalLocal
from schemas.core import NS, WindowBlock

DAY, ROWS = 1440, 12


def window(at, x):
    n, ones = len(x), np.ones(len(x))
    return WindowBlock(
        start_ns=at * 60 * NS, end_ns=(at + 1) * 60 * NS, series=np.arange(n, dtype=np.uint64), rows=np.arange(n),
        total=x, mean=x, low=x, high=x, last=x, count=np.ones(n, np.int64), expected=ones, weight=ones, recorded=ones,
    )  # fmt: skip


def told_by_hour(detector, sigmas, hours):
    """Share of windows with p below 1e-3 in each hour after two days of noise and a step by so many deviations."""
    rng, state, found = np.random.default_rng(1), detector.initial(ROWS), np.zeros(hours)
    if "entity" in state:
        state["entity"][:] = np.repeat(np.arange(ROWS // 4), 4)
    for at in range(2 * DAY + 60 * hours):
        x = 50.0 + 5.0 * rng.standard_normal(ROWS) + 5.0 * sigmas * (at >= 2 * DAY)
        if at >= 2 * DAY:
            found[(at - 2 * DAY) // 60] += (detector.score(state, window(at, x)).p < 1e-3).mean() / 60
        state = detector.learn(state, window(at, x))
    return found


@pytest.mark.parametrize(
    ("detector", "sigmas", "usual_after_h"),
    [(SeasonalLocal(), 8, 1), (SeasonalLocal(), 30, 3), (HostResidual(), 8, 3), (Cusum(), 8, 1)],
    ids=lambda it: getattr(it, "kind", str(it)),
)
def test_a_step_is_told_and_then_it_is_the_level(detector, sigmas, usual_after_h):
    share = told_by_hour(detector, sigmas, usual_after_h + 3)
    assert share[0] > 0.1 and share[usual_after_h:].max() < 0.1 and share[-1] < 0.08
