"""A Prometheus as far as its documented HTTP API goes: query, query_range and metadata over series that are functions.

It answers the few forms of query that the reader sends, over real HTTP, and keeps what it was asked.
"""

import json
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

Level = Callable[[float], float | None]


@dataclass
class FakePrometheus:
    """series: (labels with __name__, value at a second or None). kinds: the metadata. token: wanted, empty for none."""

    series: list[tuple[Mapping[str, str], Level]]
    kinds: Mapping[str, str] = field(default_factory=dict)
    token: str = ""
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    refusals: list[int] = field(default_factory=list)
    """Statuses to answer with first."""

    def answer(self, path: str, query: dict[str, str]) -> tuple[int, Any]:
        self.asked.append((path, query))
        if self.refusals:
            return self.refusals.pop(0), {"status": "error", "error": "too busy"}
        if path == "/api/v1/metadata":
            data: Any = {name: [{"type": kind, "help": "", "unit": ""}] for name, kind in self.kinds.items()}
        elif path == "/api/v1/query":
            sizes: dict[str, int] = {}
            for labels, _ in self.series:
                sizes[labels["__name__"]] = sizes.get(labels["__name__"], 0) + 1
            rows = [{"metric": {"__name__": n}, "value": [float(query["time"]), str(k)]} for n, k in sizes.items()]
            data = {"resultType": "vector", "result": rows}
        elif path == "/api/v1/query_range":
            data = {"resultType": "matrix", "result": list(self._range(query))}
        else:
            return 404, {"status": "error", "error": "no such path"}
        return 200, {"status": "success", "data": data}

    def _range(self, query: Mapping[str, str]) -> Iterator[dict[str, Any]]:
        start, end, step = (float(query[name]) for name in ("start", "end", "step"))
        assert (end - start) / step < 11_000, "Prometheus refuses more than 11,000 points a series"
        names = re.match(r'\{__name__=~"([^"]*)"', query["query"])
        wanted = set(names[1].split("|")) if names else {"ALERTS"}
        for labels, level in self.series:
            if labels["__name__"] in wanted:
                times = [start + step * i for i in range(int((end - start) // step) + 1)]
                values = [[t, str(v)] for t in times if (v := level(t)) is not None]
                if values:
                    yield {"metric": dict(labels), "values": values}


@contextmanager
def serving(fake: FakePrometheus) -> Iterator[str]:
    """Its address, while it is served."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            split = urlsplit(self.path)
            query = {name: found[0] for name, found in parse_qs(split.query).items()}
            if fake.token and self.headers.get("Authorization") != f"Bearer {fake.token}":
                status, document = 401, {"status": "error"}
            else:
                status, document = fake.answer(split.path, query)
            body = json.dumps(document).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Tests say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
