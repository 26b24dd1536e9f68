"""What all gauges of a host together say, and which of them said it."""

import numpy as np
import pytest
from support.windows import block

from detectors import Detect, part_of
from detectors.host_residual import HostResidual, joined
from schemas import SeriesDef

HOSTS, DIMENSIONS, FAULT = 3, 8, 2400


def definitions():
    return {
        row: SeriesDef(id=f"{row:016x}", entity_id=f"t/host/{row // DIMENSIONS}", service="s", name=f"d{row}", unit="1")
        for row in range(HOSTS * DIMENSIONS)
    }


def noise(windows=FAULT):
    return 50 + np.random.default_rng(8).standard_normal((windows, HOSTS * DIMENSIONS))


def taught(detect, values, emit=()):
    state = detect.initial()
    for at, value in enumerate(values):
        state, _ = detect.observe(state, block(at, value), definitions())
    return state, detect.observe(state, block(len(values), emit), definitions())[1] if len(emit) else []


def test_a_fault_of_some_dimensions_is_one_of_their_host_and_names_them():
    now = np.full(HOSTS * DIMENSIONS, 50.0)
    now[[9, 12, 14]] += [9.0, 12.0, -7.0]
    _, found = taught(Detect([HostResidual()]), noise(), now)
    assert {(one.entity_id, one.name) for one in found} == {("t/host/1", name) for name in ("d9", "d12", "d14")}
    assert len({one.p_value for one in found}) == 1 and found[0].p_value < 1e-3
    assert {one.name: one.direction for one in found} == {"d9": 1, "d12": 1, "d14": -1}


def test_one_dimension_alone_is_no_host_and_so_are_dimensions_of_several():
    now = np.full(HOSTS * DIMENSIONS, 50.0)
    now[[1, 9, 17]] = 500.0
    assert taught(Detect([HostResidual()]), noise(), now)[1] == []


def test_a_daily_swing_is_no_departure_once_it_is_known():
    at = np.arange(5 * 1440)[:, None]
    swing = noise(len(at)) + 20 * np.sin(2 * np.pi * at / 1440)
    detector, rows = HostResidual(), np.arange(HOSTS * DIMENSIONS)
    state, p = {**detector.initial(len(rows)), "entity": rows // DIMENSIONS}, []
    for window, value in enumerate(swing):
        p.append(detector.score(state, block(window, value)).p.min())
        state = detector.learn(state, block(window, value))
    assert np.mean(np.array(p[3 * 1440 :]) < 1e-3) < 0.003 * HOSTS


def test_the_history_of_a_host_moves_with_its_rows():
    detect = Detect([HostResidual()])
    state, _ = taught(detect, noise(200))
    kept = part_of(detect.load(detect.dump(state)), np.arange(8, 16), is_first=True)
    before, after = state.tables["host_residual"], kept.tables["host_residual"]
    assert all(np.array_equal(before[name][8:16], column) for name, column in after.items())
    assert len(set(after["entity"])) == 1 and after["entity"][0] >= 0


@pytest.mark.parametrize(("z", "size"), [([5.0], 5.0), ([5.0, 1.0], 1.0), ([9.0, 4.0, 2.0], 3.0)])
def test_the_largest_dimension_does_not_count_where_there_are_others(z, size):
    whole = joined(np.zeros(len(z), np.int64), np.array(z))
    assert whole.size.tolist() == [size] and whole.rank.tolist() == list(range(len(z)))
