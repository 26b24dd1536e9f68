"""A sale: two and a half times the traffic within ten minutes, and nothing is broken.

Processor, connections and requests rise with it because they follow the load; each request takes a little longer, as
queues do. A watcher that blames a service here cries wolf.
"""

from dataclasses import dataclass
from typing import ClassVar

from simulation._shop_day import Day, Way, since
from simulation._shop_plan import Call

_MORE = 1.5
_SLOWER = 1.15


@dataclass(frozen=True, slots=True)
class BusyDay(Day):
    """From `at_s` on traffic grows for `grows_s`, to two and a half times the usual."""

    kind: ClassVar[str] = "busy_day"
    about: ClassVar[str] = "two and a half times the traffic; processors are busy, nothing is broken"
    begins: ClassVar[str] = "a sale begins"

    grows_s: float = 300.0

    @property
    def ways(self) -> tuple[Way, ...]:
        return (Way("gateway", since(self.at_s, 1.0, over_s=self.grows_s), _queued),)

    def rate(self, at_s: float) -> float:
        return 1.0 + _MORE * min(max((at_s - self.at_s) / self.grows_s, 0.0), 1.0)


def _queued(call: Call) -> Call:
    return call._replace(work_ms=call.work_ms * _SLOWER, calls=tuple(_queued(one) for one in call.calls))


PLUGIN = BusyDay
