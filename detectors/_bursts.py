"""Errors that come at once: how improbable so many of them are if they are one burst.

A request that fails is tried again, a job fails for all of its items, one caller stumbles over one thing a dozen times.
Where errors are rare, over-dispersion says nothing of that: a minute with one burst of twelve lies beyond any law of
single errors whose mean is a hundredth, however it is widened. So each series learns how often a minute has any errors,
and how many more than one, or than are due, it then has: bursts come at random, their sizes are geometric with an
unknown mean, and the predictive tail of a size is beta-geometric: before the first burst, three at once have one chance
in fifteen, twelve one in fourteen hundred. What lasts is a fault all the same, however few errors a minute has: in how
many of the last ten minutes there were any tells bursts from that.
Compound Poisson with geometric sizes: Feller, An Introduction to Probability Theory, volume 1, chapter XII.
"""

import numpy as np

from detectors._contract import State
from detectors._tails import upper_beta_binomial
from schemas.core import F64, Bool

KEPT = 0.9995
"""As of the share itself (`_shares.py`)."""
PRIOR_BURSTS, PRIOR_EXCESS = 4.0, 1.0
PRIOR_WINDOWS = 1440.0
"""A day: so many windows like this one are believed to lie between bursts before any came. Not tuned, as the others."""
LARGEST = 30.0
"""More than so many beyond what is due are learned as so many: a fault is no burst to get used to."""
LASTING = 2.0
"""Where the next minute has more than this multiple of what is due, it goes on with the same burst."""


def initial_bursts(n: int) -> State:
    """8 bytes a series; `bursts` in what `exposure` saw, and by how many errors they went beyond what was due."""
    return {"bursts": np.zeros(n, np.float32), "excess": np.zeros(n, np.float32)}


def _seen(state: State) -> tuple[F64, F64]:
    """Both as they are reckoned with."""
    return state["bursts"].astype(np.float64), state["excess"].astype(np.float64)


def upper_burst(state: State, k: F64, n: F64, exposure: F64, expected: F64) -> F64:
    """P(a burst comes and reaches k), of `expected`, among n requests; float64 (m,), in (0, 1].

    exposure: requests in which the bursts of the state were seen. NaN, and k below two, give 1.
    """
    from scipy.special import betaln

    beyond = np.nan_to_num(np.maximum(k - np.maximum(expected, 1.0), 0.0))
    bursts, excess = _seen(state)
    a, b = PRIOR_BURSTS + bursts, PRIOR_EXCESS + excess
    reaches = np.exp(betaln(a, b + beyond) - betaln(a, b))
    return np.asarray(np.clip(_comes(state, n, exposure) * reaches, 1e-300, 1.0))


def upper_lasting(state: State, minutes: F64, of: int, n: F64, exposure: F64, shape: F64) -> F64:
    """P(so many of the last `of` minutes have errors, or more), less one that the first burst may have spilled into.

    n: requests of all of them. shape: how narrowly the rate of bursts is believed, as in `_shares.Belief`.
    """
    each = np.minimum(_comes(state, n / of, exposure), 1.0 - 1e-9)
    a = np.minimum(_seen(state)[0] + 1.0, shape)
    wanted, others = np.maximum(minutes - 1.0, 0.0), np.full(len(each), of - 1.0)
    return upper_beta_binomial(wanted, others, a, a * (1.0 - each) / each)


def _comes(state: State, n: F64, exposure: F64) -> F64:
    """The chance of a burst among n requests: as often as they came, and once more in what is known and believed."""
    with np.errstate(invalid="ignore", divide="ignore"):
        known = exposure / n
        chance = np.minimum(_seen(state)[0] / np.maximum(known, 1.0) + 1.0 / (known + PRIOR_WINDOWS), 1.0)
    return np.where(chance > 0, chance, 1.0)


def learn_bursts(state: State, k: F64, after: F64, expected: F64, known: Bool) -> State:
    """Take a window of k errors in; after: errors of the next window, expected: errors due. All (n,)."""
    due = np.maximum(expected, 1.0)
    is_burst = known & (k >= 1.0)
    is_over = after <= LASTING * due
    bursts, excess = _seen(state)
    usual = (PRIOR_EXCESS + excess) / (PRIOR_BURSTS + bursts)
    size = np.minimum(np.maximum(np.nan_to_num(k) - due, 0.0), LARGEST)
    size = np.where(is_over, size, np.minimum(size, usual))
    fade = np.where(known, KEPT, 1.0)
    return {
        **state,
        "bursts": (bursts * fade + is_burst).astype(np.float32),
        "excess": (excess * fade + np.where(is_burst, size, 0.0)).astype(np.float32),
    }
