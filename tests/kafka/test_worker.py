"""One shard processor at a time on a real broker: what it does with what it finds there."""

from pathlib import Path

import pytest
from confluent_kafka import ConsumerGroupState, TopicPartition
from support.kafka import Broker
from support.pipeline import recorded_shop
from support.worker import Bench, is_at_end, own_sources, turn

import schemas as sc
from streams import SnapshotError, kafka, real_name
from tidegate._pipeline import ORDER


def one_of(topic: str) -> bytes:
    """What a sender wrote in the recorded shop."""
    return next(message.value for message in recorded_shop() if message.topic == topic)


def test_a_task_is_not_made_again_from_an_input_that_retention_has_cut(broker: Broker, tmp_path: Path) -> None:
    bench = Bench(broker, tmp_path, "rebuilt", sources=own_sources("rebuilt"))
    for _ in range(3):
        bench.put(sc.RAW, one_of(sc.OTLP_LOGS), tidegate_kind="otlp_logs")
    first = bench.worker("normalise")
    turn(first, lambda: is_at_end(first))
    first.close()
    again = bench.worker("normalise", is_rebuilt=True)
    turn(again, lambda: is_at_end(again))
    again.abandon()
    cut = TopicPartition(real_name(sc.RAW, "rebuilt"), 0, 2)
    client = kafka.admin(bench.kafka)
    client.delete_records([cut])[cut].result(30)
    late = bench.worker("normalise", is_rebuilt=True)
    with pytest.raises(SnapshotError, match="first 2 records are gone") as error:
        turn(late, lambda: False)
    late.abandon()
    assert error.value.code == "REBUILD_IMPOSSIBLE"


@pytest.mark.parametrize("stage", ORDER)
def test_a_process_may_be_stopped_while_its_tasks_are_on_their_way(broker: Broker, tmp_path: Path, stage: str) -> None:
    bench = Bench(broker, tmp_path, "leaving", sources=own_sources("leaving"))
    client, group = kafka.admin(bench.kafka), f"leaving.{stage}"
    worker = bench.worker(stage)
    for _ in range(600):
        worker._reader.poll(0.05)  # the member is not asked, so it is not told what it was given
        if client.describe_consumer_groups([group])[group].result(20).state == ConsumerGroupState.STABLE:
            break
    worker.close()
    worker.abandon()
