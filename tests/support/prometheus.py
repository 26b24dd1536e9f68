"""Real Prometheus servers: Debian's (2.42, remote write 1.0) and a newer one built from its own module (3.15, 2.0 too).

Debian's package is unpacked, not installed; the build takes about eight minutes of one core once, without the discovery
of clouds. Both are kept in `.servers/`. They scrape a small exporter of ours and write to whatever URL is named.
"""

import os
import shutil
import socket
import subprocess
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
SERVERS = ROOT / ".servers"
MODULE = "github.com/prometheus/prometheus/cmd/prometheus@v0.315.0"
MESSAGES = {"1.0": "prometheus.WriteRequest", "2.0": "io.prometheus.write.v2.Request"}


def debian() -> Path:
    """Debian's `prometheus`. Raises CalledProcessError where the package cannot be had."""
    place = SERVERS / "prometheus-debian"
    binary = place / "usr/bin/prometheus"
    if not binary.exists():
        place.mkdir(parents=True, exist_ok=True)
        quiet: dict[str, Any] = {"check": True, "capture_output": True, "cwd": place, "timeout": 300}
        if subprocess.run(["apt-cache", "show", "prometheus"], capture_output=True, check=False).returncode:
            subprocess.run(["apt-get", "update"], **quiet)
        subprocess.run(["apt-get", "download", "prometheus"], **quiet)
        (package,) = place.glob("prometheus_*.deb")
        subprocess.run(["dpkg-deb", "-x", str(package), str(place)], **quiet)
    return binary


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
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
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
    with (place / "log").open("ab") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        end = time.monotonic() + 30
        while not _is_ready(f"http://{address}/-/ready"):
            if process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"Prometheus does not run: {(place / 'log').read_text()[-1500:]}")
            time.sleep(0.05)
        yield f"http://{address}"
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _is_ready(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False
