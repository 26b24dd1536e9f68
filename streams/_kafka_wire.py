"""The first words with a broker: connect, TLS, ask what it can do. One small request, before any credentials.

librdkafka does not tell which requests a broker knows, and folds most reasons why a connection fails into a time-out.
ApiVersions may be asked before authentication, so a socket finds out in one round trip. Source: the Kafka protocol
guide, ApiVersions versions 0 and 3 (KIP-35, KIP-482, KIP-584), Metadata version 4.
"""

import socket
import ssl
import struct
from typing import NamedTuple

from schemas import why
from streams._errors import TransportError
from streams._kafka_errors import tls_error, unreachable
from streams._kafka_settings import KafkaSecurity, KafkaSettings

METADATA, API_VERSIONS = 3, 18
_UNSUPPORTED_VERSION = 35
_MAX_ANSWER = 1 << 20
_ALERT = 0x15
"""First byte of a TLS alert: what a TLS listener says to a plain request."""


class Versions(NamedTuple):
    """apis: the newest version of each request by its number; features: finalized level by name (Kafka 3.3, KRaft)."""

    apis: dict[int, int]
    features: dict[str, int]


def addresses(brokers: str) -> list[tuple[str, int]]:
    """`a:9092,[::1]:9093` as pairs; the port is 9092 where none stands. Raises TransportError."""
    found = []
    for part in (part.strip() for part in brokers.split(",")):
        bare = part.rpartition("://")[2]
        host, colon, port = bare.rpartition(":") if not bare.endswith("]") else (bare, "", "")
        host, port = (host, port) if colon else (bare, "9092")
        if not host or not port.isdigit() or not 0 < int(port) < 1 << 16:
            raise TransportError(
                f"'{part}' is not an address of a broker", code="KAFKA_SETTINGS", todo="Write HOST:PORT,HOST:PORT"
            )
        found.append((host.strip("[]"), int(port)))
    return found


def ssl_context(security: KafkaSecurity) -> ssl.SSLContext:
    """The same trust and certificate for sockets of Python. Raises TransportError if a file cannot be used."""
    try:
        context = ssl.create_default_context(cafile=str(security.ca_file) if security.ca_file else None)
        if security.cert_file:
            key = str(security.key_file) if security.key_file else None
            # an empty password would be asked for at the terminal
            context.load_cert_chain(str(security.cert_file), key, password=lambda: security.key_password)
    except (OSError, ssl.SSLError) as error:
        files = ", ".join(str(f) for f in (security.ca_file, security.cert_file, security.key_file) if f)
        raise tls_error(f"the certificates cannot be used: {why(error)}", files) from error
    return context


def connect(host: str, port: int, settings: KafkaSettings) -> socket.socket:
    """A connection, over TLS if the settings say so. Raises TransportError KAFKA_UNREACHABLE or KAFKA_TLS."""
    where = f"{host}:{port}"
    context = ssl_context(settings.security) if settings.security.has_tls else None
    try:
        plain = socket.create_connection((host, port), timeout=settings.timeout_s)
    except OSError as error:
        raise unreachable(why(error), where) from error
    if context is None:
        return plain
    try:
        return context.wrap_socket(plain, server_hostname=host)
    except OSError as error:  # SSLError is one
        plain.close()
        raise tls_error(why(error), where) from error


def versions(host: str, port: int, settings: KafkaSettings) -> Versions:
    """What this broker can do. Raises TransportError, also if something else than Kafka answers."""
    where = f"{host}:{port}"
    with connect(host, port, settings) as link:
        try:
            answer = _ask(link, 3, _text("tidegate") + _text("1") + b"\0")
            if answer[:2] == struct.pack(">h", _UNSUPPORTED_VERSION):
                return _read_old(_ask(link, 0, b""))
            return _read(answer)
        except ssl.SSLError as error:  # TLS 1.3 tells only now that it wanted a certificate
            raise tls_error(why(error), where) from error
        except _SpeaksTls as error:
            raise tls_error(
                f"it speaks TLS and kafka.security.protocol is {settings.security.protocol}", where
            ) from error
        except (OSError, ValueError, IndexError, struct.error) as error:
            raise unreachable(f"what answers is not Kafka, or expects TLS ({why(error)})", where) from error


def wants_credentials(host: str, port: int, settings: KafkaSettings) -> bool:
    """Whether this broker, which answers, ends the connection when something is asked without credentials.

    The smallest question: the brokers, and of no topic (Metadata version 4, Kafka 0.11 and newer).
    """
    try:
        with connect(host, port, settings) as link:
            _ask(link, 4, struct.pack(">ib", 0, 0), METADATA)
    except ConnectionError:
        return True
    except (TransportError, OSError, ValueError, struct.error):
        return False  # away, or it never answered: that is another trouble
    return False


class _SpeaksTls(Exception):
    pass


def _ask(link: socket.socket, version: int, body: bytes, request: int = API_VERSIONS) -> bytes:
    client = b"tidegate"
    is_flexible = request == API_VERSIONS and version >= 3
    header = struct.pack(">hhih", request, version, 1, len(client)) + client + (b"\0" if is_flexible else b"")
    link.sendall(struct.pack(">i", len(header) + len(body)) + header + body)
    head = _exactly(link, 4)
    if head[0] == _ALERT and head[1] == 3:
        raise _SpeaksTls
    (size,) = struct.unpack(">i", head)
    if not 4 <= size <= _MAX_ANSWER:
        raise ValueError(f"an answer of {size} bytes")
    return _exactly(link, size)[4:]  # without the correlation id


def _exactly(link: socket.socket, n: int) -> bytes:
    found = b""
    while len(found) < n:
        part = link.recv(n - len(found))
        if not part:
            raise ConnectionError("the connection was closed")
        found += part
    return found


def _text(value: str) -> bytes:
    return bytes([len(value) + 1]) + value.encode()


def _read_old(answer: bytes) -> Versions:
    (count,) = struct.unpack_from(">i", answer, 2)
    rows = [struct.unpack_from(">hhh", answer, 6 + 6 * n) for n in range(count)]
    return Versions({key: newest for key, _, newest in rows}, {})


def _read(answer: bytes) -> Versions:
    count, at = _varint(answer, 2)
    apis = {}
    for _ in range(count - 1):
        key, _, newest = struct.unpack_from(">hhh", answer, at)
        apis[key] = newest
        at = _after_tags(answer, at + 6)
    features: dict[str, int] = {}
    tags, at = _varint(answer, at + 4)  # after the throttle time
    for _ in range(tags):
        tag, at = _varint(answer, at)
        size, at = _varint(answer, at)
        if tag == 2:  # finalized features
            features = _read_features(answer[at : at + size])
        at += size
    return Versions(apis, features)


def _read_features(part: bytes) -> dict[str, int]:
    count, at = _varint(part, 0)
    found = {}
    for _ in range(count - 1):
        size, at = _varint(part, at)
        name = part[at : at + size - 1].decode()
        at += size - 1
        (found[name], _) = struct.unpack_from(">hh", part, at)
        at = _after_tags(part, at + 4)
    return found


def _after_tags(part: bytes, at: int) -> int:
    count, at = _varint(part, at)
    for _ in range(count):
        _, at = _varint(part, at)
        size, at = _varint(part, at)
        at += size
    return at


def _varint(part: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = part[at]
        value, shift, at = value | (byte & 127) << shift, shift + 7, at + 1
        if byte < 128:
            return value, at
