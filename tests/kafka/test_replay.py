"""Kafka as recorded history through the whole pipeline: the digest of the recording, of the live run, and once more."""

import json
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.kafka import Broker
from support.pipeline import SOURCES, START_NS, Deployed, recorded_shop
from support.shards import Shards
from typer.testing import CliRunner

import schemas as sc
from schemas.core import NS, Emit, Message
from streams import Recording, RecordingWriter, Stretch, kafka, real_name
from streams._kafka_client import producer
from streams._kafka_messages import headers_of, played_headers
from tidegate import _history, _play_kafka, _replay, _run
from tidegate._errors import PlayError
from tidegate._pipeline import SHARDED, build
from tidegate._settings import Settings
from tidegate.cli import app


@pytest.fixture(scope="module", params=[1, 4])
def shop(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Recording:
    """The recorded shop in this many partitions."""
    return written(tmp_path_factory.mktemp("shop") / "recording", recorded_shop(partitions=request.param))


@pytest.fixture
def brokers() -> Iterator[tuple[Broker, Broker]]:
    """Two of their own: the topics of collectors have no prefix."""
    with Broker() as one, Broker() as other:
        yield one, other


class Lived(Deployed):
    """A deployment on which every task has run to the end, was killed now and then, and wrote again what it had."""

    def live(self, recorded: tuple[Message, ...], sources: dict[str, int], partitions: int) -> None:
        stages = build(self.settings).stages
        shards = Shards(
            stages, partitions=partitions, sources=sources, sharded=SHARDED, rng=random.Random(1), crash=0.02
        )
        for message in recorded:
            shards.topics.feed([message], sources[message.topic])
        shards.run()
        shards.silence()
        shards.run()
        assert shards.crashes
        sender, rows = producer(self.kafka), []
        for place, log in shards.topics.logs.items():
            newest = 0
            for message in log:
                newest = max(newest, message.event_ns)
                rows.append((newest, place, message))
        for _, (topic, partition), message in sorted(rows, key=lambda row: row[:2]):
            headers = headers_of(Emit(topic, message.key, message.value, message.headers, message.event_ns))
            headers = played_headers(message) if topic in sources else headers
            real = real_name(topic, self.kafka.prefix)
            sender.produce(real, message.value, message.key or None, partition, headers=headers)
            sender.poll(0)
        assert sender.flush(60) == 0


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployed]:
    """What a live run of four partitions leaves on Kafka, with everything that was written twice."""
    with Broker() as broker:
        found = Lived(broker, tmp_path_factory.mktemp("live"), prefix="live", partitions=4)
        found.live(recorded_shop(), dict.fromkeys(SOURCES, 4), 4)
        yield found


def written(place: Path, messages: tuple[Message, ...]) -> Recording:
    offsets: dict[tuple[str, int], int] = {}
    with RecordingWriter(place, created_by="test") as writer:
        for message in messages:
            offset = offsets.get(message[:2], -1) + 1
            offsets[message[:2]] = offset
            writer.append(message._replace(offset=offset))
    return Recording.open(place)


def deployed(broker: Broker, place: Path, partitions: int = 4) -> Deployed:
    place.mkdir()
    return Deployed(broker, place, prefix="replayed", partitions=partitions)


class Stopped(kafka.KafkaWriter):
    """Interrupted after 70 messages, the first 60 of which have arrived for sure."""

    n = 0

    def write(self, message: Message, partition: int) -> None:
        self.n += 1
        if self.n == 60:
            self.flush()
        if self.n > 70:
            raise KeyboardInterrupt
        super().write(message, partition)


def played(recording: Recording, on: Deployed, *, resume: bool = False, writer=kafka.KafkaWriter):
    with _history.open_history(on.settings, "") as history, writer(on.kafka) as opened:
        return _play_kafka.play(recording, history, opened, speed=0, resume=resume)


def recorded(on: Deployed, out: Path, **more) -> Recording:
    with _history.open_history(on.settings, "") as history:
        _play_kafka.record(history, out, Stretch(), **more)
    return Recording.open(out)


def of_sources(recording: Recording) -> list[Message]:
    names = (sc.OTLP_METRICS, sc.OTLP_LOGS, sc.OTLP_SPANS, sc.RAW)
    return list(recording.messages(names))


def replayed(on: Deployed, *, first: str = "normalise", begin: int = 0, end: int = 0, final: bool = False):
    return _history.replay(build(on.settings, first=first), on.settings, "", Stretch(begin, end), final=final)


def test_what_is_recorded_played_and_recorded_again_is_the_same_and_has_the_same_digest(shop, brokers, tmp_path):
    one = deployed(brokers[0], tmp_path / "a", shop.topics()[sc.OTLP_LOGS].partitions)
    other = deployed(brokers[1], tmp_path / "b", shop.topics()[sc.OTLP_LOGS].partitions)
    first_play = played(shop, one)
    first = recorded(one, tmp_path / "first")
    played(first, other)
    again = recorded(other, tmp_path / "again")
    assert of_sources(first) == of_sources(again) == of_sources(shop)
    assert first_play.sent == len(of_sources(shop))
    digest = _replay.replay(shop.messages(), build(Settings())).digest
    assert replayed(one).digest == replayed(one).digest == replayed(other).digest == digest


