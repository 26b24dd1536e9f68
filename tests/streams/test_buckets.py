"""The one histogram grid: bounds, explicit and exponential histograms onto it."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams._buckets import COUNT_MAX, NEGATIVE, ZERO, bucket_of, explicit_buckets, exponential_buckets


@given(st.floats(min_value=5e-324, max_value=1.7e308))
def test_a_value_lies_in_its_bucket(value: float):
    b, slack = bucket_of(value), 1e-9
    assert b / 8 - slack < math.log2(value) <= (b + 1) / 8 + slack


@given(st.integers(-1000, 1000))
def test_a_power_of_two_is_the_upper_bound_of_its_bucket(k: int):
    assert bucket_of(2.0**k) == 8 * k - 1
    assert bucket_of(math.nextafter(2.0**k, math.inf)) == 8 * k


def test_zero_and_negative_have_buckets_of_their_own():
    assert (bucket_of(0.0), bucket_of(-1e-9), bucket_of(-math.inf)) == (ZERO, NEGATIVE, NEGATIVE)


def test_explicit_counts_go_to_their_upper_bound_and_the_rest_one_above():
    assert explicit_buckets([1, 2, 3], [1.0, 2.0]) == {-1: 1, 7: 2, 8: 3}
    assert explicit_buckets([1, 2, 3], [-5.0, 0.0]) == {NEGATIVE: 1, ZERO: 2, 0: 3}
    assert explicit_buckets([1, 2, 3], [1.0, math.inf]) == {-1: 1, 0: 5}
    assert explicit_buckets([], []) == {}


@pytest.mark.parametrize(("counts", "bounds"), [([1], [1.0]), ([1, 2, 3], [2.0, 1.0]), ([1, 2], [math.nan])])
def test_counts_and_bounds_that_do_not_fit_are_refused(counts: list[int], bounds: list[float]):
    with pytest.raises(ValueError, match="bounds"):
        explicit_buckets(counts, bounds)


@given(st.integers(3, 20), st.lists(st.floats(1e-3, 1e6), min_size=1, max_size=50))
def test_downscaling_is_exact(scale: int, values: list[float]):
    fine = [math.ceil(math.log2(v) * 2**scale) - 1 for v in values]
    offset = min(fine)
    counts = [0] * (max(fine) - offset + 1) if max(fine) - offset < 10**6 else []
    if counts:
        for index in fine:
            counts[index - offset] += 1
        got = exponential_buckets(scale=scale, zero=0, positive=counts, offset=offset, negative=[])
        want = [math.ceil((index + 1) / 2 ** (scale - 3)) - 1 for index in fine]
        assert got == {b: want.count(b) for b in want}


@given(st.integers(-11, 2), st.integers(-100, 100))
def test_a_coarser_bucket_goes_whole_into_its_middle(scale: int, index: int):
    (bucket,) = exponential_buckets(scale=scale, zero=0, positive=[5], offset=index, negative=[])
    low, high = index * 2 ** (3 - scale), (index + 1) * 2 ** (3 - scale)
    assert low <= bucket < high or bucket in (-32766, 32767)


def test_zeros_and_negatives_of_exponential_histograms():
    got = exponential_buckets(scale=3, zero=4, positive=[0, 2], offset=-1, negative=[1, 2])
    assert got == {ZERO: 4, NEGATIVE: 3, 0: 2}


def test_nonsense_scales_and_counts_do_no_harm():
    with pytest.raises(ValueError, match="coarser"):
        exponential_buckets(scale=-(2**31), zero=0, positive=[1], offset=0, negative=[])
    assert exponential_buckets(scale=2**31 - 1, zero=0, positive=[1], offset=7, negative=[]) == {0: 1}
    assert explicit_buckets([COUNT_MAX, COUNT_MAX, 0], [1.0, 1.01]) == {-1: COUNT_MAX, 0: COUNT_MAX}
