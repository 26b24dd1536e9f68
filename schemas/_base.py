"""The base of every record that crosses a topic.

Strict when written (an unknown field is a bug of ours), tolerant when read from a topic (a newer writer may have
added one), strict again in configuration and in anything signed.
"""

from typing import ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, JsonValue, ValidationError

from schemas._errors import RecordInvalid

Json = JsonValue


class Record(BaseModel):
    """A frozen record. `TYPE` is its CloudEvents type without the prefix, `VERSION` its major schema version."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="null", use_attribute_docstrings=True)

    TYPE: ClassVar[str] = ""
    VERSION: ClassVar[int] = 1

    def to_bytes(self) -> bytes:
        """JSON bytes as they lie on a topic."""
        return self.model_dump_json().encode()

    @classmethod
    def from_bytes(cls, data: bytes, *, strict: bool = False) -> Self:
        """Read a record; unknown fields are ignored unless `strict`.

        Raises RecordInvalid, naming the first field that does not fit.
        """
        extra: Literal["forbid", "ignore"] = "forbid" if strict else "ignore"
        try:
            return cls.model_validate_json(data, extra=extra)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            field = ".".join(str(part) for part in first["loc"]) or "(whole record)"
            raise RecordInvalid(f"{cls.__name__} field '{field}': {first['msg']}", where=cls.TYPE) from error
