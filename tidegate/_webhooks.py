"""Webhooks: every action as a CloudEvent to each configured receiver, at least once and in order.

A thread a receiver, so that a slow one holds up neither the pipeline nor the others. How far a receiver has come is
kept beside the log and written after it answered well: what was under way in a crash is sent again, with the same
`id`, by which the receiver knows it. A receiver that refuses one event for good (a 4xx that says so, three times) has
it noted and gets the next; anything else is tried for ever, ever more slowly.
Source: CloudEvents 1.0 JSON format and HTTP webhooks 1.0.
"""

import http.client
import json
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import schemas as sc
from schemas import why
from streams import EmbeddedLog, Stored, TransportError
from tidegate._gateway_settings import Webhook
from tidegate._show import cloud_event

PLACES = "webhooks.sqlite"
_FOR_GOOD = frozenset({400, 409, 410, 413, 415, 422})
_TRIES_FOR_GOOD = 3
_TIMEOUT_S, _POLL_S, _BATCH = 10.0, 0.25, 100
_FIRST_S, _MOST_S, _MOST_ASKED_S = 0.5, 60.0, 300.0
_TABLES = """
CREATE TABLE IF NOT EXISTS place (url TEXT PRIMARY KEY, sequence INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS refused (url TEXT, sequence INTEGER, id TEXT, status INTEGER, PRIMARY KEY (url, sequence));
"""
OnEvent = Callable[[str, dict[str, object]], None]


class HookHealth(NamedTuple):
    """receiver: its scheme and host only, since paths may hold secrets. failing_s: 0 while it answers well."""

    receiver: str
    sequence: int
    sent: int
    refused: int
    failing_s: float


class Answer(NamedTuple):
    """What a receiver said; status 0 if nothing came back."""

    status: int
    retry_after_s: float
    what: str


class Webhooks:
    """Start with `start`, end with `stop`. A receiver that is new is told of what happens from now on.

    Raises TransportError if the places cannot be opened.
    """

    def __init__(
        self, log: EmbeddedLog, directory: Path, hooks: Sequence[Webhook], *,
        on_event: OnEvent = lambda text, facts: None,
        first_s: float = _FIRST_S,
    ) -> None:  # fmt: skip
        self._log, self._on_event, self._first_s = log, on_event, first_s
        self._stopping, self._lock = threading.Event(), threading.Lock()
        try:
            self._db = sqlite3.connect(directory / PLACES, isolation_level=None, check_same_thread=False)
            self._db.executescript(_TABLES)
        except sqlite3.Error as error:
            todo = "Check permissions; deleting the file loses how far receivers have come"
            where = str(directory / PLACES)
            raise TransportError(f"the places of webhooks cannot be opened: {error}", where=where, todo=todo) from error
        unique = {hook.url: hook for hook in hooks}
        self._senders = [_Sender(self, hook) for hook in unique.values()]

    def start(self) -> None:
        for sender in self._senders:
            sender.thread.start()

    def stop(self) -> None:
        """Ask the threads to end and wait for what is under way, at most its timeout."""
        self._stopping.set()
        for sender in self._senders:
            if sender.thread.is_alive():
                sender.thread.join(_TIMEOUT_S + 1)
        with self._lock:
            self._db.close()

    def health(self) -> list[HookHealth]:
        return [sender.health() for sender in self._senders]

    def place(self, url: str) -> int:
        """Sequence of the last record that a receiver is done with; a new one is done with all there is."""
        with self._lock:
            self._db.execute("INSERT OR IGNORE INTO place VALUES (?, ?)", (url, self._log.last()))
            return int(self._db.execute("SELECT sequence FROM place WHERE url = ?", (url,)).fetchone()[0])

    def _done(self, url: str, sequence: int) -> None:
        with self._lock:
            self._db.execute("UPDATE place SET sequence = ? WHERE url = ?", (sequence, url))

    def _note(self, url: str, sequence: int, identity: str, status: int) -> None:
        with self._lock:
            self._db.execute("INSERT OR REPLACE INTO refused VALUES (?,?,?,?)", (url, sequence, identity, status))


