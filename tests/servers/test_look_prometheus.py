"""A look at a real Prometheus (Debian's) into which eight hours with a fault were written as blocks."""

import socket
import subprocess
import time

import pytest
from support import prometheus as servers
from support.prometheus_shop import FAULT, HOURS, SERVICES, START, open_metrics

from schemas.core import NS
from tidegate._look import look
from tidegate._look_read import History
from tidegate._settings import Settings


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """Its URL; blocks are made by promtool and kept for ten years, because the hours lie in the past."""
    place = tmp_path_factory.mktemp("prometheus")
    binary = servers.debian()
    (place / "history").write_text("\n".join(open_metrics()) + "\n")
    (place / "prometheus.yml").write_text("global: {}\n")
    command = [str(binary.with_name("promtool")), "tsdb", "create-blocks-from", "openmetrics", "history", "data"]
    subprocess.run(command, cwd=place, check=True, capture_output=True, timeout=120)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        at = f"127.0.0.1:{free.getsockname()[1]}"
    options = ["--config.file=prometheus.yml", "--storage.tsdb.path=data", "--storage.tsdb.retention.time=10y"]
    with (place / "log").open("wb") as log:
        command = [str(binary), *options, f"--web.listen-address={at}"]
        process = subprocess.Popen(command, cwd=place, stdout=log, stderr=log)
    try:
        end = time.monotonic() + 30
        while not servers._is_ready(f"http://{at}/-/ready"):
            assert process.poll() is None and time.monotonic() < end, (place / "log").read_text()[-1500:]
            time.sleep(0.05)
        yield f"http://{at}"
    finally:
        process.terminate()
        process.wait(20)


def test_a_real_prometheus_tells_what_the_double_tells(address: str) -> None:
    end = START + HOURS * 3600
    seen = look(History(address), Settings(), start_ns=START * NS, end_ns=end * NS, step_s=60, most=100)
    (beside,) = [f for f in seen.found if f.alert is not None]
    assert beside.alert is not None and beside.alert.name == "HighErrors" and "checkout" in beside.services
    assert FAULT <= beside.start_ns / NS <= FAULT + 300
    assert [m.name for m in seen.missed] == ["DiskFull"]
    assert seen.samples == 3 * len(SERVICES) * HOURS * 60


def test_a_selector_of_people_is_part_of_every_query(address: str) -> None:
    plan = History(address, match='{job="shop/cart"}').plan((START + 3600) * NS, 100)
    assert plan.metrics == {"http_errors_total": 1, "http_requests_total": 1, "queue": 1}
