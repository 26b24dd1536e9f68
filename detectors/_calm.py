"""Which shares stay close to themselves: believed after two days, and not of those that have strayed since.

How much a share varies from window to window because its mix of requests does is different for each series, and a
short history says nothing of it. So all begin with the wide belief, under which 1 % of errors may well become 5 % at
any traffic. Beside it runs a narrow one. What it would call an excursion is counted; who has made fewer than one and a
half of them lately is judged by it. So a fault is found once, and a second time, and a share that wanders by itself is
called strange at most twice in two weeks and then judged by the wide belief again; so is a level that stays for hours.

Some shares are restless beyond any belief, from minute to minute or for hours. So what the narrow one says is held
against what it said of the same series before: of stretches in which it said less than one in a hundred, the least
probable window counts, and after two days p of no series, calm or not, is smaller than the tail of those.
Peaks over a threshold, declustered: Coles, An Introduction to Statistical Modeling of Extreme Values, 2001, chapter 5.
"""

import numpy as np

from detectors._contract import State
from detectors._shares import Belief
from schemas.core import F64, Bool

SHAPE = 10.0
"""A calm share varies by a third of itself. Chosen, not tuned, as what follows."""
LEAST_WINDOWS = 2880.0
"""Two days of minutes."""
COUNTED = 720.0
"""From here on what strays is counted: a share that wanders shows it within the two days."""
STRANGE, OVER = 1e-5, 1e-2
"""An excursion begins below the one, and lasts while p is below the other."""
MOST = 1.5
KEPT = 0.5 ** (1 / 20160)
"""Of excursions, per learned window: half are forgotten in two weeks of minutes."""
LONG = 720.0
"""So many windows of an excursion count as much as another one, which counts when it is over."""
ODD = -float(np.log(1e-2))
"""Beyond it a window is odd, as -log p."""
QUIET = 20.0
"""So many windows without an odd one end a stretch of them."""
AS_DUE = 10.0
"""Stretches as far out as they should be that are believed beforehand."""
PEAK_MOST = 5.0
"""A stretch counts at most so many mean ones, so a fault hardly widens the tail that finds the next."""


def initial_calm(n: int) -> State:
    """48 bytes a series; `strayed`: excursions that are not forgotten, `is_out`: 1 within one.

    odd, odd_sum: stretches of odd windows and how far out they were, odd_peak: of the present one, odd_quiet: since.
    """
    names = ("strayed", "is_out", "odd", "odd_sum", "odd_peak", "odd_quiet")
    return {name: np.zeros(n) for name in names}


def at_least_own(state: State, p: F64) -> F64:
    """p under the narrow belief, or the share of its own past in which it was told as little, if that is larger."""
    rate = np.maximum(state["odd"] / np.maximum(state["windows"], LEAST_WINDOWS), np.exp(-ODD))
    beyond = np.maximum(-np.log(p) - ODD, 0.0)
    return np.where(beyond > 0, np.maximum(p, np.minimum(rate, 1.0) * np.exp(-beyond / _mean_odd(state))), p)


def _mean_odd(state: State) -> F64:
    """How far beyond `ODD` a stretch reaches; 1 for p that are uniform."""
    return np.maximum((AS_DUE + state["odd_sum"]) / (AS_DUE + state["odd"]), 1.0)


def shape_of(state: State, belief: Belief) -> F64:
    """The shape by which each row is judged (n,)."""
    is_calm = (state["windows"] >= LEAST_WINDOWS) & (state["strayed"] < MOST)
    return np.where(is_calm, SHAPE, belief.shape)


def learn_calm(state: State, p: F64, known: Bool) -> State:
    """Count excursions. p: of this window under the narrow belief (n,), before it is learned; known: where it is."""
    was_out, is_old = state["is_out"] > 0, state["windows"] >= COUNTED
    is_out = np.where(known, is_old & ((p <= STRANGE) | (was_out & (p <= OVER))), was_out)
    more = np.where(known, np.where(is_out, 1.0 / LONG, was_out), 0.0)
    kept = np.where(known, KEPT, 1.0)
    beyond = np.where(known & (state["windows"] >= COUNTED), np.maximum(-np.log(p) - ODD, 0.0), 0.0)
    quiet = np.where(beyond > 0, 0.0, state["odd_quiet"] + known)
    peak = np.maximum(state["odd_peak"], beyond)
    ends = (quiet >= QUIET) & (peak > 0)
    return {
        **state,
        "strayed": state["strayed"] * kept + more,
        "is_out": is_out.astype(np.float64),
        "odd": state["odd"] * kept + ends,
        "odd_sum": state["odd_sum"] * kept + np.where(ends, np.minimum(peak, PEAK_MOST * _mean_odd(state)), 0.0),
        "odd_peak": np.where(ends, 0.0, peak),
        "odd_quiet": quiet,
    }
