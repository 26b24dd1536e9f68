"""The fleet of counted errors: the same each time, and what its figures count."""

from itertools import pairwise

import numpy as np

from bench.pages import DAY, TAUGHT_D
from bench.pages_errors import BUSY, SERIES, SEVERE, SEVERE_MIN, Errors, Fault, Found, Wide, figures, severe_of
from detectors._calm import shape_of
from detectors.error_ratio import BELIEF


def test_a_fleet_is_the_same_each_time_and_what_is_added_fails():
    calm = np.zeros(SERIES)
    first, again, other = (Errors(lot, 1).minute(5, calm) for lot in (0, 0, 1))
    assert all((a == b).all() for a, b in zip(first, again, strict=True)) and (first[1] != other[1]).any()
    errors, requests = Errors(0, 1).minute(5, calm + 1.0)
    assert (errors <= requests).all() and errors.sum() > first[0].sum()


def test_nothing_is_ever_calm_to_the_detector_that_calm_shares_are_compared_with():
    state = Wide().initial(3)
    state["windows"] += 10**6
    assert (shape_of(state, BELIEF) == BELIEF.shape).all()


def test_a_fault_that_nothing_tells_of_is_missed_among_those_as_busy():
    found = figures([Found([], [(Fault(3, (TAUGHT_D + 7) * DAY + 5, 0.02), 50.0)])], 0, 1, 7, 1e-6)
    assert found["pages"] == 0 and found["found"]["0.02"]["quiet"] == [0, 1] and found["found_all"] == [0, 1]


def test_severe_faults_are_of_quiet_endpoints_one_at_a_time_in_a_service():
    fleet = Errors(0, 20)
    found = severe_of(0, fleet, 100)
    assert found == severe_of(0, fleet, 100) and {fault.added for fault in found} == set(SEVERE)
    assert all(fleet.requests[fault.row] < BUSY[0] and 100 <= fault.begin < 100 + DAY for fault in found)
    for service in range(20):
        begins = sorted(fault.begin for fault in found if fault.row // SERIES == service)
        assert all(after - before > SEVERE_MIN for before, after in pairwise(begins))


def test_a_severe_fault_that_nothing_tells_of_is_missed_by_how_few_requests_there_are():
    fault = Fault(3, (TAUGHT_D + 8) * DAY + 5, 0.5, SEVERE_MIN)
    found = figures([Found([], [], [(fault, 12.0)])], 0, 1, 7, 1e-6)
    assert found["found_severe"]["0.5"] == {"below 10": [0, 0], "below 30": [0, 1], "below 100": [0, 0]}
    assert found["severe_minutes"] is None and found["found_all"] == [0, 0]
