"""What share of a service's lines or requests a series makes up, and how sure history is of it.

The predictive law of k of n is beta-binomial. Its parameters hold the history of the share, however short: one minute
of history simply predicts badly. Lines come in clumps (one request writes several), so counts are divided by a
clump size that is learned from Pearson residuals, starting from a prior; and because the mix of requests shifts, no
history is believed beyond `MOST_UNITS`. Everything is relative to the denominator, so load cancels.
McCullagh & Nelder 1989, section 4.5 (over-dispersion).
"""

from typing import NamedTuple

import numpy as np

from detectors._contract import State
from detectors._tails import upper_beta_binomial
from schemas.core import F64, Bool, WindowBlock

KEPT = 0.9995
"""History fades by half in about 1,400 learned windows."""
PRIOR_WINDOWS = 5.0
MOST_UNITS = 200.0


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


def share(state: State, block: WindowBlock, *, clump: float, shape: float = 0.0) -> Share:
    """Parameters of the predictive law of `block.total` of `block.weight`.

    shape: history is shrunk no further than to this first parameter of the beta law: a rare share (0.001) varies by
    a factor, not by the fixed 1 / MOST_UNITS. A series that was never learned was silent in all that its denominator saw before: `block.weight_before`.
    """
    k, n = block.total, block.weight
    phi = np.maximum((clump * PRIOR_WINDOWS + state["pearson"]) / (PRIOR_WINDOWS + state["tried"]), 1.0)
    seen, exposure = state["seen"], _exposure(state, block)
    with np.errstate(invalid="ignore"):
        known = np.isfinite(k) & np.isfinite(n) & (n > 0) & (exposure > 0)
    a, b = seen / phi + 1.0, np.maximum(exposure - seen, 0.0) / phi + 1.0
    shrink = np.minimum(1.0, np.maximum(MOST_UNITS / (a + b), shape / a))
    expected = np.where(known, n, 0.0) * seen / np.maximum(exposure, 1.0)
    units = np.where(known, n, 0.0) / phi
    return Share(np.where(known, np.minimum(k, n), 0.0) / phi, units, a * shrink, b * shrink, phi, expected, known)


def upper(part: Share) -> F64:
    """P(at least so many)."""
    return upper_beta_binomial(part.k, part.n, part.a, part.b)


def lower(part: Share) -> F64:
    """P(at most so many): the same law of those that are not of this series."""
    return upper_beta_binomial(part.n - part.k, part.n, part.b, part.a)


def learn_share(state: State, block: WindowBlock) -> State:
    """Add one window to the history; windows that were not recorded leave the row as it is."""
    n, k, exposure = block.weight, block.total, _exposure(state, block)
    with np.errstate(invalid="ignore"):
        ok = np.isfinite(n) & np.isfinite(k) & (n > 0)
    n, k = np.where(ok, n, 0.0), np.where(ok, np.minimum(k, n), 0.0)
    mu = np.minimum((state["seen"] + 0.5) / (exposure + 1.0), 0.999)
    with np.errstate(invalid="ignore", divide="ignore"):
        variance = n * mu * (1.0 - mu) * (1.0 + n / (exposure + 1.0))
        fit = ok & (state["seen"] >= 5) & (n * mu >= 2)
        pearson = np.where(fit, np.minimum((k - n * mu) ** 2 / np.maximum(variance, 1e-9), 100.0), 0.0)
    fade = np.where(ok, KEPT, 1.0)
    return {
        "seen": state["seen"] * fade + k,
        "exposure": np.where(ok, exposure, state["exposure"]) * fade + n,
        "windows": state["windows"] + ok,
        "pearson": state["pearson"] * np.where(fit, 0.98, 1.0) + pearson,
        "tried": state["tried"] * np.where(fit, 0.98, 1.0) + fit,
    }


def _exposure(state: State, block: WindowBlock) -> F64:
    if block.weight_before is None:
        return state["exposure"]
    return np.where(state["windows"] > 0, state["exposure"], np.nan_to_num(np.maximum(block.weight_before, 0.0)))
