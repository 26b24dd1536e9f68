"""A cascade: the store behind inventory gets slow, and all who call it, and who call those, are slow and partly fail.

Callers give up after two seconds. Catalogue, cart, checkout and the gateway show it as loudly as inventory does; only
inventory has it from nobody whom it calls.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

from schemas.core import F64
from simulation._shop_day import Day, Gauge, Way, since
from simulation._shop_plan import ORDER, WARN, Log
from simulation._shop_tree import failing, slowed

_SERVICE = "inventory"
_SLOW = Log(f"statement on stock took long for {ORDER}", WARN)
_GAVE_UP = Log(f"statement on stock for {ORDER} cancelled after 2000 ms", WARN)


@dataclass(frozen=True, slots=True)
class Cascade(Day):
    """From `at_s` on statements of inventory take half a second longer, and one in eight is given up."""

    kind: ClassVar[str] = "cascade"
    about: ClassVar[str] = "a slow store behind inventory: catalogue, cart, checkout and gateway suffer with it"
    begins: ClassVar[str] = "the store behind inventory gets slow"
    noises: ClassVar[int] = 1

    @property
    def cause(self) -> tuple[str, str, str] | None:
        return "slow store", _SERVICE, "latency"

    @property
    def ways(self) -> tuple[Way, ...]:
        return (
            Way(_SERVICE, since(self.at_s, 0.125), lambda c: failing(c, _SERVICE, 503, _GAVE_UP, work_ms=2000.0)),
            Way(_SERVICE, since(self.at_s, 0.5), lambda c: slowed(c, _SERVICE, 500.0, _SLOW)),
            Way(_SERVICE, since(self.at_s, 0.375), lambda c: slowed(c, _SERVICE, 120.0)),
        )

    def gauges(self, service: str, slot: int, at_s: float, noise: F64) -> Iterable[Gauge]:
        if service == _SERVICE:
            took = 0.35 if at_s >= self.at_s else 0.0018
            yield Gauge("db.client.operation.duration", "s", took * (1 + 0.1 * float(noise[0])))


PLUGIN = Cascade
