"""A small server that speaks Loki's API: range queries that count the lines of one stream that match an expression.

It holds real lines and works out the answer, as Loki does, at each step over the minute before. Loki itself is not in
Debian, and building it takes longer than a test may.
Source: Grafana Loki HTTP API, `GET /loki/api/v1/query_range`; LogQL, "Log range aggregations".
"""

import json
import re
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

NS = 1_000_000_000
_QUERY = re.compile(r'sum\(count_over_time\(\{(\w+)=("(?:[^"\\]|\\.)*")\} \|~ ("(?:[^"\\]|\\.)*") \[1m\]\)\)')
Line = tuple[int, dict[str, str], str]
"""Time in ns, labels of its stream, text."""


@contextmanager
def loki(lines: Sequence[Line]) -> Iterator[str]:
    """Its URL, while the context lasts."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            url = urlsplit(self.path)
            given = {name: values[0] for name, values in parse_qs(url.query).items()}
            match = _QUERY.fullmatch(given.get("query", ""))
            if url.path != "/loki/api/v1/query_range" or match is None:
                self._say(400, {"status": "error", "error": "parse error"})
                return
            label, value, pattern = match.group(1), json.loads(match.group(2)), re.compile(json.loads(match.group(3)))
            times = [t for t, labels, text in lines if labels.get(label) == value and pattern.search(text)]
            start, end, step = int(given["start"]), int(given["end"]), int(given["step"]) * NS
            counted = ((at, sum(at - 60 * NS < t <= at for t in times)) for at in range(start, end + 1, step))
            values = [[at / NS, str(n)] for at, n in counted if n]
            result = [{"metric": {}, "values": values}] if values else []
            self._say(200, {"status": "success", "data": {"resultType": "matrix", "result": result, "stats": {}}})

        def _say(self, status: int, document: object) -> None:
            body = json.dumps(document).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    working = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    working.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        working.join(5)
