"""Settings of the OPA server that judges instead of our own policies, where there is one."""

from pathlib import Path
from typing import Self

from pydantic import Field, SecretStr, model_validator

from tidegate._opa import OpaEngine
from tidegate._section import Section, not_both, secret_of


class Opa(Section):
    """Where policies are Rego. Empty `url`: our own, in YAML."""

    url: str = Field(default="", pattern=r"^(https?://[^\s/]+(/\S*)?)?$")
    path: str = Field(default="tidegate/decision", pattern=r"^[A-Za-z0-9_/-]+$")
    """Document that is asked for: `effect`, `reason`, `policies`, `obligations`."""
    timeout_s: float = Field(default=0.25, gt=0, le=10)
    """Of one question; later is a denial."""
    token: SecretStr | None = None
    token_file: Path | None = None

    @model_validator(mode="after")
    def _has_one_token(self) -> Self:
        not_both("token", self.token, self.token_file)
        return self

    def engine(self) -> OpaEngine:
        """Raises SettingsError if the token cannot be read."""
        secret = secret_of(self.token, self.token_file, "the token of OPA")
        return OpaEngine(self.url, self.path, token=secret, timeout_s=self.timeout_s)
