"""Which series a stage knows: compact definitions, and a fast map from 64-bit ids to rows of the state arrays.

A definition is kept as the JSON of what differs from the defaults, some 150 bytes where an object is 2 KB, and made
an object when somebody asks. What stages decide by (signal, kind, name, ...) is a *trait*: series that differ only in
entity, service, labels and the id of their denominator share one number, so a hundred thousand series of one metric
are judged once. Ids are looked up by binary search in a sorted array, because look-ups come by the million.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from schemas import SeriesDef
from schemas.core import I64, U64

I32 = NDArray[np.int32]


@dataclass(slots=True)
class Registry:
    """Rows are handed out in order of arrival and never reused."""

    _raw: list[bytes] = field(default_factory=list)
    _examples: list[bytes] = field(default_factory=list)
    _numbers: dict[tuple[object, ...], int] = field(default_factory=dict)
    _ids: U64 = field(default_factory=lambda: np.zeros(0, np.uint64))
    _traits: I32 = field(default_factory=lambda: np.zeros(0, np.int32))
    _sorted: U64 = field(default_factory=lambda: np.zeros(0, np.uint64))
    _order: I64 = field(default_factory=lambda: np.zeros(0, np.int64))

    def __len__(self) -> int:
        return len(self._raw)

    def compact(self, definition: SeriesDef) -> tuple[bytes, int]:
        """What is kept of a definition: its JSON and the number of its trait. It gets no row yet."""
        d = definition
        raw = d.model_dump_json(exclude_defaults=True).encode()
        trait = (
            d.name, d.unit, d.signal, d.kind, d.temporality, d.is_event, d.is_histogram, d.denominator is None,
            d.lower, d.upper, d.trust,
        )  # fmt: skip
        number = self._numbers.get(trait)
        if number is None:
            number = self._numbers[trait] = len(self._examples)
            self._examples.append(raw)
        return raw, number

    def add(self, series: U64, compacted: Iterable[tuple[bytes, int]]) -> None:
        """Rows for new series (k,), in this order; none of them may be known already."""
        first = len(self._raw)
        raws, traits = zip(*compacted, strict=True) if len(series) else ((), ())
        self._raw.extend(raws)
        self._ids = np.concatenate([self._ids, series])
        self._traits = np.concatenate([self._traits, np.array(traits, np.int32)])
        order = np.argsort(series, kind="stable")
        at = np.searchsorted(self._sorted, series[order])
        self._sorted = np.insert(self._sorted, at, series[order])
        self._order = np.insert(self._order, at, first + order)

    def add_new(self, definitions: Iterable[SeriesDef]) -> None:
        """Rows for those that are not known yet, in their order."""
        given = {int(d.id, 16): d for d in definitions}
        ids = np.fromiter(given, np.uint64, len(given))
        fresh = ids[self.find(ids) < 0]
        self.add(fresh, [self.compact(given[identity]) for identity in fresh.tolist()])

    def find(self, series: U64) -> I64:
        """Rows int64 (n,) of ids uint64 (n,); -1 where an id is unknown."""
        if not len(self._sorted):
            return np.full(len(series), -1, np.int64)
        at = np.minimum(np.searchsorted(self._sorted, series), len(self._sorted) - 1)
        return np.where(self._sorted[at] == series, self._order[at], -1)

    def row(self, identity: int) -> int:
        """The row of one id, -1 if it is unknown."""
        return int(self.find(np.array([identity], np.uint64))[0])

    def definition(self, row: int) -> SeriesDef:
        return SeriesDef.model_validate_json(self._raw[row])

    def ids(self) -> U64:
        """Ids uint64 (n,) by row; the array is shared, do not write to it."""
        return self._ids

    def traits(self) -> I32:
        """Number of the trait of each row, int32 (n,); shared, do not write to it."""
        return self._traits

    def examples(self, numbers: Iterable[int]) -> list[SeriesDef]:
        """One definition of each of these traits."""
        return [SeriesDef.model_validate_json(self._examples[number]) for number in numbers]

    def ask(self, rows: I64, question: Callable[[SeriesDef], Any]) -> NDArray[Any]:
        """The answer for each row (n,); the question may look at what belongs to a trait, and is put once for each."""
        numbers, inverse = np.unique(self._traits[rows], return_inverse=True)
        return np.array([question(definition) for definition in self.examples(numbers.tolist())])[inverse]

    def dump(self) -> bytes:
        """One definition a line, by row."""
        return b"\n".join(self._raw)

    @classmethod
    def load(cls, data: bytes) -> "Registry":
        registry = cls()
        registry.add_new(SeriesDef.model_validate_json(line) for line in data.splitlines())
        return registry
