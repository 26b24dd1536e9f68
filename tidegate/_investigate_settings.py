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

    @model_validator(mode="after")
    def _has_one_secret(self) -> Self:
        not_both("key", self.key, self.key_file)
        return self

    def secret(self) -> str:
        """The key; empty if there is none. Raises SettingsError."""
        return secret_of(self.key, self.key_file, "the key of the language model")


class Investigate(Section):
    """`investigate`: the pool of one process."""

    at_once: int = Field(default=16, ge=1, le=256)
    """Questions that run at the same time."""
    most_waiting: int = Field(default=10_000, ge=1)
    """Beyond, the least severe are told so."""
    prometheus: Prometheus = Prometheus()
    llm: Llm = Llm()
