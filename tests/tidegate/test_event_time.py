"""Points of event time as people type them, and who is asked for the time of a message."""

import pytest

import schemas as sc
from schemas.core import NS, Message
from streams import SourceError, Stretch
from tidegate._errors import SettingsError
from tidegate._event_time import content_time, stretch_of, time_ns
from tidegate._history import shortfall

NOON = 1_767_268_800 * NS


@pytest.mark.parametrize(
    "text",
    ["2026-01-01T12:00:00Z", "2026-01-01T13:00:00+01:00", "2026-01-01 12:00", "1767268800", "1767268800.0"],
)  # fmt: skip
def test_a_point_of_time_is_rfc_3339_or_seconds(text):
    assert time_ns(text) == NOON


def test_nanoseconds_are_kept():
    assert time_ns("2026-01-01T12:00:00.000000001Z") == time_ns("1767268800.000000001") == NOON + 1


@pytest.mark.parametrize(
    "text", ["", "noon", "2026-13-01", "-1", "1e9", "1767268800000", "99999999999", "1.0000000001"]
)
def test_what_is_no_time_is_a_sentence(text):
    with pytest.raises(SettingsError, match="is not a time"):
        time_ns(text)


def test_a_stretch_ends_after_it_begins():
    assert stretch_of("1767268800", None).to_ns == 0
    with pytest.raises(SettingsError, match="is not after"):
        stretch_of("1767268800", "2026-01-01T12:00:00Z")


class OldNews:
    """A source whose messages hold old samples, or cannot be read."""

    kind, topics = "old", (sc.OTLP_METRICS,)

    def decode(self, message: Message):
        if not message.value:
            raise SourceError("empty")
        return NotImplemented


def test_a_message_that_cannot_be_read_has_the_time_at_which_it_came():
    message = Message(sc.OTLP_METRICS, 0, 0, b"", b"", (), 7, 7)
    assert content_time([OldNews()])(message) == 7


class Extent:
    def __init__(self, low: int) -> None:
        self.low = low


@pytest.mark.parametrize(
    ("frames", "logs", "low", "said"),
    [
        (NOON + 90 * NS, NOON + 50 * NS, 0, "tidegate.logs.v1 begins at 2026-01-01T12:00:50.000000000Z, 50 s after"),
        (NOON + 90 * NS, NOON - 50 * NS, 0, ""),  # frames only began later
        (NOON + 90 * NS, NOON - 50 * NS, 7, "tidegate.frames.v1 begins at 2026-01-01T12:01:30.000000000Z, 90 s after"),
        (NOON - 90 * NS, NOON - 50 * NS, 7, ""),
    ],
)
def test_a_stretch_that_begins_before_what_is_kept_is_said_with_how_much_is_missing(frames, logs, low, said):
    oldest = {(sc.FRAMES, 0): frames, (sc.FRAMES, 1): frames + NS, (sc.LOGS, 0): logs, (sc.SERIES, 0): NOON + NS}
    extents = {place: Extent(low if place[0] == sc.FRAMES else 0) for place in oldest}
    assert shortfall(oldest, extents, Stretch(NOON)).startswith(said)
    assert bool(shortfall(oldest, extents, Stretch(NOON))) == bool(said)
    assert shortfall(oldest, extents, Stretch()) == ""
