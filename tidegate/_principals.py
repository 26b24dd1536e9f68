"""Who speaks to the gateway. Each proof stands for one source of one tenant; no sender says who it is itself.

Proofs are a bearer token (or the same as the password of basic authentication), a client certificate, or a signature
over the body (`_proofs`). Tokens are kept as digests and compared with every one, in the same time whichever fits.
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Iterable
from dataclasses import dataclass

from tidegate._errors import SettingsError
from tidegate._gateway_settings import Gateway, Token

LOOPBACK = ("127.0.0.1", "::1", "localhost")


@dataclass(frozen=True, slots=True)
class Principal:
    """tenant_seen: whose incidents and actions may be read, None for all. trust: as `schemas.SeriesDef.trust`.

    kinds: sources that may be sent to, all if empty.
    """

    source: str
    tenant: str
    can_send: bool = True
    can_read: bool = True
    tenant_seen: str | None = None
    trust: int = 1
    kinds: frozenset[str] = frozenset()

    @classmethod
    def of(cls, token: Token) -> "Principal":
        return cls(
            token.source, token.tenant, token.can_send, token.can_read, token.tenant, token.trust, token.kinds
        )  # fmt: skip


LOCAL = Principal("local", "default", trust=0)
"""Whoever connects where no tokens are configured."""


class Principals:
    """The configured senders. Raises SettingsError if a secret cannot be read or a proof stands twice."""

    def __init__(self, gateway: Gateway) -> None:
        self._known: list[tuple[bytes, Principal]] = []
        self._certified: dict[str, Principal] = {}
        self.signers: list[tuple[bytes, Principal]] = []
        """Secrets of signatures and whose they are."""
        for token in gateway.tokens:
            who = Principal.of(token)
            if token.certificate:
                _once(token, token.certificate in self._certified)
                self._certified[token.certificate] = who
            elif secret := token.hmac_secret().encode():
                _once(token, any(hmac.compare_digest(secret, other) for other, _ in self.signers))
                self.signers.append((secret, who))
            else:
                digest = _digest(token.secret())
                _once(token, any(hmac.compare_digest(digest, other) for other, _ in self._known))
                self._known.append((digest, who))
        if self._certified and not gateway.tls.ca_file:
            raise SettingsError(
                "a source is known by its certificate, but none is asked for", where="gateway.tokens",
                todo="Set gateway.tls.ca_file",
            )  # fmt: skip

    @property
    def is_open(self) -> bool:
        """Whether nobody is configured, so that everybody who can connect is `LOCAL`."""
        return not (self._known or self._certified or self.signers)

    def of(self, authorization: str, names: Iterable[str] = ()) -> Principal | None:
        """Whose `Authorization` header this is, else whose certificate bears one of these names."""
        if self.is_open:
            return LOCAL
        scheme, _, given = authorization.partition(" ")
        is_basic = scheme.lower() == "basic"
        digest, found = _digest(_password(given) if is_basic else given.strip()), None
        for known, principal in self._known:
            if hmac.compare_digest(digest, known):
                found = principal
        if found is not None and (is_basic or scheme.lower() == "bearer"):
            return found
        return next((self._certified[name] for name in names if name in self._certified), None)


def _once(token: Token, stands_already: bool) -> None:
    if stands_already:
        raise SettingsError(
            f"the proof of source '{token.source}' stands twice", where="gateway.tokens",
            todo="Give each source a token, secret or certificate of its own",
        )  # fmt: skip


def _password(given: str) -> str:
    """The password of basic authentication (RFC 7617), empty if it is none; the user's name says nothing."""
    try:
        return base64.b64decode(given.strip(), validate=True).decode().partition(":")[2]
    except (binascii.Error, ValueError):
        return ""


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()
