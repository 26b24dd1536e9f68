"""Rego: policies that an OPA server holds, with the result shape of our own and the same closed failure.

One question a decision: `POST /v1/data/PATH` with the snapshot as `input`. The answer must be whole, name the revision
of the bundles it was made with (provenance), and come within the time allowed; anything else (no connection, slow, an
error of the server or of a rule, undefined, another shape) is deny, POLICY_ERROR, and `resolution` says what it was.
In Rego `not input.in_freeze` holds where the name is missing, so a snapshot without one of the names is not sent.
Source: OPA REST API, "Data API", "Provenance"; built-in errors are made errors (`strict-builtin-errors`).
"""

import json
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as Late
from contextlib import suppress
from http.client import BadStatusLine, HTTPConnection, HTTPException, HTTPSConnection
from socket import SHUT_RDWR, socket
from typing import Any
from urllib.parse import quote, urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from actions import NAMES, Obligation, snapshot_digest, snapshot_fault
from schemas import Decision, Effect, Json, canonical, sha256

_LARGEST = 1 << 20
_QUERY = "?provenance=true&strict-builtin-errors=true"


class Answer(BaseModel):
    """What the document at PATH must be; nothing more and nothing less."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    effect: Effect
    reason: str = Field(pattern=r"^[A-Z][A-Z0-9_]*$")
    policies: list[str]
    """Ids of the rules that held, the one that decided first."""
    obligations: list[Obligation] = []


class _NoAnswerError(Exception):
    """No clear answer; the text says why."""


class _Line:
    """One kept connection and the thread that waits on it; after anything unexpected it is thrown away whole."""

    def __init__(self, url: str, path: str, token: str, timeout_s: float) -> None:
        place = urlsplit(url)
        kind = HTTPSConnection if place.scheme == "https" else HTTPConnection
        self._connection = kind(place.hostname or "", place.port, timeout=timeout_s)
        self._target = f"{place.path.rstrip('/')}/v1/data/{quote(path)}{_QUERY}"
        self._headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
        self._socket: socket | None = None
        self._is_closed = False
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="opa")

    def ask(self, body: bytes) -> "Future[tuple[int, bytes]]":
        return self._thread.submit(self._exchange, body)

    def close(self) -> None:
        """What still waits on it fails at once and is not listened to."""
        self._is_closed = True
        if self._socket is not None:
            with suppress(OSError):  # the other side was faster
                self._socket.shutdown(SHUT_RDWR)
        self._connection.close()
        self._thread.shutdown(wait=False)

    def _exchange(self, body: bytes) -> tuple[int, bytes]:
        if self._connection.sock is None:
            self._connection.connect()
        self._socket = self._connection.sock
        if self._is_closed:
            raise ConnectionError("given up")
        self._connection.request("POST", self._target, body, self._headers)
        response = self._connection.getresponse()
        text = response.read(_LARGEST + 1)
        if len(text) > _LARGEST:
            raise ValueError("too long")
        return response.status, text


class OpaEngine:
    """A `PolicyEngine`. One connection, kept; one question at a time.

    `digest` names path and revisions of the last answer; before the first one, the path alone.
    """

    def __init__(self, url: str, path: str = "tidegate/decision", *, token: str = "", timeout_s: float = 0.25) -> None:
        """url: `http://HOST:PORT` or `https://`. timeout_s: of the whole question, connecting included."""
        self._path, self._timeout_s = path.strip("/"), timeout_s
        self._dial: Callable[[], _Line] = lambda: _Line(url, self._path, token, timeout_s)
        self._line: _Line | None = None
        self._digest = self._digest_of([])

    @property
    def digest(self) -> str:
        return self._digest

    def evaluate(self, snapshot: Mapping[str, Json]) -> Decision:
        """The decision of the server; never raises for what the server, the network or a value does."""
        found = snapshot_digest(snapshot)
        fault = snapshot_fault(snapshot, found)
        if fault is not None:
            return self._denied(fault.reason, fault.text, found)
        if missing := sorted(NAMES.keys() - snapshot.keys()):
            return self._denied("POLICY_ERROR", f"opa: not asked, the snapshot lacks {', '.join(missing)}", found)
        try:
            answer = self._asked(snapshot)
        except _NoAnswerError as why:
            return self._denied("POLICY_ERROR", f"opa: {why}", found)
        return Decision(
            effect=answer.effect, reason=answer.reason, policies=answer.policies, obligations=answer.obligations,
            policy_digest=self._digest, snapshot_digest=found,
        )  # fmt: skip

    def close(self) -> None:
        """Let the connection go; the next question makes another."""
        line, self._line = self._line, None
        if line is not None:
            line.close()

    def _asked(self, snapshot: Mapping[str, Json]) -> Answer:
        body = json.dumps({"input": dict(snapshot)}).encode()
        while True:
            was_kept = self._line is not None
            try:
                return self._read(*self._exchanged(body))
            except (OSError, HTTPException, ValueError) as error:
                self.close()
                if was_kept and isinstance(error, ConnectionError | BadStatusLine):
                    continue  # the server closed a kept connection meanwhile, which says nothing of the server
                raise _NoAnswerError(f"not reached: {type(error).__name__}") from error

    def _exchanged(self, body: bytes) -> tuple[int, bytes]:
        self._line = self._line or self._dial()
        try:
            return self._line.ask(body).result(self._timeout_s)
        except Late as error:
            self.close()
            raise _NoAnswerError(f"no answer within {self._timeout_s:g} s") from error

    def _read(self, status: int, text: bytes) -> Answer:
        if status != 200:
            raise _NoAnswerError(f"status {status}: {_code_of(text)}")
        try:
            document: Any = json.loads(text)
            if "result" not in document:
                raise _NoAnswerError(f"{self._path} is undefined for this snapshot")
            answer = Answer.model_validate(document["result"])
            bundles = document["provenance"]["bundles"].values()
            revisions = sorted(str(bundle["revision"]) for bundle in bundles)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            field = ".".join(str(part) for part in first["loc"]) or "(all)"
            raise _NoAnswerError(f"the answer does not fit: '{field}': {first['msg']}") from error
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise _NoAnswerError("the answer does not fit, or does not say the revision of its bundles") from error
        if not revisions or not all(revisions):
            raise _NoAnswerError("the bundles have no revision, so it could not be said by which rules it was decided")
        self._digest = self._digest_of(revisions)
        return answer

    def _digest_of(self, revisions: list[str]) -> str:
        return sha256(canonical({"engine": "opa", "path": self._path, "revisions": [*revisions]}))

    def _denied(self, reason: str, why: str, snapshot: str) -> Decision:
        return Decision(
            effect="deny", reason=reason, resolution=why[:300], policy_digest=self._digest, snapshot_digest=snapshot
        )


def _code_of(text: bytes) -> str:
    try:
        return str(json.loads(text)["code"])[:100]
    except (ValueError, TypeError, KeyError):
        return "no code"
