"""Detectors that report more, or less, than they did."""

import numpy as np
import pytest

from learning import drift


def hours(n, rate, seed=0, clump=1):
    return clump * np.random.default_rng(seed).poisson(rate / clump, n)


@pytest.mark.parametrize(("factor", "verdict"), [(1.0, "steady"), (1.2, "steady"), (4.0, "louder"), (0.1, "quieter")])
def test_a_rate_is_called_other_only_if_it_matters(factor, verdict):
    counts = np.concatenate([hours(7 * 24, 20), hours(24, 20 * factor, seed=1)])
    assert drift(counts, 24).verdict == verdict


def test_clumps_alone_are_no_drift():
    told = [drift(hours(8 * 24, 20, seed, clump=20), 24).verdict for seed in range(400)]
    assert told.count("steady") >= 396


def test_a_detector_that_falls_silent_is_quieter():
    found = drift(np.concatenate([hours(7 * 24, 20), np.zeros(24, np.int64)]), 24)
    assert found.verdict == "quieter" and found.recent_per_h == 0.0


def test_too_little_is_known_of_rare_reports_and_of_a_first_day():
    assert drift(hours(8 * 24, 0.1), 24).verdict == "unknown" == drift(hours(40, 20), 24).verdict
    with pytest.raises(ValueError, match="at least one"):
        drift(hours(40, 20), 0)
