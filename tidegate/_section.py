"""A section of the settings: frozen, unknown keys refused, each key explained where it stands."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, SecretStr

from schemas import why
from tidegate._errors import SettingsError


class Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


def secret_of(value: SecretStr | None, file: Path | None, what: str) -> str:
    """A secret, from the settings or from its file; empty if there is none. Raises SettingsError."""
    if file is None:
        return value.get_secret_value() if value else ""
    try:
        return file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{what} cannot be read: {why(error)}", where=str(file)) from error


def not_both(name: str, value: SecretStr | None, file: Path | None) -> None:
    """Raises ValueError, which pydantic makes a sentence of, if a secret is given twice."""
    if value is not None and file is not None:
        raise ValueError(f"give `{name}` or `{name}_file`, and not both")
