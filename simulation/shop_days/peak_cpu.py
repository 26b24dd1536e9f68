"""Black Friday: payment uses its processors up, and its work takes longer. The calendar says that it is a peak.

On an ordinary day one would restart it. In a peak that drops the payments in flight, so more of it should run. How
much slower it gets follows from how busy it is, as in a queue with one server: by (1 - usual) / (1 - now).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

from schemas.core import F64
from simulation._shop_day import Day, Entry, Gauge, Way, since
from simulation._shop_tree import slowed

_SERVICE = "payment"
_USUAL, _BUSY = 0.31, 0.96
_WORK_MS = 35.0
_WAIT_MS = _WORK_MS * ((1 - _USUAL) / (1 - _BUSY) - 1)


@dataclass(frozen=True, slots=True)
class PeakCpu(Day):
    """From `at_s` on payment is at 96 per cent of its processors."""

    kind: ClassVar[str] = "peak_cpu"
    about: ClassVar[str] = "payment uses its processors up on Black Friday, and gets slow"
    begins: ClassVar[str] = "payment uses its processors up; the calendar says peak"
    noises: ClassVar[int] = 1

    @property
    def cause(self) -> tuple[str, str, str] | None:
        return "high CPU", _SERVICE, "cpu"

    @property
    def calendar(self) -> tuple[Entry, ...]:
        return (Entry("peak", "Black Friday", 0.0, 86_400.0),)

    @property
    def ways(self) -> tuple[Way, ...]:
        return (Way(_SERVICE, since(self.at_s, 1.0), lambda call: slowed(call, _SERVICE, _WAIT_MS)),)

    def gauges(self, service: str, slot: int, at_s: float, noise: F64) -> Iterable[Gauge]:
        if service == _SERVICE:
            level = _BUSY if at_s >= self.at_s else _USUAL
            yield Gauge("process.cpu.utilization", "1", min(level * (1 + 0.02 * float(noise[0])), 1.0))


PLUGIN = PeakCpu
