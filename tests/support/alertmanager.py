"""A real Alertmanager, Debian's package unpacked and not installed, that posts to one webhook at once."""

import json
import os
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from support.debian import unpacked
from support.servers import free_port, serving

_TEMPLATES = b"/usr/share/prometheus/alertmanager"
"""Where Debian's looks for its templates, which only who installs it has; of the same length, from where it runs:"""
_FROM_HERE = b"usr/share/prometheus/alertmanager/"


def debian() -> Path:
    """Its binary, which finds its templates from the folder that `usr` is in. Raises CalledProcessError where the
    package cannot be had."""
    installed = unpacked("prometheus-alertmanager", "alertmanager-debian", "usr/bin/prometheus-alertmanager")
    movable = installed.with_name("alertmanager-movable")
    if not movable.exists():
        making = movable.with_name(f"making-{os.getpid()}")
        making.write_bytes(installed.read_bytes().replace(_TEMPLATES, _FROM_HERE))
        making.chmod(0o755)
        making.rename(movable)  # whole or not at all
    return movable


@contextmanager
def running(place: Path, webhook: dict[str, Any]) -> Iterator[str]:
    """Its URL. webhook: one entry of `webhook_configs`."""
    at = f"127.0.0.1:{free_port()}"
    route = {"receiver": "tidegate", "group_by": ["alertname"], "group_wait": "0s", "group_interval": "1s"}
    config = {"route": route, "receivers": [{"name": "tidegate", "webhook_configs": [webhook]}]}
    (place / "alertmanager.yml").write_text(yaml.safe_dump(config))
    options = [f"--config.file={place}/alertmanager.yml", f"--storage.path={place}/data", "--cluster.listen-address="]
    program = debian()
    (place / "usr").symlink_to(program.parents[1])
    with serving([str(program), *options, f"--web.listen-address={at}"], place, f"http://{at}/-/ready"):
        yield f"http://{at}"


def tell(url: str, alerts: list[dict[str, Any]]) -> None:
    """Alerts to a running one, as Prometheus sends them."""
    request = urllib.request.Request(
        f"{url}/api/v2/alerts", json.dumps(alerts).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=5) as answer:
        assert answer.status == 200
