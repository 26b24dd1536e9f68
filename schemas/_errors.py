"""Errors of the ground floor. Each carries a stable `code`, which is also a metric label and a dead-letter reason.

SchemaError
├── RecordInvalid      a record does not fit its model
├── FrameInvalid       bytes are not a frame of the expected kind
└── Incompatible       a schema change would break a reader or a writer
"""


class SchemaError(Exception):
    """Something does not fit the formats of Tidegate. Fields say what, where and what to do."""

    code = "SCHEMA_ERROR"

    def __init__(self, what: str, *, where: str = "", todo: str = "") -> None:
        self.what, self.where, self.todo = what, where, todo
        super().__init__(
            ". ".join(part.rstrip(".") for part in (f"{where}: {what}" if where else what, todo) if part) + "."
        )


class RecordInvalid(SchemaError):
    code = "RECORD_INVALID"


class FrameInvalid(SchemaError):
    code = "FRAME_INVALID"


class Incompatible(SchemaError):
    code = "SCHEMA_INCOMPATIBLE"
