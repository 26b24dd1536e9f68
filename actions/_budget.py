"""How much may be done in how little time: shares that a permit takes, counted by the ledger over sliding windows.

Per target, per verb, in all, at once, and as a share of a service's replicas and of the fleet. The ledger refuses the
whole permit where one of them is spent, in the same transaction, so two permits cannot both take the last share; a
permit runs out within seconds, so what is counted at the permit is near enough to the effect. Undoing takes no share.
Defaults: notes on safety (Kubernetes node eviction, AWS S3 2017, NVSentinel's breaker), stated there, not tuned.
"""

from dataclasses import dataclass
from typing import NamedTuple

from actions._drive import share
from actions._ledger import Take
from actions._ports import Illness
from schemas.core import NS

FOREVER_NS = 400 * 24 * 3600 * NS


class Limit(NamedTuple):
    most: int
    window_ns: int


@dataclass(frozen=True, slots=True)
class Limits:
    """replica_share, fleet_share: of what may be touched within `blast_window_ns`; always at least one."""

    target: Limit = Limit(2, 3600 * NS)
    verb: Limit = Limit(5, 600 * NS)
    everything: Limit = Limit(10, 600 * NS)
    at_once: int = 3
    replica_share: float = 0.10
    fleet_share: float = 0.05
    blast_window_ns: int = 600 * NS


def takes(
    limits: Limits, key: str, step: int, verb: str, target: str, service: str, groups: tuple[Illness, ...]
) -> tuple[Take, ...]:
    """The shares of one step of an action. groups: sizes, of `service:NAME` (its replicas) and `fleet`, where known."""
    sizes = {group.group: group.members for group in groups}
    blast = _part(limits.replica_share, sizes.get(f"service:{service}", 0))
    fleet = _part(limits.fleet_share, sizes.get("fleet", 0))
    window_ns = limits.blast_window_ns
    found = [
        Take(f"target/{target}", share(key, step, "target"), 1, limits.target.window_ns, limits.target.most),
        Take(f"verb/{verb}", share(key, step, "type"), 1, limits.verb.window_ns, limits.verb.most),
        Take("everything", share(key, step, "global"), 1, limits.everything.window_ns, limits.everything.most),
        Take("at_once", share(key, 0, "flight"), 1, FOREVER_NS, limits.at_once),
    ]
    if f"service:{service}" in sizes:
        found.append(Take(f"replicas/{service}", share(key, step, "blast"), 1, window_ns, blast))
    if "fleet" in sizes:
        found.append(Take("fleet", share(key, step, "fleet"), 1, window_ns, fleet))
    return tuple(found)


def _part(share_of: float, members: int) -> int:
    return max(1, int(share_of * members))
