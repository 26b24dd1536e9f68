"""The core of the OpenTelemetry Collector, built by the Go that is there: receives OTLP, sends OTLP over HTTP on.

The build takes minutes of one core once and is kept in `.servers/`. 0.150.0 is the newest version of which the module
proxy had every part.
"""

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
VERSION = "0.150.0"
PLACE = ROOT / ".servers" / f"otelcol-{VERSION}"
PARTS = ("otelcol", "exporter/otlphttpexporter", "receiver/otlpreceiver", "processor/batchprocessor")


def binary() -> Path:
    """The Collector. Raises CalledProcessError, FileNotFoundError without Go."""
    found = PLACE / "otelcol"
    if not found.exists():
        build = PLACE / "build"
        shutil.rmtree(build, ignore_errors=True)
        build.mkdir(parents=True)
        shutil.copy(ROOT / "tools/golden/collector/main.go", build)
        modules = [f"go.opentelemetry.io/collector/{part}@v{VERSION}" for part in PARTS]
        for command in (["go", "mod", "init", "collector"], ["go", "get", *modules], ["go", "mod", "tidy"],
                        ["go", "build", "-trimpath", "-ldflags=-s -w", "-o", str(found), "."]):  # fmt: skip
            subprocess.run(command, cwd=build, check=True, capture_output=True, timeout=1800)
        shutil.rmtree(build)
    return found


@contextmanager
def running(place: Path, exporter: dict[str, Any]) -> Iterator[str]:
    """A Collector with this block as `exporters: otlphttp/tidegate:`; yields the URL where it receives OTLP/HTTP."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    pipeline = {"receivers": ["otlp"], "processors": ["batch"], "exporters": ["otlphttp/tidegate"]}
    config = {
        "receivers": {"otlp": {"protocols": {"http": {"endpoint": address}}}},
        "processors": {"batch": {"timeout": "200ms"}},
        "exporters": {"otlphttp/tidegate": exporter},
        "service": {
            "telemetry": {"metrics": {"level": "none"}, "logs": {"level": "warn"}},
            "pipelines": dict.fromkeys(("metrics", "traces", "logs"), pipeline),
        },
    }
    (place / "collector.yaml").write_text(yaml.safe_dump(config, default_flow_style=False))
    with (place / "log").open("wb") as log:
        process = subprocess.Popen([str(binary()), f"--config={place}/collector.yaml"], stdout=log, stderr=log)
    try:
        end = time.monotonic() + 30
        while not _listens(address):
            if process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"the Collector does not run: {(place / 'log').read_text()[-1500:]}")
            time.sleep(0.05)
        yield f"http://{address}"
    finally:
        process.terminate()
        process.wait(20)


def _listens(address: str) -> bool:
    host, _, port = address.partition(":")
    try:
        socket.create_connection((host, int(port)), timeout=1).close()
    except OSError:
        return False
    return True
