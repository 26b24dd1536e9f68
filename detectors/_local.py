"""A robust local level and scale of each series, and how far a value lies from it.

Level and scale are exponentially weighted with clipped (Huber) steps, so one spike in the baseline hides nothing.
`top` remembers the largest deviation and fades by half in six hours of minutes: what was seen lately is no wonder. It
grows at most `growth`-fold at once, so what happens a second time is still a wonder, and a third time no more. The
scale is never below a tenth of the level (scores without a floor fail on series without spread).
Huber, Robust Statistics, 1981.
"""

from typing import NamedTuple

import numpy as np

from detectors._contract import State
from schemas.core import F64, Bool

LEVEL_GAIN = 1 / 32
SCALE_GAIN = 1 / 64
CLIP = 3.0
MAD_TO_SIGMA = 1.2533141373155001  # mean absolute deviation to sigma, normal data
LEVEL_SHARE = 0.1  # the scale is at least this share of the level; from the notes on metric scores, not tuned
TOP_SHARE = 0.25  # a deviation of the size of `top` is 4 scales: p = 0.016
TOP_KEPT = 0.998
ORDINARY = 6.0  # scales that `top` grows to at once
LARGEST = 1e300  # of a residual: beyond, a scale would be infinite, then no number, and the series blind for good
GROWTH = 2.0  # and times its own size, so a shift is said for some minutes; 0 lets it learn ordinary deviations only


class Departure(NamedTuple):
    """z: float64 (n,), signed, NaN without a value. flat: bool (n,), it never moved: its scale is not known."""

    z: F64
    level: F64
    flat: Bool


def initial_local(n: int) -> State:
    """32 bytes a series; `windows` counts what was learned."""
    return {"level": np.zeros(n), "scale": np.zeros(n), "top": np.zeros(n), "windows": np.zeros(n)}


def departure(state: State, x: F64, *, least: float = 0.0, level_share: float = LEVEL_SHARE) -> Departure:
    """How many scales x float64 (n,) lies from the level; `least` is a scale below which there is none."""
    level, windows = state["level"], np.maximum(state["windows"], 1.0)
    scale = np.maximum(state["scale"] * (1.0 + 2.0 / windows), level_share * np.abs(level))
    scale = np.maximum(scale, np.maximum(TOP_SHARE * state["top"], least))
    flat = np.maximum(state["scale"], np.maximum(state["top"], least)) <= 1e-9 * np.abs(level) + 1e-12
    scale = np.maximum(scale, 1e-12)
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        z = (x - level) / scale
    return Departure(np.clip(z, -1e12, 1e12), level, flat)


def learn_local(
    state: State, x: F64, *, least: float = 0.0, level_share: float = LEVEL_SHARE, growth: float = GROWTH
) -> State:
    """Take x float64 (n,) into the level and scale; rows with NaN stay as they are. The passed state is given up."""
    with np.errstate(invalid="ignore", over="ignore"):
        seen = np.isfinite(x)
        z, level, flat = departure(state, x, least=least, level_share=level_share)
        windows, scale = state["windows"], state["scale"]
        residual = np.where(seen, np.clip(x - level, -LARGEST, LARGEST), 0.0)
        size = np.abs(residual)
        most = np.maximum(growth * state["top"], ORDINARY * size / np.maximum(np.abs(z), ORDINARY))
        most = np.where((growth > 0) | (np.abs(z) <= ORDINARY), most, 0.0)
        reached = np.where(flat | (windows < 3), size, np.minimum(size, most))
        top = np.maximum(state["top"] * TOP_KEPT, np.where(seen & (windows >= 1), reached, 0.0))
        limit = np.where(windows < 3, np.inf, CLIP * np.maximum(np.maximum(scale, level_share * np.abs(level)), least))
        limit = np.where(flat, np.inf, limit)
        step = np.clip(residual, -limit, limit) * np.maximum(1.0 / (windows + 1.0), LEVEL_GAIN)
        fair = np.sqrt(windows / (windows + 1.0)) * MAD_TO_SIGMA
        gain = np.maximum(1.0 / np.maximum(windows, 1.0), SCALE_GAIN)
        spread = scale + gain * (np.minimum(size, limit) * fair - scale)
        return {
            **state,
            "level": level + np.where(seen, step, 0.0),
            "scale": np.where(seen & (windows >= 1), spread, scale),
            "top": np.where(seen, top, state["top"]),
            "windows": windows + seen,
        }
