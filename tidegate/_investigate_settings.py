"""The section `investigate:`: what investigators may read beside our own topics, and how many questions run at once."""

from pathlib import Path
from typing import Self

from pydantic import Field, SecretStr, model_validator

from tidegate._section import Section, not_both, secret_of


class Prometheus(Section):
    """A Prometheus server, or anything with its HTTP API."""

    url: str = Field(default="", pattern=r"^(https?://[^\s/?#]+[^\s?#]*)?$")
    """Empty: nobody asks Prometheus."""
    token: SecretStr | None = None
    token_file: Path | None = None
    label: str = Field(default="pod", pattern=r"^[a-zA-Z_][a-zA-Z0-9_]*$")
    """The label that names a service: its plain name, or the name with a suffix behind a hyphen."""

    @model_validator(mode="after")
    def _has_one_secret(self) -> Self:
        not_both("token", self.token, self.token_file)
        return self

    def secret(self) -> str:
        """The bearer token; empty if there is none. Raises SettingsError."""
        return secret_of(self.token, self.token_file, "the token of Prometheus")


class Server(Section):
    """A server that is read over HTTP."""

    url: str = Field(default="", pattern=r"^(https?://[^\s/?#]+[^\s?#]*)?$")
    """Empty: nobody asks it."""
    token: SecretStr | None = None
    token_file: Path | None = None

    @model_validator(mode="after")
    def _has_one_secret(self) -> Self:
        not_both("token", self.token, self.token_file)
        return self

    def secret(self) -> str:
        """The token; empty if there is none. Raises SettingsError."""
        return secret_of(self.token, self.token_file, "the token")


class Loki(Server):
    label: str = Field(default="app", pattern=r"^[a-zA-Z_][a-zA-Z0-9_]*$")
    """The label that names a service there."""


class Elasticsearch(Server):
    index: str = Field(default="logs-*", pattern=r"^[a-z0-9][a-z0-9._*,-]{0,200}$")
    """Where log lines lie, with the fields of ECS; the token is an API key."""


class Kubernetes(Server):
    namespace: str = Field(default="default", pattern=r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$")
    ca_file: Path | None = None
    """Certificate authority of the API server."""


class Postgres(Section):
    """A PostgreSQL server whose `pg_stat_activity` is read; the role `pg_monitor` is enough."""

    dsn: SecretStr | None = None
    dsn_file: Path | None = None

    @model_validator(mode="after")
    def _has_one_secret(self) -> Self:
        not_both("dsn", self.dsn, self.dsn_file)
        return self

    @property
    def is_set(self) -> bool:
        return self.dsn is not None or self.dsn_file is not None

    def secret(self) -> str:
        """The connection string. Raises SettingsError."""
        return secret_of(self.dsn, self.dsn_file, "the connection string")


class Git(Section):
    clone: Path | None = None
    """A local clone that holds the versions which changes name; it is read, never fetched."""


class Llm(Section):
    """A language model behind an OpenAI-compatible address, for cases that rules leave open. Off without a model."""

    url: str = Field(default="https://api.openai.com/v1", pattern=r"^https?://[^\s/?#]+[^\s?#]*$")
    model: str = ""
    """As its server calls it. Empty: no language model is asked, and nothing else changes."""
    key: SecretStr | None = None
    key_file: Path | None = None
    timeout_s: float = Field(default=20.0, gt=0, le=40)
    """Of one call; there are two to four about an incident."""
    most_tokens: int = Field(default=6000, ge=500)
    """Of all calls about one incident, in and out."""
    price_in: float = Field(default=0.0, ge=0)
    """Of a million tokens in, in whatever you pay with; what an incident cost is then in its observation."""
    price_out: float = Field(default=0.0, ge=0)

    @model_validator(mode="after")
    def _has_one_secret(self) -> Self:
        not_both("key", self.key, self.key_file)
        return self

    def secret(self) -> str:
        """The key; empty if there is none. Raises SettingsError."""
        return secret_of(self.key, self.key_file, "the key of the language model")


class Investigate(Section):
    """`investigate`: the pool of one process."""

    at_once: int = Field(default=64, ge=1, le=256)
    """Questions that run at the same time."""
    most_waiting: int = Field(default=10_000, ge=1)
    """Beyond, the least severe are told so."""
    prometheus: Prometheus = Prometheus()
    loki: Loki = Loki()
    elasticsearch: Elasticsearch = Elasticsearch()
    jaeger: Server = Server()
    kubernetes: Kubernetes = Kubernetes()
    argocd: Server = Server()
    postgres: Postgres = Postgres()
    git: Git = Git()
    llm: Llm = Llm()

    def absent(self) -> set[str]:
        """Subsystems that are not set up, so that nobody is asked about them."""
        urls = {name: getattr(self, name).url
                for name in ("prometheus", "loki", "elasticsearch", "jaeger", "kubernetes", "argocd")}  # fmt: skip
        out = {name for name, url in urls.items() if not url}
        if not self.postgres.is_set:
            out.add("postgres")
        if self.git.clone is None:
            out.add("git")
        return out
