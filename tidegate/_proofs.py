"""Signatures over a body: who made it, that it is fresh, and that it does not come a second time.

What was used is remembered in this process for a day, or the replay window if that is longer, and of the newest
100,000; after a restart a delivery may be repeated, and then its records have the ids that they had before. Where a
system signs no timestamp, its own id of the delivery is remembered, or the signature.
Sources: RFC 2104 (HMAC); GitHub, GitLab, PagerDuty and Slack, as each source declares (`streams.Signature`).
"""

import hashlib
import hmac
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from schemas.core import NS
from streams import Signature
from tidegate._http import Refused
from tidegate._principals import Principal

OURS = Signature(
    "x-tidegate-signature", "v1=", timestamp="x-tidegate-timestamp", signed=b"{timestamp}.{body}"
)  # fmt: skip
"""How a sender signs that has no way of its own: `v1=` and the hex HMAC-SHA256 of `TIMESTAMP.BODY`."""
_REMEMBERED = 100_000
_DAY_NS = 86_400 * NS
_MOST_VALUES = 10


class Proof(NamedTuple):
    """Who signed, and what must not come again."""

    who: Principal
    used: str


class Proofs:
    """Any number of threads may ask. now_ns: the wall clock."""

    def __init__(
        self, signers: Sequence[tuple[bytes, Principal]], *, window_s: float, now_ns: Callable[[], int]
    ) -> None:
        self._signers, self._window_ns, self._now_ns = signers, round(window_s * NS), now_ns
        self._used: OrderedDict[str, int] = OrderedDict()
        self._lock = threading.Lock()

    def signed_by(self, headers: Mapping[str, str], declared: Sequence[Signature]) -> Signature | None:
        """The signature that a request bears, if any; checked only once the body is there."""
        if not self._signers:
            return None
        return next((one for one in (OURS, *declared) if headers.get(one.header)), None)

    def check(self, headers: Mapping[str, str], body: bytes, signature: Signature, delivery: str = "") -> Proof:
        """Who signed this body, as it was sent. Raises Refused 401 (wrong, too old) or 409 (came before)."""
        stamp = headers.get(signature.timestamp, "") if signature.timestamp else ""
        if signature.timestamp:
            self._check_age(stamp, signature)
        values = [value.strip() for value in headers[signature.header].split(",")][:_MOST_VALUES]
        found = None
        for secret, principal in self._signers:
            expected = _expected(secret, body, stamp, signature)
            for value in values:
                if hmac.compare_digest(value.encode("utf-8", "surrogateescape"), expected):
                    found = principal
        if found is None:
            raise Refused(401, f"the signature in {signature.header} is of no known secret over this body")
        said = headers.get(delivery, "") if delivery else ""
        if signature.algorithm == "secret" and not said:
            return Proof(found, "")
        what = f"{stamp}\0{headers[signature.header]}" if not said or signature.timestamp else said
        return Proof(found, hashlib.sha256(f"{found.source}\0{what}".encode("utf-8", "surrogateescape")).hexdigest())

    def use(self, proof: Proof) -> None:
        """Take it as used. Raises Refused 409 if it was."""
        if not proof.used:
            return
        now = self._now_ns()
        with self._lock:
            while self._used and (len(self._used) >= _REMEMBERED or next(iter(self._used.values())) < now):
                self._used.popitem(last=False)
            if proof.used in self._used:
                raise Refused(409, "this delivery was taken before; nothing was kept twice")
            self._used[proof.used] = now + max(_DAY_NS, 2 * self._window_ns)

    def forget(self, proof: Proof) -> None:
        """It was not kept after all, so the sender may come again."""
        with self._lock:
            self._used.pop(proof.used, None)

    def _check_age(self, stamp: str, signature: Signature) -> None:
        if not (stamp.isdecimal() and stamp.isascii() and len(stamp) < 12):
            raise Refused(401, f"{signature.header} needs {signature.timestamp}: Unix seconds that were signed as well")
        if abs(self._now_ns() - int(stamp) * NS) > self._window_ns:
            limit = self._window_ns // NS
            raise Refused(401, f"{signature.timestamp} is more than {limit} s from our clock; sign anew, check clocks")


def _expected(secret: bytes, body: bytes, stamp: str, signature: Signature) -> bytes:
    if signature.algorithm == "secret":
        return signature.prefix.encode() + secret
    before, _, after = signature.signed.replace(b"{timestamp}", stamp.encode()).partition(b"{body}")
    digest = hmac.new(secret, before + body + after, signature.algorithm).hexdigest()
    return (signature.prefix + digest).encode()
