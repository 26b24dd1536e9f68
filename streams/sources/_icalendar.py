"""The part of iCalendar that says when: content lines, times with zones, recurrences, exceptions.

Source: RFC 5545 (3.1 unfolding and parameters, 3.3.5 DATE-TIME, 3.6.1 VEVENT, 3.8.5 recurrence); rules are laid out by
`_recurrence`, up to a horizon and within a budget.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from schemas.core import NS
from streams._errors import SourceError
from streams.sources._recurrence import CODE, Budget, starts_of

MOST_EVENTS, MOST_TIMES = 5_000, 1_000
_LINE = re.compile(
    r'(?P<name>[A-Za-z0-9-]+)(?P<parameters>(?:;[A-Za-z0-9-]+=(?:"[^"]*"|[^";:,]*)(?:,(?:"[^"]*"|[^";:,]*))*)*):'
)
_PARAMETER = re.compile(r';([A-Za-z0-9-]+)=("[^"]*"|[^;:]*)')
_DURATION = re.compile(r"P(?:(\d+)W)?(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)S)?)?")


@dataclass(frozen=True, slots=True)
class Property:
    """One content line: parameters upper case, the value as it stands."""

    value: str
    parameters: dict[str, str]


@dataclass(slots=True)
class Event:
    """One VEVENT: properties by upper-case name, in order where there are several."""

    properties: dict[str, list[Property]] = field(default_factory=dict)

    def text(self, name: str) -> str:
        found = self.properties.get(name)
        if not found:
            return ""
        plain = re.sub(r"\\([nN,;\\])", lambda m: "\n" if m[1] in "nN" else m[1], found[0].value)
        return plain.strip()[:500].encode("utf-8", "replace").decode()

    def all(self, name: str) -> list[Property]:
        return self.properties.get(name, [])


def events_of(body: bytes) -> tuple[list[Event], str]:
    """All VEVENTs and the calendar's own time zone. Raises SourceError for what is no calendar."""
    text = body.decode("utf-8", "replace").lstrip("\ufeff")
    lines = re.sub(r"\r?\n[ \t]", "", text).splitlines()
    if not lines or lines[0].strip().upper() != "BEGIN:VCALENDAR":
        raise SourceError("no iCalendar: it does not begin with BEGIN:VCALENDAR", code=CODE)
    found: list[Event] = []
    zone, inside = "", []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        head = _LINE.match(line)
        if head is None:
            raise SourceError(f"line {number} is no content line: '{line[:60]}'", code=CODE)
        name, value = head["name"].upper(), line[head.end() :]
        if name == "BEGIN":
            inside.append(value.strip().upper())
            if inside[-1] == "VEVENT":
                found.append(Event())
        elif name == "END":
            if not inside or inside.pop() != value.strip().upper():
                raise SourceError(f"line {number} ends '{value[:40]}', which is not what is open", code=CODE)
        elif inside[-1:] == ["VEVENT"]:
            parameters = {k.upper(): v.strip('"') for k, v in _PARAMETER.findall(head["parameters"])}
            found[-1].properties.setdefault(name, []).append(Property(value.strip(), parameters))
        elif name == "X-WR-TIMEZONE":
            zone = value.strip()
    if inside:
        raise SourceError(f"{inside[-1]} is not ended; the calendar is cut short", code=CODE)
    if len(found) > MOST_EVENTS:
        raise SourceError(f"{len(found)} events, {MOST_EVENTS} are taken; send a part", code=CODE)
    return found, zone


def occurrences(
    event: Event, zone: str, first_ns: int, last_ns: int, budget: Budget
) -> Iterator[tuple[datetime, int, int]]:
    """Start as it is named (for ids), start and end in ns, of each occurrence that touches [first_ns, last_ns).

    At most `MOST_TIMES`. Raises SourceError for times and rules that cannot be read.
    """
    given = event.all("DTSTART")
    if not given:
        raise SourceError(f"event '{event.text('UID')}' has no DTSTART", code=CODE)
    start = when(given[0], zone)
    length = _length(event, given[0], start, zone)
    excluded = {moment for line in event.all("EXDATE") for moment in whens(line, zone)}
    for at in sorted({*_starts(event, start, zone, first_ns - length, last_ns, budget)} - excluded)[:MOST_TIMES]:
        begin = nanoseconds(at)
        if begin < last_ns and begin + length > first_ns:
            yield at, begin, begin + length


