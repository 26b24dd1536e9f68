"""A hundred thousand series in one process keep within the bytes a series that the design allows."""

import numpy as np
import pytest
from support.traffic import Steady

import schemas as sc
from schemas.core import NS
from streams import STATE_BYTES_PER_SERIES, Engine, MemoryLog
from tidegate import _catalogue
from tidegate._pipeline import build
from tidegate._settings import Settings

WANTED = (
    ("cpu", {}),
    ("requests", {"kind": "count"}),
    ("log.lines", {"kind": "count", "signal": "logs", "is_event": True, "denominator": "0" * 16}),
    ("span.errors", {"kind": "count", "signal": "traces", "is_event": True, "denominator": "0" * 16}),
    ("span.duration.mean", {"signal": "traces"}),
    ("edge.gap", {"signal": "traces"}),
)
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


@pytest.mark.parametrize(("name", "traits"), WANTED)
def test_all_detectors_of_a_series_together_keep_it_within_its_tier(name, traits):
    definition = sc.SeriesDef(id="1" * 16, entity_id="default/service/a", service="a", name=name, **traits)
    accepting = [d for d in _catalogue.detectors() if d.accepts(definition)]
    assert accepting
    columns = [(column, c.nbytes) for d in accepting for column, c in d.initial(1).items()]
    assert STATE_BYTES_PER_SERIES + sum(n for column, n in columns if not column.startswith("profile")) <= CORE
    assert sum(n for column, n in columns if column.startswith("profile")) <= PROFILE
