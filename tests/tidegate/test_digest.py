"""The digest of a whole run, from OTLP bytes to decisions, depends on event time alone."""

import random
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

import schemas as sc
from schemas.core import NS, Emit, Message
from simulation import BadDeploy, shop
from streams import Engine, MemoryLog, Recording, RecordingWriter, Runner, Task, imbalance
from tidegate import _history, _run
from tidegate._pipeline import build, ledger_of
from tidegate._replay import KEPT, Run, collect, replay
from tidegate._settings import Settings

NO_SHRINKING = (Phase.explicit, Phase.reuse, Phase.generate)  # an example takes a second; shrinking would take minutes
WIDE = Settings.model_validate({"streams": {"lateness_s": 60}})


@cache
def recorded() -> tuple[Message, ...]:
    """Seven minutes of a small shop; half of the orders fail after a deploy."""
    fault = BadDeploy(at_s=240, error_ratio=0.5, innocent_s=60)
    log = MemoryLog()
    found = []
    for emit in shop(5, 1_767_268_800 * NS, 420, fault=fault, rate=10):
        log.append([emit], writer="shop")
        found.append(log.read([emit.topic], log.last() - 1, 1)[0].message)
    return tuple(found)


@cache
def straight() -> Run:
    return replay(recorded(), build(WIDE))


def digest_of(log: MemoryLog) -> str:
    run = Run()
    collect(run, [message for topic in KEPT for message in log.messages(topic)])
    return run.digest


def test_the_run_finds_the_bad_deploy():
    hypotheses = [h for d in straight().diagnoses.values() for h in d.hypotheses[:1]]
    assert [h.cause.entity for h in hypotheses] == ["checkout"]
    assert {a.state for a in straight().actions} >= {"proposed", "gated", "advised"}


@pytest.mark.parametrize("limit", [1, 8, 100])
def test_how_many_records_a_stage_reads_at_once_does_not_change_the_digest(limit):
    log = MemoryLog(keep=KEPT)
    engine = Engine(log, build(WIDE).stages)
    log.feed(recorded(), writer="outside")
    engine.run(limit)
    assert digest_of(log) == straight().digest


@settings(max_examples=6, deadline=None, phases=NO_SHRINKING)
@given(st.integers(0, 2**32))
def test_any_order_of_arrival_within_lateness_gives_the_same_digest(seed):
    """Every message is up to 30 s late; lateness is 60 s. Arrival times say so, the last marks stay last."""
    rng = random.Random(seed)
    marks = [m for m in recorded() if sc.record_type(m) == "watermark"]
    rest = [(m.received_ns + int(rng.random() * 30 * NS), i, m) for i, m in enumerate(recorded()) if m not in marks]
    shuffled = [message for _, _, message in sorted(rest, key=lambda entry: entry[:2])]
    run = replay([*shuffled, *marks], build(WIDE))
    assert run.digest == straight().digest
    assert imbalance(run.ledger) == ""


@settings(max_examples=8, deadline=None, phases=NO_SHRINKING)
@given(crash=st.integers(1, 900), stage=st.integers(0, 5), every=st.integers(20, 200))
def test_a_crash_of_all_stages_at_any_record_gives_the_same_digest(crash, stage, every):
    """State is lost at a random record of a random stage; the log and snapshots of some time before remain."""
    log = MemoryLog(keep=sc.TOPICS)
    engine = Engine(log, build(WIDE).stages)
    log.feed(recorded(), writer="outside")
    snapshots, steps = [runner.snapshot() for runner in engine.runners], 0
    while True:
        moved = 0
        for i, runner in enumerate(engine.runners):
            moved += runner.poll(log, limit=8)
            steps += 1
            if steps % every == 0:
                snapshots = [r.snapshot() for r in engine.runners]
            if steps >= crash and i == stage and crash:
                crash, engine = 0, _restarted(log, snapshots)
                moved += 1
                break
        if not moved:
            break
    assert digest_of(log) == straight().digest
    assert ledger_of(engine.runners).dump() == straight().ledger.dump()


def _restarted(log: MemoryLog, snapshots: list[bytes]) -> Engine:
    engine = Engine(log, build(WIDE).stages)
    for runner, data in zip(engine.runners, snapshots, strict=True):
        runner.restore(data)
    return engine


