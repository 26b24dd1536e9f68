"""Who fell silent is said in the raw topic before it counts, so whoever reads the topic again obeys the same marks."""

from pathlib import Path
from zlib import crc32

import pytest
from confluent_kafka import OFFSET_BEGINNING, KafkaError, TopicPartition
from support.kafka import Broker
from support.pipeline import recorded_shop
from support.worker import IDLE_NS, Bench, is_at_end, own_sources, turn

import schemas as sc
from schemas.core import NS, Message
from streams import SEQ, Task, real_name
from streams._kafka_client import consumer
from streams._kafka_errors import is_passing
from streams._kafka_messages import to_message
from streams._kafka_worker import KafkaWorker

METRICS = [m.value for m in recorded_shop() if m.topic == sc.OTLP_METRICS]


@pytest.fixture
def bench(broker: Broker, tmp_path: Path, request: pytest.FixtureRequest) -> Bench:
    prefix = f"idle{crc32(request.node.name.encode())}"
    return Bench(broker, tmp_path, prefix, sources=own_sources(prefix))


def speak(bench: Bench, *messages: tuple[str, int]) -> None:
    """Senders and which of the recorded messages each sends; one tells of 10 s."""
    for sender, n in messages:
        bench.put(sc.RAW, METRICS[n], tidegate_kind="otlp_metrics", tidegate_source=sender)


def held(bench: Bench, topic: str) -> list[Message]:
    reader = consumer(bench.kafka)
    reader.assign([TopicPartition(real_name(topic, bench.kafka.prefix), 0, OFFSET_BEGINNING)])
    found: list[Message] = []
    for _ in range(300):
        raw = reader.poll(0.2)
        if raw is None or (raw.error() is not None and is_passing(raw.error())):
            continue
        if raw.error() is not None:
            assert raw.error().code() == KafkaError._PARTITION_EOF, raw.error()
            reader.close()
            return found
        found.append(to_message(raw, topic))
    raise AssertionError(f"no end of {topic} after {len(found)} messages")


def idle_marks(bench: Bench) -> list[str]:
    found = [sc.read(m) for m in held(bench, sc.RAW) if sc.record_type(m) == "watermark"]
    return [mark.stage for mark in found if isinstance(mark, sc.Watermark) and mark.idle]


def silent(worker: KafkaWorker, instance: str) -> set[str]:
    return {name for name, clock in worker.running[instance].task.state.clocks.items() if clock.is_idle}


RAW_0 = f"{sc.RAW}/0"


def test_a_sender_of_the_raw_topic_counts_as_silent_when_its_mark_is_read_there(bench: Bench) -> None:
    worker = bench.worker("normalise")
    speak(bench, ("a", 0), ("b", 1))
    turn(worker, lambda: is_at_end(worker))
    bench.wall_ns += IDLE_NS
    speak(bench, ("a", 30))
    turn(worker, lambda: bool(bench.fell_silent()))
    assert silent(worker, RAW_0) == set() and idle_marks(bench) == ["source:b"]
    turn(worker, lambda: silent(worker, RAW_0) == {"b"})
    assert bench.fell_silent() == ["b"]
    worker.close()


def test_a_sender_is_marked_again_only_after_it_spoke_again(bench: Bench) -> None:
    worker = bench.worker("normalise")
    for n in range(2):
        speak(bench, ("a", 30 * n))
        turn(worker, lambda: is_at_end(worker) and not silent(worker, RAW_0))
        bench.wall_ns += IDLE_NS
        turn(worker, lambda: silent(worker, RAW_0) == {"a"})
        bench.wall_ns += IDLE_NS
        turn(worker, lambda: is_at_end(worker))
    worker.close()
    assert idle_marks(bench) == ["source:a", "source:a"]


def test_the_raw_topic_read_again_makes_the_same_of_silence(bench: Bench) -> None:
    """One reads while time goes by, the other reads it all at once, later, and no clock tells it anything."""
    live = bench.worker("normalise")
    for n in range(3):
        speak(bench, ("a", 14 * n), *([("b", 1)] if n == 0 else []))
        turn(live, lambda: is_at_end(live))
        bench.wall_ns += IDLE_NS
        speak(bench, ("a", 14 * n + 7))
        turn(live, lambda n=n: is_at_end(live) and "b" in silent(live, RAW_0))
    task, offsets = live.running[RAW_0].task, live.running[RAW_0].offsets
    turn(live, lambda: offsets[sc.RAW, 0] == len(held(bench, sc.RAW)))
    live.close()
    again = Task.start(live.stage, {}, 1, instance=RAW_0, is_numbered=True)
    out = [emit for message in held(bench, sc.RAW) for emit in again.take([message])]
    said = [m.value for m in held(bench, sc.FRAMES) if m.header(SEQ)]
    assert [emit.value for emit in out if emit.topic == sc.FRAMES and SEQ in dict(emit.headers)] == said != []
    assert again.through_ns == task.through_ns > 0
    assert again.state.ledger.dump() == task.state.ledger.dump()


def test_the_clock_goes_on_for_readers_though_marks_are_read_back(bench: Bench) -> None:
    worker = bench.worker("normalise")
    speak(bench, ("a", 0))
    turn(worker, lambda: is_at_end(worker))
    bench.wall_ns += IDLE_NS
    turn(worker, lambda: silent(worker, RAW_0) == {"a"})
    turn(worker, lambda: worker.running[RAW_0].clock_ns > 0)
    before = worker.running[RAW_0].clock_ns
    bench.wall_ns += 60 * NS
    turn(worker, lambda: worker.running[RAW_0].clock_ns == before + 60 * NS)
    worker.close()


def test_of_a_foreign_topic_the_raw_topic_holds_a_copy_of_the_mark(bench: Bench) -> None:
    worker = bench.worker("normalise")
    bench.put(sc.OTLP_METRICS, METRICS[0])
    here = f"{sc.OTLP_METRICS}/0"
    turn(worker, lambda: is_at_end(worker) and bool(worker.running[here].heard))
    bench.wall_ns += IDLE_NS
    turn(worker, lambda: silent(worker, here) == {here})
    worker.close()
    assert idle_marks(bench) == [f"source:{here}"]