def test_partitions_are_folded_where_kafka_has_fewer_and_sources_end_last(brokers, tmp_path):
    shop = written(tmp_path / "four", recorded_shop(partitions=4))
    one = deployed(brokers[0], tmp_path / "a", 1)
    played(shop, one)
    found = of_sources(recorded(one, tmp_path / "folded"))
    assert [m.value for m in found if not sc.record_type(m)] == [
        m.value for m in of_sources(shop) if not sc.record_type(m)
    ]
    assert replayed(one).digest == _replay.replay(shop.messages(), build(Settings())).digest


def test_a_play_that_was_stopped_goes_on_without_doubling_anything(brokers, tmp_path):
    shop = written(tmp_path / "two", recorded_shop(partitions=2))
    one = deployed(brokers[0], tmp_path / "a", 2)
    with pytest.raises(KeyboardInterrupt):
        played(shop, one, writer=Stopped)
    rest = played(shop, one, resume=True)
    assert rest.resumed >= 59 and rest.sent > 0
    assert of_sources(recorded(one, tmp_path / "out")) == of_sources(shop)
    assert played(shop, one, resume=True).sent == 0
    strangers = written(tmp_path / "other", tuple(m._replace(received_ns=m.received_ns + 1) for m in recorded_shop()))
    with pytest.raises(PlayError, match="not one of this recording"):
        played(strangers, one, resume=True)


@pytest.mark.parametrize("first", ["normalise", "derive-logs", "detect", "diagnose", "decide"])
def test_a_replay_from_any_stage_on_has_the_digest_of_the_live_run(live, first):
    run = replayed(live, first=first)
    if first == "decide":  # only decisions are made again
        assert {a.id for a in run.actions} == {a.id for a in live.run().actions}
    else:
        assert run.digest == live.run().digest
    assert run.actions


def test_a_replay_of_what_processes_wrote_one_of_them_killed_has_their_digest(brokers, tmp_path):
    one = deployed(brokers[0], tmp_path / "a")
    try:
        one.play(recorded_shop())
        one.start()
        one.wait(lambda _: any(one.read(sc.FRAMES)))
        one.kill()
        one.start()
        one.wait(lambda _: one.has_ended())
        one.stop()
    finally:
        one.kill()
    assert replayed(one, first="detect").digest == one.run().digest


@pytest.mark.parametrize("first", ["normalise", "detect"])
def test_a_recording_of_kafka_replays_to_the_digest_of_the_live_run(live, first, tmp_path):
    recording = recorded(live, tmp_path / "out")
    pipeline, partitions = _history.in_recording(build(Settings(), first=first), Settings(), recording)
    assert _replay.replay(recording.messages(), pipeline, partitions=partitions).digest == live.run().digest


@pytest.mark.parametrize("first", ["normalise", "detect"])
def test_a_replay_that_begins_in_mid_history_finds_the_incident_and_twice_the_same(live, first):
    begin = START_NS + 120 * NS
    runs = [replayed(live, first=first, begin=begin, final=True) for _ in range(2)]
    assert runs[0].digest == runs[1].digest
    assert {d.hypotheses[0].cause.entity for d in runs[0].diagnoses.values() if d.hypotheses} & {
        d.hypotheses[0].cause.entity for d in live.run().diagnoses.values() if d.hypotheses
    }
    assert runs[0].ledger.counts["samples.decoded" if first == "normalise" else "samples.processed"] > 0
    assert not {name for name in runs[0].ledger.counts if name.endswith((".late", ".rejected"))}
    assert runs[0].event_time_s < 310


def test_explain_reads_kafka_as_it_reads_a_run(live, tmp_path):
    run = live.run()
    incident = next(iter(run.diagnoses))
    kept = _history.kept(live.settings, live.kafka.brokers, incident)
    whole = _replay.replay(recorded_shop(), build(Settings()))
    _run.save(whole, tmp_path / "run")
    assert _run.explain(kept, incident) == _run.explain(_run.read(tmp_path / "run"), incident)


def test_the_command_line_replays_a_stretch_and_says_how_much_of_it_is_missing(live, tmp_path):
    command = ["replay", "--settings", str(live.file), "--from", "2026-01-01T11:59:00Z", "--run", str(tmp_path / "r")]
    found = CliRunner().invoke(app, [*command, "--from-stage", "detect", "--json"])
    assert found.exit_code == 0, found.output
    document = json.loads(found.stdout.splitlines()[-1])
    assert document["digest"] == live.run().digest
    assert "70 s after --from; nothing older is there" in found.stderr


def test_the_command_line_records_plays_and_explains(live, brokers, tmp_path):
    run, out = CliRunner(), str(tmp_path / "out")
    target = deployed(brokers[0], tmp_path / "target")
    for command in (
        ["record", "--settings", str(live.file), "--brokers", live.kafka.brokers, "--out", out],
        ["play", out, "--settings", str(target.file), "--brokers", target.kafka.brokers, "--speed", "max"],
        ["replay", "--settings", str(target.file), "--run", str(tmp_path / "run")],
        ["explain", "--settings", str(live.file), "--brokers", live.kafka.brokers],
    ):
        found = run.invoke(app, [*command, "--json"])
        assert found.exit_code == 0, (command, found.output, found.exception)
    assert json.loads((tmp_path / "run" / "run.json").read_text())["digest"] == live.run().digest
