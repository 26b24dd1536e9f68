"""Baselines handed on: a series that goes on in the place of another under a new name need not learn its day anew.

In a rolling deploy every instance ends and another of the same kind begins. What hour of the day is usual, how far a
series scatters and how heavy its tail is belongs to the kind; the level is its own, since a fresh process uses less
memory than an old one, so the profile is moved to where the heir has been so far. Detectors whose state is of one
process (trend, flat line, level shift) begin anew: they do not say `inherited`. What a bad deploy does to the level of
every new instance is not seen here; the watch over the change compares versions.
"""

from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from detectors._contract import State
from schemas.core import WindowBlock

LEVEL_WINDOWS = 5.0
"""Learned by an heir before its level is believed."""


@runtime_checkable
class Heritable(Protocol):
    """A detector whose baseline is of the kind of instance."""

    def inherited(self, old: State, own: State, block: WindowBlock) -> State:
        """The state of series (n,) that go on in the place of others: what those knew, at the level of their own.

        block: the window that is judged next.
        """
        ...


def hand_on(
    detector: Heritable, table: State, index: NDArray[np.int32], heirs: NDArray[np.int64], block: WindowBlock
) -> NDArray[np.int64]:
    """Let heirs know what was known in their place, in the table of a detector; returns those that are yet to come.

    heirs: int64 (k, 2), rows of the partition: what ended and what goes on. One takes over once it has a level of its
    own, unless it was judged for longer than the other; `block` is judged next. Of what the detector does not know
    nothing is handed on.
    """
    known = np.concatenate([index, np.full(max(int(heirs.max()) + 1 - len(index), 0), -1, np.int32)])
    heirs = heirs[known[heirs[:, 0]] >= 0]
    was, now = known[heirs].T
    own = np.zeros(len(heirs))
    own[now >= 0] = table["windows"][now[now >= 0]]
    is_due = own >= LEVEL_WINDOWS
    was, now, own = was[is_due], now[is_due], own[is_due]
    longer = table["windows"][was] > own
    old, new = ({name: column[local[longer]] for name, column in table.items()} for local in (was, now))
    for name, column in detector.inherited(old, new, block).items():
        table[name][now[longer]] = column
    left: NDArray[np.int64] = heirs[~is_due]
    return left
