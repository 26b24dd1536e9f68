"""The kill switch: what the signed orders add up to, and what they cover. Pure; who signed is proved by the caller.

Orders come from several places (a store, a local file, a topic) and any one of them suffices, so what counts is the
union of all orders seen: for each scope the newest decides, and of two of the same time the one that stops. The sum
does not depend on the order of arrival, a copy changes nothing, and a place that is away takes nothing back. A resume
counts only for exactly the scope that was stopped. Where nobody could look for `FRESH_NS`, nothing goes forward.
"""

from collections.abc import Iterable
from typing import NamedTuple

from actions._ports import Watch
from schemas import Control
from schemas.core import NS

FRESH_NS = 5 * NS
"""A state that was read longer ago counts as stopped; from the notes on kill switches."""
SUPERVISED_NS = 10 * NS
"""Without a sign of life of the supervisor for so long, nothing more than advice."""
EVERYTHING = "all"
_KINDS = ("verb", "service", "target", "breaker", "key")


class Order(NamedTuple):
    scope: str
    is_stop: bool
    issued_ns: int


def order_of(control: Control) -> Order | None:
    """What a verified control record orders here, None if it is about something else."""
    if control.kind not in ("kill", "resume") or not is_scope(control.scope):
        return None
    return Order(control.scope, control.kind == "kill", control.issued_ns)


def is_scope(scope: str) -> bool:
    """`all`, `verb:NAME`, `service:NAME`, `target:ID`, `key:ID` of a key that signs permits, or `breaker:VERB@SERVICE`
    (`*@*` is that of everything).
    """
    kind, _, name = scope.partition(":")
    return scope == EVERYTHING or (kind in _KINDS and bool(name))


def breaker_of(scope: str) -> tuple[str, str] | None:
    """Verb and service of the breaker that a scope names.

    >>> breaker_of("breaker:pod.restart@checkout")
    ('pod.restart', 'checkout')
    """
    kind, _, name = scope.partition(":")
    verb, _, service = name.partition("@")
    return (verb, service) if kind == "breaker" and verb and service else None


def stopped(orders: Iterable[Order]) -> frozenset[str]:
    """The scopes that are stopped by all these orders together."""
    newest = dict[str, Order]()
    for order in orders:
        known = newest.get(order.scope)
        if known is None or (order.issued_ns, order.is_stop) > (known.issued_ns, known.is_stop):
            newest[order.scope] = order
    return frozenset(scope for scope, order in newest.items() if order.is_stop)


def covers(scopes: frozenset[str], verb: str, service: str, target: str) -> str:
    """The widest of the stopped scopes that this effect is in, or an empty string."""
    for scope in (EVERYTHING, f"verb:{verb}", f"service:{service}", f"target:{target}"):
        if scope in scopes:
            return scope
    return ""


def is_revoked(scopes: frozenset[str], kid: str) -> bool:
    """Whether permits that this key signs open nothing any more, undos included: somebody else may have the key."""
    return f"key:{kid}" in scopes


def why_held(watch: Watch, verb: str, service: str, target: str, now_ns: int) -> str:
    """Why nothing forward may happen there now, or an empty string. A stale state stops everything."""
    if now_ns - watch.looked_ns > FRESH_NS:
        return "KILL_STATE_STALE"
    return "KILLED" if covers(watch.scopes, verb, service, target) else ""


def is_supervised(watch: Watch, now_ns: int) -> bool:
    return now_ns - watch.supervised_ns <= SUPERVISED_NS
