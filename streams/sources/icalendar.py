"""Calendars as iCalendar files: maintenance, freezes, peaks and business events, which policies look at.

What an entry is stands in its CATEGORIES (maintenance, freeze, peak, business), else in `X-Tidegate-Calendar` of the
request; whom it concerns in X-TIDEGATE-SERVICES, else in `X-Tidegate-Service`, else everybody. Recurring entries are
laid out for 400 days from the time at which the file was taken, so send it anew at least once a year; ids stay, so an
entry that was moved or cancelled is replaced. Source: RFC 5545.
"""

from typing import Literal, get_args

import schemas as sc
from schemas.core import NS, Message
from streams._decoded import Decoded
from streams._entities import tenant_of
from streams._errors import SourceError
from streams._intake import Intake
from streams.sources._icalendar import Event, events_of, occurrences, whens
from streams.sources._recurrence import CODE, Budget
from streams.sources._webhook import SERVICE, plain, short

_BEFORE_NS, _AHEAD_NS = 2 * 86_400 * NS, 400 * 86_400 * NS
_MOST = 20_000
_KIND = "http-x-tidegate-calendar"
CalendarKind = Literal["maintenance", "peak", "freeze", "business"]
_KINDS: dict[str, CalendarKind] = {kind: kind for kind in get_args(CalendarKind)}
_WORDS = {"blackout": "freeze", "change freeze": "freeze", "downtime": "maintenance", "sale": "peak"}


class ICalendar:
    kind = "icalendar"
    topics: tuple[str, ...] = ()
    intake = Intake(
        paths=("/v1/calendar",),
        media_types=("text/calendar",),
        keeps=("x-tidegate-service", "x-tidegate-calendar"),
    )

    def decode(self, message: Message) -> Decoded:
        """Raises SourceError ICALENDAR_INVALID (a line, time, rule or kind), ICALENDAR_TOO_LARGE (its rules)."""
        events, zone = events_of(message.value)
        first, last = max(message.received_ns - _BEFORE_NS, 0), message.received_ns + _AHEAD_NS
        budget = Budget()
        moved = _moved(events, zone)
        found: list[sc.CalendarEntry] = []
        for event in events:
            is_override = bool(event.all("RECURRENCE-ID"))
            for at, start, end in occurrences(event, zone, first, last, budget):
                named = whens(event.all("RECURRENCE-ID")[0], zone)[0] if is_override else at
                if is_override or (event.text("UID"), named) not in moved:
                    found.append(_entry(message, event, named.isoformat(), start, end))
            found += _struck(message, event, zone, first, last)
            if len(found) > _MOST:
                raise SourceError(f"more than {_MOST} occurrences; send a part of the calendar", code=CODE)
        return Decoded(records=tuple(found))


PLUGIN = ICalendar


def _moved(events: list[Event], zone: str) -> set[tuple[str, object]]:
    """Occurrences that have an event of their own."""
    return {(e.text("UID"), at) for e in events for line in e.all("RECURRENCE-ID") for at in whens(line, zone)}


def _struck(message: Message, event: Event, zone: str, first: int, last: int) -> list[sc.CalendarEntry]:
    """Excluded occurrences as entries without length: they replace what an earlier version of the file said."""
    times = [at for line in event.all("EXDATE") for at in whens(line, zone)]
    found = [(at, int(at.timestamp()) * NS) for at in times]
    return [_entry(message, event, at.isoformat(), ns, ns) for at, ns in found if first <= ns < last]


def _entry(message: Message, event: Event, named: str, start: int, end: int) -> sc.CalendarEntry:
    tenant, title = tenant_of(message), event.text("SUMMARY") or "untitled"
    is_off = event.text("STATUS").upper() == "CANCELLED"
    services = event.text("X-TIDEGATE-SERVICES") or plain(message.header(SERVICE))
    key = event.text("UID") or f"{title} {event.text('DTSTART')}"
    return sc.CalendarEntry(
        id=sc.record_id("calendar", tenant, "icalendar", key, named), tenant=tenant, kind=_kind(message, event),
        title=title, start_ns=start, end_ns=start if is_off else end,
        services=sorted({short(name.strip()) for name in services.split(",") if name.strip()}),
    )  # fmt: skip


def _kind(message: Message, event: Event) -> CalendarKind:
    """Of the categories, else of the request; neither is refused, because policies decide by it."""
    said = [name.strip().lower() for line in event.all("CATEGORIES") for name in line.value.split(",")]
    said.append(plain(message.header(_KIND)).lower())
    for name in said:
        word = _WORDS.get(name, name)
        if word in _KINDS:
            return _KINDS[word]
    raise SourceError(
        f"event '{event.text('SUMMARY')[:60]}' does not say what it is", code=CODE,
        todo=f"Give it one of the CATEGORIES {', '.join(_KINDS)}, or send the header X-Tidegate-Calendar",
    )  # fmt: skip
