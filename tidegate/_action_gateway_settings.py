"""The gateway's own settings file: where its targets are, with which credentials, and whom it believes.

It is not the file of the other processes, because what stands here must not be readable for them.
"""

from pathlib import Path
from typing import Any, Self

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator

from actions import Executor, Trust
from schemas.signatures import public_key
from tidegate import _catalogue
from tidegate._errors import SettingsError
from tidegate._reading import yaml_of
from tidegate._section import Section, not_both, secret_of


class ActGateway(Section):
    """Keys of other processes are public ones. Nothing may be touched that is not named in `scopes`."""

    deployment: str = Field(min_length=1)
    """Name of this deployment; permits for another one are refused."""
    permit_keys: dict[str, str] = Field(min_length=1)
    """Public key (Ed25519, base64) of each decision process, by the id in its permits; take one away to revoke it."""
    control_keys: dict[str, str] = Field(min_length=1)
    """Public key of each person or system that may stop and resume."""
    scopes: tuple[str, ...] = ()
    """Entity ids that it may touch: whole ones, or beginnings that end in `/`."""
    floors: dict[str, int] = {}
    """How many units of an entity must go on serving, beside the share that each verb keeps."""
    evidence_limit_s: float | None = Field(default=None, gt=0)
    """Older evidence opens nothing, whatever the verb says."""
    store: Path = Path("tidegate-act-gateway.sqlite")
    kill_file: Path = Path("tidegate-kill.jsonl")
    """Signed orders, one a line; it has to be there."""
    listen: str = "unix:tidegate-act-gateway.sock"
    """`unix:PATH`, or `HOST:PORT` of this machine; then a token is needed."""
    token: SecretStr | None = Field(default=None, min_length=16)
    token_file: Path | None = None
    executors: dict[str, dict[str, Any]] = {}
    """Settings of each executor, by its kind; one that is not named is not there."""
    verbs: tuple[str, ...] = ()
    """Which of their verbs it performs; all of them if empty."""

    @field_validator("permit_keys", "control_keys")
    @classmethod
    def _are_keys(cls, value: dict[str, str]) -> dict[str, str]:
        for name, text in value.items():
            try:
                public_key(text)
            except ValueError as error:
                raise ValueError(f"the key of '{name}' is no Ed25519 key in base64") from error
        return value

    @field_validator("scopes")
    @classmethod
    def _are_exact(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for scope in value:
            if scope.count("/") < 1 or set(scope) & set("*?[]") or not scope.split("/")[0]:
                raise ValueError(f"the scope {scope!r} is no entity id and no beginning of one, as `default/service/`")
        return value

    @model_validator(mode="after")
    def _is_guarded(self) -> Self:
        not_both("token", self.token, self.token_file)
        if not self.listen.startswith("unix:") and self.token is None and self.token_file is None:
            raise ValueError("give `token` or `token_file`, or listen on `unix:PATH`")
        return self

    @classmethod
    def read(cls, path: Path) -> Self:
        """Raises SettingsError naming key and file."""
        try:
            return cls.model_validate(yaml_of(path, todo="See docs/gateway.md"))
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            place = ".".join(str(part) for part in first["loc"])
            raise SettingsError(f"'{place}': {first['msg']}", where=str(path), todo="See docs/gateway.md") from error

    def trust(self) -> Trust:
        keys = {name: public_key(text).public_bytes_raw() for name, text in self.permit_keys.items()}
        limit = round(self.evidence_limit_s * 1e9) if self.evidence_limit_s is not None else None
        return Trust(self.deployment, keys, self.scopes, self.floors, limit)

    def orderers(self) -> dict[str, Ed25519PublicKey]:
        return {name: public_key(text) for name, text in self.control_keys.items()}

    def secret(self) -> str:
        return secret_of(self.token, self.token_file, "the token")

    def open_executors(self) -> dict[str, Executor]:
        """By verb. Raises SettingsError for an executor that does not exist or settings that do not fit."""
        known, found = _catalogue.classes("executors"), dict[str, Executor]()
        for kind, told in self.executors.items():
            if kind not in known:
                raise SettingsError(f"there is no executor '{kind}'", todo=f"Executors: {', '.join(known)}")
            try:
                executor: Executor = known[kind](known[kind].settings.model_validate(told))
            except ValidationError as error:
                first = error.errors(include_url=False)[0]
                place = ".".join(("executors", kind, *(str(part) for part in first["loc"])))
                raise SettingsError(f"'{place}': {first['msg']}", todo="See docs/gateway.md") from error
            found |= dict.fromkeys(executor.verbs, executor)
        unknown = [verb for verb in self.verbs if verb not in found]
        if unknown:
            todo = f"Verbs of the executors that are set: {', '.join(sorted(found)) or 'none'}"
            raise SettingsError(f"nothing performs '{unknown[0]}'", where="verbs", todo=todo)
        return {verb: executor for verb, executor in found.items() if not self.verbs or verb in self.verbs}
