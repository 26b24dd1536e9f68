"""Metrics of the shop's instances, every ten seconds: cpu, memory, requests, durations, connection pools."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from schemas.core import F64, NS
from simulation._shop_day import Gauge
from simulation._shop_plan import POOLS
from streams._otlp_encode import counter, gauge, histogram

BOUNDS_S = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0)  # OpenTelemetry's advice for HTTP
_IDLE_CPU, _CPU_PER_RPS = 0.04, 0.012
_MEMORY_BYTES = 320 << 20


@dataclass
class Meter:
    """The meters of one instance since it began."""

    service: str
    start_ns: int
    requests: dict[tuple[str, int], int] = field(default_factory=dict)
    memory: float = float(_MEMORY_BYTES)

    def read(
        self, t_ns: int, pane_ns: int, served: Mapping[tuple[str, int], F64], rng: np.random.Generator,
        more: Iterable[Gauge] = (),
    ) -> tuple[bytes, int]:  # fmt: skip
        """Framed metrics at `t_ns`, how many points; served: seconds of the requests by (operation, status).

        more: gauges of the day, in place of those of the same name.
        """
        noise = rng.standard_normal(3)
        count = sum(len(seconds) for seconds in served.values())
        cpu = (_IDLE_CPU + _CPU_PER_RPS * count * NS / pane_ns) * float(np.exp(0.08 * noise[0]))
        self.memory += 0.02 * (_MEMORY_BYTES - self.memory) + float(noise[1]) * (1 << 20)
        gauges = {
            "process.cpu.utilization": ("1", min(cpu, 1.0)),
            "process.memory.usage": ("By", float(round(self.memory))),
        }
        if size := POOLS.get(self.service):
            busy = sum(float(seconds.sum()) for seconds in served.values()) * NS / pane_ns
            used = min(size, max(0, round(1.5 + 2.0 * busy + 0.7 * float(noise[2]))))
            gauges["db.client.connection.usage"] = "{connection}", float(used)
            gauges["db.client.connection.max"] = "{connection}", float(size)
        gauges |= {one.name: (one.unit, one.value) for one in more}
        items = [gauge(name, unit, t_ns, value) for name, (unit, value) in gauges.items()]
        for key, seconds in served.items():
            self.requests[key] = self.requests.get(key, 0) + len(seconds)
        points = len(items) + len(self.requests) + len(served)
        totals = [
            (self.start_ns, t_ns, total, (("http.route", name), ("http.response.status_code", status)))
            for (name, status), total in sorted(self.requests.items())
        ]
        spread = [
            (
                t_ns - pane_ns, t_ns, np.histogram(seconds, (0.0, *BOUNDS_S, np.inf))[0].tolist(), float(seconds.sum()),
                (("http.route", name), ("http.response.status_code", status)),
            )
            for (name, status), seconds in sorted(served.items())
        ]  # fmt: skip
        if totals:
            items.append(counter("http.server.requests", "{request}", totals))
        if spread:
            items.append(histogram("http.server.request.duration", "s", BOUNDS_S, spread))
        return b"".join(items), points
