"""A sign of life to somebody outside, who raises an alarm when it stops: sent only while the process is healthy.

Any receiver will do that takes a POST and notices that none came (a dead man's switch).
"""

import http.client
import json
import threading
import time
import urllib.request
from collections.abc import Callable, Mapping
from typing import Any

from schemas import why

EVERY_S = 30.0
_TIMEOUT_S = 10.0


class Heartbeat:
    """url: empty to send nothing and only keep the time. facts: what goes along, as JSON. say: told of changes."""

    def __init__(
        self, url: str, is_healthy: Callable[[], bool], *, facts: Mapping[str, Any], say: Callable[..., None],
        every_s: float = EVERY_S, now_ns: Callable[[], int] = time.time_ns,
    ) -> None:  # fmt: skip
        self._url, self._is_healthy, self._facts = url, is_healthy, dict(facts)
        self._say, self._every_s, self._now_ns = say, every_s, now_ns
        self.last_ns = 0
        self.failures = 0
        self._is_failing = False
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, name="heartbeat", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        """Silence is what we want to be heard from now on; does not wait for a request that is outstanding."""
        self._stop.set()

    def beat(self) -> bool:
        """Send one if the process is healthy; whether it was, and the receiver took it."""
        if not self._is_healthy():
            return False
        now = self._now_ns()
        if self._url and not self._sent(now):
            return False
        self.last_ns = now
        return True

    def _sent(self, now: int) -> bool:
        body = json.dumps({"status": "ok", "at_ns": now, **self._facts}).encode()
        request = urllib.request.Request(self._url, body, {"Content-Type": "application/json"}, method="POST")
        reason = ""
        try:
            with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as answer:
                answer.read(1024)
        except (OSError, http.client.HTTPException) as error:
            self.failures += 1
            reason = why(error)
        if bool(reason) != self._is_failing:
            self._is_failing = bool(reason)
            self._say("heartbeat not taken" if reason else "heartbeat taken again", reason=reason)
        return not reason

    def _work(self) -> None:
        while not self._stop.is_set():
            self.beat()
            self._stop.wait(self._every_s if self.last_ns or self.failures else 1.0)  # soon after a start
