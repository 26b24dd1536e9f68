"""Recurrence rules of calendars: the starts that an RRULE gives up to a horizon, by looking at every day once.

All days of the stretch stand in one array and each part of the rule is a mask over it, so what a rule costs is known
before it is laid out: a rule that never fits costs what any other does, and a calendar has a `Budget`. `dateutil` runs
on to the year 9999 there. Without COUNT nothing is looked at that is long past. SECONDLY, MINUTELY and HOURLY are
refused. Source: RFC 5545, 3.3.10; held against `dateutil` in the tests.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta

import numpy as np
import numpy.typing as npt

from streams._errors import SourceError

CODE = "ICALENDAR_INVALID"
Days = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]
_WEEKDAYS = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")
_PERIODS = ("DAILY", "WEEKLY", "MONTHLY", "YEARLY")
_PARTS = {
    "FREQ", "INTERVAL", "COUNT", "UNTIL", "WKST", "BYMONTH", "BYMONTHDAY", "BYYEARDAY", "BYWEEKNO", "BYDAY", "BYHOUR",
    "BYMINUTE", "BYSECOND", "BYSETPOS",
}  # fmt: skip
_DAY = re.compile(r"([+-]?\d{1,2})?(MO|TU|WE|TH|FR|SA|SU)")
_MOST_STARTS = 100_000


@dataclass(slots=True)
class Budget:
    """How much laying out of rules one calendar may cost, in days looked at: about two seconds in all."""

    left: int = 6_000_000

    def spend(self, days: int) -> None:
        """Raises SourceError ICALENDAR_TOO_LARGE."""
        self.left -= days
        if self.left < 0:
            todo = "Let rules with COUNT begin later, or send a part of the calendar"
            raise SourceError("the rules take too much to lay out", todo=todo, code="ICALENDAR_TOO_LARGE")


def starts_of(rule: dict[str, str], start: datetime, first: datetime, last: datetime, budget: Budget) -> list[datetime]:
    """Starts by a rule in [first, last], in order; all times are plain, in the zone of the event.

    rule: its parts, upper case, without UNTIL (it is `last`). With COUNT those before `first` are counted too.
    Raises ValueError for a part that cannot be read, SourceError ICALENDAR_TOO_LARGE.
    """
    if unknown := rule.keys() - _PARTS:
        raise ValueError(f"{min(unknown)} is no part of a rule")
    count = _number(rule.get("COUNT", "0"), 0, 1 << 31)
    begin = start if count else max(start, first)
    if last < begin or last < start:
        return []
    week = _WEEKDAYS.index(rule.get("WKST", "MO"))
    days = np.arange(_day(date(max(begin.year - 1, 1), 1, 1)), _day(last) + 367, dtype=np.int64)
    budget.spend(len(days) + 100)
    calendar = _Calendar(days, week)
    period, fits = calendar.periods(rule, start)
    chosen = np.flatnonzero(fits & calendar.mask(rule, start))
    times = _times(rule, start)
    if len(times) * len(chosen) > _MOST_STARTS:
        budget.spend(budget.left + 1)
    budget.spend(10 * len(times) * len(chosen))
    found = ((int(period[i]), datetime.fromordinal(int(days[i]) + _EPOCH) + time) for i in chosen for time in times)
    within = [at for at in _positions(found, rule) if start <= at <= last]
    return [at for at in (within[:count] if count else within) if at >= first]


_EPOCH = date(1970, 1, 1).toordinal()


def _day(at: date) -> int:
    return at.toordinal() - _EPOCH


class _Calendar:
    """What each day is: year, month, place in them from both ends, weekday (0 Monday), week of the year."""

    def __init__(self, days: Days, week: int) -> None:
        date = days.astype("datetime64[D]")
        self.days, self.week = days, week
        self.year = date.astype("datetime64[Y]").astype(np.int64) + 1970
        months = date.astype("datetime64[M]")
        self.months = months.astype(np.int64)
        self.month = self.months % 12 + 1
        first = months.astype("datetime64[D]").astype(np.int64)
        after = (months + 1).astype("datetime64[D]").astype(np.int64)
        self.of_month, self.left_of_month = days - first + 1, days - after
        self.of_year, self.left_of_year = days - _first(self.year) + 1, days - _first(self.year + 1)
        self.weekday = (days + 3) % 7

    def weeks(self) -> tuple[Days, Days]:
        """Week of the year and the same from the end, weeks beginning at `week` and of the year that has most of it."""
        middle = self.days - (self.weekday - self.week) % 7 + 3
        year = middle.astype("datetime64[D]").astype("datetime64[Y]").astype(np.int64) + 1970
        return (middle - _first(year)) // 7 + 1, -((_first(year + 1) - 1 - middle) // 7) - 1

    def periods(self, rule: dict[str, str], start: datetime) -> tuple[Days, Mask]:
        """The period that each day is in, counted from that of the start, and whether it is one of the rule's."""
        at = _day(start)
        match rule.get("FREQ"):
            case "DAILY":
                number = self.days - at
            case "WEEKLY":
                begin = at - (start.weekday() - self.week) % 7
                number = (self.days - begin) // 7
            case "MONTHLY":
                number = self.months - ((start.year - 1970) * 12 + start.month - 1)
            case "YEARLY":
                number = self.year - start.year
            case other:
                raise ValueError(f"FREQ {other} is none of {', '.join(_PERIODS)}")
        every = _number(rule.get("INTERVAL", "1"), 1, 1 << 31)
        return number, (number >= 0) & (number % every == 0)

    def mask(self, rule: dict[str, str], start: datetime) -> Mask:
        """Days that all parts of the rule allow; what it does not say is taken from the start."""
        rule = dict(rule)
        freq = rule["FREQ"]
        if not rule.keys() & {"BYWEEKNO", "BYYEARDAY", "BYMONTHDAY", "BYDAY"}:
            if freq == "YEARLY":
                rule.setdefault("BYMONTH", str(start.month))
            if freq in ("YEARLY", "MONTHLY"):
                rule["BYMONTHDAY"] = str(start.day)
            elif freq == "WEEKLY":
                rule["BYDAY"] = _WEEKDAYS[start.weekday()]
        found = np.ones(len(self.days), bool)
        if "BYMONTH" in rule:
            found &= np.isin(self.month, _numbers(rule["BYMONTH"], 1, 12))
        for part, limit, places in (
            ("BYMONTHDAY", 31, lambda: (self.of_month, self.left_of_month)),
            ("BYYEARDAY", 366, lambda: (self.of_year, self.left_of_year)),
            ("BYWEEKNO", 53, self.weeks),
        ):
            if part in rule:
                found &= _either(rule[part], limit, places)
        if "BYDAY" in rule:
            found &= self._weekdays(rule, is_nth=freq in ("MONTHLY", "YEARLY"))
        return found

    def _weekdays(self, rule: dict[str, str], is_nth: bool) -> Mask:
        """BYDAY; `2TU` is the second Tuesday of the month, of the year for a rule by years that names no months."""
        by_year = rule["FREQ"] == "YEARLY" and "BYMONTH" not in rule
        place, left = (self.of_year, self.left_of_year) if by_year else (self.of_month, self.left_of_month)
        found = np.zeros(len(self.days), bool)
        for text in rule["BYDAY"].split(","):
            said = _DAY.fullmatch(text.strip())
            if said is None:
                raise ValueError(f"BYDAY {text[:20]} is no day")
            of_day = self.weekday == _WEEKDAYS.index(said[2])
            nth = int(said[1] or 0) if is_nth else 0
            if nth > 0:
                of_day &= (place - 1) // 7 == nth - 1
            elif nth < 0:
                of_day &= (-left - 1) // 7 == -nth - 1
            found |= of_day
        return found


