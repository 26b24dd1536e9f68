"""The engine that asks OPA, against sockets that are none: whatever comes back, no permit."""

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from actions import NEUTRAL
from tidegate._opa import OpaEngine
from tidegate._settings import Settings

PATIENT_S = 10.0
RESULT = {"effect": "permit", "reason": "YES", "policies": ["r"], "obligations": []}
WHOLE = {"result": RESULT, "provenance": {"bundles": {"b": {"revision": "r1"}}}}


@contextmanager
def listening(answer: Callable[[socket.socket], None]) -> Iterator[str]:
    """The address of a socket that does with each connection what it is told."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return  # closed: the test is over
                with connection:
                    connection.settimeout(PATIENT_S)
                    answer(connection)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
        server.shutdown(socket.SHUT_RDWR)
        thread.join(PATIENT_S)


def says(body: bytes, status: str = "200 OK") -> Callable[[socket.socket], None]:
    def answer(connection: socket.socket) -> None:
        read(connection)
        connection.sendall(f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)

    return answer


def read(connection: socket.socket) -> bytes:
    """One whole request."""
    found = b""
    while b"\r\n\r\n" not in found:
        found += connection.recv(65536)
    head, _, body = found.partition(b"\r\n\r\n")
    length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
    while len(body) < length:
        body += connection.recv(65536)
    return body


def drip(connection: socket.socket) -> None:
    """One byte at a time, never done, for as long as somebody listens."""
    try:
        while True:
            connection.sendall(b"H")
            if select_closed(connection):
                return
    except OSError:
        return  # the other side has gone, as it should


def silent(connection: socket.socket) -> None:
    """Take the question and say nothing until the other side goes."""
    connection.settimeout(PATIENT_S)
    while connection.recv(65536):
        continue


def select_closed(connection: socket.socket) -> bool:
    connection.settimeout(0.02)
    try:
        return connection.recv(65536) == b""
    except TimeoutError:
        return False


def test_a_whole_answer_is_the_decision() -> None:
    with listening(says(json.dumps(WHOLE).encode())) as url:
        got = OpaEngine(url, timeout_s=PATIENT_S).evaluate(NEUTRAL)
    assert (got.effect, got.reason, got.policies) == ("permit", "YES", ["r"])


@pytest.mark.parametrize(
    "answer",
    [
        says(b"no"), says(b""), says(b"[]"), says(b"null"), says(b"{}"), says(json.dumps({"result": RESULT}).encode()),
        says(json.dumps(WHOLE).encode(), "500 No"), says(json.dumps(WHOLE).encode(), "302 Found"),
        says(json.dumps(WHOLE | {"provenance": {"bundles": {}}}).encode()),
        says(json.dumps(WHOLE | {"provenance": {"bundles": {"b": {"revision": ""}}}}).encode()),
        says(json.dumps(WHOLE | {"result": RESULT | {"effect": "allow"}}).encode()), says(b" " * (1 << 21)),
        lambda connection: None, lambda connection: connection.sendall(b"SSH-2.0-x\r\n"),
        lambda connection: connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{"),
    ],
)  # fmt: skip
def test_anything_else_is_denied(answer: Callable[[socket.socket], None]) -> None:
    with listening(answer) as url:
        got = OpaEngine(url, timeout_s=PATIENT_S).evaluate(NEUTRAL)
    assert (got.effect, got.reason) == ("deny", "POLICY_ERROR") and got.resolution.startswith("opa: ")


@pytest.mark.parametrize("answer", [drip, silent])
def test_who_never_ends_is_not_waited_for(answer: Callable[[socket.socket], None]) -> None:
    with listening(answer) as url:
        got = OpaEngine(url, timeout_s=0.1).evaluate(NEUTRAL)
    assert got.reason == "POLICY_ERROR"


def test_nobody_there_is_denied() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    assert OpaEngine(f"http://127.0.0.1:{port}", timeout_s=PATIENT_S).evaluate(NEUTRAL).reason == "POLICY_ERROR"


def test_a_kept_connection_that_was_closed_is_opened_again() -> None:
    with listening(says(json.dumps(WHOLE).encode())) as url:  # it answers once and closes
        asked = OpaEngine(url, timeout_s=PATIENT_S)
        assert [asked.evaluate(NEUTRAL).effect for _ in range(3)] == ["permit"] * 3


def test_the_token_of_the_settings_is_sent() -> None:
    seen: list[bytes] = []

    def answer(connection: socket.socket) -> None:
        seen.append(connection.recv(65536, socket.MSG_PEEK))
        says(json.dumps(WHOLE).encode())(connection)

    with listening(answer) as url:
        told = {"actions": {"opa": {"url": url, "token": "t" * 20, "path": "a/b", "timeout_s": PATIENT_S}}}
        assert Settings.model_validate(told).actions.opa.engine().evaluate(NEUTRAL).effect == "permit"
    assert b"Authorization: Bearer " + b"t" * 20 in seen[0] and b"POST /v1/data/a/b?provenance=true" in seen[0]
