"""A clean stop when the process is told: SIGTERM of a supervisor, SIGINT of a person."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


def stop_when_told() -> threading.Event:
    """Set by either, from now until the process ends."""
    stopping = threading.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, lambda *_: stopping.set())
    return stopping


@contextmanager
def stops(stopping: threading.Event) -> Iterator[None]:
    """Both set the event, where the process is ours; in another thread than the main one the caller sets it."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {name: signal.signal(name, lambda *_: stopping.set()) for name in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for name, handler in before.items():
            signal.signal(name, handler)


def is_over() -> None:
    """Nothing is left to stop. Python gives handlers up while it ends, and a second SIGTERM would kill it then."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
