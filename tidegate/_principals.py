"""Who speaks to the gateway. A bearer token stands for one source of one tenant; no sender says who it is itself."""

import hashlib
import hmac
from dataclasses import dataclass

from tidegate._errors import SettingsError
from tidegate._settings import Gateway

LOOPBACK = ("127.0.0.1", "::1", "localhost")


@dataclass(frozen=True, slots=True)
class Principal:
    """tenant_seen: whose incidents and actions may be read, None for all."""

    source: str
    tenant: str
    can_send: bool = True
    can_read: bool = True
    tenant_seen: str | None = None


LOCAL = Principal("local", "default")
"""Whoever connects where no tokens are configured."""


class Principals:
    """The configured tokens, kept as digests. Raises SettingsError if a token cannot be read or stands twice."""

    def __init__(self, gateway: Gateway) -> None:
        self._known: list[tuple[bytes, Principal]] = []
        for token in gateway.tokens:
            digest = _digest(token.secret())
            if any(hmac.compare_digest(digest, other) for other, _ in self._known):
                raise SettingsError(
                    f"the token of source '{token.source}' stands twice", where="gateway.tokens",
                    todo="Give each source a token of its own",
                )  # fmt: skip
            who = Principal(token.source, token.tenant, token.can_send, token.can_read, token.tenant)
            self._known.append((digest, who))

    @property
    def is_open(self) -> bool:
        """Whether there are no tokens, so that everybody who can connect is `LOCAL`."""
        return not self._known

    def of(self, authorization: str) -> Principal | None:
        """Whose `Authorization` header this is; compared with every token, in the same time whichever fits."""
        if self.is_open:
            return LOCAL
        scheme, _, given = authorization.partition(" ")
        digest, found = _digest(given.strip()), None
        for known, principal in self._known:
            if hmac.compare_digest(digest, known):
                found = principal
        return found if scheme.lower() == "bearer" else None


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()
