"""Failed calls of which the other end says nothing, by the name that the caller gave.

Where every call to a service is lost, no pair of spans says who was called, and the one who cannot be reached has no
failures of its own. The span of the client names it: `peer.service`, `server.address`, else the system it speaks to.
A name counts if it is a service that was heard of, by its first label (`stock.shop.svc` is `stock`), or one plain word;
addresses and hosts of the outside do not.
"""

import re
from collections.abc import Mapping

import numpy as np

from schemas.core import I64, Bool
from streams._spans import Spans

_CALLS = (3, 4)
_WORD = re.compile(r"[a-z][a-z0-9_-]{0,99}", re.IGNORECASE)
_NOBODY = frozenset(("localhost",))


def lost_calls(
    spans: Spans, parent: I64, told: Bool, known: Mapping[str, set[str]]
) -> dict[tuple[str, str, str], int]:  # fmt: skip
    """Calls by (caller, callee, tenant): failed ones of kind client or producer without a span of another service.

    parent: row of each span's parent, or -1. told: those to be judged now. known: by tenant and service, joined by the
    unit separator, whoever served requests.
    """
    has = np.flatnonzero(parent >= 0)
    answered = np.zeros(len(spans.start), bool)
    answered[parent[has[spans.service[parent[has]] != spans.service[has]]]] = True
    named = np.array([bool(peer) for peer in spans.peers], bool)[spans.peer] if len(spans.peer) else answered
    found: dict[tuple[str, str, str], int] = {}
    for row in np.flatnonzero(told & named & spans.is_error & ~answered & np.isin(spans.kind, _CALLS)).tolist():
        caller, tenant = spans.services[spans.service[row]], spans.tenants[spans.service[row]]
        callee = called(spans.peers[spans.peer[row]], tenant, known)
        if callee and callee != caller:
            found[caller, callee, tenant] = found.get((caller, callee, tenant), 0) + 1
    return found


def called(peer: str, tenant: str, known: Mapping[str, set[str]]) -> str:
    """The service that a client means by a name; empty if it cannot be told.

    >>> known = {"shop\\x1fstock": {"GET /"}}
    >>> [called(peer, "shop", known) for peer in ("stock.shop.svc", "redis", "10.0.0.7", "api.example.com")]
    ['stock', 'redis', '', '']
    """
    for name in (peer, peer.partition(".")[0]):
        if f"{tenant}\x1f{name}" in known:
            return name
    return peer if _WORD.fullmatch(peer) and peer.lower() not in _NOBODY else ""
