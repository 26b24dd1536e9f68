"""Errors of requests, per endpoint, status and version, against their own history: a beta-binomial upper tail.

Ratios of few requests are wild; the predictive law knows how many there were now and in the past, and is widened by
the over-dispersion that history shows. The first errors of a new kind are judged against all requests that had none
(`weight_before`).
"""

import numpy as np

from detectors._contract import State
from detectors._shares import Belief, initial_share, learn_share, share, upper
from schemas import AnomalyKind, SeriesDef
from schemas.core import Scores, WindowBlock

LEAST_ERRORS = 3.0
"""Fewer errors in a window are no anomaly, whatever the ratio."""
BELIEF = Belief(clump=1.5, shape=2.0, most=200.0)
"""One failing request is often tried again; a ratio varies by 70 % of itself. Not tuned."""


class ErrorRatio:
    """One-sided up, 60 s windows that slide by 10 s; counts whose name says error and which have a denominator."""

    kind = "error_ratio"
    version = "1"
    anomaly: AnomalyKind = "error_ratio"
    window_s = 60
    accepts_by_trait = True

    def accepts(self, series: SeriesDef) -> bool:
        if series.kind != "count" or series.is_histogram:
            return False
        return series.denominator is not None and "error" in series.name

    def initial(self, n: int) -> State:
        return initial_share(n)

    def score(self, state: State, block: WindowBlock) -> Scores:
        """expected and residual are errors in this window at this number of requests."""
        part = share(state, block, BELIEF)
        told = part.known & (np.nan_to_num(block.total) >= LEAST_ERRORS)
        residual = np.where(told, block.total - part.expected, np.nan)
        direction = np.where(told & (np.nan_to_num(residual) > 0), 1, 0).astype(np.int8)
        return Scores(np.where(told, upper(part), 1.0), np.where(told, part.expected, np.nan), residual, direction)

    def learn(self, state: State, block: WindowBlock) -> State:
        return learn_share(state, block, BELIEF)


PLUGIN = ErrorRatio