def when(line: Property, zone: str) -> datetime:
    return whens(line, zone)[0]


def whens(line: Property, zone: str) -> list[datetime]:
    """The times of a property, aware: UTC (`Z`), of its TZID, else of the calendar's zone, else UTC."""
    name = line.parameters.get("TZID") or zone
    found = []
    for text in line.value.split(",")[:MOST_TIMES]:
        text = text.strip()
        try:
            if len(text) == 8:
                day = date.fromisoformat(text)
                found.append(datetime(day.year, day.month, day.day, tzinfo=_zone(name)))
            else:
                zoned = UTC if text.endswith("Z") else _zone(name)
                found.append(datetime.strptime(text.removesuffix("Z"), "%Y%m%dT%H%M%S").replace(tzinfo=zoned))
        except ValueError as error:
            raise SourceError(f"'{text[:40]}' is no time of iCalendar", code=CODE) from error
    return found


def nanoseconds(at: datetime) -> int:
    """Raises SourceError for what is before 1970, or after what nanoseconds can tell."""
    found = int((at - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds()) * NS
    if not 0 <= found < 1 << 63:
        raise SourceError(f"'{at.isoformat()}' cannot be told in nanoseconds since 1970", code=CODE)
    return found


def _zone(name: str) -> tzinfo:
    if not name or name.upper() in ("UTC", "Z", "GMT"):
        return UTC
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        todo = "Use a name of the IANA data base, for example Europe/Berlin"
        raise SourceError(f"the time zone '{name[:60]}' is not known", todo=todo, code=CODE) from error


def _length(event: Event, given: Property, start: datetime, zone: str) -> int:
    """How long an occurrence lasts, in ns: to DTEND, of DURATION, else a day for a date and nothing for a time."""
    if ends := event.all("DTEND"):
        return max(nanoseconds(when(ends[0], zone)) - nanoseconds(start), 0)
    if lasts := event.text("DURATION"):
        found = _DURATION.fullmatch(lasts)
        if found is None or not any(found.groups()):
            raise SourceError(f"'{lasts[:40]}' is no duration of iCalendar", code=CODE)
        weeks, days, hours, minutes, seconds = (min(int(part or 0), 1_000_000) for part in found.groups())
        return (
            int(timedelta(weeks=weeks, days=days, hours=hours, minutes=minutes, seconds=seconds).total_seconds()) * NS
        )
    return 86_400 * NS if len(given.value) == 8 else 0


def _starts(
    event: Event, start: datetime, zone: str, first_ns: int, last_ns: int, budget: Budget
) -> Iterator[datetime]:
    yield start
    for line in event.all("RDATE"):
        if line.parameters.get("VALUE") != "PERIOD":
            yield from whens(line, zone)
    for line in event.all("RRULE")[:4]:
        yield from _recurring(line.value, start, first_ns, last_ns, budget)


def _recurring(rule: str, start: datetime, first_ns: int, last_ns: int, budget: Budget) -> Iterator[datetime]:
    """Starts by a rule from `first_ns` up to the horizon; COUNT counts from the start on."""
    parts = dict(part.strip().upper().split("=", 1) for part in rule.split(";") if "=" in part)
    until = parts.pop("UNTIL", "")
    first, last = (_at(ns).astimezone(start.tzinfo) for ns in (first_ns, last_ns))
    if until:
        last = min(last, when(Property(until, {}), str(getattr(start.tzinfo, "key", ""))).astimezone(start.tzinfo))
        last += timedelta(days=1) if len(until) == 8 else timedelta()
    try:
        plain, first, last = (moment.replace(tzinfo=None) for moment in (start, first, last))
        for at in starts_of(parts, plain, first, last, budget):
            yield at.replace(tzinfo=start.tzinfo)
    except (ValueError, OverflowError) as error:
        raise SourceError(f"the rule '{rule[:80]}' cannot be read: {str(error)[:100]}", code=CODE) from error


def _at(ns: int) -> datetime:
    return datetime.fromtimestamp(min(max(ns, 0) // NS, 32_000_000_000), UTC)
