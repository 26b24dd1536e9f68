"""What comes too late becomes two series of its service, and a share of it that is new an anomaly, in replay too."""

import numpy as np
import pytest
from support.toys import ToySource, mark, toy_message

import schemas as sc
from schemas.core import NS
from streams import Engine, MemoryLog, Normalise, StreamSettings
from tidegate._catalogue import detectors
from tidegate._detecting import Detecting

START = 1_767_571_200
SETTINGS = StreamSettings(lateness_ns=10 * NS, linger_ns=1 * NS)


def messages(late_from=None, minutes=40, seed=3):
    """Every 10 s of some minutes seven series speak; from a minute on a third of what the first says is 2 min old."""
    rng, found = np.random.default_rng(seed), []
    for at in range(0, 60 * minutes, 10):
        rows = [(n, float(START + at + k), float(rng.normal())) for n in range(7) for k in range(5)]
        if late_from is not None and at >= 60 * late_from:
            rows += [(0, float(START + at - 120 + k), 1.0) for k in range(17)]
        found.append(toy_message(rows, received_s=START + at + 5))
    return [*found, mark("source:a", through_s=START + 60 * minutes, final=True, at_s=START + 60 * minutes)]


def run(emits, fast=False):
    log = MemoryLog()
    stages = [Normalise([ToySource()], SETTINGS, fast), Detecting(detectors(()), fast=fast)]
    engine = Engine(log, stages)
    log.append(emits, writer="outside")
    engine.run()
    records = (sc.read(s.message) for s in log.read((sc.ANOMALIES,), 0, 100_000) if sc.record_type(s.message))
    return [one for one in records if isinstance(one, sc.Anomaly) and one.detector.startswith("late@")], engine


@pytest.mark.parametrize("fast", [False, True], ids=["plain", "compiled"])
def test_a_share_of_samples_that_begins_to_come_late_is_told_of_the_service_whose_they_are(fast):
    found, _ = run(messages(late_from=25), fast)
    first = min(found, key=lambda one: one.end_ns)
    assert {(one.service, one.labels["source"], one.name) for one in found} == {("s0", "a", "telemetry.late")}
    assert START + 25 * 60 < first.end_ns / NS <= START + 28 * 60 and first.direction == 1
    assert first.p_value < 1e-3 and 1 <= first.observed <= 119


def test_where_nothing_comes_late_there_is_no_series_of_it():
    found, engine = run(messages())
    names = engine.runners[1].state.windows.registry.dump()
    assert found == [] and b"telemetry" not in names


def test_the_ledgers_agree_and_samples_of_senders_are_counted_without_ours():
    _, engine = run(messages(late_from=25))
    before, after = (runner.state for runner in engine.runners)
    sent = 40 * 6 * 35 + 15 * 6 * 17
    assert before.ledger.counts["samples.decoded"] == sent
    assert before.ledger.counts["samples.late"] == 15 * 6 * 17
    assert after.windows.ledger.counts["samples.processed"] == sent - 15 * 6 * 17
    assert after.windows.ledger.counts["derived.processed"] == before.ledger.counts["derived.decoded"] > 100


def test_a_replay_and_a_restart_say_the_same():
    whole, _ = run(messages(late_from=25))
    stage = Normalise([ToySource()], SETTINGS, False)
    log = MemoryLog()
    log.append(messages(late_from=25), writer="outside")
    plain, broken = [], []
    for said, restarts in ((plain, False), (broken, True)):
        state = stage.initial()
        for stored in log.read((sc.RAW,), 0, 100_000):
            state, out = stage.step(state, stored.message)
            said += out
            state = stage.load(stage.dump(state)) if restarts else state
    assert plain == broken
    assert [one.id for one in run(messages(late_from=25))[0]] == [one.id for one in whole]


def test_what_always_came_late_is_no_news():
    found, _ = run(messages(late_from=0, minutes=90))
    assert [one for one in found if one.end_ns > (START + 30 * 60) * NS] == []
