"""What the keys of the fast parser stand for: definitions of series, in some hundred bytes each, as pieces of JSON.

The JSON of a definition is cut in five: the id, who it is about (one for each resource), name, labels, and the rest
(one for each metric). Only labels and two small numbers are kept a series; the whole is put together when asked for.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from schemas import SeriesDef
from schemas.core import I64, U64
from streams._decoded import Rendered, RenderedDefs

I32 = NDArray[np.int32]
_ID = slice(7, 23)
"""Where the sixteen digits stand in the JSON of a definition."""


class Owner(NamedTuple):
    """Who series of one resource are about. `text`: the JSON between id and name."""

    tenant: str
    service: str
    text: bytes


class Traits(NamedTuple):
    """What series of one metric have in common: the JSON from name to labels, and after the labels."""

    before: bytes
    after: bytes


class Pieces(NamedTuple):
    owner: Owner
    traits: Traits
    labels: bytes

    @classmethod
    def of(cls, found: Rendered) -> "Pieces":
        """Cut where keys begin; that a comma, quotes and such a name stand in this order happens inside no string."""
        text = found.text
        name = text.index(b',"name":"', _ID.stop)
        start = text.index(b',"labels":{', name) + 10
        end = text.index(b'},"unit":"', start) + 1
        owner = Owner(found.tenant, found.service, text[_ID.stop : name])
        return cls(owner, Traits(text[name:start], text[end:]), text[start:end])


class Book:
    """Series by row, in order of arrival. ids: uint64 (>= n,)."""

    def __init__(self) -> None:
        self.ids: U64 = np.zeros(0, np.uint64)
        self._owner: I32 = np.zeros(0, np.int32)
        self._traits: I32 = np.zeros(0, np.int32)
        self._start: I64 = np.zeros(0, np.int64)
        self._end: I64 = np.zeros(0, np.int64)
        self._labels = bytearray()
        self._count = 0
        self._owners: dict[Owner, int] = {}
        self._all_traits: dict[Traits, int] = {}
        self._owner_list: list[Owner] = []
        self._traits_list: list[Traits] = []

    def __len__(self) -> int:
        return self._count

    def owner(self, owner: Owner) -> int:
        """The number of an owner, a new one if need be."""
        number = self._owners.setdefault(owner, len(self._owner_list))
        if number == len(self._owner_list):
            self._owner_list.append(owner)
        return number

    def traits(self, traits: Traits) -> int:
        """The number of traits, a new one if need be."""
        number = self._all_traits.setdefault(traits, len(self._traits_list))
        if number == len(self._traits_list):
            self._traits_list.append(traits)
        return number

    def add(self, ids: U64, owners: Sequence[int], traits: Sequence[int], labels: bytes, ends: I64) -> None:
        """Give the next n rows to series. labels: JSON objects one after the other; ends (n,): where each ends."""
        start, stop = self._count, self._count + len(ids)
        self._reserve(stop)
        self.ids[start:stop], self._owner[start:stop], self._traits[start:stop] = ids, owners, traits
        self._start[start:stop] = len(self._labels) + np.concatenate([[0], ends[:-1]])
        self._end[start:stop] = len(self._labels) + ends
        self._labels += labels
        self._count = stop

    def fill(self, rows: Sequence[int], ids: Sequence[int], found: Sequence[Rendered]) -> None:
        """Say what some rows are that were given out blank."""
        for row, identity, entry in zip(rows, ids, found, strict=True):
            pieces = Pieces.of(entry)
            self.ids[row] = identity
            self._owner[row], self._traits[row] = self.owner(pieces.owner), self.traits(pieces.traits)
            self._start[row] = len(self._labels)
            self._labels += pieces.labels
            self._end[row] = len(self._labels)

    def _reserve(self, stop: int) -> None:
        if stop <= len(self.ids):
            return
        room = max(1024, stop + stop // 2)
        for name in ("ids", "_owner", "_traits", "_start", "_end"):
            column = getattr(self, name)
            setattr(self, name, np.concatenate([column, np.zeros(room - len(column), column.dtype)]))

    def rendered(self, row: int) -> Rendered:
        owner = self._owner_list[self._owner[row]]
        traits = self._traits_list[self._traits[row]]
        labels = bytes(self._labels[self._start[row] : self._end[row]])
        text = b'{"id":"%016x%b%b%b%b' % (int(self.ids[row]), owner.text, traits.before, labels, traits.after)
        return Rendered(owner.tenant, owner.service, text)

    def all_rendered(self, rows: Sequence[int]) -> list[Rendered]:
        """The same for many rows at once."""
        at = np.asarray(rows, np.int64)
        digits = self.ids[at].astype(">u8").tobytes().hex().encode()
        columns = (self._owner[at], self._traits[at], self._start[at], self._end[at])
        found = []
        owners, traits = self._owner_list, self._traits_list
        with memoryview(self._labels) as labels:
            for i, (who, what, start, end) in enumerate(zip(*(column.tolist() for column in columns), strict=True)):
                tenant, service, text = owners[who]
                before, after = traits[what]
                parts = (b'{"id":"', digits[16 * i : 16 * i + 16], text, before, labels[start:end], after)
                found.append(Rendered(tenant, service, b"".join(parts)))
        return found


class KnownDefs(RenderedDefs):
    """Definitions of one message: rows of a book and what the plain decoder said, in the order of the message.

    The first of an id counts. parts: rows int32 (n,) of points, or definitions.
    """

    __slots__ = ("_book", "_parts", "_rows")

    def __init__(self, book: Book, parts: "list[I32 | RenderedDefs]") -> None:
        self._book, self._parts = book, parts
        self._rows: dict[int, int | Rendered] | None = None

    def rendered(self, ids: Sequence[int]) -> list[Rendered]:
        found = self._by_id()
        rows = [found[identity] for identity in ids]
        if all(isinstance(row, int) for row in rows):
            return self._book.all_rendered(rows)  # type: ignore[arg-type]
        return [self._book.rendered(row) if isinstance(row, int) else row for row in rows]

    def _by_id(self) -> dict[int, int | Rendered]:
        if self._rows is None:
            self._rows = {}
            for part in reversed(self._parts):
                if isinstance(part, RenderedDefs):
                    ids = list(part)
                    self._rows |= dict(zip(ids, part.rendered(ids), strict=True))
                else:
                    backwards = part[::-1]
                    self._rows |= dict(zip(self._book.ids[backwards].tolist(), backwards.tolist(), strict=True))
        return self._rows

    def __getitem__(self, identity: int) -> SeriesDef:
        row = self._by_id()[identity]
        return SeriesDef.from_bytes((self._book.rendered(row) if isinstance(row, int) else row).text)

    def __iter__(self) -> Iterator[int]:
        return iter(self._by_id())

    def __len__(self) -> int:
        return len(self._by_id())
