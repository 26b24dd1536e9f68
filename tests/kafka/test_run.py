"""The pipeline on Apache Kafka: the digest of one process, whatever is killed."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.kafka import Broker
from support.pipeline import Deployed, recorded_shop

from streams import report
from tidegate._pipeline import build
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
    assert deployed.ledger() == report(whole.ledger)
