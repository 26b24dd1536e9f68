"""Settings of approvals: whose word counts, through which doors, and where a person's own key lies."""

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Self

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from pydantic import Field, SecretStr, model_validator

from schemas import why
from schemas.signatures import public_key
from tidegate._errors import SettingsError
from tidegate._section import Section, not_both, secret_of

if TYPE_CHECKING:
    from tidegate._approvals_http import Identity
    from tidegate._approve_desk import Bridge
    from tidegate._chat_signatures import SignedCalls


class Login(Section):
    """The identity provider whose ID tokens are taken (OpenID Connect)."""

    issuer: str = Field(pattern=r"^https://\S+$")
    audience: str
    """Our client id there."""
    keys_url: str = Field(pattern=r"^(https|file)://\S+$")
    """The issuer's key set (`jwks_uri`), or a copy of it in a file."""
    algorithms: tuple[str, ...] = ("RS256", "ES256")
    longest_s: int = Field(default=3600, gt=0, le=86_400)
    """Older tokens are not taken, whatever they say."""


class Door(Section):
    """A bridge: its key of grade C, and for chat and ITSM the secret of their calls and who is who."""

    kid: str
    key_file: Path
    """PEM, Ed25519; enrolled with grade C for the people it may speak for."""
    secret: SecretStr | None = Field(default=None, min_length=16)
    secret_file: Path | None = None
    people: dict[str, str] | None = None
    """Name there to `issuer#subject`; without, names there are those of here."""

    @model_validator(mode="after")
    def _one_secret(self) -> Self:
        not_both("secret", self.secret, self.secret_file)
        return self

    def calls(self, name: str) -> "SignedCalls":
        from tidegate._chat_signatures import SignedCalls

        text = secret_of(self.secret, self.secret_file, f"the secret of {name}")
        if len(text) < 16:
            raise SettingsError("the secret of its calls has fewer than 16 characters", where=f"approvals.{name}")
        return SignedCalls(text)

    def bridge(self, name: str) -> "Bridge":
        from tidegate._approve_desk import Bridge

        return Bridge(self.kid, read_key(self.key_file, b"", f"approvals.{name}.key_file"), self.people)


class Me(Section):
    """Who sits here: for `tidegate approve` and `reject`."""

    person: str = ""
    """`issuer#subject`, as enrolled."""
    kid: str = ""
    role: str = ""
    key_file: Path | None = None
    """Your private key; better with a passphrase (`tidegate people keygen`)."""


class Approvals(Section):
    """Who may say yes, and how they are heard."""

    deployment: str = "tidegate"
    """What approvals are signed for; a different one for each deployment."""
    people: Path | None = None
    """The signed list of people (`tidegate people`)."""
    roots: dict[str, str] = {}
    """Public keys (Ed25519, base64) that may sign the list, by name."""
    url: str = Field(default="http://localhost:8791", pattern=r"^https?://[^\s/]+$")
    """Where `approve` and `reject` go."""
    hosts: tuple[str, ...] = ("localhost", "127.0.0.1", "[::1]")
    """Names the HTTP interface is called by."""
    login: Login | None = None
    console: Door | None = None
    """Clicks of people who are logged in."""
    slack: Door | None = None
    systems: dict[str, Door] = {}
    """ITSM systems by name."""
    me: Me = Me()

    def root_keys(self) -> Mapping[str, bytes]:
        try:
            return {name: public_key(text).public_bytes_raw() for name, text in self.roots.items()}
        except ValueError as error:
            raise SettingsError(
                f"a root is no public key: {error}", where="approvals.roots", todo="Ed25519, 32 bytes in base64"
            ) from error

    def bridges(self) -> dict[str, "Bridge"]:
        found = {name: door.bridge(name) for name, door in self.systems.items()}
        if self.console:
            found["console"] = self.console.bridge("console")
        if self.slack:
            found["slack"] = self.slack.bridge("slack")
        return found

    def identity(self, now_s: Callable[[], int] = lambda: int(time.time())) -> "Identity":
        from tidegate._approvals_http import Identity
        from tidegate._oidc import Oidc, fetch_keys

        login = self.login
        oidc = None
        if login is not None:
            oidc = Oidc(
                login.issuer, login.audience, fetch_keys(login.keys_url), algorithms=login.algorithms,
                longest_s=login.longest_s,
            )  # fmt: skip
        return Identity(
            now_s,
            oidc=oidc,
            chat=self.slack.calls("slack") if self.slack else None,
            systems={name: door.calls(f"systems.{name}") for name, door in self.systems.items()},
            hosts=frozenset(self.hosts),
        )


def read_key(path: Path, passphrase: bytes, what: str) -> Ed25519PrivateKey:
    """An Ed25519 key in PEM. Raises SettingsError; code KEY_LOCKED where it needs a passphrase, or another one."""
    try:
        key = load_pem_private_key(path.expanduser().read_bytes(), passphrase or None)
    except TypeError as error:
        raise SettingsError(f"{what}: it has a passphrase", where=str(path), code="KEY_LOCKED") from error
    except (OSError, ValueError, UnsupportedAlgorithm) as error:
        code = "KEY_LOCKED" if passphrase else "KEY_UNREADABLE"
        raise SettingsError(f"{what} cannot be read: {why(error)[:200]}", where=str(path), code=code) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise SettingsError(f"{what} is no Ed25519 key", where=str(path), code="KEY_UNREADABLE")
    return key
