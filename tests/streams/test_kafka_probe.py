"""What answers at an address is told apart before any work: nothing, no Kafka, an old Kafka, TLS on one side only."""

import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import trustme
from confluent_kafka import KafkaError

from streams import KafkaSecurity, KafkaSettings, TransportError, kafka
from streams._kafka_probe import _places
from streams._kafka_wire import addresses, ssl_context, versions, wants_credentials

MODERN = {0: 13, 1: 18, 2: 11, 18: 4, 22: 6}


@contextlib.contextmanager
def listener(answer: Callable[[socket.socket], None]) -> Iterator[str]:
    """A server that treats every connection so; yields its address."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def treat(link: socket.socket) -> None:
            with link, contextlib.suppress(OSError, struct.error):  # librdkafka comes too, and goes when it likes
                answer(link)

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    threading.Thread(target=treat, args=(server.accept()[0],), daemon=True).start()

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"127.0.0.1:{server.getsockname()[1]}"
        server.shutdown(socket.SHUT_RDWR)
        thread.join(5)


def says(apis: dict[int, int], *, knows_v3: bool = True) -> Callable[[socket.socket], None]:
    """Answers ApiVersions as Kafka does, in version 0 only if it is too old for 3."""
    rows = [struct.pack(">hhh", key, 0, newest) for key, newest in apis.items()]

    def answer(link: socket.socket) -> None:
        for _ in range(2):
            (size,) = struct.unpack(">i", link.recv(4, socket.MSG_WAITALL))
            request = link.recv(size, socket.MSG_WAITALL)
            version = struct.unpack_from(">h", request, 2)[0]
            if version >= 3 and knows_v3:
                body = struct.pack(">h", 0) + bytes([len(rows) + 1]) + b"".join(row + b"\0" for row in rows)
                body += struct.pack(">i", 0) + b"\0"
            else:
                code = 0 if version == 0 else 35
                body = struct.pack(">hi", code, len(rows)) + b"".join(rows)
            link.sendall(struct.pack(">ii", 4 + len(body), 1) + body)
            if version == 0 or knows_v3:
                return

    return answer


def failure(settings: KafkaSettings) -> TransportError:
    with pytest.raises(TransportError) as error:
        kafka.probe(settings)
    return error.value


def test_addresses_are_read_with_and_without_port():
    assert addresses("a, b:9093,[::1]:9094,[::1],SSL://c:1") == [
        ("a", 9092), ("b", 9093), ("::1", 9094), ("::1", 9092), ("c", 1),
    ]  # fmt: skip


@pytest.mark.parametrize("brokers", ["a:b", "a:0", ":1", "a,,b", "a:70000"])
def test_what_is_no_address_is_refused(brokers):
    assert failure(KafkaSettings(brokers)).code == "KAFKA_SETTINGS"


def test_a_wrong_address_is_named_each_of_several():
    error = failure(KafkaSettings("127.0.0.1:1,127.0.0.1:2"))
    assert error.code == "KAFKA_UNREACHABLE" and "127.0.0.1:1 (" in str(error) and "127.0.0.1:2 (" in str(error)


def test_a_name_that_does_not_resolve_is_unreachable():
    assert failure(KafkaSettings("no-such-host.invalid:9092")).code == "KAFKA_UNREACHABLE"


def test_another_server_is_not_taken_for_kafka():
    with listener(lambda link: link.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")) as place:
        error = failure(KafkaSettings(place, timeout_s=60))
    assert error.code == "KAFKA_UNREACHABLE" and "not Kafka" in error.what


def test_silence_ends_after_the_patience():
    with listener(lambda link: link.recv(1 << 16) and link.recv(1)) as place:
        assert failure(KafkaSettings(place, timeout_s=0.3)).code == "KAFKA_UNREACHABLE"


@pytest.mark.parametrize("knows_v3", [True, False])
def test_versions_are_read_from_new_and_old_brokers(knows_v3):
    with listener(says(MODERN, knows_v3=knows_v3)) as place:
        host, port = addresses(place)[0]
        assert versions(host, port, KafkaSettings(place)).apis == MODERN


def test_a_broker_that_lacks_what_we_write_is_too_old():
    with listener(says(MODERN | {0: 5}, knows_v3=False)) as place:
        error = failure(KafkaSettings(place))
    assert error.code == "BROKER_TOO_OLD" and "zstd" in error.what and "2.1" in error.todo


def test_the_protocol_of_the_broker_asked_of_one_without_it_is_too_old():
    with listener(says(MODERN)) as place:
        error = failure(KafkaSettings(place, group_protocol="consumer"))
    assert error.code == "BROKER_TOO_OLD" and "KIP-848" in error.what and "classic" in error.todo


def test_a_tls_client_at_a_plain_listener_is_told_so():
    with listener(lambda link: link.sendall(b"no TLS here")) as place:
        assert failure(KafkaSettings(place, security=KafkaSecurity("ssl"))).code == "KAFKA_TLS"


def test_a_plain_client_at_a_tls_listener_is_told_so():
    with listener(lambda link: link.sendall(b"\x15\x03\x03\x00\x02\x02\x46")) as place:  # a TLS alert
        error = failure(KafkaSettings(place))
    assert error.code == "KAFKA_TLS" and "protocol is plaintext" in error.what


def test_a_certificate_that_cannot_be_read_is_named(tmp_path: Path):
    broken = tmp_path / "ca.pem"
    broken.write_text("no certificate")
    error = failure(KafkaSettings("b:9092", security=KafkaSecurity("ssl", ca_file=broken)))
    assert error.code == "KAFKA_TLS" and str(broken) in str(error)


def test_a_key_with_a_password_never_asks_at_the_terminal(tmp_path: Path):
    from cryptography.hazmat.primitives import serialization as s

    issued = trustme.CA().issue_cert("localhost")
    key = s.load_pem_private_key(issued.private_key_pem.bytes(), None)
    locked = key.private_bytes(s.Encoding.PEM, s.PrivateFormat.PKCS8, s.BestAvailableEncryption(b"open"))
    (tmp_path / "key").write_bytes(locked)
    (tmp_path / "cert").write_bytes(issued.cert_chain_pems[0].bytes())
    right = KafkaSecurity("ssl", cert_file=tmp_path / "cert", key_file=tmp_path / "key", key_password="open")
    ssl_context(right)
    with pytest.raises(TransportError):
        ssl_context(KafkaSecurity("ssl", cert_file=tmp_path / "cert", key_file=tmp_path / "key"))


def question(link: socket.socket) -> bytes:
    (size,) = struct.unpack(">i", link.recv(4, socket.MSG_WAITALL))
    return link.recv(size, socket.MSG_WAITALL)


@pytest.mark.parametrize(
    ("answer", "timeout_s", "wanted"),
    [
        (lambda link: question(link) and None, 60, True),
        (lambda link: question(link) and link.sendall(struct.pack(">ii", 4, 1)), 60, False),
        (lambda link: question(link) and link.recv(1), 0.5, False),
    ],
    ids=["ends the connection", "answers", "is silent"],
)
def test_who_ends_the_connection_at_a_question_wants_credentials(answer, timeout_s, wanted):
    with listener(answer) as place:
        assert wants_credentials(*addresses(place)[0], KafkaSettings(place, timeout_s=timeout_s)) == wanted


def test_who_is_away_wants_nothing():
    assert not wants_credentials("127.0.0.1", 1, KafkaSettings("127.0.0.1:1"))


def test_places_are_read_from_what_librdkafka_says():
    said = "Connect to ipv4#127.0.0.1:2 failed"
    errors = [
        KafkaError(KafkaError._TRANSPORT, text) for text in (f"127.0.0.1:2/1: {said}", f"ssl://[::1]:9/1: {said}")
    ]
    assert _places([*errors, KafkaError(KafkaError._ALL_BROKERS_DOWN, "2/2 brokers are down")]) == {
        "127.0.0.1:2",
        "::1:9",
    }
