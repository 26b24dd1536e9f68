"""What a silence holds of, and which silences are refused."""

import pytest

from schemas import Matcher, RecordInvalid, Silence, pattern_fault

HOUR = 3600 * 10**9


def silence(*matchers, **more):
    times = {"start_ns": HOUR, "end_ns": 2 * HOUR, "said_ns": HOUR}
    return Silence(id="s", matchers=[Matcher(**one) for one in matchers], author="ada", **times | more)


CART = {"name": "service", "value": "cart"}


def test_all_matchers_must_hold():
    one = silence(CART, {"name": "zone", "value": "a|b", "is_regex": True})
    assert one.holds({"service": "cart", "zone": "b"})
    assert not one.holds({"service": "cart", "zone": "ab"}) and not one.holds({"service": "mail", "zone": "b"})


def test_a_label_that_is_not_there_is_empty():
    assert silence(CART, {"name": "zone", "value": ""}).holds({"service": "cart"})
    assert not silence(CART, {"name": "alertname", "value": "Slow"}).holds({"service": "cart"})


def test_what_does_not_match_can_be_meant():
    one = silence(CART, {"name": "zone", "value": "test.*", "is_regex": True, "is_equal": False})
    assert one.holds({"service": "cart", "zone": "live"}) and not one.holds({"service": "cart", "zone": "test-1"})


@pytest.mark.parametrize(
    ("at", "is_active"), [(HOUR - 1, False), (HOUR, True), (2 * HOUR - 1, True), (2 * HOUR, False)]
)
def test_it_begins_and_ends_by_itself(at, is_active):
    assert silence(CART).is_active(at) == is_active


def test_it_counts_from_when_it_was_said():
    assert not silence(CART, said_ns=HOUR + 5).is_active(HOUR + 4)


@pytest.mark.parametrize(
    "matchers",
    [
        [],
        [{"name": "service", "value": ".*", "is_regex": True}],
        [{"name": "service", "value": "x", "is_equal": False}],
    ],
    ids=["none", "anything", "anything but one"],
)
def test_one_that_would_silence_everything_is_refused(matchers):
    with pytest.raises(ValueError, match=r"silence everything|at least 1 item"):
        silence(*matchers)


@pytest.mark.parametrize("pattern", ["(a+)+b", "(a|a)*b", "a?" * 25 + "a" * 25, "(a|a)" * 25, r"(.)\1", "(?=a)b", "["])
def test_an_expression_that_could_take_long_or_cannot_be_read_is_refused(pattern):
    assert pattern_fault(pattern) is not None
    with pytest.raises(ValueError, match="cannot be used"):
        Matcher(name="service", value=pattern, is_regex=True)


@pytest.mark.parametrize("pattern", ["(api|web)-.*", "cart", "db-[0-9]+", r"10\.0\.0\.\d+:9100", "(?i)cart", "a{2,3}"])
def test_what_people_write_is_taken(pattern):
    assert pattern_fault(pattern) is None


def test_it_reads_back_as_it_was_written():
    one = silence(CART)
    assert Silence.from_bytes(one.to_bytes(), strict=True) == one
    with pytest.raises(RecordInvalid):
        Silence.from_bytes(one.to_bytes().replace(b'"author":"ada"', b'"author":""'))
