"""A memory leak in payment: its heap rises until collecting garbage costs time, and then until there is none left.

Real leaks take hours; this one takes minutes, so that a demo can be waited for. How much time collection takes follows
from what is live and what is free: work of a collection is proportional to the first, how often it comes to one over
the second.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

from schemas.core import F64
from simulation._shop_day import Day, Gauge, Way, since
from simulation._shop_plan import ERROR, Log
from simulation._shop_tree import failing, slowed

_MIB = 1 << 20
_LIVE, _LIMIT, _OTHER = 180 * _MIB, 512 * _MIB, 140 * _MIB
_FULL = 0.98
"""Share of the heap that is live when allocations begin to fail."""
_OVERHEAD = 0.01
"""Share of processor time that collection takes on a quiet day."""
_DIED = Log(
    'Exception in thread "http-nio-8080-exec" java.lang.OutOfMemoryError: Java heap space\n'
    "\tat shop.payment.Receipts.keep(Receipts.java:31)\n\tat shop.payment.Payments.authorise(Payments.java:79)",
    ERROR,
)
"""Written by the virtual machine and not by a logger, so without a code location."""


@dataclass(frozen=True, slots=True)
class MemoryLeak(Day):
    """From `at_s` on payment keeps every receipt; after `grows_s` its heap is full."""

    kind: ClassVar[str] = "memory_leak"
    about: ClassVar[str] = "the heap of payment fills up: pauses, slow payments, then OutOfMemoryError"
    begins: ClassVar[str] = "payment begins to keep what it should let go"
    lasts_s: ClassVar[float] = 720.0
    noises: ClassVar[int] = 2

    grows_s: float = 480.0

    @property
    def cause(self) -> tuple[str, str, str] | None:
        return "memory leak", "payment", "memory"

    @property
    def ways(self) -> tuple[Way, ...]:
        full_s = self.at_s + self.grows_s
        return (
            Way("payment", since(full_s, 0.3), lambda call: failing(call, "payment", 500, _DIED, work_ms=1500.0)),
            Way(
                "payment", since(self.at_s + 0.5 * self.grows_s, 0.4, over_s=0.5 * self.grows_s),
                lambda call: slowed(call, "payment", 400.0),
            ),
            Way(
                "payment", since(self.at_s + 0.8 * self.grows_s, 0.25, over_s=0.2 * self.grows_s),
                lambda call: slowed(call, "payment", 1500.0),
            ),
        )  # fmt: skip

    def gauges(self, service: str, slot: int, at_s: float, noise: F64) -> Iterable[Gauge]:
        if service != "payment":
            return
        grown = min(max((at_s - self.at_s) / self.grows_s, 0.0), 1.0)
        live = _LIVE + grown * (_FULL * _LIMIT - _LIVE)
        overhead = _OVERHEAD * live / _LIVE * (_LIMIT - _LIVE) / (_LIMIT - live)
        used = min(live + abs(float(noise[0])) * 6 * _MIB, _LIMIT)
        yield Gauge("jvm.memory.used", "By", float(round(used)))
        yield Gauge("jvm.memory.limit", "By", float(_LIMIT))
        yield Gauge("jvm.gc.overhead", "1", min(overhead * (1 + 0.1 * float(noise[1])), 1.0))
        yield Gauge("process.memory.usage", "By", float(round(used)) + _OTHER)


PLUGIN = MemoryLeak
