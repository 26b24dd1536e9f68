"""Real Prometheus servers: Debian's (2.42, remote write 1.0) and a newer one built from its own module (3.15, 2.0 too).

Debian's package is unpacked, not installed; the build takes about eight minutes of one core once, without the discovery
of clouds. Both are kept in `.servers/`. They scrape a small exporter of ours and write to whatever URL is named.
"""

import os
import shutil
import subprocess
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import yaml
from support.debian import SERVERS, unpacked
from support.servers import free_port, serving

ROOT = Path(__file__).resolve().parents[2]
MODULE = "github.com/prometheus/prometheus/cmd/prometheus@v0.315.0"
MESSAGES = {"1.0": "prometheus.WriteRequest", "2.0": "io.prometheus.write.v2.Request"}


def debian() -> Path:
    """Debian's `prometheus`. Raises CalledProcessError where the package cannot be had."""
    return unpacked("prometheus", "prometheus-debian", "usr/bin/prometheus")


def newer() -> Path:
    """Prometheus 3.15, built by the Go that is there. Raises CalledProcessError, FileNotFoundError without Go."""
    place = SERVERS / "prometheus-3.15.0"
    binary = place / "prometheus"
    if not binary.exists():
        build = place / "build"
        shutil.rmtree(build, ignore_errors=True)
        build.mkdir(parents=True)
        env = {**os.environ, "CGO_ENABLED": "0", "GOTOOLCHAIN": "local"}
        for command in (
            ["go", "mod", "init", "servers"], ["go", "get", MODULE],
            ["go", "build", "-trimpath", "-ldflags=-s -w", "-tags", "remove_all_sd", "-o", str(binary),
             MODULE.partition("@")[0]],
        ):  # fmt: skip
            subprocess.run(command, cwd=build, env=env, check=True, capture_output=True, timeout=1800)
        shutil.rmtree(build)
    return binary


class Exporter:
    """Serves a page of metrics that a test may change; `page` is OpenMetrics text."""

    def __init__(self, page: str) -> None:
        self.page = page
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = outer.page.encode()
                self.send_response(200 if outer.page else 404)
                self.send_header("Content-Type", "application/openmetrics-text; version=1.0.0; charset=utf-8")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                """Quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@contextmanager
def running(
    binary: Path, place: Path, targets: dict[str, str], write: dict[str, Any], *, interval: str = "1s",
    has_native: bool = False,
) -> Iterator[str]:  # fmt: skip
    """A server that scrapes targets (address by job) and writes as `write` says; yields its URL, stops at the end."""
    place.mkdir(parents=True, exist_ok=True)
    address = f"127.0.0.1:{free_port()}"
    config: dict[str, Any] = {
        "global": {"scrape_interval": interval, "external_labels": {"cluster": "test"}},
        "scrape_configs": [
            {"job_name": job, "static_configs": [{"targets": [target or address]}],
             **({"scrape_native_histograms": True} if has_native else {})}
            for job, target in targets.items()
        ],
        "remote_write": [write],
    }  # fmt: skip
    (place / "prometheus.yml").write_text(yaml.safe_dump(config))
    command = [
        str(binary), f"--config.file={place}/prometheus.yml", f"--storage.tsdb.path={place}/data",
        f"--web.listen-address={address}", "--log.level=warn",
    ]  # fmt: skip
    features = ["exemplar-storage", *(["metadata-wal-records"] if has_native else ["native-histograms"])]
    command.append(f"--enable-feature={','.join(features)}")
    with serving(command, place, f"http://{address}/-/ready"):
        yield f"http://{address}"


@contextmanager
def holding(place: Path, lines: Iterable[str]) -> Iterator[str]:
    """Debian's Prometheus with samples of the past, given as OpenMetrics; its URL.

    Blocks are made by promtool and kept for ten years. Raises CalledProcessError, RuntimeError.
    """
    binary = debian()
    (place / "history").write_text("\n".join(lines) + "\n")
    (place / "prometheus.yml").write_text("global: {}\n")
    command = [str(binary.with_name("promtool")), "tsdb", "create-blocks-from", "openmetrics", "history", "data"]
    subprocess.run(command, cwd=place, check=True, capture_output=True, timeout=120)
    at = f"127.0.0.1:{free_port()}"
    options = ["--config.file=prometheus.yml", "--storage.tsdb.path=data", "--storage.tsdb.retention.time=10y"]
    with serving([str(binary), *options, f"--web.listen-address={at}"], place, f"http://{at}/-/ready"):
        yield f"http://{at}"
