"""The OpenTelemetry SDK for JavaScript from npm in a folder of its own, sending a fixed shop: `send(url, encoding)`."""

import json
import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "tools/golden/otlp_sdk.mjs"
PACKAGES = {
    "api": "1.9.1", "api-logs": "0.223.1", "resources": "2.12.1", "sdk-logs": "0.223.1", "sdk-metrics": "2.12.1",
    "sdk-trace-base": "2.12.1", "exporter-logs-otlp-http": "0.223.1", "exporter-logs-otlp-proto": "0.223.1",
    "exporter-metrics-otlp-http": "0.223.0", "exporter-metrics-otlp-proto": "0.223.0",
    "exporter-trace-otlp-http": "0.223.1", "exporter-trace-otlp-proto": "0.223.1",
}  # fmt: skip
VERSION = PACKAGES["sdk-metrics"]
PLACE = ROOT / ".servers" / f"otel-js-{VERSION}"


def place() -> Path:
    """A folder that has the packages. Raises CalledProcessError where npm cannot get them."""
    if not (PLACE / "ready").exists():
        PLACE.mkdir(parents=True, exist_ok=True)
        wanted = {f"@opentelemetry/{name}": version for name, version in PACKAGES.items()}
        (PLACE / "package.json").write_text(json.dumps({"private": True, "dependencies": wanted}))
        command = ["npm", "install", "--silent", "--no-audit", "--no-fund", "--legacy-peer-deps"]
        subprocess.run(command, cwd=PLACE, check=True, capture_output=True, timeout=300)
        (PLACE / "ready").touch()
    return PLACE


def send(url: str, encoding: str) -> None:
    """Metrics, a span and a log line. encoding: `proto`, or `http` for JSON. Raises CalledProcessError."""
    shutil.copy(SCRIPT, place() / SCRIPT.name)
    command = ["node", SCRIPT.name, url, encoding]
    subprocess.run(command, cwd=PLACE, check=True, capture_output=True, text=True, timeout=60)
