"""Playing a recording to a running `up`, and recording what an `up` took and made."""

import re
from pathlib import Path

import pytest
from support.sleeping import Time
from support.up import START_NS, Clock, feed, receiving, serving, settings, shop_recording
from typer.testing import CliRunner

import schemas as sc
from schemas.core import NS, Emit, Message
from streams import Recording, RecordingError, RecordingWriter
from tidegate import _pipeline, _replay
from tidegate._errors import LiveError, PlayError
from tidegate._live import Live
from tidegate._play import play, record, request_of
from tidegate._settings import Settings
from tidegate.cli import app

TOKEN = "a-token-0123456789"


@pytest.fixture
def three(tmp_path) -> Recording:
    """Three log messages, 0, 10 and 40 seconds after the first."""
    with RecordingWriter(tmp_path / "three", created_by="test") as writer:
        for offset, second in enumerate((0, 10, 40)):
            at = START_NS + second * NS
            writer.append(Message(sc.OTLP_LOGS, 0, offset, b"", b"{}", (), at, at))
    return Recording.open(tmp_path / "three")


def digest(place: Path) -> str:
    return _replay.replay(Recording.open(place).messages(), _pipeline.build(Settings())).digest


def test_what_is_played_and_recorded_again_replays_to_the_same_digest(tmp_path):
    recording = shop_recording(tmp_path / "shop")
    live = Live(tmp_path / "up", Settings(), now_ns=Clock(START_NS + 9 * 3600 * NS))
    with serving(live) as call:
        played = play(recording, call.url, speed=0)
    assert (played.sent, sum(played.skipped.values()), played.refused.total()) == (74, 4, 0)
    live.pump()
    live.close()
    record(tmp_path / "up", tmp_path / "again", final=True)
    assert digest(tmp_path / "again") == digest(tmp_path / "shop")


def test_a_recording_of_a_live_run_replays_to_its_decisions_with_or_without_what_stages_made(tmp_path):
    live = Live(tmp_path / "up", Settings(), now_ns=(clock := Clock()))
    feed(live, clock, pump_every=3)
    for _ in range(60):  # silence, until the incident is closed
        clock.ns += 10 * NS
        live.pump()
    said = _replay.Run()
    _replay.collect(said, (s.message for s in live.log.read([sc.DIAGNOSES, sc.ACTIONS], 0, 10_000)))
    everything = record(tmp_path / "up", tmp_path / "whole")
    only = record(tmp_path / "up", tmp_path / "raw", topics=(sc.RAW,))
    live.close()
    assert set(only) == {sc.RAW}
    assert {sc.FRAMES, sc.ANOMALIES, sc.ACTIONS, sc.CHANGES} < set(everything)
    assert digest(tmp_path / "whole") == digest(tmp_path / "raw") == said.digest
    assert said.diagnoses


def test_messages_are_sent_as_far_apart_as_they_came_divided_by_the_speed(three):
    for speed, expected in [(1, [10, 30]), (10, [1, 3]), (0, [])]:
        with receiving() as receiver:
            time = Time()
            play(three, receiver.url, speed=speed, now_s=time.now, sleep=time.sleep)
        assert time.slept == expected
        assert [path for path, *_ in receiver.got] == ["/v1/logs"] * 3


def test_a_receiver_that_asks_to_come_again_is_waited_for_and_gets_everything_in_order(three):
    with receiving([429, 429, 503], retry_after="7") as receiver:
        time = Time()
        played = play(three, receiver.url, speed=0, token=TOKEN, now_s=time.now, sleep=time.sleep)
    assert (played.sent, played.waited, time.slept) == (3, 3, [7, 7, 7])
    assert [status for *_, status in receiver.got] == [429, 429, 503, 200, 200, 200]
    assert receiver.got[0][1]["authorization"] == f"Bearer {TOKEN}"


def test_what_is_refused_for_what_it_is_is_counted_and_the_rest_is_sent(three):
    with receiving([413]) as receiver:
        played = play(three, receiver.url, speed=0)
    assert (played.sent, dict(played.refused)) == (2, {"413": 1})


def test_a_wrong_token_stops_at_once_with_what_to_do(three, tmp_path):
    live = Live(tmp_path / "up", settings(tokens=[{"token": TOKEN, "source": "a"}]), now_ns=Clock())
    with serving(live) as call, pytest.raises(PlayError, match=r"401.*--token") as refused:
        play(three, call.url, speed=0, token="another-token-0123")
    live.close()
    assert refused.value.code == "PLAY_REFUSED"


def test_a_receiver_that_is_not_there_is_told_at_once_tried_for_a_while_and_then_a_sentence(three):
    time, told = Time(), []
    with pytest.raises(PlayError, match="not reached for 20 s") as refused:
        play(
            three, "http://127.0.0.1:1", speed=0, wait_s=20, now_s=time.now, sleep=time.sleep,
            on_wait=lambda what, left_s: told.append((what, left_s, time.s)),
        )  # fmt: skip
    assert refused.value.code == "PLAY_UNREACHABLE"
    assert told == [("Connection refused", 20, 0)]
    assert time.s == pytest.approx(20)


