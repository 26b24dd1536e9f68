"""What the three detectors of log templates share: which series they take, their state, their answer.

A template is judged by its share of the service's lines, so a quiet minute is not a vanished template and a busy one
is not a burst. Absence is evidence too: on real faults, expected lines that stopped told more than new ones.
"""

import numpy as np

from detectors._contract import State
from detectors._shares import Share, initial_share, learn_share, share
from schemas import SeriesDef
from schemas.core import F64, Bool, Scores, WindowBlock

CLUMP = 3.0
"""Lines that one request writes of one template; a prior, not tuned."""


class TemplateRate:
    """A subclass says which tail it looks at."""

    version = "1"
    window_s = 60

    def accepts(self, series: SeriesDef) -> bool:
        return series.name == "log.lines" and series.denominator is not None

    def initial(self, n: int) -> State:
        return initial_share(n)

    def learn(self, state: State, block: WindowBlock) -> State:
        return learn_share(state, block)

    def part(self, state: State, block: WindowBlock) -> Share:
        return share(state, block, clump=CLUMP)


def scores(block: WindowBlock, part: Share, p: F64, asked: Bool) -> Scores:
    """p where it was asked for and known, else 1; expected lines at this load."""
    told = asked & part.known
    residual = np.where(told, block.total - part.expected, np.nan)
    return Scores(
        np.where(told, p, 1.0),
        np.where(told, part.expected, np.nan),
        residual,
        np.sign(np.nan_to_num(residual)).astype(np.int8),
    )
