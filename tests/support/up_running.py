"""`tidegate up` as it is, in a thread, for real senders to write to."""

import threading
from pathlib import Path
from typing import Any

from support.up import settings

from tidegate._up import run_up


class Up:
    """url: where it listens. token: of its one source, which may read too."""

    def __init__(self, place: Path, token: str) -> None:
        self._stop, self._ready = threading.Event(), threading.Event()
        self.url, self.report = "", dict[str, Any]()
        told = settings(tokens=[{"token": token, "source": "prom", "can_read": True}])

        def run() -> None:
            self.report = run_up(place, told, port=0, on_ready=self._came_up, stop=self._stop)

        self._thread = threading.Thread(target=run)
        self._thread.start()
        assert self._ready.wait(60)

    def _came_up(self, url: str) -> None:
        self.url = url
        self._ready.set()

    def end(self) -> dict[str, Any]:
        """Stop it; what it reports."""
        self._stop.set()
        self._thread.join(60)
        return self.report
