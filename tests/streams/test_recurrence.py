"""Rules are laid out as `dateutil` lays them out, and cost what was said before."""

from datetime import datetime
from unittest.mock import patch

import pytest
from dateutil.rrule import rrulestr  # type: ignore[import-untyped]
from hypothesis import example, given, settings
from hypothesis import strategies as st

from streams._errors import SourceError
from streams.sources._recurrence import Budget, starts_of

at = datetime.fromisoformat
BEGIN, LAST = at("2024-01-31T09:30"), at("2027-03-01")


def some(least: int, most: int, size: int = 3) -> st.SearchStrategy[str]:
    numbers = st.integers(least, most).filter(bool)
    return st.lists(numbers, min_size=1, max_size=size, unique=True).map(lambda n: ",".join(map(str, n)))


WEEKDAYS = st.sampled_from(["MO", "TU", "WE", "TH", "FR", "SA", "SU"])
NTH = st.sampled_from(["1MO", "-1FR", "2TU", "+3SU", "-2WE", "5TH"])
RULES = st.fixed_dictionaries(
    {"FREQ": st.sampled_from(["DAILY", "WEEKLY", "MONTHLY", "YEARLY"])},
    optional={
        "INTERVAL": st.integers(1, 7).map(str), "COUNT": st.integers(1, 40).map(str), "WKST": WEEKDAYS,
        "BYMONTH": some(1, 12), "BYMONTHDAY": some(-28, 31, 6), "BYYEARDAY": some(-366, 366, 20),
        "BYDAY": st.lists(WEEKDAYS, min_size=1, max_size=3, unique=True).map(",".join) | NTH,
        "BYHOUR": some(1, 23, 2), "BYMINUTE": some(1, 59, 2), "BYSETPOS": some(-3, 3, 2),
    },
)  # fmt: skip
STARTS = st.datetimes(at("2023-01-01"), at("2025-12-31")).map(lambda t: t.replace(microsecond=0))


@settings(max_examples=60, deadline=None)
@given(RULES, STARTS)
@example({"FREQ": "DAILY", "BYHOUR": "3", "BYMINUTE": "3", "BYSETPOS": "3"}, at("2025-01-07T19:01:11"))
def test_a_rule_gives_what_dateutil_gives(rule: dict[str, str], start: datetime) -> None:
    told = ";".join(f"{name}={value}" for name, value in rule.items() if name != "COUNT")
    bound = f"{told};COUNT={rule['COUNT']}" if "COUNT" in rule else f"{told};UNTIL={LAST:%Y%m%dT%H%M%S}"
    with patch("datetime.MAXYEAR", LAST.year):  # where it ends with a rule that never fits; by itself in the year 9999
        expected = [time for time in rrulestr(bound, dtstart=start) if time <= LAST]
    assert starts_of(rule, start, start, LAST, Budget()) == expected


@pytest.mark.parametrize("week", ["MO", "SU", "TH"])
@pytest.mark.parametrize("numbers", ["1", "53", "-1", "20,-20"])
def test_weeks_of_the_year_are_those_of_dateutil(week: str, numbers: str) -> None:
    rule = {"FREQ": "YEARLY", "BYWEEKNO": numbers, "WKST": week, "BYDAY": "MO,WE,SU"}
    told = ";".join(f"{name}={value}" for name, value in rule.items())
    expected = list(rrulestr(f"{told};UNTIL={LAST:%Y%m%dT%H%M%S}", dtstart=BEGIN))
    assert starts_of(rule, BEGIN, BEGIN, LAST, Budget()) == expected


def test_what_is_long_past_costs_nothing_without_a_count() -> None:
    rule, first, budget = {"FREQ": "WEEKLY", "INTERVAL": "3"}, at("2026-06-01"), Budget()
    expected = rrulestr("FREQ=WEEKLY;INTERVAL=3", dtstart=at("1971-01-01")).between(first, LAST, inc=True)
    assert starts_of(rule, at("1971-01-01"), first, LAST, budget) == expected
    assert Budget().left - budget.left < 2_000


def test_a_rule_of_every_second_is_refused() -> None:
    rule = {"FREQ": "DAILY", "BYHOUR": ",".join(map(str, range(24))), "BYMINUTE": ",".join(map(str, range(60)))}
    with pytest.raises(SourceError, match="too much"):
        starts_of(rule, BEGIN, BEGIN, LAST, Budget())
