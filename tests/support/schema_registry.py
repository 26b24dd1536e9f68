"""A schema registry as far as Confluent's interface is used: subjects, versions, JSON Schema. It keeps what it is told
and knows no rule of its own but the one it is given; over real HTTP.
"""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote


@dataclass
class FakeRegistry:
    """versions: of each subject, as text. refuses: the registry's own rule. authorization: wanted, empty for none."""

    versions: dict[str, list[str]] = field(default_factory=dict)
    refuses: Callable[[str], bool] = lambda subject: False
    authorization: str = ""
    _ids: dict[str, int] = field(default_factory=dict)

    def answer(self, method: str, path: str, body: dict[str, Any], said: str) -> tuple[int, dict[str, Any]]:
        if self.authorization and said != self.authorization:
            return 401, {"error_code": 40101, "message": "Unauthorized"}
        subject = unquote(path.split("/")[2])
        known = self.versions.get(subject, [])
        if method == "GET":
            if not known:
                return 404, {"error_code": 40401, "message": f"Subject '{subject}' not found."}
            found = {"subject": subject, "version": len(known), "schemaType": "JSON", "schema": known[-1]}
            return 200, {**found, "id": self._id(known[-1])}
        if self.refuses(subject):
            return 409, {"error_code": 409, "message": "Schema being registered is incompatible with an earlier schema"}
        if body["schema"] not in known:
            self.versions.setdefault(subject, []).append(body["schema"])
        return 200, {"id": self._id(body["schema"])}

    def _id(self, text: str) -> int:
        """The same text has one id, given when it first came."""
        return self._ids.setdefault(text, len(self._ids) + 1)


@contextmanager
def serving(registry: FakeRegistry) -> Iterator[str]:
    """Its URL."""

    class Handler(BaseHTTPRequestHandler):
        def _do(self) -> None:
            size = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(size) or b"{}")
            status, told = registry.answer(self.command, self.path, body, self.headers.get("Authorization", ""))
            data = json.dumps(told).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/vnd.schemaregistry.v1+json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = _do

        def log_message(self, *_: Any) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
