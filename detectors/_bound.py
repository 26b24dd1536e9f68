"""A fixed bound, with the probability that this series has of being beyond it: the baseline that others have to beat.

What is beyond its bound every night is no wonder: p is the share of its own windows that were beyond, and one more.
"""

from typing import ClassVar

import numpy as np

from detectors._contract import State
from schemas import AnomalyKind
from schemas.core import Scores, WindowBlock

KEPT = 0.9998
"""Of what was counted, each window; half is 2.4 days old."""


class Bound:
    """One-sided up. A subclass says which series it accepts, and the bound in their unit."""

    version = "1"
    accepts_by_trait = True
    anomaly: AnomalyKind = "metric"
    window_s = 60
    is_optional = True
    emit_p = 0.02
    """Weaker than usual: a bound that people chose says more than its p, which a short history keeps large."""
    bound: ClassVar[float]

    def initial(self, n: int) -> State:
        return {"beyond": np.zeros(n), "windows": np.zeros(n)}

    def score(self, state: State, block: WindowBlock) -> Scores:
        """expected is the bound; residual what lies above it; p = 1 at or below it."""
        x = block.mean
        above = np.isfinite(x) & (x > self.bound)
        p = np.where(above, (state["beyond"] + 1.0) / (state["windows"] + 2.0), 1.0)
        expected = np.where(np.isfinite(x), self.bound, np.nan)
        return Scores(np.clip(p, 1e-300, 1.0), expected, x - expected, above.astype(np.int8))

    def learn(self, state: State, block: WindowBlock) -> State:
        seen = np.isfinite(block.mean)
        kept = np.where(seen, KEPT, 1.0)
        above = seen & (np.nan_to_num(block.mean) > self.bound)
        return {"beyond": state["beyond"] * kept + above, "windows": state["windows"] * kept + seen}
