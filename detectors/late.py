"""Late telemetry: of all samples that a source brought, too many of one service came after time had passed them.

What comes late counts in no window, so everything else that is said of such a service rests on less than it seems. The
share is judged against its own history as errors are; the series are there only once anything was late (`streams`), and
begin with what came in time before. Samples come in messages, many late at once, so they count in clumps of twenty
until history shows more.
"""

import numpy as np

from detectors._contract import State
from detectors._shares import Belief, initial_share, learn_share, share, upper
from schemas import AnomalyKind, SeriesDef
from schemas.core import Scores, WindowBlock

LEAST = 3.0
"""Fewer late samples in a window are no anomaly."""
BELIEF = Belief(clump=20.0, shape=1.0, most=1000.0, whole=2.0)
"""Chosen, not tuned: a share of lateness may differ by its own size from window to window."""


class Late:
    """One-sided up, 60 s windows; the series `telemetry.late` of a service and a source."""

    kind = "late"
    version = "1"
    anomaly: AnomalyKind = "metric"
    window_s = 60
    accepts_by_trait = True

    def accepts(self, series: SeriesDef) -> bool:
        return series.name == "telemetry.late" and series.kind == "count" and series.denominator is not None

    def initial(self, n: int) -> State:
        return initial_share(n)

    def score(self, state: State, block: WindowBlock) -> Scores:
        """expected and residual are late samples in this window, of as many as the source brought."""
        part = share(state, block, BELIEF)
        told = part.known & (np.nan_to_num(block.total) >= LEAST)
        residual = np.where(told, block.total - part.expected, np.nan)
        direction = np.where(told & (np.nan_to_num(residual) > 0), 1, 0).astype(np.int8)
        return Scores(np.where(told, upper(part), 1.0), np.where(told, part.expected, np.nan), residual, direction)

    def learn(self, state: State, block: WindowBlock) -> State:
        return learn_share(state, block, BELIEF)


PLUGIN = Late
