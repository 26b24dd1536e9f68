"""The OpenTelemetry Collector, built by the Go that is there: receives OTLP, sends it on over HTTP or to Kafka.

A build takes minutes of one core once and is kept in `.servers/`. 0.150.0 is the newest version of which the module
proxy had every part of the core, 0.145.0 the newest that it had with the exporter to Kafka.
"""

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from support.servers import free_port, stop

ROOT = Path(__file__).resolve().parents[2]
CORE = "go.opentelemetry.io/collector"
PARTS = ("otelcol", "receiver/otlpreceiver", "processor/batchprocessor")


class Build(NamedTuple):
    """version: of all parts. exporter: the Go package of the only one."""

    version: str
    exporter: str


OVER_HTTP = Build("0.150.0", f"{CORE}/exporter/otlphttpexporter")
TO_KAFKA = Build("0.145.0", "github.com/open-telemetry/opentelemetry-collector-contrib/exporter/kafkaexporter")
VERSION = OVER_HTTP.version


def binary(build: Build = OVER_HTTP) -> Path:
    """The Collector. Raises CalledProcessError, FileNotFoundError without Go."""
    name = build.exporter.rpartition("/")[2]
    place = ROOT / ".servers" / f"otelcol-{build.version}-{name}"
    found = place / "otelcol"
    if not found.exists():
        making = place / "build"
        shutil.rmtree(making, ignore_errors=True)
        making.mkdir(parents=True)
        source = (ROOT / "tools/golden/collector/main.go").read_text().replace(OVER_HTTP.version, build.version)
        source = source.replace(OVER_HTTP.exporter, build.exporter).replace("otlphttpexporter.", f"{name}.")
        (making / "main.go").write_text(source)
        modules = [f"{part}@v{build.version}" for part in (*(f"{CORE}/{part}" for part in PARTS), build.exporter)]
        for command in (["go", "mod", "init", "collector"], ["go", "get", *modules], ["go", "mod", "tidy"],
                        ["go", "build", "-trimpath", "-ldflags=-s -w", "-o", str(found), "."]):  # fmt: skip
            subprocess.run(command, cwd=making, check=True, capture_output=True, timeout=1800)
        shutil.rmtree(making)
    return found


@contextmanager
def running(place: Path, exporter: dict[str, Any]) -> Iterator[str]:
    """A Collector with this block as `exporters: otlphttp/tidegate:`; yields the URL where it receives OTLP/HTTP."""
    address = f"127.0.0.1:{free_port()}"
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
    with _serving(OVER_HTTP, place, yaml.safe_dump(config, default_flow_style=False), address):
        yield f"http://{address}"


@contextmanager
def shipped(place: Path, brokers: str) -> Iterator[str]:
    """A Collector with `deploy/kafka/collector.yaml`, but for addresses; yields its URL for OTLP/HTTP."""
    address = f"127.0.0.1:{free_port()}"
    config = (ROOT / "deploy/kafka/collector.yaml").read_text()
    other = {"0.0.0.0:4318": address, "0.0.0.0:4317": f"127.0.0.1:{free_port()}", "kafka:9092": brokers}
    for named, here in other.items():
        assert config.count(named) == 1, named
        config = config.replace(named, here)
    config += "  telemetry: {metrics: {level: none}}\n"  # its port of its own metrics may be taken here
    with _serving(TO_KAFKA, place, config, address):
        yield f"http://{address}"


@contextmanager
def _serving(build: Build, place: Path, config: str, address: str) -> Iterator[None]:
    (place / "collector.yaml").write_text(config)
    with (place / "log").open("wb") as log:
        process = subprocess.Popen([str(binary(build)), f"--config={place}/collector.yaml"], stdout=log, stderr=log)
    try:
        end = time.monotonic() + 30
        while not _listens(address):
            if process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"the Collector does not run: {(place / 'log').read_text()[-1500:]}")
            time.sleep(0.05)
        yield
    finally:
        stop(process)


def _listens(address: str) -> bool:
    host, _, port = address.partition(":")
    try:
        socket.create_connection((host, int(port)), timeout=1).close()
    except OSError:
        return False
    return True
