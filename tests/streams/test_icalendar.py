"""Calendars: what RFC 5545 says of times, rules and exceptions, and that no rule runs on."""

import time
from typing import Any

import pytest

import schemas as sc
from schemas.core import NS, Message
from streams._errors import SourceError
from streams.sources.icalendar import ICalendar

NOW = 1_772_450_000 * NS  # 2026-03-02T11:13:20Z


def entries(*lines: str, kind: str = "freeze") -> list[Any]:
    text = "\r\n".join(("BEGIN:VCALENDAR", "BEGIN:VEVENT", "UID:a", "SUMMARY:s", *lines, "END:VEVENT", "END:VCALENDAR"))
    said = (("http-x-tidegate-calendar", kind.encode()),)
    return list(ICalendar().decode(Message(sc.RAW, 0, 0, b"", text.encode(), said, NOW, NOW)).records)


def starts(*lines: str) -> list[str]:
    return [sc.rfc3339(entry.start_ns)[:16] for entry in entries(*lines)]


def test_a_weekly_entry_keeps_its_wall_clock_over_the_change_of_summer_time() -> None:
    rule = "RRULE:FREQ=WEEKLY;COUNT=2"
    assert starts("DTSTART;TZID=America/New_York:20260303T090000", "DURATION:PT1H", rule) == [
        "2026-03-03T14:00", "2026-03-10T13:00",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("FREQ=DAILY;UNTIL=20260305", ["2026-03-03T09:00", "2026-03-04T09:00", "2026-03-05T09:00"]),
        ("FREQ=MONTHLY;BYDAY=-1FR;COUNT=2", ["2026-03-03T09:00", "2026-03-27T09:00", "2026-04-24T09:00"]),
        ("FREQ=YEARLY;COUNT=1", ["2026-03-03T09:00"]),
    ],
)
def test_rules_are_laid_out_from_their_start(rule: str, expected: list[str]) -> None:
    assert starts("DTSTART:20260303T090000Z", f"RRULE:{rule}") == expected


def test_an_endless_rule_is_laid_out_for_four_hundred_days_from_when_it_was_taken() -> None:
    found = starts("DTSTART:20200101T000000Z", "DURATION:PT1H", "RRULE:FREQ=DAILY")
    assert (len(found), found[0], found[-1]) == (402, "2026-03-01T00:00", "2027-04-06T00:00")


def test_a_rule_that_never_fits_ends() -> None:
    before = time.process_time()
    assert starts("DTSTART:20260303T000000Z", "RRULE:FREQ=DAILY;COUNT=5;BYMONTH=2;BYMONTHDAY=30") == [
        "2026-03-03T00:00"
    ]
    assert time.process_time() - before < 5


def test_an_occurrence_that_was_moved_is_there_once() -> None:
    moved = (
        "END:VEVENT",
        "BEGIN:VEVENT",
        "UID:a",
        "SUMMARY:s",
        "RECURRENCE-ID:20260304T090000Z",
        "DTSTART:20260304T120000Z",
    )
    found = entries("DTSTART:20260303T090000Z", "RRULE:FREQ=DAILY;COUNT=2", *moved)
    plain = entries("DTSTART:20260303T090000Z", "RRULE:FREQ=DAILY;COUNT=2")
    assert [sc.rfc3339(e.start_ns)[:16] for e in found] == ["2026-03-03T09:00", "2026-03-04T12:00"]
    assert [e.id for e in found] == [e.id for e in plain]


def test_what_is_cancelled_replaces_what_was_announced() -> None:
    (before,), (after,) = (
        entries("DTSTART:20260303T090000Z", "DURATION:PT2H", f"STATUS:{s}") for s in ("CONFIRMED", "CANCELLED")
    )
    assert before.id == after.id and before.end_ns > before.start_ns and after.end_ns == after.start_ns


@pytest.mark.parametrize(
    ("lines", "sentence"),
    [
        (("SUMMARY:x",), "has no DTSTART"),
        (("DTSTART:tomorrow",), "is no time"),
        (("DTSTART;TZID=W. Europe Standard Time:20260303T090000",), "time zone 'W. Europe Standard Time' is not known"),
        (("DTSTART:20260303T090000Z", "RRULE:FREQ=SECONDLY"), "FREQ"),
        (("DTSTART:20260303T090000Z", "RRULE:FREQ=DAILY;BYHOUR=x"), "cannot be read"),
        (("DTSTART:20260303T090000Z", "DURATION:long"), "no duration"),
        (("no line",), "no content line"),
        (("DTSTART:19000303T090000Z",), "since 1970"),
    ],
)
def test_what_cannot_be_read_is_named(lines: tuple[str, ...], sentence: str) -> None:
    with pytest.raises(SourceError, match=sentence):
        entries(*lines)


def test_a_calendar_that_does_not_say_what_it_is_is_refused() -> None:
    with pytest.raises(SourceError, match="does not say what it is"):
        entries("DTSTART:20260303T090000Z", kind="")


def test_rules_that_cost_more_than_a_calendar_may_are_refused_soon() -> None:
    rule = ("DTSTART:19700101T000000Z", "RRULE:FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30;COUNT=9")
    many = [line for n in range(2_000) for line in ("END:VEVENT", "BEGIN:VEVENT", f"UID:{n}", "SUMMARY:s", *rule)]
    before = time.process_time()
    with pytest.raises(SourceError) as error:
        entries(*rule, *many)
    assert error.value.code == "ICALENDAR_TOO_LARGE" and time.process_time() - before < 10