class _Sender:
    """One receiver and its thread."""

    def __init__(self, owner: Webhooks, hook: Webhook) -> None:
        self._owner, self._url, self._secret = owner, hook.url, hook.secret()
        parts = urlsplit(hook.url)
        self._receiver = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
        self._sequence = owner.place(hook.url)
        self._sent = self._refused = 0
        self._failing_since: float | None = None
        self.thread = threading.Thread(target=self._run, name=f"webhook {self._receiver}", daemon=True)

    def health(self) -> HookHealth:
        since = self._failing_since
        failing_s = 0.0 if since is None else round(time.monotonic() - since, 3)
        return HookHealth(self._receiver, self._sequence, self._sent, self._refused, failing_s)

    def _run(self) -> None:
        owner = self._owner
        while not owner._stopping.is_set():
            try:
                is_over = not self._tell()
            except (sqlite3.Error, TransportError) as error:  # the place cannot be read or kept: try again, say so
                self._fail(0, f"{error!r}"[:200])
                owner._stopping.wait(_MOST_S)
                continue
            if is_over:
                owner._stopping.wait(_POLL_S)

    def _tell(self) -> bool:
        """Deliver what there is; False if there was nothing."""
        batch = self._owner._log.read((sc.ACTIONS,), self._sequence, _BATCH)
        for stored in batch:
            if sc.record_type(stored.message) == sc.ActionEvent.TYPE and not self._deliver(stored):
                return True
            self._sequence = stored.sequence
        if batch:
            self._owner._done(self._url, self._sequence)
        return bool(batch)

    def _deliver(self, stored: Stored) -> bool:
        """Send one event until it is taken or refused for good; False if we are to stop."""
        owner, tries = self._owner, 0
        body, identity = _body(stored)
        while not owner._stopping.is_set():
            answer = post(self._url, body, self._secret)
            tries += 1
            if 200 <= answer.status < 300:
                self._answered_well()
                self._sent += 1
                owner._done(self._url, stored.sequence)
                return True
            if answer.status in _FOR_GOOD and tries >= _TRIES_FOR_GOOD:
                self._answered_well()
                self._refused += 1
                owner._note(self._url, stored.sequence, identity, answer.status)
                owner._on_event(
                    "webhook refused", {"receiver": self._receiver, "id": identity, "status": answer.status}
                )
                return True
            self._fail(answer.status, answer.what)
            backoff = min(owner._first_s * 2 ** min(tries - 1, 20), _MOST_S)
            owner._stopping.wait(max(backoff, min(answer.retry_after_s, _MOST_ASKED_S)))
        return False

    def _fail(self, status: int, what: str) -> None:
        if self._failing_since is None:
            self._failing_since = time.monotonic()
            self._owner._on_event("webhook failing", {"receiver": self._receiver, "status": status, "what": what})

    def _answered_well(self) -> None:
        if self._failing_since is not None:
            self._failing_since = None
            self._owner._on_event("webhook recovered", {"receiver": self._receiver})


def post(url: str, body: bytes, secret: str) -> Answer:
    """Send one structured CloudEvent; redirects are not followed, because a token must not travel on."""
    parts = urlsplit(url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    headers = {"Content-Type": "application/cloudevents+json; charset=utf-8", "User-Agent": "tidegate"}
    if secret:
        headers["Authorization"] = f"Bearer {secret}"
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    try:
        connection = kind(parts.hostname or "", parts.port, timeout=_TIMEOUT_S)
        try:
            connection.request("POST", target, body, headers)
            response = connection.getresponse()
            said = response.headers.get("Retry-After", "")
            response.read(65_536)
        finally:
            connection.close()
    except (OSError, http.client.HTTPException, ValueError) as error:
        return Answer(0, 0.0, why(error)[:200])
    return Answer(response.status, float(said) if said.isdigit() and len(said) < 7 else 0.0, response.reason[:100])


def _body(stored: Stored) -> tuple[bytes, str]:
    record = sc.read(stored.message)
    assert isinstance(record, sc.ActionEvent)
    event = cloud_event(record, {name: value.decode() for name, value in stored.message.headers})
    return json.dumps(event).encode(), str(event["id"])
