"""What real Prometheus servers send by remote write: `python -m tools.golden.remote_write` from the repository's root.

Each request becomes two files in `tests/golden/remote_write/`: the body as it came (`NAME.snappy`) and its headers
(`NAME.json`). The exporter has what is odd in the format: values that are no numbers, a label in Unicode, an exemplar,
a classic histogram, a series that ends. Of the server's own metrics, native histograms are wanted.
"""

import json
import subprocess
import sys
import tempfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
OUT = ROOT / "tests/golden/remote_write"
PAGE = """# TYPE orders counter
# HELP orders Orders taken.
orders_total{shop="café"} 17 # {trace_id="4bf92f3577b34da6a3ce929d0e0e4736"} 1
# TYPE queue gauge
queue 3.5
# TYPE odd gauge
odd{what="nan"} NaN
odd{what="inf"} +Inf
# TYPE latency_seconds histogram
# UNIT latency_seconds seconds
latency_seconds_bucket{le="0.1"} 3
latency_seconds_bucket{le="+Inf"} 5
latency_seconds_sum 0.9
latency_seconds_count 5
# EOF
"""
ENDED = "# TYPE queue gauge\nqueue 4.5\n# EOF\n"
KEPT = ("content-type", "content-encoding", "x-prometheus-remote-write-version", "user-agent")


class Keeper:
    """Takes whatever is posted and answers as a receiver that wrote it all."""

    def __init__(self) -> None:
        self.got: list[tuple[dict[str, str], bytes]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                outer.got.append(({n: self.headers[n] for n in KEPT if n in self.headers}, body))
                self.send_response(204)
                for what in ("Samples", "Histograms", "Exemplars"):
                    self.send_header(f"X-Prometheus-Remote-Write-{what}-Written", "1")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                """Quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/api/v1/write"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def take(name: str, binary: Path, message: str, *, is_newer: bool) -> None:
    """One server: some seconds of scrapes, then the exporter ends its series."""
    from support.prometheus import Exporter, running

    keeper, exporter = Keeper(), Exporter(PAGE)
    write: dict[str, Any] = {"url": keeper.url, "send_exemplars": True, "send_native_histograms": True,
                             "queue_config": {"batch_send_deadline": "1s", "max_shards": 1}}  # fmt: skip
    if is_newer:
        write["protobuf_message"] = message
    targets = {"shop": exporter.address, "prometheus": ""}
    with (
        tempfile.TemporaryDirectory() as place,
        running(binary, Path(place), targets, write, has_native=is_newer),
    ):
        time.sleep(8)
        changed, exporter.page = len(keeper.got), ENDED
        time.sleep(4)
    exporter.close()
    keeper.close()
    OUT.mkdir(parents=True, exist_ok=True)
    for old in OUT.glob(f"{name}.*"):
        old.unlink()
    chosen = [keeper.got[0], *keeper.got[changed - 2 : changed + 2]]
    for i, (headers, body) in enumerate(chosen):
        (OUT / f"{name}.{i}.snappy").write_bytes(body)
        (OUT / f"{name}.{i}.json").write_text(json.dumps(headers, indent=1) + "\n")
    said = subprocess.run([str(binary), "--version"], capture_output=True, text=True, check=True).stdout
    (OUT / f"{name}.txt").write_text(f"python -m tools.golden.remote_write, with\n{said}")
    print(f"{name}: {len(keeper.got)} requests, {sum(len(body) for _, body in chosen)} bytes kept")


def main() -> None:
    sys.path.insert(0, str(ROOT / "tests"))
    from support.prometheus import MESSAGES, debian, newer

    take("prometheus-2.42.v1", debian(), "", is_newer=False)
    take("prometheus-3.15.v1", newer(), MESSAGES["1.0"], is_newer=True)
    take("prometheus-3.15.v2", newer(), MESSAGES["2.0"], is_newer=True)


if __name__ == "__main__":
    main()
