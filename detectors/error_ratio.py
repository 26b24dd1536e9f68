"""Errors of requests, per endpoint, status and version, against their own history: a beta-binomial upper tail.

Ratios of few requests are wild; the predictive law knows how many there were now and in the past, and is widened by
the over-dispersion that history shows. The first errors of a new kind are judged against all requests that had none
(`weight_before`). How much the ratio of a series varies by itself is believed narrowly once it has shown so (`_calm`).
Then the last ten minutes together are judged as well, so that what burns slowly is found where a minute has few
requests; an endpoint of two requests a minute that fail for a while never has three errors in one. Source of the two
spans: Beyer et al., The Site Reliability Workbook, chapter 5, multiwindow alerts.
"""

import numpy as np

from detectors._bursts import initial_bursts, learn_bursts, upper_burst, upper_lasting
from detectors._calm import LEAST_WINDOWS, SHAPE, at_least_own, initial_calm, learn_calm, shape_of
from detectors._contract import State
from detectors._shares import Belief, Share, exposure_of, initial_share, learn_share, share, share_of, upper
from schemas import AnomalyKind, SeriesDef
from schemas.core import F64, Bool, Scores, WindowBlock

LEAST_ERRORS = 3.0
"""Fewer errors in a window are no anomaly, whatever the ratio, unless errors last."""
LASTING_ERRORS, LASTING_MINUTES = 5.0, 4
"""So many in ten minutes, in so many of them, last: a burst or two do not. Chosen on lots 0 and 2 of
`bench.pages_errors`; 4 in 3 and 6 in 5 do nearly as well."""
BEFORE = 9
"""So many windows before this one are judged together with it."""
MOST = 3e38
"""That is remembered of one window; what is remembered is float32."""
BELIEF = Belief(clump=1.5, shape=2.0, most=200.0)
"""One failing request is often tried again; a ratio varies by 70 % of itself, unless it is calm. Not tuned."""


class ErrorRatio:
    """One-sided up, 60 s windows that slide by 10 s; counts whose name says error and which have a denominator."""

    kind = "error_ratio"
    version = "4"
    anomaly: AnomalyKind = "error_ratio"
    window_s = 60
    accepts_by_trait = True

    def accepts(self, series: SeriesDef) -> bool:
        if series.kind != "count" or series.is_histogram:
            return False
        return series.denominator is not None and "error" in series.name

    def initial(self, n: int) -> State:
        """168 bytes a series."""
        before = {name: np.zeros((n, BEFORE), np.float32) for name in ("errors", "requests")}
        return initial_share(n) | initial_calm(n) | initial_bursts(n) | before

    def score(self, state: State, block: WindowBlock) -> Scores:
        """expected and residual are errors in this window at this number of requests."""
        enough = _enough(state, block)
        if not enough.any():  # most windows of a small fleet: nothing to reckon
            n, nothing = len(block.total), np.full(len(block.total), np.nan)
            return Scores(np.ones(n), nothing, nothing.copy(), np.zeros(n, np.int8))
        few = np.nan_to_num(block.total) < LEAST_ERRORS
        shape = np.where(few, BELIEF.shape, shape_of(state, BELIEF))  # of few errors no share is known to be calm
        part = share(state, block, BELIEF, shape)
        told = part.known & enough
        residual = np.where(told, block.total - part.expected, np.nan)
        direction = np.where(told & (np.nan_to_num(residual) > 0), 1, 0).astype(np.int8)
        p = _told(state, block, part, shape)
        if (is_old := state["windows"] >= LEAST_WINDOWS).any():
            narrow = np.full(len(p), SHAPE)
            own = at_least_own(state, _told(state, block, share(state, block, BELIEF, narrow), narrow))
            p = np.where(is_old, np.maximum(p, own), p)
        return Scores(np.where(told, p, 1.0), np.where(told, part.expected, np.nan), residual, direction)

    def learn(self, state: State, block: WindowBlock) -> State:
        shape, narrow = shape_of(state, BELIEF), np.full(len(block.total), SHAPE)
        part = share(state, block, BELIEF, narrow)
        learned = learn_calm(state, _of_both(state, block, part, narrow), part.known)
        (k, after), n = state["errors"][:, :2].T.astype(np.float64), state["requests"][:, 0].astype(np.float64)
        due = state["seen"] * n / np.maximum(state["exposure"], 1.0)
        learned = learn_bursts(learned, k, after, due, part.known & (n > 0))
        learned = learn_share(learned, block, BELIEF, shape)
        known = np.isfinite(block.total) & np.isfinite(block.weight)
        for name, now in (("errors", block.total), ("requests", block.weight)):
            learned[name] = np.column_stack(
                [state[name][:, 1:], np.where(known, np.clip(now, 0.0, MOST), 0.0).astype(np.float32)]
            )
        return learned


def _enough(state: State, block: WindowBlock) -> Bool:
    """Whether there are errors enough to tell of, in the window or, at the end of a whole minute, in the last ten."""
    k = np.nan_to_num(block.total)
    enough = np.asarray(k >= LEAST_ERRORS)
    if block.is_tumbling and len(rows := np.flatnonzero(~enough & (k > 0))):
        before = state["errors"][rows]
        lasts = (before > 0).sum(axis=1) + 1 >= LASTING_MINUTES
        enough[rows] = lasts & (before.sum(axis=1, dtype=np.float64) + k[rows] >= LASTING_ERRORS)
    return enough


def _told(state: State, block: WindowBlock, part: Share, shape: F64) -> F64:
    """Only a whole minute can be added to those before it."""
    return _of_both(state, block, part, shape) if block.is_tumbling else _single(state, block, part)


def _single(state: State, block: WindowBlock, part: Share) -> F64:
    """Tail probability of a window, whichever is larger: as errors by themselves, or as one burst of them."""
    burst = upper_burst(state, block.total, block.weight, exposure_of(state, block), part.expected)
    return np.where(part.known, np.maximum(upper(part), burst), 1.0)


def _of_both(state: State, block: WindowBlock, part: Share, shape: F64) -> F64:
    """Tail probability of a window by itself or with those before it, whichever is smaller, for having looked twice.

    Ten minutes are no single burst if there are too many errors for one, or too many minutes with any.
    """
    given, exposure = (("errors", block.total), ("requests", block.weight)), exposure_of(state, block)
    k, n = (state[name].sum(axis=1, dtype=np.float64) + now for name, now in given)
    minutes = (state["errors"] > 0).sum(axis=1) + (np.nan_to_num(block.total) > 0)
    lasting = upper_lasting(state, minutes, BEFORE + 1, n, exposure, shape)
    slow = share_of(state, k, n, exposure, BELIEF, shape)
    one_burst = 2 * np.minimum(upper_burst(state, k, n, exposure, slow.expected), lasting)
    found = np.minimum(_single(state, block, part), np.maximum(upper(slow), one_burst))
    return np.where(part.known, np.minimum(2 * found, 1.0), 1.0)


PLUGIN = ErrorRatio
