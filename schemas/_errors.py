"""Errors of the ground floor. Each carries a stable `code`, which is also a metric label and a dead-letter reason.

SchemaError
├── RecordInvalid      a record does not fit its model
├── FrameInvalid       bytes are not a frame of the expected kind
└── Incompatible       a schema change would break a reader or a writer
"""


def sentence(what: str, where: str, todo: str) -> str:
    """Where, what happened and what to do, as one line for people; empty parts are left out.

    >>> sentence("no answer", "http://host:1", "Does it run there?")
    'http://host:1: no answer. Does it run there?'
    """
    head = f"{where}: {what}" if where else what
    return " ".join(part if part.endswith("?") else part.rstrip(".") + "." for part in (head, todo) if part)


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
