"""The points of the benchmark, a function of number of series, number of points and seed; and the answer to be found.

Gauges at a step of 10 s, all of a tick at the same time, in services of fifty. A few become four times as high for two
minutes. The answer: 60 s tumbling mean; robust z of it against the last 30 means at most, at least ten; |z| > 8.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from schemas.core import F64, I64, NS

START = 1_767_225_600 * NS
STEP_NS, WINDOW_NS = 10 * NS, 60 * NS
TICKS = WINDOW_NS // STEP_NS
PER_SERVICE = 50
NAMES = ("cpu_usage", "memory_usage", "request_latency_seconds", "error_rate", "queue_depth")
HISTORY, LEAST, LIMIT = 30, 10, 8.0
FAULT_TICKS, FAULT_FACTOR = 12, 4.0


@dataclass(frozen=True)
class Workload:
    """`series` is a multiple of fifty. The last tick begins a window, so that time passes all windows before it."""

    series: int
    wanted: int
    partitions: int = 1
    seed: int = 11
    faults: dict[int, list[int]] = field(default_factory=dict, init=False, compare=False)
    """By tick, the series that become ill then."""

    def __post_init__(self) -> None:
        rng = np.random.Generator(np.random.PCG64(self.seed))
        first = max(LEAST * TICKS, self.ticks // 2)
        last = self.ticks - FAULT_TICKS - 1
        if last <= first:
            return
        for number in rng.choice(self.series, max(4, self.series // 2000), replace=False).tolist():
            self.faults.setdefault(int(rng.integers(first, last)), []).append(number)

    @property
    def ticks(self) -> int:
        return max(self.wanted // self.series // TICKS, 1) * TICKS + 1

    @property
    def points(self) -> int:
        return self.ticks * self.series

    @property
    def windows(self) -> int:
        """Windows that time passes."""
        return self.ticks // TICKS

    @property
    def end_ns(self) -> int:
        return START + self.ticks * STEP_NS

    @cached_property
    def keys(self) -> list[str]:
        """What a point is called where it travels alone: service, metric, instance."""
        return [f"{self.service(i)}|{self.metric(i)}|{self.instance(i)}" for i in range(self.series)]

    @cached_property
    def partition(self) -> I64:
        """Of each series: that of its service."""
        found: I64 = np.arange(self.series, dtype=np.int64) // PER_SERVICE % self.partitions
        return found

    def service(self, number: int) -> str:
        return f"svc{number // PER_SERVICE:04d}"

    def metric(self, number: int) -> str:
        return NAMES[number % len(NAMES)]

    def instance(self, number: int) -> str:
        return str(number % PER_SERVICE // len(NAMES))

    def ticks_of_values(self) -> Iterator[tuple[int, F64]]:
        """Time in ns and values (series,) of each tick; three decimals, as exporters print them."""
        rng = np.random.Generator(np.random.PCG64(self.seed + 1))
        level = rng.uniform(10, 100, self.series)
        left: NDArray[np.int64] = np.zeros(self.series, np.int64)
        for tick in range(self.ticks):
            left[self.faults.get(tick, [])] = FAULT_TICKS
            values = level * (1 + 0.05 * rng.standard_normal(self.series))
            values[left > 0] *= FAULT_FACTOR
            left -= left > 0
            yield START + tick * STEP_NS, np.round(values, 3)

    @cached_property
    def answer(self) -> frozenset[tuple[int, int]]:
        """(series, start of the window in ns) of every anomaly in the windows that time passes."""
        means = np.empty((self.windows, self.series))
        total: F64 = np.zeros(self.series)
        for tick, (_, values) in enumerate(self.ticks_of_values()):
            total = values if tick % TICKS == 0 else total + values
            if tick % TICKS == TICKS - 1:
                means[tick // TICKS] = total / TICKS
        found: set[tuple[int, int]] = set()
        for window in range(LEAST, self.windows):
            history = means[max(0, window - HISTORY) : window]
            centre = np.median(history, axis=0)
            spread = 1.4826 * np.median(np.abs(history - centre), axis=0)
            odd = np.abs(means[window] - centre) > LIMIT * spread
            found.update((number, START + window * WINDOW_NS) for number in np.flatnonzero(odd).tolist())
        return frozenset(found)
