"""A double of the Kubernetes API for tests without one: it keeps objects, versions and conflicts as the server does.

The same cases run at a real API server (tests/live/kubernetes_check.py); what they show there must hold here.
"""

import copy
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

TOKEN = "double"


class Refused(Exception):
    def __init__(self, status: int, message: str) -> None:
        self.status, self.message = status, message
        super().__init__(message)


class KubeDouble:
    def __init__(self, place: Path) -> None:
        self.objects: dict[str, dict] = {}
        self.version, self.ca_file = 0, None
        self.token_file = place / "token"
        self.token_file.write_text(TOKEN)
        double = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                size = int(self.headers.get("Content-Length") or 0)
                body = json.loads(self.rfile.read(size)) if size else None
                parts = urlsplit(self.path)
                try:
                    if self.headers.get("Authorization") != f"Bearer {TOKEN}":
                        raise Refused(401, "Unauthorized")
                    dry = parse_qs(parts.query).get("dryRun") == ["All"]
                    status, told = 200, double.answer(self.command, parts.path, body, dry)
                except Refused as error:
                    status, told = error.status, {"kind": "Status", "message": error.message}
                text = json.dumps(told).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            do_PATCH = do_POST = do_GET

            def log_message(self, *told):
                return

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()

    def ask(self, method: str, path: str, body: dict | None = None) -> dict:
        return self.answer(method, path, copy.deepcopy(body), False)

    def answer(self, method: str, path: str, body, dry: bool) -> dict:
        if method == "POST" and f"{path}/{body['metadata']['name']}" in self.objects:
            raise Refused(409, f"{body['metadata']['name']} already exists")
        if method == "POST" and dry:
            return body
        if method == "POST":
            return self._save(f"{path}/{body['metadata']['name']}", {"spec": {}, "status": {}} | body, path)
        if method == "DELETE":
            return self.objects.pop(path.partition("?")[0], {})
        if method == "GET" and path not in self.objects:
            listed = [copy.deepcopy(v) for k, v in sorted(self.objects.items()) if k.rsplit("/", 1)[0] == path]
            if listed or path.endswith("/jobs"):
                return {"items": listed}
        if method == "PUT":
            path = path.removesuffix("/status")
            return self._save(path, body, "")
        if path not in self.objects:
            raise Refused(404, f"{path} not found")
        one = copy.deepcopy(self.objects[path])
        if method == "GET":
            return one
        changed = _patched(one, body) if isinstance(body, list) else _merged(one, body)
        if changed["metadata"]["resourceVersion"] != self.objects[path]["metadata"]["resourceVersion"]:
            raise Refused(409, "the object has been modified; please apply your changes to the latest version")
        if changed["spec"].get("replicas", 0) < 0:
            raise Refused(422, "spec.replicas: Invalid value: -1: must be greater than or equal to 0")
        return changed if dry else self._save(path, changed, "")

    def _save(self, path: str, one: dict, folder: str) -> dict:
        self.version += 1
        meta, before = one["metadata"], self.objects.get(path)
        if folder:
            meta |= {
                "uid": f"uid-{self.version}",
                "generation": 1,
                "namespace": path.split("/")[5:6] == ["shop"] and "shop",
            }
        elif before and before["spec"] != one["spec"]:
            meta["generation"] = meta.get("generation", 1) + 1
        meta["resourceVersion"] = str(self.version)
        self.objects[path] = one
        return copy.deepcopy(one)


def _merged(one, change):
    for key, value in change.items():
        if isinstance(value, dict):
            one[key] = _merged(one.get(key) or {}, value)
        elif value is None:
            one.pop(key, None)
        else:
            one[key] = value
    return one


def _patched(one, operations):
    """RFC 6902, as far as `add` and `replace` go."""
    for told in operations:
        *way, last = [part.replace("~1", "/") for part in told["path"].split("/")[1:]]
        place = one
        for part in way:
            if part not in place:
                raise Refused(422, f"there is no {told['path']}")
            place = place[part]
        if told["op"] == "replace" and last not in place:
            raise Refused(422, f"there is no {told['path']}")
        place[last] = told["value"]
    return one
