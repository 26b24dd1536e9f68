"""Files that people name: whatever is wrong with one is a sentence with its name, never a traceback.

UTF-8 whatever the locale says, so that a file means the same on every machine.
"""

from pathlib import Path
from typing import Any

import yaml

from schemas import why
from tidegate._errors import SettingsError


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
