"""What keeps the resident memory of a long-running process small: settings of the allocator, and one import less."""

import contextlib
import ctypes
import sys
import time
from importlib.abc import MetaPathFinder
from typing import Any

_M_ARENA_MAX = -8  # of mallopt(3), glibc
_TRIM_S = 30.0


class _WithoutPandas(MetaPathFinder):
    """pyarrow imports pandas, where it is installed, to see whether an array is made of one. Nothing here is."""

    def find_spec(self, fullname: str, path: Any, target: Any = None) -> None:
        if fullname == "pandas":
            raise ModuleNotFoundError("pandas is kept out of this process to save memory", name=fullname)


def save_memory() -> None:
    """To be called before threads start.

    Two arenas for all threads: with one for each thread of the Kafka clients, as glibc has it, a process that runs
    every stage over 100,000 series had some 60 MB more. And no pandas, which is another 60 MB.
    """
    with contextlib.suppress(OSError, AttributeError):  # another C library: nothing to tell it
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 2)
    if not any(isinstance(finder, _WithoutPandas) for finder in sys.meta_path):
        sys.meta_path.insert(0, _WithoutPandas())


class Trim:
    """Gives memory back now and then that is free (malloc_trim(3), glibc).

    What a burst or a snapshot has left in the middle of the heap would stay resident, and a process seem to grow.
    """

    def __init__(self) -> None:
        self._at = time.monotonic() + _TRIM_S

    def __call__(self) -> None:
        """To be called often; does something twice a minute."""
        now = time.monotonic()
        if now >= self._at:
            self._at = now + _TRIM_S
            with contextlib.suppress(OSError, AttributeError):
                ctypes.CDLL(None).malloc_trim(0)
