"""Cut into tasks by partition, at any pace, whatever crashes: the digest and the ledgers are those of one process."""

import random
from collections.abc import Iterator

import pytest
from support.shards import Shards

import schemas as sc
from schemas.core import Message
from simulation import BadDeploy, shop
from streams import MemoryLog, report, summed
from tidegate._pipeline import SHARDED, build, ledger_of
from tidegate._replay import KEPT, Run, collect, replay
from tidegate._settings import Settings

SOURCES = {sc.OTLP_METRICS: 2, sc.OTLP_LOGS: 2, sc.OTLP_SPANS: 2, sc.RAW: 1}


def settings(partitions: int) -> Settings:
    return Settings.model_validate({"streams": {"partitions": partitions}})


@pytest.fixture(scope="module")
def recorded() -> tuple[Message, ...]:
    return tuple(_spread())


def _spread() -> Iterator[Message]:
    """A small shop and a bad deploy; a collector deals messages out in turn, marks go to every partition."""
    fault, log = BadDeploy(at_s=240, error_ratio=0.5, innocent_s=60), MemoryLog()
    for n, emit in enumerate(shop(5, 1_767_268_800_000_000_000, 420, fault=fault, rate=10)):
        log.append([emit], writer="shop")
        message = log.read([emit.topic], log.last() - 1, 1)[0].message
        partitions = SOURCES[message.topic]
        if sc.record_type(message) == "watermark":
            end = sc.Watermark(stage="outside", through_ns=message.event_ns, final=True).to_bytes()
            yield from (message._replace(partition=p, value=end) for p in range(partitions))
        else:
            yield message._replace(partition=n // 3 % partitions)


def sharded(recorded: tuple[Message, ...], partitions: int, seed: int, crash: float) -> tuple[str, dict, int]:
    shards = Shards(
        build(settings(partitions)).stages, partitions=partitions, sources=SOURCES, sharded=SHARDED,
        rng=random.Random(seed), crash=crash,
    )  # fmt: skip
    for message in recorded:
        shards.topics.feed([message], SOURCES[message.topic])
    shards.run()
    shards.silence()
    shards.run()
    run = Run()
    collect(run, [message for topic in KEPT for message in shards.topics.of(topic)])
    assert sum(task.counts.get("missing", 0) for task in shards.tasks) == 0
    return run.digest, report(summed([ledger_of([task]) for task in shards.tasks])), shards.crashes


@pytest.mark.parametrize("partitions", [1, 4])
def test_tasks_by_partition_give_the_digest_of_one_process(recorded, partitions):
    whole = replay(recorded, build(settings(partitions)), partitions=partitions)
    digest, ledger, _ = sharded(recorded, partitions, seed=partitions, crash=0.0)
    assert len(whole.diagnoses) > 0
    assert digest == whole.digest
    assert ledger == report(whole.ledger)


@pytest.mark.parametrize("seed", range(3))
def test_whatever_crashes_nothing_is_lost_or_counted_twice(recorded, seed):
    whole = replay(recorded, build(settings(3)), partitions=3)
    digest, ledger, crashes = sharded(recorded, 3, seed=seed, crash=0.15)
    assert crashes > 20
    assert digest == whole.digest
    assert ledger == report(whole.ledger)
