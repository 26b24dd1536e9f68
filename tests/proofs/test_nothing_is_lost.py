"""A million samples of real OTLP bytes with everything that goes wrong: both ledgers stay exact."""

import numpy as np
from support.traffic import Steady, final

import schemas as sc
from schemas.core import NS, Emit
from streams import Engine, MemoryLog, imbalance, report
from tidegate._pipeline import build, ledger_of
from tidegate._settings import Settings

SERIES, STEPS, START = 1000, 1000, 1_700_000_000 * NS


def test_a_million_samples_with_poison_duplicates_disorder_and_late_ones_are_accounted_for():
    rng = np.random.default_rng(11)
    services = [Steady(f"s{i}", SERIES // 4) for i in range(4)]
    order: list[tuple[float, Emit]] = []
    late = duplicated = 0
    for step in range(STEPS):
        t = START + step * 10 * NS
        for service in services:
            emit = service.at(t, rng.normal(size=SERIES // 4))
            moment, fate = float(step), rng.random()
            if fate < 0.02 and step < STEPS - 50:
                moment += 40  # two per cent come far too late
                late += SERIES // 4
            elif fate < 0.12:
                moment += rng.random() * 0.9  # ten per cent arrive out of order, within lateness
            order.append((moment, emit))
            if rng.random() < 0.05:
                order.append((moment + 0.01, emit))  # five per cent are sent twice
                duplicated += SERIES // 4
        if rng.random() < 0.05:
            poison = rng.bytes(50) if rng.random() < 0.5 else order[-1][1].value[:-7]
            order.append((float(step), Emit(sc.OTLP_METRICS, b"", poison, (), t)))
    order.sort(key=lambda pair: pair[0])
    pipeline = build(Settings(), last="detect")
    log = MemoryLog()
    engine = Engine(log, pipeline.stages)
    for i in range(0, len(order), 256):
        log.append([emit for _, emit in order[i : i + 256]], writer="outside", received_ns=START + STEPS * 10 * NS)
        engine.run()
        log.trim(log.last())
    log.append([final(sc.OTLP_METRICS, START + STEPS * 10 * NS)], writer="outside")
    engine.run()
    ledger = ledger_of(engine.runners)
    found = report(ledger)
    assert imbalance(ledger) == ""
    assert found["samples"]["buffered"] == 0
    assert found["samples"]["decoded"] == SERIES * STEPS + duplicated
    assert late <= found["samples"]["late"] <= late + duplicated
    assert found["messages"]["dead_lettered"] > 20
    assert found["samples"]["processed"] == SERIES * STEPS - late
    assert found["samples"]["duplicate"] + found["samples"]["late"] == duplicated + late