def _first(year: Days) -> Days:
    """The day number of January 1st."""
    return (year - 1970).astype("datetime64[Y]").astype("datetime64[D]").astype(np.int64)


def _either(text: str, limit: int, places: Callable[[], tuple[Days, Days]]) -> Mask:
    """Days whose place from the front, or from the end where it is negative, is one of those named."""
    wanted, (front, back) = _numbers(text, -limit, limit), places()
    if 0 in wanted:
        raise ValueError("0 is no place")
    return np.isin(front, wanted) | np.isin(back, wanted)


def _times(rule: dict[str, str], start: datetime) -> list[timedelta]:
    """Times of day, in order."""
    hours = _numbers(rule.get("BYHOUR", str(start.hour)), 0, 23)
    minutes = _numbers(rule.get("BYMINUTE", str(start.minute)), 0, 59)
    seconds = _numbers(rule.get("BYSECOND", str(start.second)), 0, 59)
    if len(hours) * len(minutes) * len(seconds) > _MOST_STARTS // 10:
        raise ValueError("more than 10,000 times a day")
    return [timedelta(hours=h, minutes=m, seconds=s) for h in hours for m in minutes for s in seconds]


def _positions(found: Iterator[tuple[int, datetime]], rule: dict[str, str]) -> Iterator[datetime]:
    """BYSETPOS: of each period those at the places named, from the front or from the end."""
    if "BYSETPOS" not in rule:
        yield from (at for _, at in found)
        return
    places = _numbers(rule["BYSETPOS"], -366, 366)
    sets: dict[int, list[datetime]] = {}
    for period, at in found:
        sets.setdefault(period, []).append(at)
    for times in sets.values():
        n = len(times)
        yield from (times[i] for i in sorted({p - 1 if p > 0 else n + p for p in places if p}) if 0 <= i < n)


def _numbers(text: str, least: int, most: int) -> list[int]:
    return sorted({_number(part, least, most) for part in text.split(",")})


def _number(text: str, least: int, most: int) -> int:
    if not re.fullmatch(r"[+-]?\d{1,10}", text.strip()) or not least <= int(text) <= most:
        raise ValueError(f"'{text[:20]}' is no number from {least} to {most}")
    return int(text)
