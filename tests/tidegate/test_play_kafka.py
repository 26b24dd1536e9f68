"""What is put into the source topics of Kafka, when, and in which partition; without a broker."""

import pytest
from support.sleeping import Time

import schemas as sc
from schemas.core import NS, Message
from streams import Recording, RecordingWriter, TransportError
from tidegate._errors import PlayError
from tidegate._play_kafka import play

T0 = 1_767_268_800 * NS


class History:
    """Topics with so many partitions, empty."""

    def __init__(self, **partitions: int) -> None:
        self._partitions = partitions

    def partitions(self) -> dict[str, int]:
        return self._partitions


class Writer:
    def __init__(self) -> None:
        self.got: list[tuple[int, Message]] = []

    def write(self, message: Message, partition: int) -> None:
        self.got.append((partition, message))

    def flush(self) -> None: ...


def at(second: int, partition: int = 0, topic: str = sc.OTLP_LOGS, headers=(), value: bytes = b"{}") -> Message:
    return Message(topic, partition, second, b"", value, tuple(headers), T0 + second * NS, T0 + second * NS)


def final(second: int, partition: int) -> Message:
    mark = sc.Watermark(stage="outside", through_ns=T0 + second * NS, final=True)
    emit = sc.emit(sc.OTLP_LOGS, mark, id="m", key="", source="test", event_ns=T0)
    return at(second, partition, headers=emit.headers, value=emit.value)


def recording(place, *messages: Message) -> Recording:
    with RecordingWriter(place / "r", created_by="test") as writer:
        for message in messages:
            writer.append(message)
    return Recording.open(place / "r")


@pytest.mark.parametrize(("speed", "expected"), [(1, [10, 30]), (10, [1, 3]), (0, [])])
def test_messages_lie_as_far_apart_as_they_came_divided_by_the_speed(tmp_path, speed, expected):
    time, writer = Time(), Writer()
    found = recording(tmp_path, at(0), at(10), at(40))
    played = play(found, History(otlp_logs=1), writer, speed=speed, now_s=time.now, sleep=time.sleep)
    assert time.slept == expected
    assert (played.sent, played.event_time_s) == (3, 40)


def test_partitions_stay_and_where_there_are_fewer_sources_end_last(tmp_path):
    found = recording(tmp_path, at(0), at(1, 1), final(2, 0), at(3, 1), final(4, 1))
    kept, folded = Writer(), Writer()
    play(found, History(otlp_logs=2), kept, speed=0)
    play(found, History(otlp_logs=1), folded, speed=0)
    assert [(p, m.offset) for p, m in kept.got] == [(0, 0), (1, 1), (0, 2), (1, 3), (1, 4)]
    assert [(p, m.offset) for p, m in folded.got] == [(0, 0), (0, 1), (0, 3), (0, 2), (0, 4)]


def test_what_stages_made_stays_behind(tmp_path):
    change = sc.Change(id="c", entity_id="e", service="cart", kind="deploy", at_ns=T0, title="deploy")
    said = [sc.emit(sc.CHANGES, change, id="i", key="k", source=s, event_ns=T0) for s in ("tidegate/normalise", "ci")]
    messages = [at(n, topic=sc.CHANGES, headers=e.headers, value=e.value) for n, e in enumerate(said)]
    writer = Writer()
    found = recording(tmp_path, *messages, at(5, topic=sc.FRAMES), at(6))
    played = play(found, History(**{"otlp_logs": 1, sc.CHANGES: 1, sc.FRAMES: 1}), writer, speed=0)
    assert [m.offset for _, m in writer.got] == [1, 6]
    assert played.skipped == {sc.CHANGES: 1}


def test_a_topic_that_is_missing_and_a_recording_of_nothing_are_sentences(tmp_path):
    with pytest.raises(TransportError, match=r"otlp_logs.*topics create"):
        play(recording(tmp_path / "a", at(0)), History(), Writer())
    with pytest.raises(PlayError, match="nothing to play"):
        play(recording(tmp_path / "b", at(0, topic=sc.FRAMES)), History(), Writer())