def test_without_patience_the_first_try_is_the_last(three):
    time, told = Time(), []
    with pytest.raises(PlayError, match="not reached: Connection refused"):
        play(three, "http://127.0.0.1:1", wait_s=0, now_s=time.now, sleep=time.sleep, on_wait=told.append)
    assert (time.slept, told) == ([], [])


def test_a_receiver_that_asks_to_come_again_is_told_once_for_all_its_asking(three):
    time, told = Time(), []
    with receiving([429, 503], retry_after="7") as receiver:
        play(three, receiver.url, speed=0, now_s=time.now, sleep=time.sleep, on_wait=lambda *said: told.append(said))
    assert told == [("asks to come again (429)", None)]


def test_play_says_on_standard_error_that_nobody_listens_and_until_when_it_tries(three):
    told = CliRunner().invoke(app, ["play", str(three.path), "--to", "http://127.0.0.1:1", "--wait", "0.01"])
    assert isinstance(told.exception, PlayError)
    assert told.stdout == ""
    assert re.fullmatch(
        r"tidegate: http://127\.0\.0\.1:1: not reached: Connection refused\. Is `tidegate up` running there\? "
        r"Tried again until \d\d:\d\d:\d\d UTC \(--wait\)\.\n",
        told.stderr,
    )


@pytest.mark.parametrize("speed", ["-1", "nan", "inf", "fast"])
def test_what_is_no_speed_is_a_sentence(three, speed):
    told = CliRunner().invoke(app, ["play", str(three.path), "--wait", "0", f"--speed={speed}"])
    assert re.match(f"'?{speed}.* no speed", str(told.exception))


@pytest.mark.parametrize("url", ["localhost:4318", "ftp://x", "", "http://x:99999", "http://[x", "http://x y"])
def test_what_is_no_url_is_a_sentence(three, url):
    with pytest.raises(PlayError, match="not a URL"):
        play(three, url)


def message(emit: Emit) -> Message:
    return Message(emit.topic, emit.partition, 0, emit.key, emit.value, emit.headers, emit.event_ns, emit.event_ns)


CHANGE = sc.Change(
    id="c", entity_id="default/service/cart", service="cart", kind="deploy", at_ns=START_NS, title="deploy #1"
)


@pytest.mark.parametrize(("source", "path"), [("ci/é", "/v1/events"), ("tidegate/normalise", None)])
def test_a_change_is_played_unless_a_stage_made_it(source, path):
    said = request_of(message(sc.emit(sc.CHANGES, CHANGE, id="é 1", key="k", source=source, event_ns=START_NS)))
    assert (said and said.path) == path
    if said:
        assert (said.headers["ce-id"], said.headers["ce-source"]) == ("%C3%A9%201", "ci/%C3%A9")


def test_frames_and_marks_are_never_played():
    mark = sc.emit(sc.RAW, sc.Watermark(stage="source:a", through_ns=1), id="m", key="", source="x", event_ns=1)
    assert request_of(message(mark)) is None
    assert request_of(message(Emit(sc.FRAMES, b"", b"x", (), 1))) is None


def test_a_recording_without_source_messages_is_not_played_in_silence(tmp_path):
    with RecordingWriter(tmp_path / "made", created_by="test") as writer:
        writer.append(Message(sc.FRAMES, 0, 0, b"", b"x", (), 1, 1))
    with pytest.raises(PlayError) as refused:
        play(Recording.open(tmp_path / "made"), "http://127.0.0.1:1", speed=0)
    assert refused.value.code == "PLAY_EMPTY"


def test_recording_while_up_runs_takes_what_there_is(tmp_path):
    live = Live(tmp_path / "up", Settings(), now_ns=(clock := Clock()))
    feed(live, clock)
    assert record(tmp_path / "up", tmp_path / "now") == {sc.RAW: 74}
    live.close()


def test_a_place_without_a_log_or_a_topic_is_a_sentence_and_nothing_is_made(tmp_path):
    with pytest.raises(LiveError, match="no log here"):
        record(tmp_path / "nowhere", tmp_path / "out")
    Live(tmp_path / "up", Settings(), now_ns=Clock()).close()
    with pytest.raises(PlayError, match=r"no topic 'tidegate\.rew'"):
        record(tmp_path / "up", tmp_path / "out", topics=("tidegate.rew",))
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "nowhere").exists()


def test_an_existing_recording_is_not_written_over(tmp_path):
    live = Live(tmp_path / "up", Settings(), now_ns=(clock := Clock()))
    feed(live, clock)
    live.close()
    record(tmp_path / "up", tmp_path / "out")
    with pytest.raises(RecordingError, match="not empty"):
        record(tmp_path / "up", tmp_path / "out")
