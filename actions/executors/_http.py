"""One HTTP call of an executor, and how certain its outcome is.

Certain are an answer, and a connection that never came about. Everything else (a timeout, a reset, half an answer) may
have had its effect, so it is `lost`. No proxy of the environment is asked and no redirect followed: credentials go to
the address in the settings and nowhere else.
"""

import http.client
import json
import socket
import ssl
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from schemas import why

MOST_BYTES = 8 << 20


class Answered(NamedTuple):
    """status 0: nothing was sent (`is_lost` false) or nobody knows what became of it (`is_lost` true)."""

    status: int
    body: bytes
    is_lost: bool = False
    at_s: int | None = None
    """The server's own clock, from its `Date` header, in Unix seconds."""

    @property
    def is_ok(self) -> bool:
        return 200 <= self.status < 300

    def json(self) -> Any:
        """Raises ValueError if it is no JSON."""
        return json.loads(self.body)


def call(
    method: str, url: str, *, body: bytes = b"", headers: Mapping[str, str] | None = None, timeout_s: float,
    token_file: Path | None = None, ca_file: Path | None = None,
) -> Answered:  # fmt: skip
    """Never raises for the world. The token is read anew for each call, so that it can be rotated."""
    parts, told = urlsplit(url), dict(headers or {})
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    connection: http.client.HTTPConnection
    try:
        if token_file is not None:
            told["Authorization"] = f"Bearer {token_file.read_text().strip()}"
        if parts.scheme == "https":
            context = ssl.create_default_context(cafile=str(ca_file) if ca_file else None)
            connection = http.client.HTTPSConnection(parts.netloc, timeout=timeout_s, context=context)
        else:
            connection = http.client.HTTPConnection(parts.netloc, timeout=timeout_s)
        connection.connect()
    except (OSError, ssl.SSLError, socket.gaierror) as error:
        return Answered(0, why(error).encode())
    try:
        connection.request(method, path, body or None, told)
        answer = connection.getresponse()
        date = parsedate_to_datetime(answer.headers["Date"]) if answer.headers.get("Date") else None
        text = answer.read(MOST_BYTES)
        if answer.length:  # it said that there is more
            return Answered(0, text[:200], is_lost=True)
        return Answered(answer.status, text, at_s=int(date.timestamp()) if date else None)
    except (OSError, ValueError, http.client.HTTPException) as error:
        return Answered(0, why(error).encode(), is_lost=True)
    finally:
        connection.close()
