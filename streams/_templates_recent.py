"""A bounded cache in two generations: what was not asked for during a whole generation is forgotten.

Least recently used but for the exact order, at the cost of one look-up in a dict; deterministic, so one that was read
from a snapshot goes on as the original would.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

ENTRIES, SIZE, ENTRY_SIZE = 8_192, 1_000_000, 2_048
"""Bounds of one generation, and of a shape that is kept at all; sizes in bytes."""


@dataclass(slots=True)
class Recent:
    """Key of a template by shape of a line."""

    young: dict[bytes, str] = field(default_factory=dict)
    old: dict[bytes, str] = field(default_factory=dict)
    size: int = 0
    """Bytes of the shapes in the young generation."""

    def get(self, shape: bytes) -> str | None:
        """What was put for the shape, if it is still known; it is young again."""
        key = self.young.get(shape)
        if key is None:
            key = self.old.get(shape)
            if key is not None:
                self.put(shape, key)
        return key

    def put(self, shape: bytes, key: str) -> None:
        """Keep it; a shape that is too long is not kept."""
        if len(shape) > ENTRY_SIZE:
            return
        if len(self.young) >= ENTRIES or self.size + len(shape) > SIZE:
            self.old, self.young, self.size = self.young, {}, 0
        self.young[shape] = key
        self.size += len(shape)

    def dump(self, numbers: Mapping[str, int]) -> list[list[list[str | int]]]:
        """The old generation and the young one; keys as numbers, -1 where there is none."""
        return [[[s.decode(), numbers.get(k, -1)] for s, k in part.items()] for part in (self.old, self.young)]

    @classmethod
    def load(cls, data: list[list[tuple[str, int]]], keys: list[str]) -> "Recent":
        old, young = ({s.encode(): keys[at] for s, at in part} for part in data)
        return cls(young, old, sum(map(len, young)))
