"""Every fault of the proxy, on plain sockets."""

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest
from support.fault_proxy import FaultProxy

QUIET_S = 0.2


class Echo:
    """A server that answers what it gets, in upper case, and remembers it."""

    def __init__(self) -> None:
        self.got = b""
        self.ends: list[str] = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._serve, daemon=True).start()

    @property
    def address(self) -> tuple[str, int]:
        host, port = self.listener.getsockname()
        return host, port

    def close(self) -> None:
        self.listener.shutdown(socket.SHUT_RDWR)  # wakes the thread that accepts
        self.listener.close()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._talk, args=(client,), daemon=True).start()

    def _talk(self, client: socket.socket) -> None:
        with client:
            try:
                while chunk := client.recv(65536):
                    self.got += chunk
                    client.sendall(chunk.upper())
                self.ends.append("closed")
            except ConnectionResetError:
                self.ends.append("reset")


@pytest.fixture
def echo() -> Iterator[Echo]:
    server = Echo()
    yield server
    with contextlib.suppress(OSError):  # closed by the test
        server.close()


@pytest.fixture
def proxy(echo: Echo) -> Iterator[FaultProxy]:
    with FaultProxy(echo.address) as proxy:
        yield proxy


def call(proxy: FaultProxy) -> socket.socket:
    return socket.create_connection((proxy.host, proxy.port), timeout=60)


def ask(client: socket.socket, text: bytes) -> bytes:
    client.sendall(text)
    return read(client, len(text))


def read(client: socket.socket, count: int) -> bytes:
    got = b""
    while len(got) < count and (chunk := client.recv(count - len(got))):
        got += chunk
    return got


def is_silent(client: socket.socket) -> bool:
    client.settimeout(QUIET_S)
    try:
        return client.recv(1) is None
    except TimeoutError:
        return True
    finally:
        client.settimeout(60)


def until(fact: Callable[[], bool]) -> None:
    for _ in range(6000):
        if fact():
            return
        time.sleep(0.01)
    raise AssertionError("it did not come to pass in a minute")


def test_without_a_fault_every_byte_goes_both_ways(proxy: FaultProxy) -> None:
    text = bytes(range(97, 123)) * 100_000
    with call(proxy) as client:
        threading.Thread(target=client.sendall, args=(text,)).start()
        assert read(client, len(text)) == text.upper()
    assert proxy.bytes == {"requests": len(text), "responses": len(text)}


def test_the_end_of_one_direction_is_passed_on(proxy: FaultProxy, echo: Echo) -> None:
    with call(proxy) as client:
        client.sendall(b"last")
        client.shutdown(socket.SHUT_WR)
        assert read(client, 99) == b"LAST"
    assert echo.ends == ["closed"]
    until(lambda: proxy.links == 0)


@pytest.mark.parametrize("way", ["requests_s", "responses_s"])
def test_latency_is_added_to_each_way_alone(proxy: FaultProxy, way: str) -> None:
    with call(proxy) as client:
        proxy.delay(**{way: 0.3})
        began = time.monotonic()
        assert ask(client, b"slow") == b"SLOW"
        assert 0.3 <= time.monotonic() - began < 0.55


def test_latency_does_not_cost_throughput(proxy: FaultProxy) -> None:
    with call(proxy) as client:
        proxy.delay(requests_s=0.3)
        began = time.monotonic()
        for _ in range(20):
            client.sendall(b"pipelined ")
            time.sleep(0.005)
        assert len(read(client, 200)) == 200
        assert time.monotonic() - began < 1


def test_dropped_requests_never_arrive_and_the_connection_stays(proxy: FaultProxy, echo: Echo) -> None:
    with call(proxy) as client:
        proxy.drop("requests")
        client.sendall(b"lost")
        assert is_silent(client) and echo.got == b""
        proxy.drop()
        assert ask(client, b"kept") == b"KEPT"


def test_dropped_responses_vanish_though_requests_arrive(proxy: FaultProxy, echo: Echo) -> None:
    with call(proxy) as client:
        proxy.drop("responses")
        client.sendall(b"heard")
        assert is_silent(client) and echo.got == b"heard"


def test_a_reset_cuts_a_frame_at_the_byte(proxy: FaultProxy, echo: Echo) -> None:
    with call(proxy) as client:
        happened = proxy.reset_after(7)
        client.sendall(b"four" + b"fours")
        with pytest.raises(ConnectionResetError):
            read(client, 99)
    assert happened.wait(5)
    until(lambda: echo.ends == ["reset"])
    assert echo.got == b"fourfou"


def test_a_reset_of_an_answer_lets_its_beginning_through(proxy: FaultProxy) -> None:
    with call(proxy) as client:
        proxy.reset_after(3, "responses")
        client.sendall(b"answer")
        assert read(client, 3) == b"ANS"
        with pytest.raises(ConnectionResetError):
            client.recv(1)
    with call(proxy) as next_one:
        assert ask(next_one, b"once") == b"ONCE"


def test_a_fault_waits_for_the_chunk_it_is_meant_for(proxy: FaultProxy) -> None:
    with call(proxy) as client, call(proxy) as other:
        happened = proxy.reset_after(0, on=lambda chunk: chunk.startswith(b"write"))
        assert ask(client, b"read") == b"READ"
        assert ask(other, b"read") == b"READ"
        client.sendall(b"write")
        assert happened.wait(5)
        assert ask(other, b"write") == b"WRITE"


def test_a_swallowed_response_was_done_but_is_not_told(proxy: FaultProxy, echo: Echo) -> None:
    with call(proxy) as client:
        happened = proxy.swallow_response()
        client.sendall(b"do it")
        with pytest.raises(ConnectionResetError):
            read(client, 5)
    assert happened.is_set() and echo.got == b"do it"
    with call(proxy) as again:
        assert ask(again, b"do it") == b"DO IT"


def test_a_swallowed_response_may_leave_the_client_waiting(proxy: FaultProxy) -> None:
    with call(proxy) as client, call(proxy) as other:
        happened = proxy.swallow_response(reset=False, on=lambda chunk: chunk == b"do it")
        client.sendall(b"do it")
        assert happened.wait(5) and is_silent(client)
        client.sendall(b"hello?")
        assert is_silent(client)
        assert ask(other, b"do it") == b"DO IT"


def test_a_partition_freezes_the_old_refuses_the_new_and_heals(proxy: FaultProxy, echo: Echo) -> None:
    with call(proxy) as client:
        assert ask(client, b"before") == b"BEFORE"
        proxy.partition()
        client.sendall(b"during")
        assert is_silent(client) and echo.got == b"before"
        with pytest.raises(ConnectionRefusedError):
            call(proxy)
        proxy.heal()
        assert read(client, 6) == b"DURING"
        with call(proxy) as new:
            assert ask(new, b"after") == b"AFTER"


def test_a_partition_may_leave_new_connections_hanging(proxy: FaultProxy) -> None:
    proxy.partition(refuse=False)
    with call(proxy) as client:
        client.sendall(b"anyone?")
        assert is_silent(client)
        proxy.heal()
        assert read(client, 7) == b"ANYONE?"


def test_a_dead_server_is_a_reset_not_a_silence(proxy: FaultProxy, echo: Echo) -> None:
    echo.close()
    with pytest.raises(ConnectionResetError), call(proxy) as client:
        ask(client, b"hello")
