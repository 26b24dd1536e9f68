"""Definitions kept small: what is particular to a series as JSON bytes, what many share once, as a numbered *trait*.

A definition object is 2 KB and its JSON 300 bytes, of which the end (unit, signal, kind, ...) is the same for all
series of a metric. So a series keeps the number of its trait (name and end) and the beginning, up to its labels. What
stages decide by belongs to the trait, so a hundred thousand series of one metric are judged once.

Most definitions are in the bytes that `SeriesDef.to_bytes` writes, plain ASCII without escapes; an expression checks
them in a microsecond, and the end was checked when its trait was first met. All others are read and written anew.
"""

import re
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from schemas import SeriesDef

_TEXT = rb'[^"\\\x00-\x1f]*+'
_PLAIN = re.compile(
    rb'\{"id":"[0-9a-f]{16}","tenant":"T","entity_id":"T","service":"T","name":"(T)",'
    rb'"labels":\{(?:"T":"T"(?:,"T":"T")*+)?\}'
    rb'(,"unit":"T","signal":"T","kind":"T","temporality":"T","is_event":[a-z]++,"is_histogram":[a-z]++,'
    rb'"denominator":)(null|"[0-9a-f]{16}")(,.*)'.replace(b"T", _TEXT),
    re.DOTALL,
)
_UNIT, _DENOMINATOR, _NULL = b'},"unit":"', b',"denominator":', b"null"
_CUT = b"\0"
"""Before the denominator of a series that has one; no JSON holds this byte."""
_DIGITS = 4
"""Bytes of the number of the trait, with which everything kept begins."""
Trait = tuple[bytes, bytes, bool, bytes]
"""Name, the end up to the denominator, whether there is one, the rest of the end."""


class Traits:
    """Numbers of traits in order of arrival."""

    __slots__ = ("_examples", "_known", "_numbers")

    def __init__(self) -> None:
        self._numbers: dict[Trait, int] = {}
        self._known: list[Trait] = []
        self._examples: list[bytes] = []

    def __len__(self) -> int:
        return len(self._known)

    def compact(self, text: bytes) -> bytes:
        """What to keep of a definition. Raises RecordInvalid if it is none."""
        found = _PLAIN.fullmatch(text) if text.isascii() else None
        if found is not None:
            name, end, whole, rest = found.groups()
            trait = name, end, whole != _NULL, rest
            number = self._numbers.get(trait)
            if number is not None:
                return _kept(number, text[: found.start(2)], whole)
        return self._met(SeriesDef.from_bytes(text))

    def _met(self, definition: SeriesDef) -> bytes:
        """The same for any definition. A quote in a JSON string is escaped, so `},"unit":"` stands in one place."""
        text = definition.to_bytes()
        at = text.index(_UNIT) + 1
        start = text.index(_DENOMINATOR, at) + len(_DENOMINATOR)
        whole = _NULL if definition.denominator is None else text[start : text.index(b'"', start + 1) + 1]
        trait = definition.name.encode(), text[at:start], whole != _NULL, text[start + len(whole) :]
        number = self._numbers.setdefault(trait, len(self._known))
        kept = _kept(number, text[:at], whole)
        if number == len(self._known):
            self._known.append(trait)
            self._examples.append(kept)
        return kept

    def text(self, kept: bytes) -> bytes:
        """The JSON of a definition."""
        _, end, _, rest = self._known[int.from_bytes(kept[:_DIGITS], "little")]
        head, _, whole = kept[_DIGITS:].partition(_CUT)
        return b"".join((head, end, whole or _NULL, rest))

    def example(self, number: int) -> SeriesDef:
        """The first definition of a trait."""
        return SeriesDef.from_bytes(self.text(self._examples[number]))


def _kept(number: int, head: bytes, whole: bytes) -> bytes:
    digits = number.to_bytes(_DIGITS, "little")
    return digits + head if whole == _NULL else b"".join((digits, head, _CUT, whole))


def numbers(kept: Iterable[bytes]) -> NDArray[np.int32]:
    """Number of the trait of each, int32 (n,)."""
    return np.frombuffer(b"".join([one[:_DIGITS] for one in kept]), "<i4").astype(np.int32)
