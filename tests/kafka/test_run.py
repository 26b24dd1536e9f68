"""The pipeline on Apache Kafka: the digest of one process, whatever is killed."""

import signal
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Thread
from zlib import crc32

import pytest
from support.chaos import chaos
from support.kafka import Broker
from support.pipeline import Deployed, recorded_shop

from tidegate._grow import grow
from tidegate._pipeline import ORDER, build
from tidegate._replay import Run, replay
from tidegate._settings import Settings


@pytest.fixture(scope="module")
def whole() -> Run:
    return replay(recorded_shop(), build(Settings()))


@pytest.fixture
def deployed(alone: Broker, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Deployed]:
    found = Deployed(alone, tmp_path, prefix=f"t{crc32(request.node.name.encode())}", partitions=4)
    yield found
    found.kill()


def test_the_digest_on_kafka_is_that_of_one_process(deployed: Deployed, whole: Run) -> None:
    deployed.play(recorded_shop())
    deployed.start()
    run = deployed.wait(lambda _: deployed.has_ended())
    deployed.stop()
    assert run.digest == whole.digest
    assert deployed.totals()[0].dump() == whole.ledger.dump()


def test_a_process_that_is_told_to_stop_again_and_again_ends_cleanly(deployed: Deployed) -> None:
    process = deployed.start("normalise")
    deployed.wait_until(lambda: b'"process started"' in deployed.file_of(process).read_bytes())
    while process.poll() is None:
        process.send_signal(signal.SIGTERM)
        time.sleep(0.005)
    assert process.returncode == 0, deployed.logs()


def test_every_process_killed_twice_stopped_and_rebalanced_changes_nothing(alone: Broker, tmp_path: Path) -> None:
    whole = replay(recorded_shop(18), build(Settings()))
    found = chaos(
        alone, tmp_path, whole, prefix="killed", minutes=18, seconds=85, kills=2 * len(ORDER), stops=2, restarts=1
    )
    assert found.wrong == ""
    assert found.digest == whole.digest


def test_from_four_to_twelve_partitions_under_load_changes_nothing(deployed: Deployed, whole: Run) -> None:
    """Messages come in all the while; the pipeline is stopped in order, its shards move, it goes on."""
    load = Thread(target=deployed.play, args=(recorded_shop(),), kwargs={"pause_s": 0.3})
    load.start()
    first, rest = deployed.start("normalise"), deployed.start(*ORDER[1:])
    deployed.wait_until(lambda: deployed.through_ns(ORDER[-1]) > 0)
    deployed.end(first)
    deployed.wait_until(lambda: all(deployed.waits(stage) == 0 for stage in ORDER[1:]))
    deployed.end(rest)
    grown = grow(deployed.settings, 12)
    deployed.start()
    load.join()
    run = deployed.wait(lambda _: deployed.has_ended())
    deployed.stop()
    assert (grown.before, grown.after) == (4, 12)
    assert run.digest == whole.digest
    assert deployed.totals()[0].dump() == whole.ledger.dump()
