"""Readers that know nothing of Tidegate understand its topics."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.kafka import Broker
from support.pipeline import Deployed, recorded_shop

import schemas as sc
from tidegate._replay import Run

EXAMPLES = Path(__file__).resolve().parent.parent.parent / "examples"


@pytest.fixture(scope="module")
def broker() -> Iterator[Broker]:
    """Of this file alone: source topics have the names that collectors give them, and others make them otherwise."""
    with Broker() as broker:
        yield broker


@pytest.fixture(scope="module")
def deployed(broker: Broker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployed]:
    found = Deployed(broker, tmp_path_factory.mktemp("examples"), prefix="examples", partitions=2)
    found.play(recorded_shop())
    found.start()
    found.wait(lambda _: found.has_ended())
    found.stop()
    yield found
    found.kill()


def lines(name: str, deployed: Deployed) -> list[str]:
    command = [sys.executable, EXAMPLES / name, deployed.kafka.brokers, "--until-end", "--prefix", "examples"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=240, cwd="/", env={}, check=False)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.splitlines()


def test_an_ordinary_consumer_reads_every_decision_as_a_cloudevent(deployed: Deployed) -> None:
    run: Run = deployed.run()
    assert run.actions
    ids = {m.header("ce_id") for m in deployed.read(sc.ACTIONS) if sc.record_type(m) == "action"}
    found = lines("read_actions.py", deployed)
    assert {line.split()[-1] for line in found} == ids
    assert {line.split()[0].rpartition(".")[0] for line in found} == {"io.tidegate.action"}
    assert any("gitops.revert" in line for line in found)


def test_every_point_of_every_frame_is_read_with_pyarrow_alone(deployed: Deployed) -> None:
    frames = [m for m in deployed.read(sc.FRAMES) if not sc.record_type(m)]
    points = sum(len(sc.decode_frame(m.value).series) for m in frames)
    found = lines("read_frames.py", deployed)
    assert len(found) == points > 1000
    assert all(" {" in line for line in found), "a series without a definition"
    assert any("checkout" in line and "process.cpu.utilization" in line for line in found)


@pytest.mark.parametrize("name", ["read_actions.py", "read_frames.py"])
def test_examples_do_without_tidegate(name: str) -> None:
    text = (EXAMPLES / name).read_text()
    assert not any(f"import {room}" in text or f"from {room}" in text for room in ("schemas", "streams", "tidegate"))
    assert len(text.splitlines()) < 45
