"""How kernels are compiled (needs numba): with the result kept beside the source, and no liberties in arithmetic."""

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

F = TypeVar("F", bound=Callable[..., Any])


def jit(function: F) -> F:
    """Compile on first call; keep the result beside the source, unless that (and the user's cache) is read-only."""
    try:
        return cast(F, numba.njit(cache=True, nogil=True)(function))
    except RuntimeError:
        return cast(F, numba.njit(nogil=True)(function))


def inlined(function: F) -> F:
    """Always part of its caller: a call that passes an array costs more than what such functions do."""
    return cast(F, numba.njit(forceinline=True)(function))
