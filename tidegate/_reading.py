"""Files that people name: whatever is wrong with one is a sentence with its name, never a traceback.

UTF-8 whatever the locale says, so that a file means the same on every machine.
"""

from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, urlsplit

import yaml

from schemas import why
from tidegate._errors import SettingsError


def address_of(url: str) -> SplitResult | None:
    """The parts of an http or https URL whose host and port can be asked; None for anything else.

    >>> address_of("http://[x") or address_of("http://x:99999") or address_of("ftp://x") or address_of("http://a b")
    >>> address_of("https://x:8443/base").port
    8443
    """
    try:
        parts = urlsplit(url)
        is_one = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        return None
    return parts if is_one and url.isprintable() and " " not in url else None


def bearer(token: str) -> dict[str, str]:
    """The header of a token, none for an empty one. Raises SettingsError, without the token, if none can hold it."""
    if not (token.isascii() and token.isprintable()):
        raise SettingsError("the token holds what no header may hold", todo="Is there a line break in it?")
    return {"Authorization": f"Bearer {token}"} if token else {}


def text_of(path: Path, *, todo: str = "") -> str:
    """The text of a file. Raises SettingsError."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"cannot be read: {why(error)}", where=str(path), todo=todo) from error


def yaml_of(path: Path, *, todo: str = "") -> Any:
    """What a YAML file says; an empty one says {}. Raises SettingsError, with the line where it is no YAML."""
    try:
        return yaml.safe_load(text_of(path, todo=todo)) or {}
    except yaml.YAMLError as error:
        raise SettingsError(f"cannot be read: {why(error)}", where=str(path), todo=todo) from error
