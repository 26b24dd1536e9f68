"""TLS of the gateway, and whose client certificate a connection bears.

The server below us verifies the chain; it does not say what it verified, so the protocol is told to put the names of
the certificate beside each request. Sources: RFC 8446; RFC 6125 (names of services: subjectAltName before the common
name; SPIFFE ids are URIs there).
"""

import ssl
from collections.abc import MutableMapping
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

from schemas import why
from tidegate._errors import GatewayError
from tidegate._gateway_settings import Tls

_NAMES = "tidegate.certificate"


class CertifiedProtocol(H11Protocol):
    """HTTP/1.1 where each request knows the names in the client's certificate."""

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        certificate = transport.get_extra_info("peercert")
        names, inner = _names_in(certificate or {}), self.app

        async def app(scope: Any, receive: Any, send: Any) -> None:
            scope[_NAMES] = names
            await inner(scope, receive, send)

        self.app = app


def names_of(scope: MutableMapping[str, Any]) -> tuple[str, ...]:
    """Names in the verified client certificate of a request; none where it showed none."""
    found: tuple[str, ...] = scope.get(_NAMES, ())
    return found


def server_options(tls: Tls) -> dict[str, Any]:
    """What the server is told; nothing without certificates. Raises GatewayError if they cannot be used."""
    if tls.cert_file is None:
        return {}
    told: dict[str, Any] = {"ssl_certfile": str(tls.cert_file), "ssl_keyfile": str(tls.key_file)}
    if tls.ca_file:
        told |= {
            "ssl_ca_certs": str(tls.ca_file), "http": CertifiedProtocol,
            "ssl_cert_reqs": ssl.CERT_REQUIRED if tls.is_required else ssl.CERT_OPTIONAL,
        }  # fmt: skip
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(tls.cert_file, tls.key_file)
        if tls.ca_file:
            ssl.create_default_context(cafile=str(tls.ca_file))
    except (OSError, ssl.SSLError) as error:
        raise GatewayError(
            f"the certificates cannot be used: {why(error)}",
            where="gateway.tls",
            todo="Give PEM files that belong together",
        ) from error
    return told


def _names_in(certificate: dict[str, Any]) -> tuple[str, ...]:
    names = [value for kind, value in certificate.get("subjectAltName", ()) if kind in ("DNS", "URI")]
    names += [
        value for part in certificate.get("subject", ()) for kind, value in part if kind == "commonName" and not names
    ]  # fmt: skip
    return tuple(names)
