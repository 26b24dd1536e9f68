"""A level that a deploy moved is learned at once where the watch finds it no worse, and never while it is worse."""

from functools import cache

import numpy as np
import pytest
from support.toys import ToySource, mark, toy_message

import schemas as sc
from detectors import Detect
from detectors.cusum import Cusum
from detectors.seasonal_local import SeasonalLocal
from schemas.core import NS, WindowBlock
from streams import Engine, MemoryLog, Normalise, StreamSettings
from tidegate._catalogue import detectors
from tidegate._detecting import Detecting
from tidegate._errors import SettingsError
from tidegate._pipeline import build
from tidegate._settings import Settings
from tidegate._watching import Watch

DAY, ROWS, START = 1440, 24, 1_767_571_200
AT = 2 * DAY
"""Of the change, after two days; the first half of the series is of the service that was changed."""
DEFS = {
    i: sc.SeriesDef(id=f"{i:016x}", entity_id=f"default/service/{s}", service=s, name=f"cpu{i}")
    for i, s in enumerate(["shop"] * (ROWS // 2) + ["bank"] * (ROWS // 2))
}


def minute_ns(at):
    return (START + 60 * at) * NS


def window(at, x):
    n, ones = len(x), np.ones(len(x))
    return WindowBlock(
        start_ns=minute_ns(at), end_ns=minute_ns(at + 1), series=np.arange(n, dtype=np.uint64), rows=np.arange(n),
        total=x, mean=x, low=x, high=x, last=x, count=np.ones(n, np.int64), expected=ones, weight=ones, recorded=ones,
    )  # fmt: skip


def change(at=AT, name="v2"):
    return sc.Change(
        id=name, kind="deploy", entity_id="default/service/shop", service="shop", at_ns=minute_ns(at), title=name
    )


def verdict(at, verdict, state="watching", name="v2"):
    return sc.ChangeVerdict(
        id=f"{name}{at}", change_id=name, service="shop", title=name, revision=1, at_ns=minute_ns(AT),
        as_of_ns=minute_ns(at), state=state, verdict=verdict, requests=1,
    )  # fmt: skip


def values(at, rng, until=10**9, step=8.0):
    """A swing of the day, noise, and a step of so many deviations from the change on."""
    swing = 20.0 * np.sin(2 * np.pi * at / DAY)
    moved = 5.0 * step * (AT <= at < until) * (np.arange(ROWS) < ROWS // 2)
    return 100.0 + swing + 5.0 * rng.standard_normal(ROWS) + moved


@cache
def taught(kind):
    """Two days less an hour, as a snapshot, and the state of chance then."""
    detect, rng = Detect([kind()], by_verdict=True), np.random.default_rng(4)
    state = detect.initial()
    for at in range(AT - 60):
        state, _ = detect.observe(state, window(at, values(at, rng)), DEFS)
    return detect.dump(state), rng.bit_generator.state


def begun(kind, by_verdict=True):
    detect, rng = Detect([kind()], by_verdict=by_verdict), np.random.default_rng()
    data, rng.bit_generator.state = taught(kind)
    return detect, detect.load(data), rng


def told(said, minutes, *, kind=SeasonalLocal, until=10**9, by_verdict=True, again_at=None):
    """Share of windows of the shop below 1e-3, hour by hour from the change on; said: records by minute."""
    (detect, state, rng), found = begun(kind, by_verdict), np.zeros((minutes + 59) // 60)
    for at in range(AT - 60, AT + minutes):
        for record in said.get(at, ()):
            (detect.change if isinstance(record, sc.Change) else detect.verdict)(state, record)
        state, some = detect.observe(state, window(at, values(at, rng, until)), DEFS)
        if at >= AT:
            found[(at - AT) // 60] += sum(a.service == "shop" for a in some) / 60 / (ROWS // 2)
        if at == again_at:
            state = detect.load(detect.dump(state))
    return found


@pytest.mark.parametrize("name", ["not_worse", "better"])
def test_a_step_that_is_no_worse_is_the_level_from_the_verdict_on(name):
    by_itself = told({}, 60)
    share = told({AT: [change()], AT + 15: [verdict(AT + 15, name)]}, 12 * 60)
    assert by_itself[0] > 0.3 > share[0] > 0.2 and share[1:].max() < 0.02


def test_a_step_that_is_worse_is_never_the_level_while_the_version_is_there():
    by_itself = told({}, 13 * 60)
    said = {AT: [change()], AT + 15: [verdict(AT + 15, "worse")], AT + 600: [verdict(AT + 600, "worse", "ended")]}
    assert by_itself[6:].max() < 0.1 and told(said, 13 * 60).min() > 0.8


def test_after_the_rollback_the_level_of_before_is_the_usual_one_at_once():
    back = AT + 300
    said = {AT: [change()], AT + 15: [verdict(AT + 15, "worse")], back: [change(back, "v1")]}
    share = told(said, 8 * 60, until=back)
    assert share[:5].min() > 0.8 and share[5:].max() < 0.02


def test_a_verdict_that_is_taken_back_ends_what_it_held():
    said = {AT: [change()], AT + 15: [verdict(AT + 15, "worse")], AT + 120: [verdict(AT + 120, "not_worse")]}
    share = told(said, 5 * 60)
    assert share[:2].min() > 0.8 and share[2:].max() < 0.02


def test_a_level_that_did_not_move_is_left_alone_and_so_are_other_services():
    said = {AT: [change()], AT + 15: [verdict(AT + 15, "not_worse")]}
    states = []
    for records in (said, {AT: said[AT]}):
        detect, state, rng = begun(SeasonalLocal)
        for at in range(AT - 60, AT + 30):
            for record in records.get(at, ()):
                (detect.change if isinstance(record, sc.Change) else detect.verdict)(state, record)
            state, _ = detect.observe(state, window(at, values(at, rng, step=0.0)), DEFS)
        states.append(state.tables["seasonal_local"]["profile"])
    assert np.array_equal(*states)


def test_cusum_takes_the_new_level_with_the_verdict_too():
    said = {AT: [change()], AT + 12: [verdict(AT + 12, "not_worse")]}
    assert told(said, 4 * 60, kind=Cusum)[1:].max() < 0.02


@pytest.mark.parametrize("again_at", [AT - 1, AT + 5, AT + 16, AT + 200])
def test_a_restart_changes_nothing(again_at):
    said = {AT - 5: [change()], AT + 10: [verdict(AT + 15, "worse")], AT + 250: [verdict(AT + 260, "not_worse")]}
    assert np.array_equal(told(said, 300), told(said, 300, again_at=again_at))


def test_when_a_record_comes_does_not_matter_before_its_time():
    early = {AT - 60: [change(), verdict(AT + 15, "worse"), verdict(AT + 100, "not_worse")]}
    late = {AT: [change()], AT + 14: [verdict(AT + 15, "worse")], AT + 99: [verdict(AT + 100, "not_worse")]}
    assert np.array_equal(told(early, 180), told(late, 180))


def test_where_nothing_was_changed_the_pipeline_says_what_it_says_without():
    rng = np.random.default_rng(2)
    sent = [
        toy_message([(n, float(START + at), float(rng.normal() + 9 * (at >= 1200))) for n in range(7)])
        for at in range(0, 1800, 10)
    ]
    found = []
    for by_verdict in (False, True):
        log = MemoryLog()
        detecting = Detecting(detectors(()), fast=False, by_verdict=by_verdict)
        engine = Engine(log, [Normalise([ToySource()], StreamSettings(), False), detecting, Watch()])
        log.append([*sent, mark("source:a", through_s=START + 1800, final=True, at_s=START + 1800)], writer="outside")
        engine.run()
        stored = [s.message for s in log.read((sc.ANOMALIES,), 0, 10_000)]
        found.append([m.header("ce_id") for m in stored if sc.record_type(m) == "anomaly"])
    assert found[0] == found[1] != []


def test_with_several_partitions_it_is_refused():
    with pytest.raises(SettingsError, match=r"needs streams.partitions 1, not 2"):
        build(Settings.model_validate({"detection": {"levels_by_verdict": True}, "streams": {"partitions": 2}}))
