"""Definitions of series as they ride along in frames: JSON bytes, made once and parsed only when somebody asks.

A definition is met once by every stage that reads frames, and most stages want its id alone. Building a model costs
some microseconds and two kilobytes, its JSON a third of a kilobyte; so what is handed on is the JSON.
"""

import json
from collections.abc import Iterable, Sequence
from typing import Any, overload

import numpy as np

from schemas._errors import FrameInvalid
from schemas._telemetry import SeriesDef
from schemas.core import U64

_START, _NEXT, _DIGITS = b'{"id":"', b'},{"id":"', 16


class SeriesDefs(Sequence[SeriesDef]):
    """Definitions by position. `texts` are their JSON bytes, exactly as `SeriesDef.to_bytes` writes them.

    Equal to any list of equal definitions. An item raises RecordInvalid when it is asked for and does not hold one.
    """

    __slots__ = ("_ids", "texts")

    def __init__(self, texts: Sequence[bytes] = ()) -> None:
        self.texts = texts
        self._ids: U64 | None = None

    @classmethod
    def of(cls, definitions: Iterable[SeriesDef]) -> "SeriesDefs":
        """The same definitions, rendered; one that is rendered already is returned as it is."""
        if isinstance(definitions, SeriesDefs):
            return definitions
        return cls([definition.to_bytes() for definition in definitions])

    @classmethod
    def read(cls, listed: bytes) -> "SeriesDefs":
        """From the inside of a JSON array of definitions. Raises ValueError.

        Ours begin with their id, and that a brace, quotes and `id` stand in this order happens inside no JSON string,
        so they are cut apart there; what another writer made is parsed.
        """
        if not listed:
            return cls()
        head, *tail = listed.split(_NEXT)
        texts = [head + b"}", *[_START + text + b"}" for text in tail]]
        texts[-1] = texts[-1][:-1]
        if not all(text.startswith(_START) and text[23:24] == b'"' for text in texts):
            texts = [json.dumps(found, separators=(",", ":")).encode() for found in json.loads(b"[" + listed + b"]")]
        return cls(texts)

    @property
    def ids(self) -> U64:
        """Ids uint64 (n,), without parsing the rest. Raises FrameInvalid if one is no id."""
        if self._ids is None:
            start = len(_START)
            try:
                digits = bytes.fromhex(b"".join([text[start : start + _DIGITS] for text in self.texts]).decode("ascii"))
            except ValueError:
                digits = b""
            if len(digits) != 8 * len(self.texts):
                digits = b"".join([_id_of(text) for text in self.texts])
            self._ids = np.frombuffer(digits, ">u8").astype(np.uint64)
        return self._ids

    def joined(self) -> bytes:
        """The inside of a JSON array."""
        return b",".join(self.texts)

    def __len__(self) -> int:
        return len(self.texts)

    @overload
    def __getitem__(self, index: int) -> SeriesDef: ...

    @overload
    def __getitem__(self, index: slice) -> "SeriesDefs": ...

    def __getitem__(self, index: int | slice) -> "SeriesDef | SeriesDefs":
        if isinstance(index, slice):
            return SeriesDefs(self.texts[index])
        return SeriesDef.from_bytes(self.texts[index])

    def __eq__(self, other: object) -> bool:
        if isinstance(other, SeriesDefs):
            return list(self.texts) == list(other.texts) or list(self) == list(other)
        return list(self) == other if isinstance(other, list) else NotImplemented

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"SeriesDefs({list(self)!r})"


def _id_of(text: bytes) -> bytes:
    try:
        found: Any = json.loads(text)["id"]
        return int(found, 16).to_bytes(8, "big")
    except (ValueError, KeyError, TypeError, OverflowError) as error:
        raise FrameInvalid(f"a definition without an id: {text[:80]!r}", todo="See the dead letter") from error
