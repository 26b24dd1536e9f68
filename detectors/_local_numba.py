"""Level and scale in compiled loops (needs numba): what `_local` computes, to the last bit.

Every operation stands in the order in which numpy does it there, minimum and maximum hand on a NaN as numpy's do, and
neither fastmath nor fused multiply-add is allowed. Each row is read and written once.
"""

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba
import numpy as np
from numpy.typing import NDArray

from detectors._local import CLIP, LARGEST, LEVEL_GAIN, MAD_TO_SIGMA, ORDINARY, SCALE_GAIN, TOP_KEPT, TOP_SHARE
from schemas.core import F64, I64

F = TypeVar("F", bound=Callable[..., Any])
F32 = NDArray[np.float32]
U8 = NDArray[np.uint8]


def _jit(function: F) -> F:
    """Compile on first call; keep the result beside the source, unless that (and the user's cache) is read-only."""
    try:
        return cast(F, numba.njit(cache=True, nogil=True)(function))
    except RuntimeError:
        return cast(F, numba.njit(nogil=True)(function))


def _inlined(function: F) -> F:
    return cast(F, numba.njit(forceinline=True)(function))


@_inlined
def _max(a: float, b: float) -> float:
    return a if a >= b or a != a else b


@_inlined
def _min(a: float, b: float) -> float:
    return a if a <= b or a != a else b


@_inlined
def _z(
    x: float, level: float, scale: float, top: float, windows: float, least: float, level_share: float
) -> tuple[float, bool]:
    """`_local.departure` of one row: z and whether it never moved."""
    wide = _max(scale * (1.0 + 2.0 / _max(windows, 1.0)), level_share * abs(level))
    wide = _max(_max(wide, _max(TOP_SHARE * top, least)), 1e-12)
    flat = _max(scale, _max(top, least)) <= 1e-9 * abs(level) + 1e-12
    return _min(_max((x - level) / wide, -1e12), 1e12), flat


@_jit
def departed(
    x: F64, level: F64, scale: F64, top: F64, windows: F64, least: float, level_share: float, warmup: int, cut: float
) -> I64:
    """Positions of rows with a value, at least `warmup` windows and z >= cut (one-sided)."""
    out = np.empty(len(x), np.int64)
    n = 0
    for r in range(len(x)):
        if windows[r] >= warmup and np.isfinite(x[r]):
            z, _ = _z(x[r], level[r], scale[r], top[r], windows[r], least, level_share)
            if not z < cut:
                out[n] = r
                n += 1
    return out[:n].copy()


@_jit
def learn_local(
    x: F64, level: F64, scale: F64, top: F64, windows: F64, least: float, level_share: float, growth: float
) -> None:
    """`_local.learn_local`, in place."""
    for r in range(len(x)):
        if not np.isfinite(x[r]):
            continue
        w, old = windows[r], scale[r]
        z, flat = _z(x[r], level[r], old, top[r], w, least, level_share)
        residual = _min(_max(x[r] - level[r], -LARGEST), LARGEST)
        size, z = abs(residual), abs(z)
        most = _max(growth * top[r], ORDINARY * size / _max(z, ORDINARY)) if growth > 0 or z <= ORDINARY else 0.0
        reached = size if flat or w < 3 else _min(size, most)
        limit = np.inf if flat or w < 3 else CLIP * _max(_max(old, level_share * abs(level[r])), least)
        top[r] = _max(top[r] * TOP_KEPT, reached if w >= 1 else 0.0)
        if w >= 1:
            fair = np.sqrt(w / (w + 1.0)) * MAD_TO_SIGMA
            gain = _max(1.0 / _max(w, 1.0), SCALE_GAIN)
            scale[r] = old + gain * (_min(size, limit) * fair - old)
        level[r] = level[r] + _min(_max(residual, -limit), limit) * _max(1.0 / (w + 1.0), LEVEL_GAIN)
        windows[r] = w + 1.0
