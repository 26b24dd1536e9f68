"""What the three detectors of log templates share: which series they take, their state, their answer.

A template is judged by its share of the service's lines, so a quiet minute is not a vanished template and a busy one
is not a burst. Absence is evidence too: on real faults, expected lines that stopped told more than new ones.
"""

import numpy as np

from detectors._contract import State
from detectors._shares import Belief, Share, exposure_of, initial_share, learn_share, share
from schemas import SeriesDef
from schemas.core import F64, Bool, Scores, WindowBlock

BELIEF = Belief(clump=1.5, shape=10.0, most=0.0, whole=2.0)
"""A request writes some lines several times; a share varies by a third of itself with the mix of requests."""
NEVER = 0.5
"""A fading history holds less than half a line."""
LEAST_RECORDED = 0.42
"""Of a window: 50 of its 120 s."""
NEW_WINDOWS = 5
"""A template is new for ten minutes; then it is a known one."""


class TemplateRate:
    """A subclass says which tail it looks at. Windows of two minutes: many templates have a few lines a minute.

    Beside the share, `before` holds how many lines the service had written when a template first came, and `age` how
    many windows ago that was.
    """

    version = "2"
    window_s = 120
    emit_p = 0.02
    """Weaker than usual: with little history no template can be strong, but many weak ones tell a cause."""
    accepts_by_trait = True

    def accepts(self, series: SeriesDef) -> bool:
        return series.name == "log.lines" and series.denominator is not None

    def initial(self, n: int) -> State:
        return initial_share(n) | {"before": np.zeros(n), "age": np.zeros(n)}

    def learn(self, state: State, block: WindowBlock) -> State:
        with np.errstate(invalid="ignore"):
            speaks = np.isfinite(block.weight) & (block.weight > 0)
            first = speaks & (block.total > 0) & (state["seen"] < NEVER)
        before = np.where(first, exposure_of(state, block), state["before"])
        age = np.where(first, 1.0, np.where(speaks & (state["age"] > 0), state["age"] + 1.0, state["age"]))
        return learn_share(state, block, BELIEF) | {"before": before, "age": age}

    def part(self, state: State, block: WindowBlock) -> Share:
        """The share of each template; of a new one by what was before it came."""
        part = share(state, block, BELIEF)
        fresh = (state["age"] > 0) & self.is_new(state)
        a, b = np.where(fresh, 1.0, part.a), np.where(fresh, state["before"] / part.clump + 1.0, part.b)
        return part._replace(a=a, b=b, expected=np.where(fresh, 0.0, part.expected))

    def is_new(self, state: State) -> Bool:
        """Never seen, or first seen at most `NEW_WINDOWS` ago in a service that had written lines before."""
        young = (state["age"] > 0) & (state["age"] <= NEW_WINDOWS) & (state["before"] > 0)
        return np.asarray((state["seen"] < NEVER) | young)


def is_whole(block: WindowBlock) -> Bool:
    """Enough was recorded. Where recording begins or ends, requests are cut in two and shares mean little."""
    return np.asarray(np.nan_to_num(block.recorded) >= LEAST_RECORDED)


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
