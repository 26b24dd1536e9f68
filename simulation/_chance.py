"""Seeded chance: splitmix64 (Steele, Lea & Flood, OOPSLA 2014), one stream for each thing that chance decides.

Streams are named, so taking one fault out of a run leaves every other draw as it was; that is what makes a failing
seed shrink. No global state and no hash of Python's own, so a seed is the same history on every machine.
"""

import hashlib
import math
from collections.abc import Sequence
from typing import TypeVar

import numpy as np

T = TypeVar("T")
_MASK = (1 << 64) - 1
_UNIT = 2.0**-53
_STEP = 0x9E3779B97F4A7C15


class Chance:
    __slots__ = ("_state",)

    def __init__(self, seed: int, stream: str) -> None:
        self._state = int.from_bytes(hashlib.blake2b(f"{seed}/{stream}".encode(), digest_size=8).digest(), "big")

    def share(self) -> float:
        """In [0, 1)."""
        self._state = mixed = (self._state + _STEP) & _MASK
        mixed = ((mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & _MASK
        return ((mixed ^ (mixed >> 31)) >> 11) * _UNIT

    def shares(self, n: int) -> list[float]:
        """The next n at once: each number of a stream follows from its place."""
        places = np.arange(1, n + 1, dtype=np.uint64) * np.uint64(_STEP) + np.uint64(self._state)
        self._state = int(places[-1])
        mixed = (places ^ (places >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        shares: list[float] = (((mixed ^ (mixed >> np.uint64(31))) >> np.uint64(11)) * _UNIT).tolist()
        return shares

    def happens(self, probability: float) -> bool:
        return probability > 0.0 and self.share() < probability

    def below(self, n: int) -> int:
        """A whole number from 0 to n - 1."""
        return int(self.share() * n)

    def between(self, low: int, high: int) -> int:
        """A whole number from low to high - 1."""
        return low + int(self.share() * (high - low))

    def pick(self, things: Sequence[T]) -> T:
        return things[int(self.share() * len(things))]

    def waits(self, mean: float) -> float:
        """Exponentially distributed."""
        return -math.log(1.0 - self.share()) * mean
