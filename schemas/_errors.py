"""Errors of the ground floor. Each carries a stable `code`, which is also a metric label and a dead-letter reason.

SchemaError
├── RecordInvalid      a record does not fit its model
├── FrameInvalid       bytes are not a frame of the expected kind
└── Incompatible       a schema change would break a reader or a writer
"""

import os
import re

_NUMBERED_OTHERWISE = ("ssl", "socket")
_NOISE = re.compile(r"\[Errno -?\d+\] |^\[[A-Z0-9_: ]+\] | \(_ssl\.c:\d+\)$")


def sentence(what: str, where: str, todo: str) -> str:
    """Where, what happened and what to do, as one line for people; empty parts are left out.

    >>> sentence("no answer", "http://host:1", "Does it run there?")
    'http://host:1: no answer. Does it run there?'
    """
    head = f"{where}: {what}" if where else what
    return " ".join(part if part.endswith("?") else part.rstrip(".") + "." for part in (head, todo) if part)


def why(error: Exception) -> str:
    """What went wrong, as the part of a sentence: on one line, without type, number or the path once more.

    >>> why(FileNotFoundError(2, "No such file or directory", "a.yaml"))
    'No such file or directory'
    >>> why(KeyError("at"))
    "'at' is missing"
    """
    if isinstance(error, UnicodeDecodeError):
        return "it is no text in UTF-8"
    if (mark := getattr(error, "problem_mark", None)) is not None:
        return f"line {mark.line + 1} is no YAML: {getattr(error, 'problem', '')}"
    if type(error) is KeyError:
        return f"{error} is missing"
    if isinstance(error, OSError):
        if isinstance(cause := getattr(error, "reason", None), Exception):
            return why(cause)  # urllib wraps what happened
        if error.errno and type(error).__module__ not in _NUMBERED_OTHERWISE:
            return os.strerror(error.errno)
    text = _NOISE.sub("", getattr(error, "strerror", None) or str(error))
    return " ".join(text.split()) or ("timed out" if isinstance(error, TimeoutError) else type(error).__name__)


class SchemaError(Exception):
    """Something does not fit the formats of Tidegate. Fields say what, where and what to do."""

    code = "SCHEMA_ERROR"

    def __init__(self, what: str, *, where: str = "", todo: str = "") -> None:
        self.what, self.where, self.todo = what, where, todo
        super().__init__(sentence(what, where, todo))


class RecordInvalid(SchemaError):
    code = "RECORD_INVALID"


class FrameInvalid(SchemaError):
    code = "FRAME_INVALID"


class Incompatible(SchemaError):
    code = "SCHEMA_INCOMPATIBLE"
