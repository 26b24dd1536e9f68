"""A real Alertmanager, Debian's package unpacked and not installed, that posts to one webhook at once."""

import json
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from support.debian import unpacked
from support.servers import free_port, serving


def debian() -> Path:
    """Its binary. Raises CalledProcessError where the package cannot be had."""
    return unpacked("prometheus-alertmanager", "alertmanager-debian", "usr/bin/prometheus-alertmanager")


@contextmanager
def running(place: Path, webhook: dict[str, Any]) -> Iterator[str]:
    """Its URL. webhook: one entry of `webhook_configs`."""
    at = f"127.0.0.1:{free_port()}"
    route = {"receiver": "tidegate", "group_by": ["alertname"], "group_wait": "0s", "group_interval": "1s"}
    config = {"route": route, "receivers": [{"name": "tidegate", "webhook_configs": [webhook]}]}
    (place / "alertmanager.yml").write_text(yaml.safe_dump(config))
    options = [f"--config.file={place}/alertmanager.yml", f"--storage.path={place}/data", "--cluster.listen-address="]
    with serving([str(debian()), *options, f"--web.listen-address={at}"], place, f"http://{at}/-/ready"):
        yield f"http://{at}"


def tell(url: str, alerts: list[dict[str, Any]]) -> None:
    """Alerts to a running one, as Prometheus sends them."""
    request = urllib.request.Request(
        f"{url}/api/v2/alerts", json.dumps(alerts).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=5) as answer:
        assert answer.status == 200
