"""A canary is worse, not worse, or not known; a healthy one is seldom called worse."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors import CanaryRule, judge, looks
from detectors._canary import LOOKS_S, NEGATIVE, ZERO
from schemas.core import NS


def buckets(values):
    found = np.ceil(np.log2(values) * 8).astype(int) - 1
    return dict(zip(*(c.tolist() for c in np.unique(found, return_counts=True)), strict=True))


def latencies(rng, n, scale=1.0, tail=1.0):
    """Lognormal seconds; of one in twenty the tail is stretched."""
    values = 0.1 * scale * rng.lognormal(0, 0.5, n)
    return np.where(rng.random(n) < 0.05, values * tail, values)


def test_a_slower_version_is_worse_and_says_by_how_much():
    rng = np.random.default_rng(0)
    found = judge(buckets(latencies(rng, 5000)), buckets(latencies(rng, 5000, 1.4)))
    assert (found.verdict, found.reason) == ("worse", "KS_AND_P99")
    assert found.p < 0.01 and 1.3 < found.canary / found.baseline < 1.5 and found.interval[0] > 1


def test_a_tail_that_the_mean_hides_is_found():
    rng = np.random.default_rng(1)
    assert judge(buckets(latencies(rng, 20_000)), buckets(latencies(rng, 20_000, tail=4.0))).verdict == "worse"


def test_the_same_version_with_enough_requests_is_not_worse():
    rng = np.random.default_rng(2)
    assert judge(buckets(latencies(rng, 20_000)), buckets(latencies(rng, 20_000))).verdict == "not_worse"


@pytest.mark.parametrize(("n", "reason"), [((0, 900), "NO_BASELINE"), ((900, 0), "TOO_FEW"), ((499, 9000), "TOO_FEW")])
def test_without_enough_on_both_sides_it_is_not_known(n, reason):
    found = judge({0: n[0]} if n[0] else {}, {40: n[1]} if n[1] else {})
    assert (found.verdict, found.reason) == ("inconclusive", reason)


def test_few_requests_show_neither():
    rng = np.random.default_rng(3)
    assert judge(buckets(latencies(rng, 600)), buckets(latencies(rng, 600))).reason == "NOT_SHOWN"


def test_slower_by_less_than_a_fifth_is_never_worse():
    rng = np.random.default_rng(4)
    assert judge(buckets(latencies(rng, 50_000)), buckets(latencies(rng, 50_000, 1.1))).verdict != "worse"


def test_a_faster_version_is_not_worse():
    rng = np.random.default_rng(5)
    assert judge(buckets(latencies(rng, 5000)), buckets(latencies(rng, 5000, 0.5))).verdict == "not_worse"


def test_more_tests_want_more_evidence():
    rng = np.random.default_rng(6)
    one = buckets(latencies(rng, 1500)), buckets(latencies(rng, 1500, 1.5))
    p = judge(*one).p
    assert judge(*one, tests=1, rule=CanaryRule(p=p * 1.01)).verdict == "worse"
    assert judge(*one, tests=2, rule=CanaryRule(p=p * 1.01)).verdict != "worse"


@pytest.mark.parametrize("seed", range(3))
def test_of_three_hundred_healthy_changes_fewer_than_the_rule_allows_are_called_worse(seed):
    rng = np.random.default_rng(100 + seed)
    tests = len(LOOKS_S) * 4
    worse = 0
    for _ in range(300):
        every = [judge(buckets(latencies(rng, 1000)), buckets(latencies(rng, 1000)), tests) for _ in range(4)]
        worse += any(found.verdict == "worse" for found in every)
    assert worse <= 300 * 0.01 + 3


@given(
    st.dictionaries(st.sampled_from([ZERO, NEGATIVE, -100, -1, 0, 7, 50]), st.integers(1, 5000), min_size=1),
    st.dictionaries(st.sampled_from([ZERO, NEGATIVE, -100, -1, 0, 7, 50]), st.integers(1, 5000), min_size=1),
    st.integers(1, 100),
)
def test_any_counts_have_a_verdict_and_the_same_on_both_sides_is_never_worse(one, other, tests):
    found = judge(one, other, tests)
    assert 0 <= found.p <= 1 and found.n == (sum(one.values()), sum(other.values()))
    assert judge(one, one, tests).verdict != "worse"


def test_looks_are_fixed_and_begin_after_the_warm_up():
    assert looks(0, 400 * NS) == [180 * NS, 360 * NS]
    assert looks(0, 10**6 * NS)[-1] == (60 + 3600) * NS and looks(0, 100 * NS) == []
