"""A real Alertmanager, Debian's package unpacked and not installed, that posts to one webhook at once."""

import json
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from support.prometheus import SERVERS, _is_ready


def debian() -> Path:
    """Its binary. Raises CalledProcessError where the package cannot be had."""
    place = SERVERS / "alertmanager-debian"
    binary = place / "usr/bin/prometheus-alertmanager"
    if not binary.exists():
        place.mkdir(parents=True, exist_ok=True)
        quiet: dict[str, Any] = {"check": True, "capture_output": True, "cwd": place, "timeout": 300}
        if subprocess.run(
            ["apt-cache", "show", "prometheus-alertmanager"], capture_output=True, check=False
        ).returncode:
            subprocess.run(["apt-get", "update"], **quiet)
        subprocess.run(["apt-get", "download", "prometheus-alertmanager"], **quiet)
        (package,) = place.glob("*.deb")
        subprocess.run(["dpkg-deb", "-x", str(package), str(place)], **quiet)
    return binary


@contextmanager
def running(place: Path, webhook: dict[str, Any]) -> Iterator[str]:
    """Its URL. webhook: one entry of `webhook_configs`."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        at = f"127.0.0.1:{free.getsockname()[1]}"
    route = {"receiver": "tidegate", "group_by": ["alertname"], "group_wait": "0s", "group_interval": "1s"}
    config = {"route": route, "receivers": [{"name": "tidegate", "webhook_configs": [webhook]}]}
    (place / "alertmanager.yml").write_text(yaml.safe_dump(config))
    options = [f"--config.file={place}/alertmanager.yml", f"--storage.path={place}/data", "--cluster.listen-address="]
    with (place / "log").open("wb") as log:
        command = [str(debian()), *options, f"--web.listen-address={at}"]
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        end = time.monotonic() + 30
        while not _is_ready(f"http://{at}/-/ready"):
            assert process.poll() is None and time.monotonic() < end, (place / "log").read_text()[-1500:]
            time.sleep(0.05)
        yield f"http://{at}"
    finally:
        process.terminate()
        process.wait(20)


def tell(url: str, alerts: list[dict[str, Any]]) -> None:
    """Alerts to a running one, as Prometheus sends them."""
    request = urllib.request.Request(
        f"{url}/api/v2/alerts", json.dumps(alerts).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=5) as answer:
        assert answer.status == 200
