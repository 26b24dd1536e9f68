"""The pipeline on Apache Kafka: the digest of one process, whatever is killed."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.chaos import chaos
from support.kafka import Broker
from support.pipeline import Deployed, recorded_shop

from tidegate._pipeline import ORDER, build
from tidegate._replay import Run, replay
from tidegate._settings import Settings


@pytest.fixture(scope="module")
def whole() -> Run:
    return replay(recorded_shop(), build(Settings()))


@pytest.fixture
def deployed(broker: Broker, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Deployed]:
    found = Deployed(broker, tmp_path, prefix=request.node.name.replace("_", "-")[:60], partitions=4)
    yield found
    found.kill()


def test_the_digest_on_kafka_is_that_of_one_process(deployed: Deployed, whole: Run) -> None:
    deployed.play(recorded_shop())
    deployed.start()
    run = deployed.wait(lambda _: deployed.has_ended())
    deployed.stop()
    assert run.digest == whole.digest
    assert deployed.totals()[0].dump() == whole.ledger.dump()


def test_every_process_killed_twice_stopped_and_rebalanced_changes_nothing(broker: Broker, tmp_path: Path) -> None:
    whole = replay(recorded_shop(14), build(Settings()))
    found = chaos(
        broker, tmp_path, whole, prefix="killed", minutes=14, seconds=60, kills=2 * len(ORDER), stops=2, restarts=1
    )
    assert found.wrong == ""
    assert found.digest == whole.digest
    assert found.resume_p99_s < 30
