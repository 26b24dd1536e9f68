"""What left the level of the last hour, and what was never seen before."""

import numpy as np
import pytest
from support.windows import block

from detectors import Detect
from detectors._tail_online import is_known
from detectors.level_shift import LevelShift
from detectors.novelty import TRACKS, Novelty
from schemas import SeriesDef
from schemas.core import NS, WindowBlock

STEP_S = 300


def taught(detector, values):
    state, p = detector.initial(values.shape[1]), []
    for at, value in enumerate(values):
        p.append(detector.score(state, block(at, value, STEP_S)).p)
        state = detector.learn(state, block(at, value, STEP_S))
    return state, np.array(p)


def noise(windows, n, law="standard_normal"):
    rng = np.random.default_rng(6)
    return 50 + (rng.standard_normal((windows, n)) if law == "standard_normal" else rng.exponential(size=(windows, n)))


@pytest.mark.parametrize("kind", [LevelShift, Novelty])
@pytest.mark.parametrize("law", ["standard_normal", "exponential"])
def test_after_days_p_is_not_too_small(kind, law):
    _, p = taught(kind(), noise(3000, 200, law))
    late = p[1000:]
    assert (late > 0).all() and (late <= 1).all()
    for a in (0.1, 0.01, 0.001):
        error = np.std((late <= a).mean(0)) / np.sqrt(late.shape[1])
        assert (late <= a).mean() <= a + 3 * max(error, np.sqrt(a * (1 - a) / late.size)), (a, (late <= a).mean())


def test_a_shift_is_said_at_once_and_not_for_the_rest_of_the_day():
    values = noise(3000, 1)
    values[2000:] += 15
    state, p = taught(LevelShift(), values)
    assert is_known(state).all() and p[2000, 0] < 1e-3
    assert (p[2010:2100, 0] < 1e-3).mean() < 0.02


def test_a_record_is_new_once():
    values = noise(2000, 1)
    values[[1500, 1600, 1700], 0] = [90.0, 85.0, 90.0]
    _, p = taught(Novelty(), values)
    assert p[1500, 0] < 1e-5 and p[1600, 0] > 1e-3 and p[1700, 0] > 1e-3  # though so many are restless


def test_a_value_that_is_new_for_this_hour_alone_is_new():
    at = np.arange(12 * 24 * 10)
    values = (50 + 20 * np.sin(2 * np.pi * at / 288))[:, None] + 0.1 * np.random.default_rng(2).standard_normal(
        (len(at), 1)
    )
    calm = values.copy()
    values[2600:2640] = 50 - (values[2600:2640] - 50)
    _, p = taught(Novelty(), values)
    _, before = taught(Novelty(), calm)
    assert p[2600:2640].min() < 1e-3 < before[2600:2640].min()


def test_a_series_within_its_range_that_is_restless_as_never_before_is_new():
    values = noise(3000, 1)
    restless = values.copy()
    restless[2500:2600] = 50 + 3.0 * np.where(np.arange(100) % 2, 1.0, -1.0)[:, None]
    _, p = taught(Novelty(), restless)
    assert restless.max() == values.max() and p[2500:2600].min() == pytest.approx(10 / 2570, rel=0.02)


def test_seen_one_window_in_fifteen_a_mean_over_two_hours_is_one_over_two_hours():
    rare, detector = np.full((300, 1), 50.0), Novelty()
    state = detector.initial(1)
    for at, value in enumerate(rare):
        state = detector.learn(state, block(15 * at, value, 60))
    state = detector.learn(state, block(15 * 300, np.array([58.0]), 60))
    assert state["mean"][0] == pytest.approx(50 + 8 * 15 / 120)


def test_how_far_a_value_lies_beyond_the_range_counts():
    state, _ = taught(Novelty(), noise(600, 3))
    p = Novelty().score(state, block(600, np.array([54.5, 60.0, 500.0]), STEP_S)).p
    assert p[0] > p[1] > p[2]
    assert set(TRACKS) == {"value", "mean", "change", "week", "spread"}


def test_a_detector_that_looks_every_five_minutes_sees_one_tumbling_window_in_five():
    seen = []

    class Watcher(Novelty):
        every_s = 300

        def learn(self, state, block):
            seen.append(block.start_ns // NS)
            return super().learn(state, block)

    definition = SeriesDef(id=f"{0:016x}", entity_id="t/service/s", service="s", name="cpu")
    detect = Detect([Watcher()])
    state = detect.initial()
    for start_s in range(0, 1800, 10):
        now = block(0, np.array([1.0]), STEP_S)
        window = WindowBlock(
            **{name: getattr(now, name) for name in now.__slots__}
            | {"start_ns": start_s * NS, "end_ns": (start_s + 60) * NS, "is_tumbling": start_s % 60 == 0}
        )
        state, _ = detect.observe(state, window, {0: definition})
    assert seen == [0, 300, 600, 900, 1200, 1500]
