"""The section `kafka:`, for both clients; `plain` gives the streams room its frozen settings, with secrets read.

Contradictions are found here, before any connection: a mechanism without a protocol that has one, a user without a
password, half a certificate.
"""

from dataclasses import replace
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, SecretStr, model_validator

import schemas as sc
from streams import KafkaSecurity, KafkaSettings, OAuth, real_name
from tidegate._schema_registry import Registered, SchemaRegistry, ours, register_all
from tidegate._section import Section, not_both, secret_of

_MECHANISMS = Literal["plain", "scram-sha-256", "scram-sha-512", "oauthbearer"]


class OAuthClient(Section):
    token_url: str = Field(default="", pattern=r"^(https?://\S+)?$")
    client_id: str = ""
    client_secret: SecretStr | None = None
    client_secret_file: Path | None = None
    scope: str = ""

    @model_validator(mode="after")
    def _has_one_secret(self) -> Self:
        not_both("client_secret", self.client_secret, self.client_secret_file)
        return self


class Security(Section):
    """Who we are and whom we trust."""

    protocol: Literal["plaintext", "ssl", "sasl_plaintext", "sasl_ssl"] = "plaintext"
    mechanism: _MECHANISMS | None = None
    username: str = ""
    password: SecretStr | None = None
    password_file: Path | None = None
    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None
    key_password: SecretStr | None = None
    key_password_file: Path | None = None
    oauth: OAuthClient = OAuthClient()

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        not_both("password", self.password, self.password_file)
        not_both("key_password", self.key_password, self.key_password_file)
        has_sasl, has_tls = self.protocol.startswith("sasl"), self.protocol.endswith("ssl")
        if has_sasl != (self.mechanism is not None):
            wrong = "needs a `mechanism`" if has_sasl else "has no mechanism: use sasl_ssl, or leave `mechanism` out"
            raise ValueError(f"protocol {self.protocol} {wrong}")
        if self.mechanism == "oauthbearer":
            if not (self.oauth.token_url and self.oauth.client_id):
                raise ValueError("oauthbearer needs `oauth.token_url` and `oauth.client_id`")
        elif has_sasl and not (self.username and (self.password or self.password_file)):
            raise ValueError(f"mechanism {self.mechanism} needs `username` and `password` or `password_file`")
        if not has_tls and (self.ca_file or self.cert_file):
            raise ValueError(f"protocol {self.protocol} takes no certificates: use ssl or sasl_ssl")
        if (self.cert_file is None) != (self.key_file is None):
            raise ValueError("`cert_file` and `key_file` belong together")
        return self

    def plain(self) -> KafkaSecurity:
        oauth = OAuth(
            self.oauth.token_url, self.oauth.client_id,
            secret_of(self.oauth.client_secret, self.oauth.client_secret_file, "the oauth secret"), self.oauth.scope,
        )  # fmt: skip
        return KafkaSecurity(
            self.protocol, self.mechanism, self.username,
            secret_of(self.password, self.password_file, "the Kafka password"), self.ca_file, self.cert_file,
            self.key_file, secret_of(self.key_password, self.key_password_file, "the password of the key"), oauth,
        )  # fmt: skip


_NAME = r"^[A-Za-z0-9._-]{1,249}$"


class Sources(Section):
    """How the topics are called that collectors write."""

    otlp_metrics: str = Field(default="otlp_metrics", pattern=_NAME)
    otlp_logs: str = Field(default="otlp_logs", pattern=_NAME)
    otlp_spans: str = Field(default="otlp_spans", pattern=_NAME)

    def plain(self) -> dict[str, str]:
        """Only where it differs from the table."""
        return {topic: name for topic, name in self.model_dump().items() if topic != name}


class Registry(Section):
    """A schema registry that is told our records when `run` and `gateway` start; none if `url` is empty."""

    url: str = Field(default="", pattern=r"^(https?://\S+)?$")
    username: str = ""
    password: SecretStr | None = None
    """Without a user name it is sent as a bearer token."""
    password_file: Path | None = None
    ca_file: Path | None = None

    @model_validator(mode="after")
    def _has_one_password(self) -> Self:
        not_both("password", self.password, self.password_file)
        return self

    def client(self, timeout_s: float) -> SchemaRegistry:
        """Raises SettingsError if the password cannot be read."""
        secret = secret_of(self.password, self.password_file, "the password of the schema registry")
        return SchemaRegistry(
            self.url, user=self.username, secret=secret, ca_file=self.ca_file, timeout_s=timeout_s
        )  # fmt: skip


class Kafka(Section):
    """Where the brokers are; empty `brokers` is a deployment without Kafka."""

    brokers: str = ""
    prefix: str = Field(default="tidegate", pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$")
    """In front of topics, groups and principals."""
    generation: str = Field(default="", pattern=r"^([A-Za-z0-9][A-Za-z0-9_]{0,30})?$")
    """A pipeline beside another on the same input, with topics of its own, until `tidegate serve` publishes it."""
    sources: Sources = Sources()
    replication: int | None = Field(default=None, ge=1, le=16)
    """Copies of each topic; 3 if not given, or as many as there are brokers if fewer."""
    horizon_days: int = Field(default=7, ge=1, le=3650)
    """How far back a replay may begin."""
    security: Security = Security()
    session_timeout_ms: int = Field(default=6000, ge=6000, le=1_800_000)
    group_protocol: Literal["classic", "consumer"] = "classic"
    instance_id: str = Field(default="", pattern=r"^[A-Za-z0-9._-]{0,200}$")
    timeout_s: float = Field(default=10, gt=0, le=300)
    registry: Registry = Registry()
    extra: dict[str, str | int | float | bool] = {}
    """Further settings of librdkafka, as they are."""

    @model_validator(mode="after")
    def _has_one_name_a_source(self) -> Self:
        names = list(self.sources.model_dump().values())
        ours = {real_name(topic, self._name()) for topic in sc.TOPICS if topic not in Sources.model_fields}
        if taken := sorted(name for name in set(names) if names.count(name) > 1 or name in ours):
            raise ValueError(f"`sources` names '{taken[0]}' for more than one topic")
        return self

    def _name(self) -> str:
        return f"{self.prefix}:{self.generation}" if self.generation else self.prefix

    def register_schemas(self) -> list[Registered]:
        """Tell the registry our records, if there is one. Raises SchemaRegistryError, SettingsError."""
        if not self.registry.url:
            return []
        return register_all(self.registry.client(self.timeout_s), ours(self._name().replace(":", ".")))

    def plain(self, brokers: str = "", prefix: str = "") -> KafkaSettings:
        """With secrets read. brokers, prefix: win over the settings. Raises SettingsError, TransportError."""
        plain = KafkaSettings(
            self.brokers, self._name(), self.replication, self.horizon_days, self.security.plain(),
            self.session_timeout_ms, self.group_protocol, self.instance_id, self.timeout_s, self.sources.plain(),
            dict(self.extra),
        )  # fmt: skip
        return replace(plain, brokers=brokers or plain.brokers, prefix=prefix or plain.prefix)
