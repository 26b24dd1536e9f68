"""Which series a stage knows: definitions, and a fast map from 64-bit ids to rows of the state arrays.

Ids are looked up by binary search in a sorted array that is rebuilt when series were added, because additions come in
bursts and look-ups by the million.
"""

from dataclasses import dataclass, field

import numpy as np

from schemas import SeriesDef
from schemas.core import I64, U64


@dataclass(slots=True)
class Registry:
    """Rows are handed out in order of arrival and never reused."""

    definitions: list[SeriesDef] = field(default_factory=list)
    rows: dict[int, int] = field(default_factory=dict)
    _by_row: U64 = field(default_factory=lambda: np.zeros(0, np.uint64))
    _sorted: U64 = field(default_factory=lambda: np.zeros(0, np.uint64))
    _order: I64 = field(default_factory=lambda: np.zeros(0, np.int64))

    def __len__(self) -> int:
        return len(self.definitions)

    def add(self, definition: SeriesDef) -> int:
        """The row of the series; a definition that is known already changes nothing."""
        identity = int(definition.id, 16)
        row = self.rows.get(identity)
        if row is None:
            row = self.rows[identity] = len(self.definitions)
            self.definitions.append(definition)
        return row

    def find(self, series: U64) -> I64:
        """Rows int64 (n,) of ids uint64 (n,); -1 where an id is unknown."""
        self.ids()
        if not len(self._sorted):
            return np.full(len(series), -1, np.int64)
        at = np.minimum(np.searchsorted(self._sorted, series), len(self._sorted) - 1)
        return np.where(self._sorted[at] == series, self._order[at], -1)

    def ids(self) -> U64:
        """Ids uint64 (n,) by row; the array is shared, do not write to it."""
        if len(self._by_row) != len(self.definitions):
            self._by_row = np.fromiter(self.rows.keys(), np.uint64, len(self.rows))
            self._order = np.argsort(self._by_row, kind="stable")
            self._sorted = self._by_row[self._order]
        return self._by_row

    def dump(self) -> list[dict[str, object]]:
        return [definition.model_dump(mode="json", exclude_defaults=True) for definition in self.definitions]

    @classmethod
    def load(cls, data: list[dict[str, object]]) -> "Registry":
        registry = cls()
        for entry in data:
            registry.add(SeriesDef.model_validate(entry))
        return registry
