"""Settings of the HTTP gateway: who may send, how much, and who is told."""

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, SecretStr, field_validator, model_validator

from tidegate._errors import SettingsError
from tidegate._reading import address_of
from tidegate._section import Section, secret_of


class _Secret(Section):
    token: SecretStr | None = Field(default=None, min_length=16)
    """Sixteen characters or more."""
    token_file: Path | None = None
    """A file that holds the token instead, so that this one needs no secret."""

    def secret(self) -> str:
        """The token, from here or from its file; empty if there is none. Raises SettingsError."""
        return _long_enough(secret_of(self.token, self.token_file, "a token"), self.token_file, "token")


def _long_enough(text: str, file: Path | None, what: str) -> str:
    if file is not None and len(text) < 16:
        raise SettingsError(f"the {what} has fewer than 16 characters", where=str(file), todo="Write a longer one")
    return text


class Token(_Secret):
    """Who may speak to the gateway: one proof of who it is stands for one source of one tenant."""

    source: str = Field(pattern=r"^[A-Za-z0-9._-]{1,100}$")
    tenant: str = Field(default="default", pattern=r"^[A-Za-z0-9._-]{1,100}$")
    can_send: bool = True
    can_read: bool = False
    """May read incidents and the stream of actions of its tenant."""
    trust: Literal[0, 1, 2] = 1
    """How far its word goes: 0 as little as an unknown one's, 1 a source, 2 a component of the platform."""
    kinds: frozenset[str] = frozenset()
    """Sources that it may send to, for example `otlp_metrics` or `github`; all if empty."""
    hmac: SecretStr | None = Field(default=None, min_length=16)
    """Instead of a token: the secret with which it signs each body."""
    hmac_file: Path | None = None
    certificate: str = Field(default="", max_length=500)
    """Instead of a token: a name in its client certificate, DNS or URI of the subjectAltName, or the common name."""

    @model_validator(mode="after")
    def _has_one_proof(self) -> Self:
        given = [self.token, self.token_file, self.hmac, self.hmac_file, self.certificate or None]
        if sum(one is not None for one in given) != 1:
            raise ValueError("give one of `token`, `token_file`, `hmac`, `hmac_file`, `certificate`, and not two")
        return self

    def hmac_secret(self) -> str:
        """The secret of signatures, empty if it does not sign. Raises SettingsError."""
        return _long_enough(secret_of(self.hmac, self.hmac_file, "the hmac secret"), self.hmac_file, "hmac secret")


class Webhook(_Secret):
    """Where actions are sent as CloudEvents; a token, if any, goes along as `Authorization: Bearer`."""

    url: str = Field(pattern=r"^https?://[^\s/]+(/\S*)?$")

    @field_validator("url")
    @classmethod
    def _can_be_asked(cls, url: str) -> str:
        if address_of(url) is None:
            raise ValueError("no host and port that can be asked")
        return url


class Tls(Section):
    """Certificates of the gateway itself (PEM). With `ca_file` clients may show one of theirs, signed by it."""

    cert_file: Path | None = None
    key_file: Path | None = None
    ca_file: Path | None = None
    is_required: bool = False
    """Nobody without a client certificate may connect."""

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if (self.cert_file is None) != (self.key_file is None):
            raise ValueError("`cert_file` and `key_file` belong together")
        if self.ca_file and not self.cert_file:
            raise ValueError("`ca_file` needs a `cert_file` of the gateway")
        if self.is_required and not self.ca_file:
            raise ValueError("`is_required` needs the `ca_file` that signs the clients")
        return self


class Gateway(Section):
    """`up` and `gateway`: who may send, how much, and who is told."""

    tokens: tuple[Token, ...] = ()
    """Without any, only this machine may connect (or `--insecure`)."""
    tls: Tls = Tls()
    replay_window_s: float = Field(default=300, gt=0, le=3600)
    """How old the timestamp of a signature may be, and how long one that was used is remembered at least."""
    max_body_bytes: int = Field(default=20 << 20, gt=0)
    """Of one request, as sent and unpacked; the OpenTelemetry Collector's own limit."""
    max_backlog_bytes: int = Field(default=64 << 20, gt=0)
    """Taken but not yet normalised; beyond, senders are told to come again (429)."""
    max_backlog_messages: int = Field(default=20_000, gt=0)
    max_new_series_per_minute: int = Field(default=100_000, gt=0)
    """Of one source; beyond, that source alone is told to come again (429) until the minute is over."""
    webhooks: tuple[Webhook, ...] = ()

    @model_validator(mode="after")
    def _has_room_for_one(self) -> Self:
        if self.max_backlog_bytes < self.max_body_bytes:
            raise ValueError("max_backlog_bytes is smaller than max_body_bytes: a large request would never be taken")
        return self
