"""A stage that catches up reads on where event time is behind, so what it holds is bounded by time and not by luck."""

from pathlib import Path

import pytest
from confluent_kafka import TopicPartition
from support.kafka import Broker
from support.worker import Bench, is_at_end, own_sources, turn

import schemas as sc
from schemas.core import NS
from streams import real_name
from streams._kafka_align import LEAD_NS
from streams._kafka_worker import _BATCH
from tidegate._warm import _otlp

N, APART_NS, START_NS = 2000, 10 * NS, 1_767_268_800 * NS
SLOW, FAST = (sc.RAW, 0), (sc.RAW, 1)


@pytest.fixture
def bench(broker: Broker, tmp_path: Path) -> Bench:
    """Two partitions with five and a half hours of telemetry each."""
    found = Bench(broker, tmp_path, "aligned", partitions=2, sources=own_sources("aligned"))
    told = [_otlp(START_NS + n * APART_NS, 0) for n in range(N)]
    for _, partition in (SLOW, FAST):
        found.put_all(sc.RAW, told, partition=partition, tidegate_kind="otlp_metrics")
    return found


def test_a_partition_far_ahead_waits_for_one_that_the_broker_gives_slowly(bench: Bench) -> None:
    worker = bench.worker("normalise")
    turn(worker, lambda: len(worker.running) == len(worker._plan.tasks))
    offsets = {place: owner.offsets for place, owner in worker._owner.items()}
    slow = [TopicPartition(real_name(sc.RAW, bench.kafka.prefix), SLOW[1])]
    worker._reader.pause(slow)  # as if nothing came from there
    for _ in range(100):
        worker.poll(0.05)
    times = {place: worker._owner[place].task.through_ns for place in (SLOW, FAST)}
    assert offsets[SLOW][SLOW] < offsets[FAST][FAST] < N
    assert times[FAST] - max(times[SLOW], START_NS) <= LEAD_NS + 2 * _BATCH * APART_NS
    worker._reader.resume(slow)
    turn(worker, lambda: offsets[SLOW][SLOW] == offsets[FAST][FAST] == N and is_at_end(worker))
    assert not any(owner.paused for owner in worker.running.values())
    worker.close()
