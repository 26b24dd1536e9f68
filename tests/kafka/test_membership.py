"""Groups that the broker manages (KIP-848), and snapshots that cannot be used."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from zlib import crc32

import pytest
from support.chaos import chaos
from support.kafka import Broker
from support.pipeline import Deployed, recorded_shop

import schemas as sc
from schemas.core import Message
from streams import real_name
from streams._kafka_client import producer
from streams._kafka_messages import headers_of
from streams._kafka_snapshots import Manifests
from tidegate._pipeline import build
from tidegate._replay import replay
from tidegate._settings import Settings


@pytest.fixture
def deployed(alone: Broker, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Deployed]:
    found = Deployed(alone, tmp_path, prefix=f"t{crc32(request.node.name.encode())}", partitions=2)
    yield found
    found.kill()


def finished(deployed: Deployed) -> None:
    deployed.play(recorded_shop())
    deployed.start()
    deployed.wait(lambda _: deployed.has_ended())
    deployed.stop()
    deployed.processes.clear()


def finals(deployed: Deployed) -> list[Message]:
    """How often the last stage came to the end."""
    return [m for m in deployed.read(sc.ACTIONS) if sc.record_type(m) == "watermark" and b'"final":true' in m.value]


def test_in_a_group_that_the_broker_manages_kills_and_rebalances_change_nothing(alone: Broker, tmp_path: Path) -> None:
    """How soon a killed stage speaks again is measured by `make kills`, not here: that depends on the machine."""
    whole = replay(recorded_shop(14), build(Settings()))
    found = chaos(
        alone, tmp_path, whole, prefix="kip848", minutes=14, seconds=60, kills=3, stops=2,
        kafka={"group_protocol": "consumer"},
    )  # fmt: skip
    assert found.wrong == ""


def test_a_corrupt_snapshot_is_passed_over_for_the_one_before(deployed: Deployed) -> None:
    finished(deployed)
    newest = max((deployed.place / "state/detect/0").glob("*.snapshot"))
    newest.write_bytes(newest.read_bytes()[:-20] + b"x" * 20)
    deployed.start()
    deployed.wait_until(lambda: "SNAPSHOT_CORRUPT" in deployed.logs() and '"detect@0"' in deployed.logs())
    deployed.stop()


@pytest.mark.parametrize("code", ["SNAPSHOT_CORRUPT", "SNAPSHOT_MISSING"])
def test_without_any_snapshot_that_can_be_read_a_sentence_says_the_way_out(deployed: Deployed, code: str) -> None:
    finished(deployed)
    place = deployed.place / "state/detect"
    for file in list(place.rglob("*.snapshot")):
        file.write_bytes(b"something else")
    if code == "SNAPSHOT_MISSING":
        shutil.rmtree(place)
    process = deployed.start("detect")
    assert process.wait(240) == 3
    assert f"[{code}]" in deployed.logs() and "--rebuild" in deployed.logs()


def test_state_of_a_newer_format_is_refused_with_the_way_out(deployed: Deployed) -> None:
    finished(deployed)
    newest = Manifests(deployed.kafka).of("detect")["0"][0]
    later = newest.model_copy(update={"format": 2, "number": newest.number + 1, "code": "9.9.9"})
    sender = producer(deployed.kafka)
    told = sc.emit(sc.SNAPSHOTS, later, id="later", key="later", source="tidegate/detect", event_ns=later.through_ns)
    sender.produce(
        real_name(sc.SNAPSHOTS, deployed.kafka.prefix), told.value, told.key, 0, headers=list(headers_of(told))
    )
    assert sender.flush(120) == 0
    assert deployed.start("detect").wait(240) == 3
    assert "[SNAPSHOT_FROM_THE_FUTURE]" in deployed.logs() and "Tidegate 9.9.9" in deployed.logs()


def test_state_of_other_settings_is_taken_over_after_a_clean_stop_only(deployed: Deployed) -> None:
    deployed.play(recorded_shop()[:60])
    first = deployed.start("normalise")
    deployed.wait_until(lambda: bool(Manifests(deployed.kafka).of("normalise")))
    deployed.kill()
    deployed.settle(streams={"lateness_s": 11})
    assert deployed.start("normalise").wait(240) == 3
    assert "[SNAPSHOT_OTHER_SETTINGS]" in deployed.logs()
    deployed.settle(streams={"lateness_s": 10})
    second = deployed.start("normalise")
    deployed.wait_until(lambda: deployed.logs().count("task started") >= 16)
    deployed.end(second)
    deployed.settle(streams={"lateness_s": 11})
    third = deployed.start("normalise")
    deployed.wait_until(lambda: third.poll() is not None or deployed.logs().count("task started") >= 24)
    assert first.returncode != 0 and third.poll() is None


def test_rebuilt_from_the_topics_it_says_the_same_again(deployed: Deployed) -> None:
    finished(deployed)
    before = deployed.run().digest
    shutil.rmtree(deployed.place / "state")
    deployed.start("--rebuild")
    deployed.wait_until(lambda: len(finals(deployed)) == 2)
    deployed.stop()
    assert deployed.run().digest == before
