"""A replica falls behind its source, and the job that reads it fails; the requests of the shop are served as ever.

A service of its own, `warehouse`, copies four tables from replica-2 every half minute. Usual is a lag of some four
minutes; at the onset the replica is found 2.3 hours behind, stands still, and refuses those who read it. The gauge is
that of the Collector's receiver for MySQL.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import ClassVar

from schemas.core import F64
from simulation._shop_day import Day, Gauge, Line
from simulation._shop_plan import ERROR, Log

_SERVICE = "warehouse"
_EVERY_S = 30.0
_USUAL_S, _LAG_S = 240.0, 2.3 * 3600
_STARTED = Log("etl started, source DB replica-2")
_COPIED = tuple(Log(f"etl copied table {table}") for table in ("orders", "parcels", "payments", "returns"))
_FINISHED = Log("etl finished with exit code 0")
_FAILED = (
    Log("etl failed: connection timeout to source DB replica-2", ERROR), Log("etl ended with exit code 1", ERROR),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class ReplicaLag(Day):
    """At `at_s` the replica is found 2.3 hours behind, and refuses those who read it."""

    kind: ClassVar[str] = "replica_lag"
    about: ClassVar[str] = "a replica is 2.3 h behind and the job that copies from it fails; requests are fine"
    begins: ClassVar[str] = "replica-2 is 2.3 hours behind"
    noises: ClassVar[int] = 1
    services: ClassVar[Mapping[str, str]] = {_SERVICE: "2.1.0"}

    @property
    def cause(self) -> tuple[str, str, str] | None:
        return "replica lag", _SERVICE, "data"

    def gauges(self, service: str, slot: int, at_s: float, noise: F64) -> Iterable[Gauge]:
        if service == _SERVICE:
            lag = _LAG_S + (at_s - self.at_s) if at_s >= self.at_s else _USUAL_S
            yield Gauge("mysql.replica.time_behind_source", "s", lag + 15.0 * float(noise[0]))

    def lines(self, service: str, slot: int, from_s: float, to_s: float) -> Iterable[Line]:
        if service == _SERVICE and slot == 0:
            at_s = -(-from_s // _EVERY_S) * _EVERY_S
            while at_s < to_s:
                rest = _FAILED if at_s >= self.at_s else (*_COPIED, _FINISHED)
                yield from (Line(at_s + 0.4 * i, log) for i, log in enumerate((_STARTED, *rest)))
                at_s += _EVERY_S


PLUGIN = ReplicaLag
