"""What real OpenTelemetry senders send: `python -m tools.golden.otlp` from the repository's root.

The SDKs for Python and JavaScript (protobuf, and JSON of the latter) and a Collector (both encodings, gzip) send the
same shop. Each request becomes two files in `tests/golden/otlp/`: the body as it came (`SENDER.SIGNAL.body`) and its
headers (`SENDER.SIGNAL.json`). Versions and commands are in `SENDER.txt`.
"""

import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
OUT = ROOT / "tests/golden/otlp"
KEPT = ("content-type", "content-encoding", "transfer-encoding", "user-agent")
SIGNALS = {"/v1/metrics": "metrics", "/v1/traces": "spans", "/v1/logs": "logs"}


class Keeper:
    """Takes what is posted, whole or in chunks, and answers 200; requests by signal."""

    def __init__(self) -> None:
        self.got: dict[str, tuple[dict[str, str], bytes]] = {}
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                headers = {name: self.headers[name] for name in KEPT if name in self.headers}
                outer.got[SIGNALS[self.path]] = (headers, self._body())
                self.send_response(200)
                self.send_header("Content-Type", self.headers["Content-Type"])
                self.send_header("Content-Length", "0")
                self.end_headers()

            def _body(self) -> bytes:
                if self.headers.get("Transfer-Encoding") != "chunked":
                    return self.rfile.read(int(self.headers["Content-Length"]))
                found = b""
                while size := int(self.rfile.readline(), 16):
                    found += self.rfile.read(size)
                    self.rfile.readline()
                self.rfile.readline()
                return found

            def log_message(self, *_: Any) -> None:
                """Quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def take(name: str, version: str, send: Callable[[str], None]) -> None:
    """One sender, told where to send; each of the three signals in one request."""
    keeper = Keeper()
    send(keeper.url)
    end = time.monotonic() + 20
    while len(keeper.got) < len(SIGNALS) and time.monotonic() < end:
        time.sleep(0.1)
    keeper.close()
    OUT.mkdir(parents=True, exist_ok=True)
    for signal in SIGNALS.values():
        headers, body = keeper.got[signal]
        (OUT / f"{name}.{signal}.body").write_bytes(body)
        (OUT / f"{name}.{signal}.json").write_text(json.dumps(headers, indent=1) + "\n")
    (OUT / f"{name}.txt").write_text(f"python -m tools.golden.otlp, with {version}\n")
    print(f"{name}: {sum(len(body) for _, body in keeper.got.values())} bytes kept")


def main() -> None:
    sys.path.insert(0, str(ROOT / "tests"))
    from support import otel_collector, otel_js, otel_sdk

    def python(url: str) -> None:
        command = [str(otel_sdk.python()), str(ROOT / "tools/golden/otlp_sdk.py"), url]
        subprocess.run(command, check=True, capture_output=True, timeout=60)

    def collector(encoding: str) -> Callable[[str], None]:
        def through(url: str) -> None:
            with (
                tempfile.TemporaryDirectory() as place,
                otel_collector.running(Path(place), {"endpoint": url, "encoding": encoding}) as own,
            ):
                python(own)
                time.sleep(1)

        return through

    take("python-1.45", f"the OpenTelemetry SDK for Python {otel_sdk.VERSION}", python)
    for encoding, name in (("proto", "js-2.12.proto"), ("http", "js-2.12.json")):
        take(
            name,
            f"the OpenTelemetry SDK for JavaScript {otel_js.VERSION}",
            lambda url, e=encoding: otel_js.send(url, e),
        )
    for encoding in ("proto", "json"):
        told = f"OpenTelemetry Collector {otel_collector.VERSION} fed by the SDK for Python {otel_sdk.VERSION}"
        take(f"collector-0.150.{encoding}", told, collector(encoding))


if __name__ == "__main__":
    main()