def test_a_snapshot_taken_twice_has_the_same_bytes():
    engine = Engine(MemoryLog(), build(WIDE).stages)
    engine.log.feed(recorded()[:40], writer="outside")  # type: ignore[attr-defined]
    engine.run()
    for runner in engine.runners:
        again = Runner(Task.start(runner.stage, runner.task.writers, runner.task.partitions))
        again.restore(runner.snapshot())
        assert again.snapshot() == runner.snapshot(), runner.stage.name


@pytest.mark.parametrize("partitions", [2, 5])
def test_partitions_do_not_change_the_digest(partitions):
    many = Settings.model_validate({"streams": {"lateness_s": 60, "partitions": partitions}})
    assert replay(recorded(), build(many), partitions=partitions).digest == straight().digest


def test_a_live_run_with_a_pause_a_dead_source_and_a_new_partition_has_the_digest_of_its_replays(tmp_path):
    """Live is message by message; replayed are the raw recording, and the frames alone with the marks in them."""
    many = Settings.model_validate({"streams": {"lateness_s": 10, "partitions": 2}})
    start, live = recorded()[0].received_ns, MemoryLog(2, keep=sc.TOPICS)
    engine = Engine(live, build(many).stages, partitions=2)
    for message in _disturbed(start):
        emit = Emit(message.topic, message.key, message.value, message.headers, message.event_ns, message.partition)
        live.append([emit], writer="outside", received_ns=message.received_ns)
        engine.run()
    raw = replay(_through_a_recording(live, SENT, tmp_path / "raw"), build(many), partitions=2)
    frames = (sc.FRAMES, sc.HISTOGRAMS, sc.CHANGES, sc.TOPOLOGY, sc.CALENDAR, sc.ALERTS)
    behind = replay(_through_a_recording(live, frames, tmp_path / "frames"), build(many, first="detect"), partitions=2)
    assert digest_of(live) == raw.digest == behind.digest
    assert [h.cause.entity for d in raw.diagnoses.values() for h in d.hypotheses[:1]] == ["checkout"]
    assert raw.ledger.counts["samples.late"] == 0


SENT = (sc.OTLP_METRICS, sc.OTLP_LOGS, sc.OTLP_SPANS, sc.RAW)


def _disturbed(start: int) -> list[Message]:
    """The shop with nobody sending for 30 s, a source that dies at 100 s, and metrics on a new partition from 180 s."""
    found: list[Message] = []
    for message in recorded():
        age = (message.received_ns - start) / NS
        is_mark = sc.record_type(message) == "watermark"
        if not is_mark and 60 <= age < 90:
            continue
        moved = message.topic == sc.OTLP_METRICS and age >= 180
        found += [message._replace(partition=0), message._replace(partition=1)] if is_mark else []
        found += [] if is_mark else [message._replace(partition=int(moved))]
        if age < 100 and message.topic == sc.OTLP_METRICS and not is_mark:
            found.append(
                message._replace(
                    topic=sc.RAW, headers=(("tidegate-kind", b"otlp_metrics"), ("tidegate-source", b"dies"))
                )
            )
    at = start + 130 * NS
    idle = sc.Watermark(stage="source:dies", through_ns=at, idle=True)
    mark = sc.emit(sc.RAW, idle, id="dies", key="", source="test", event_ns=at)
    found.append(Message(sc.RAW, 0, 0, b"", mark.value, mark.headers, at, at))
    return sorted(found, key=lambda m: m.received_ns)


def _through_a_recording(log: MemoryLog, topics: tuple[str, ...], place: Path) -> Iterator[Message]:
    with RecordingWriter(place, created_by="test") as writer:
        for stored in log.read(topics, 0, 1 << 30):
            writer.append(stored.message)
    return Recording.open(place).messages()


def test_a_recording_of_before_a_topic_was_read_is_replayed_as_if_nothing_were_there(tmp_path):
    _run.save(straight(), tmp_path / "run")
    with RecordingWriter(tmp_path / "old", created_by="test") as writer:
        for message in Recording.open(tmp_path / "run").messages():
            if message.topic not in (sc.ALERTS, sc.CALENDAR):
                writer.append(message)
    pipeline, partitions = _history.in_recording(build(WIDE, first="diagnose"), WIDE, Recording.open(tmp_path / "old"))
    again = replay(Recording.open(tmp_path / "old").messages(), pipeline, partitions=partitions)
    assert again.digest == straight().digest and again.actions
