"""The reader of Prometheus against a small server that behaves well or badly."""

import asyncio
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from diagnosis import QueryFailed
from tidegate._prometheus import MOST_BYTES, PrometheusReader


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        path, _, query = self.path.partition("?")
        self.server.seen.append((path, query, self.headers.get("Authorization")))
        status, body = self.server.says
        self.send_response(status)
        if status == 302:
            self.send_header("Location", "/elsewhere")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        """Quiet."""


@pytest.fixture
def server():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.seen, server.says = [], (200, b'{"status": "success"}')
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def get(server, token="", path="/prom"):
    url = f"http://127.0.0.1:{server.server_port}{path}"
    return asyncio.run(PrometheusReader(url, token).get("/api/v1/query_range", {"query": 'up{a="b c"}&x=1'}))


def code(server):
    with pytest.raises(QueryFailed) as error:
        get(server)
    return error.value.code


def test_it_sends_the_query_quoted_and_the_token(server):
    assert get(server, "secret-token") == {"status": "success"}
    assert server.seen == [
        ("/prom/api/v1/query_range", "query=up%7Ba%3D%22b+c%22%7D%26x%3D1", "Bearer secret-token")
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("says", "expected"),
    [
        ((401, b""), "PROMETHEUS_DENIED"), ((403, b"{}"), "PROMETHEUS_DENIED"), ((500, b"no"), "PROMETHEUS_REFUSED"),
        ((302, b""), "PROMETHEUS_REFUSED"), ((200, b"<html>"), "PROMETHEUS_UNREADABLE"),
        ((200, b" " * (MOST_BYTES + 1)), "PROMETHEUS_UNREADABLE"),
    ],
    ids=lambda v: v if isinstance(v, str) else str(v[0]),
)  # fmt: skip
def test_what_is_no_answer_is_a_failure_with_a_code(server, says, expected):
    server.says = says
    assert code(server) == expected


def test_nobody_there_is_a_failure_with_a_code():
    with pytest.raises(QueryFailed, match="PROMETHEUS_UNREACHABLE"):
        asyncio.run(PrometheusReader("http://127.0.0.1:9").get("/x", {}))
