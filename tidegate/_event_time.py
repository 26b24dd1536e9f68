"""Points of event time as people type them, and the event time of messages that only their content tells."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

import schemas as sc
from schemas.core import NS, Message
from streams import KIND, Source, SourceError, Stretch
from tidegate import _catalogue
from tidegate._errors import SettingsError


def time_ns(text: str) -> int:
    """Nanoseconds since 1970 of an RFC 3339 timestamp (UTC if it says no zone) or of epoch seconds.

    >>> time_ns("2026-01-01T12:00:00.5Z") == time_ns("1767268800.5")
    True
    """
    head, _, rest = text.strip().partition(".")
    digits = rest[: len(rest) - len(rest.lstrip("0123456789"))]
    try:
        if head.isascii() and head.isdigit() and digits == rest:
            whole = int(head)
        else:
            at = datetime.fromisoformat(head + rest[len(digits) :])
            whole = round((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp())
        if not 0 <= whole < 1 << 33 or len(digits) > 9:
            raise ValueError
    except (ValueError, OverflowError) as error:
        todo = "Write 2026-01-01T12:00:00Z, or seconds since 1970"
        raise SettingsError(f"'{text[:60]}' is not a time", todo=todo) from error
    return whole * NS + int(digits.ljust(9, "0") or 0)


def stretch_of(begin: str | None, end: str | None, *, by_content: bool = False) -> Stretch:
    """The stretch that the command line names. Raises SettingsError."""
    stretch = Stretch(time_ns(begin) if begin else 0, time_ns(end) if end else 0)
    if stretch.to_ns and stretch.to_ns <= stretch.from_ns:
        raise SettingsError(f"--to {end} is not after --from {begin}", todo="Give an end that lies after the beginning")
    return replace(stretch, time_of=content_time(_catalogue.find("sources").values())) if by_content else stretch


def content_time(sources: Any) -> Callable[[Message], int]:
    """Event time of source messages by what is in them: the newest sample, log line or span; else as they say."""
    by_kind: dict[str, Source] = {source.kind: source for source in sources}
    by_topic = {topic: source for source in by_kind.values() for topic in source.topics}

    def newest(message: Message) -> int:
        source = by_kind.get(message.header(KIND)) or by_topic.get(message.topic)
        if source is None or sc.record_type(message):
            return message.event_ns
        try:
            found = source.decode(message)
        except SourceError:
            return message.event_ns  # it will be a dead letter, at the time at which it came
        times = [found.points.t, found.histograms.t]
        for rows, column in ((found.logs, "t"), (found.spans, "end")):
            if rows is not None:
                times.append(rows.column(column).cast(pa.int64()).to_numpy(zero_copy_only=False))
        return max((int(t.max()) for t in times if len(t)), default=message.event_ns)

    return newest
