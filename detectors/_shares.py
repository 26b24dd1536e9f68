"""What share of a service's lines or requests a series makes up, and how sure history is of it.

The predictive law of k of n is beta-binomial. Its parameters hold the history of the share, however short: one minute
of history simply predicts badly. Lines come in clumps (one request writes several), so counts are divided by a
clump size that is learned from Pearson residuals, starting from a prior; and because the mix of requests shifts,
history is believed only so far (`Belief`). Everything is relative to the denominator, so load cancels.
McCullagh & Nelder 1989, section 4.5 (over-dispersion).
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from detectors._contract import State
from detectors._tails import upper_beta_binomial
from schemas.core import F64, Bool, WindowBlock

KEPT = 0.9995
"""History fades by half in about 1,400 learned windows."""
PRIOR_WINDOWS = 5.0
PEARSON_KEPT = 0.98
CLIP = 3.0
BURST = 100.0
"""The most that one window says of clumps, as a squared residual."""
LONG_WINDOWS = 360.0
"""A history from which `Belief.whole` counts: half a day of windows of two minutes."""


class Share(NamedTuple):
    """One window against its history; all (n,). `known`: there is both a denominator now and some history of it."""

    k: F64
    n: F64
    a: F64
    b: F64
    clump: F64
    expected: F64
    known: Bool


def initial_share(n: int) -> State:
    """40 bytes a series; `seen` of `exposure` in `windows`; `pearson` sums squared Pearson residuals of `tried`."""
    return {name: np.zeros(n) for name in ("seen", "exposure", "windows", "pearson", "tried")}


@dataclass(frozen=True, slots=True)
class Belief:
    """What is believed of shares before and beside history; chosen, not tuned.

    clump: lines or errors that come at once, until history shows more. most: units of history that are believed at
    most. shape: of those, so many of the series itself are always believed: a share then varies between windows by
    1 / sqrt(shape) of itself, because the mix of requests does, however long the history. whole: clumps at once that
    are learned whole after a long history. What comes once in a hundred windows lies far beyond three standard
    deviations; cut down to those it would be taken for five times as rare as it is.
    """

    clump: float
    shape: float
    most: float
    whole: float = 0.0


def share(state: State, block: WindowBlock, belief: Belief, shape: F64 | None = None) -> Share:
    """Parameters of the predictive law of `block.total` of `block.weight`.

    A series that was never learned was silent in all that its denominator saw before: `block.weight_before`.
    shape: of each row (n,), in place of that of the belief.
    """
    return share_of(state, block.total, block.weight, exposure_of(state, block), belief, shape)


def share_of(state: State, k: F64, n: F64, exposure: F64, belief: Belief, shape: F64 | None = None) -> Share:
    """The same of `k` of `n`, with `exposure` of which history saw `seen`; all (n,)."""
    phi = np.maximum((belief.clump * PRIOR_WINDOWS + state["pearson"]) / (PRIOR_WINDOWS + state["tried"]), 1.0)
    seen = state["seen"]
    with np.errstate(invalid="ignore"):
        known = np.isfinite(k) & np.isfinite(n) & (n > 0) & (exposure > 0)
    a, b = seen / phi + 1.0, np.maximum(exposure - seen, 0.0) / phi + 1.0
    shrink = np.minimum(1.0, np.maximum(belief.most / (a + b), (belief.shape if shape is None else shape) / a))
    expected = np.where(known, n, 0.0) * seen / np.maximum(exposure, 1.0)
    units = np.where(known, n, 0.0) / phi
    return Share(
        np.where(known, np.clip(k, 0.0, np.maximum(n, 0.0)), 0.0) / phi,
        units,
        a * shrink,
        b * shrink,
        phi,
        expected,
        known,
    )


def upper(part: Share) -> F64:
    """P(at least so many)."""
    return upper_beta_binomial(part.k, part.n, part.a, part.b)


def lower(part: Share) -> F64:
    """P(at most so many): the same law of those that are not of this series."""
    return upper_beta_binomial(part.n - part.k, part.n, part.b, part.a)


def learn_share(state: State, block: WindowBlock, belief: Belief, shape: F64 | None = None) -> State:
    """Add one window to the history, at most three standard deviations from what it predicts.

    So a fault of some minutes does not become the baseline by which its end is judged, and a change that stays does.
    Windows that were not recorded leave the row as it is.
    """
    part = share(state, block, belief, shape)
    n = np.where(part.known, block.weight, 0.0)
    mean = part.n * part.a / (part.a + part.b)
    spread = mean * part.b / (part.a + part.b) * (part.a + part.b + part.n) / (part.a + part.b + 1.0)
    away = (part.k - mean) / np.sqrt(np.maximum(spread, 1e-9))
    held = np.clip(away, -CLIP, CLIP) * np.sqrt(spread)
    is_long = (state["windows"] >= LONG_WINDOWS) & (away > CLIP)
    held = np.where(is_long, np.maximum(held, np.minimum(part.k - mean, belief.whole)), held)
    k = np.where(part.known, (mean + held) * part.clump, 0.0)
    fit = part.known & (state["seen"] >= 5) & (part.expected >= 2)
    if shape is not None:  # what is strange to a row that is believed more narrowly says nothing of clumps
        fit &= (shape <= belief.shape) | (np.abs(away) <= CLIP)
    first = ~part.known & np.isfinite(block.weight) & np.isfinite(block.total) & (block.weight > 0)
    n, k = (
        np.where(first, block.weight, n),
        np.where(first, np.clip(block.total, 0.0, np.maximum(block.weight, 0.0)), k),
    )
    seen = first | part.known
    fade = np.where(seen, KEPT, 1.0)
    kept = np.where(fit, PEARSON_KEPT, 1.0)
    return {
        **state,
        "seen": state["seen"] * fade + k,
        "exposure": np.where(seen, exposure_of(state, block), state["exposure"]) * fade + n,
        "windows": state["windows"] + seen,
        "pearson": state["pearson"] * kept + np.where(fit, np.minimum(away**2, BURST) * part.clump, 0.0),
        "tried": state["tried"] * kept + fit,
    }


def exposure_of(state: State, block: WindowBlock) -> F64:
    if block.weight_before is None:
        return state["exposure"]
    return np.where(state["windows"] > 0, state["exposure"], np.nan_to_num(np.maximum(block.weight_before, 0.0)))
