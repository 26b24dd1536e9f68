"""The query of Prometheus against Prometheus itself: `prometheus` and `promtool` on the PATH (Debian: prometheus).

`pytest tests/live/prometheus_check.py`; the name keeps it out of `make test`, which needs no service. Where they are
missing it fails, and does not skip.
"""

import asyncio
import shutil
import subprocess
import time
import urllib.request
from pathlib import Path

import pytest
from support.servers import free_port

from diagnosis import Context, Onset, QueryFailed
from diagnosis.queries.prometheus import Prometheus
from schemas.core import NS
from tidegate._prometheus import PrometheusReader

START_S = int(time.time()) // 7200 * 7200 - 4 * 3600
ONSET_S = START_S + 3600
NASTY = 'a"b\\c.d|e'


def samples():
    """Ninety minutes of two services: the memory of cart triples at the onset, pay stays as it is."""
    yield "# TYPE container_cpu_usage_seconds_total counter"
    for pod in ("cart-7f-x1", "pay-1-y2"):
        for s in range(0, 5400, 30):
            yield f'container_cpu_usage_seconds_total{{pod="{pod}"}} {s * 0.2} {START_S + s}'
    yield "# TYPE container_memory_working_set_bytes gauge"
    for pod in ("cart-7f-x1", "pay-1-y2", NASTY.replace("\\", "\\\\").replace('"', '\\"')):
        for s in range(0, 5400, 30):
            level = 300 if s >= 3600 and not pod.startswith("pay") else 100
            yield f'container_memory_working_set_bytes{{pod="{pod}"}} {level} {START_S + s}'
    yield "# EOF"


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    place: Path = tmp_path_factory.mktemp("prometheus")
    for tool in ("prometheus", "promtool"):
        assert shutil.which(tool), f"{tool} is not installed (Debian: apt-get install prometheus)"
    place.joinpath("in.om").write_text("\n".join(samples()) + "\n")
    place.joinpath("prometheus.yml").write_text("global: {}\n")
    subprocess.run(
        ["promtool", "tsdb", "create-blocks-from", "openmetrics", place / "in.om", place / "data"], check=True,
        capture_output=True,
    )  # fmt: skip
    address = f"127.0.0.1:{free_port()}"
    with (place / "log").open("wb") as out:
        process = subprocess.Popen(
            ["prometheus", f"--config.file={place}/prometheus.yml", f"--storage.tsdb.path={place}/data",
             f"--web.listen-address={address}", "--storage.tsdb.retention.time=1y"], stdout=out, stderr=out,
        )  # fmt: skip
    try:
        until = time.monotonic() + 30
        while not _is_ready(address):
            assert time.monotonic() < until and process.poll() is None, (place / "log").read_text()[-2000:]
            time.sleep(0.1)
        yield f"http://{address}"
    finally:
        process.terminate()
        process.wait(20)


def _is_ready(address):
    try:
        with urllib.request.urlopen(f"http://{address}/-/ready", timeout=1) as answer:
            return answer.status == 200
    except OSError:
        return False


def found(url, service):
    asked = Onset(service=service, onset_ns=ONSET_S * NS, end_ns=(ONSET_S + 600) * NS)
    answer = asyncio.run(Prometheus().run(asked, "default", Context(prometheus=PrometheusReader(url))))
    return {finding.kind: round(finding.strength, 3) for finding in answer.findings}


def test_memory_that_tripled_at_the_onset_is_found_and_flat_cpu_speaks_for_nothing(url):
    assert found(url, "cart") == {"asked_cpu": 0.0, "asked_memory": 0.5}


def test_a_service_where_nothing_moved_is_not_suspicious(url):
    assert found(url, "pay") == {"asked_cpu": 0.0, "asked_memory": 0.0}


def test_a_name_with_quotes_and_operators_is_one_name(url):
    assert found(url, NASTY) == {"asked_memory": 0.5}
    assert found(url, "car.") == found(url, "cart|pay") == found(url, '"} or vector(1) #') == {}


def test_an_address_where_something_else_answers_is_a_failure(url):
    with pytest.raises(QueryFailed, match="PROMETHEUS_REFUSED"):
        found(url + "/elsewhere", "cart")
