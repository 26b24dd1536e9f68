"""All connections of the accounts service to its database are taken: requests wait for one, and some give up.

A statement that never ends keeps a connection more every half minute; the pool has ten. Who waits gets a connection
late or, after the pool's time limit, none. Names of the gauges are those of OpenTelemetry's conventions for pools.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

from schemas.core import F64
from simulation._shop_day import Day, Gauge, Way, since
from simulation._shop_plan import ERROR, POOLS, Log
from simulation._shop_tree import failing, slowed

_SERVICE = "accounts"
_GAVE_UP = Log(
    "timeout waiting for connection from pool accounts-db (10 of 10 in use, 30 waiting)", ERROR,
    "accounts/pool.go", 141,
)  # fmt: skip
_LIMIT_MS = 3000.0


@dataclass(frozen=True, slots=True)
class PoolExhaustion(Day):
    """From `at_s` on connections are kept; after `fills_s` none is free."""

    kind: ClassVar[str] = "pool_exhaustion"
    about: ClassVar[str] = "accounts has no free database connection: requests wait for one, some give up"
    begins: ClassVar[str] = "statements of accounts begin to keep their connections"
    noises: ClassVar[int] = 3

    fills_s: float = 60.0

    @property
    def cause(self) -> tuple[str, str, str] | None:
        return "pool exhausted", _SERVICE, "saturation"

    @property
    def ways(self) -> tuple[Way, ...]:
        full_s = self.at_s + self.fills_s
        return (
            Way(_SERVICE, since(full_s, 0.25), lambda call: failing(call, _SERVICE, 503, _GAVE_UP, work_ms=_LIMIT_MS)),
            Way(_SERVICE, since(full_s, 0.5), lambda call: slowed(call, _SERVICE, 900.0)),
        )

    def gauges(self, service: str, slot: int, at_s: float, noise: F64) -> Iterable[Gauge]:
        if service != _SERVICE:
            return
        size = POOLS[service]
        grown = min(max((at_s - self.at_s) / self.fills_s, 0.0), 1.0)
        used = min(size, max(1, round(1.6 + 0.7 * float(noise[0]) + grown * size)))
        waiting = round(abs(18.0 + 4.0 * float(noise[1]))) if grown >= 1 else 0
        wait_s = 0.0008 * (1 + 0.2 * abs(float(noise[2]))) + (0.9 + 0.1 * float(noise[2]) if grown >= 1 else 0.0)
        yield Gauge("db.client.connection.usage", "{connection}", float(used))
        yield Gauge("db.client.connection.pending_requests", "{request}", float(waiting))
        yield Gauge("db.client.connection.wait_time", "s", wait_s)


PLUGIN = PoolExhaustion
