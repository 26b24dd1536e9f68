"""What lies in a stretch of event time, and when a partition has nothing more for it."""

import schemas as sc
from schemas.core import NS, Message
from streams import Stretch


def record(topic: str, second: int) -> Message:
    return Message(topic, 0, 0, b"", b"", (), second * NS, second * NS)


def mark(writer: str, second: int, topic: str = sc.FRAMES) -> Message:
    said = sc.Watermark(stage=writer, through_ns=second * NS)
    emit = sc.emit(topic, said, id="m", key=writer, source="t", event_ns=second * NS)
    return Message(topic, 0, 0, emit.key, emit.value, emit.headers, emit.event_ns, 0)


STRETCH = (1000 * NS, 2000 * NS)


def test_a_record_belongs_to_a_stretch_by_its_event_time_reference_data_also_before():
    stretch = Stretch(*STRETCH)
    assert [stretch.admits(record(sc.FRAMES, s)) for s in (999, 1000, 1999, 2000)] == [False, True, True, False]
    assert [stretch.admits(record(sc.CHANGES, s)) for s in (1, 1999, 2000)] == [True, True, False]
    assert Stretch().admits(record(sc.FRAMES, 1))


def test_what_earlier_marks_say_still_holds():
    assert Stretch(*STRETCH).admits(mark("a", 500))
    assert not Stretch(*STRETCH).admits(mark("a", 2000))


def test_a_source_is_over_when_it_is_well_past_the_end():
    stretch = Stretch(*STRETCH)
    assert [stretch.is_over(record(sc.OTLP_LOGS, s)) for s in (1999, 2001, 2599, 2600)] == [False, False, False, True]


def test_a_partition_of_ours_is_over_when_all_who_write_there_have_passed_the_end():
    stretch = Stretch(*STRETCH)
    said = [mark("a", 1500), mark("b", 900), mark("a", 9000), record(sc.FRAMES, 9000), mark("b", 1999), mark("b", 2000)]
    assert [stretch.is_over(message) for message in said] == [False, False, False, False, False, True]


def test_reference_data_and_a_stretch_without_end_are_read_to_the_last():
    assert not Stretch(*STRETCH).is_over(mark("a", 9000, sc.CHANGES))
    assert not Stretch(1000 * NS).is_over(mark("a", 9000))


def test_the_time_of_a_message_may_be_that_of_its_content():
    stretch = Stretch(*STRETCH, time_of=lambda message: 1500 * NS)
    assert stretch.admits(record(sc.OTLP_LOGS, 50_000))
    assert not stretch.is_over(record(sc.OTLP_LOGS, 50_000))
