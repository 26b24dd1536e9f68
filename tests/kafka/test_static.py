"""Static members (`kafka.instance_id`): what a restart costs where a session outlives it by far."""

from collections.abc import Iterator
from pathlib import Path
from zlib import crc32

import pytest
from support.kafka import Broker
from support.pipeline import Deployed, recorded_shop

SESSION_S = 300
RESTART_S = 100
"""A process of Python with its libraries, on a machine that does other things too."""


@pytest.fixture(scope="module")
def lasting() -> Iterator[Broker]:
    """A node on which members may be silent for long."""
    told = {name: str(SESSION_S * 1000) for name in (
        "group.consumer.session.timeout.ms", "group.consumer.max.session.timeout.ms"
    )}  # fmt: skip
    with Broker(settings=told) as broker:
        yield broker


@pytest.fixture
def deployed(lasting: Broker, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Deployed]:
    """Two tasks that run under a name of their own."""
    kafka = {"instance_id": "one", "group_protocol": request.param, "session_timeout_ms": SESSION_S * 1000}
    prefix = f"static{crc32(request.node.name.encode())}"
    found = Deployed(lasting, tmp_path, prefix=prefix, partitions=2, kafka=kafka)
    found.play(recorded_shop()[:20])
    found.start("detect")
    found.wait_until(lambda: started(found, 1) == 2)
    yield found
    found.kill()


def started(deployed: Deployed, process: int) -> int:
    """Tasks that a process has started."""
    return (deployed.place / f"process-{process:03d}.log").read_text().count('"task started"')


@pytest.mark.parametrize("deployed", ["classic"], indirect=True)
def test_killed_and_started_again_it_has_its_tasks_long_before_its_session_would_end(deployed: Deployed) -> None:
    deployed.kill()
    deployed.start("detect")
    deployed.wait_until(lambda: started(deployed, 2) == 2, RESTART_S)


@pytest.mark.parametrize("deployed", ["classic", "consumer"], indirect=True)
def test_stopped_and_started_again_it_has_its_tasks_at_once(deployed: Deployed) -> None:
    deployed.end(deployed.processes[0])
    deployed.start("detect")
    deployed.wait_until(lambda: started(deployed, 2) == 2, RESTART_S)


@pytest.mark.parametrize("deployed", ["consumer"], indirect=True)
def test_in_a_group_that_the_broker_manages_who_was_killed_is_told_what_it_waits_for(deployed: Deployed) -> None:
    """KIP-848 lets nobody take a name over while the session of whoever had it lives."""
    deployed.kill()
    assert deployed.start("detect").wait(RESTART_S) == 3
    assert "[KAFKA_FENCED]" in deployed.logs() and "group.consumer.session.timeout.ms" in deployed.logs()
