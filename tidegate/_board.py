"""The board: the newest revision of each incident, as the log tells it. Bounded; read by other threads."""

import threading

import schemas as sc
from streams import EmbeddedLog
from tidegate._replay import Run, collect, incidents_document

_MOST = 1000
_BATCH = 500
TOPICS = (sc.INCIDENTS, sc.DIAGNOSES)


class Board:
    """Follows incidents and diagnoses in the log; beyond `most` the oldest are forgotten here, not in the log."""

    def __init__(self, most: int = _MOST) -> None:
        self._run, self._after, self._most = Run(), 0, most
        self._lock = threading.Lock()

    def follow(self, log: EmbeddedLog) -> None:
        """Take in what was appended since."""
        while batch := log.read(TOPICS, self._after, _BATCH):
            with self._lock:
                collect(self._run, (stored.message for stored in batch))
                self._after = batch[-1].sequence
                self._forget()

    def document(self, tenant: str | None = None) -> list[dict[str, object]]:
        """Incidents as `replay --json` prints them, of one tenant or of all."""
        with self._lock:
            kept = [d for d in self._run.diagnoses.values() if tenant is None or d.tenant == tenant]
            return incidents_document(kept, self._run.incidents)

    def _forget(self) -> None:
        known = self._run.diagnoses
        for identity in sorted(known, key=lambda i: known[i].opened_ns)[: max(len(known) - self._most, 0)]:
            del known[identity]
        incidents = self._run.incidents
        for identity in sorted(incidents, key=lambda i: incidents[i].opened_ns)[: max(len(incidents) - self._most, 0)]:
            del incidents[identity]
