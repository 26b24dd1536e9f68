"""Files that people name: whatever is wrong with one is a sentence with its name, never a traceback.

UTF-8 whatever the locale says, so that a file means the same on every machine.
"""

from pathlib import Path
from typing import Any

import yaml

from tidegate._errors import SettingsError


def why(error: Exception) -> str:
    """What went wrong, on one line: without the type of the exception, and without the path once more.

    >>> why(FileNotFoundError(2, "No such file or directory", "a.yaml"))
    'No such file or directory'
    """
    if isinstance(error, UnicodeDecodeError):
        return "it is no text in UTF-8"
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        return f"line {error.problem_mark.line + 1} is no YAML: {error.problem}"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return " ".join(str(error).split()) or type(error).__name__


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
