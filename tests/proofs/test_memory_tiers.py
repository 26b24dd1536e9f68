"""A hundred thousand series in one process keep within the bytes a series that the design allows."""

import numpy as np
from support.traffic import Steady

from schemas.core import NS
from streams import STATE_BYTES_PER_SERIES, Engine, MemoryLog
from tidegate._pipeline import build
from tidegate._settings import Settings

CORE, PROFILE = 500, 1400
START = 1_700_000_000 * NS


def test_core_state_of_a_hundred_thousand_series_is_within_its_tier():
    services = [Steady(f"s{i}", 1000) for i in range(100)]
    engine = Engine(MemoryLog(), build(Settings(), last="detect").stages)
    for step in range(14):
        t = START + step * 10 * NS
        engine.log.append([s.at(t, np.full(1000, float(step))) for s in services], writer="outside")
        engine.run()
        engine.log.trim(engine.log.last())  # type: ignore[attr-defined]
    state = engine.runners[-1].state
    n = len(state.windows.registry)
    core = profile = 0
    for table in state.detect.tables.values():
        for name, column in table.items():
            size = column.nbytes
            profile += size if name.startswith("profile") else 0
            core += 0 if name.startswith("profile") else size
    assert n == 100_000
    assert STATE_BYTES_PER_SERIES + core / n <= CORE
    assert profile / n <= PROFILE
