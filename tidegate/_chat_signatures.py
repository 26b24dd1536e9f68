"""Signed calls of chat and ITSM systems: an HMAC over time and bytes, taken once.

It proves that the system called, not that the person clicked, so what comes this way has the lowest grade. The call's
time must lie within five minutes and the same signature is taken once in that time.
Source: https://docs.slack.dev/authentication/verifying-requests-from-slack (version v0).
"""

import hashlib
import hmac

from tidegate._errors import ApproveError

WINDOW_S = 300


class SignedCalls:
    """One sender with its secret. Keeps the signatures of the last five minutes, which is all that can come again."""

    def __init__(self, secret: str) -> None:
        self._secret = secret.encode()
        self._seen: dict[str, int] = {}

    def check(self, timestamp: str, body: bytes, signature: str, now_s: int) -> None:
        """Raises ApproveError, code CALL_INVALID, CALL_OLD or CALL_REPLAYED."""
        if not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= 12):
            raise ApproveError("the call has no time", code="CALL_INVALID")
        if abs(now_s - int(timestamp)) > WINDOW_S:
            raise ApproveError(f"the call is {now_s - int(timestamp)} s old", code="CALL_OLD")
        if not hmac.compare_digest(self.sign(timestamp, body).encode(), signature.encode(errors="replace")):
            raise ApproveError("the signature of the call does not fit", code="CALL_INVALID")
        self._seen = {one: at_s for one, at_s in self._seen.items() if now_s - at_s <= 2 * WINDOW_S}
        if signature in self._seen:
            raise ApproveError("this call came before", code="CALL_REPLAYED")
        self._seen[signature] = now_s

    def sign(self, timestamp: str, body: bytes) -> str:
        """The signature that fits, as it stands in the header."""
        return "v0=" + hmac.new(self._secret, b"v0:" + timestamp.encode() + b":" + body, hashlib.sha256).hexdigest()
