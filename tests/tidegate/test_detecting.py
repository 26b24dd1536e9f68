"""The detect stage gives the same anomalies and snapshots with and without compiled code."""

import sys

import numpy as np
import pytest

import schemas as sc
from schemas.core import NS, Message, Tick
from streams import SnapshotError, WindowState, pack
from tidegate import _catalogue, _detecting
from tidegate._detecting import Detecting

START = 1_767_225_600 * NS
SERIES = 30


def definition(i):
    return sc.SeriesDef(id=f"{i:016x}", entity_id="default/service/a", service="a", name="cpu", labels={"i": str(i)})


def events(panes=40):
    rng = np.random.default_rng(2)
    ids = np.arange(SERIES, dtype=np.uint64)
    for pane in range(panes):
        at = START + pane * 10 * NS
        value = 5 + rng.standard_normal(SERIES)
        value[3] += 500 * (pane >= panes - 4)
        defs = [definition(i) for i in range(SERIES)] if pane == 0 else []
        frame = sc.encode_frame(ids, at + rng.integers(0, 10 * NS, SERIES), value, shards=ids.astype(int), defs=defs)
        yield Message(sc.FRAMES, 0, pane, b"", frame, (), at, at)
        yield Tick(at + 10 * NS)


def run(stage):
    state, found = stage.initial(), []
    for event in events():
        state, out = stage.step(state, event)
        found += [emit.value for emit in out]
    return found, stage.dump(state)


def stage(fast):
    return Detecting(list(_catalogue.find("detectors").values()), fast=fast)


def test_compiled_or_not_and_whenever_it_begins_the_anomalies_and_snapshots_are_the_same(monkeypatch):
    pytest.importorskip("numba")
    plain = run(stage(False))
    assert len(plain[0]) > 1 and run(stage(True)) == plain
    monkeypatch.setattr(_detecting, "WARM_POINTS", 700)
    assert run(stage(None)) == plain


def test_without_numba_all_works_and_only_asking_for_it_fails(monkeypatch):
    for name in [name for name in sys.modules if name.endswith("_numba") or name == "streams._panes_fast"]:
        package, _, leaf = name.rpartition(".")
        monkeypatch.delitem(sys.modules, name)
        if package in sys.modules:
            monkeypatch.delattr(sys.modules[package], leaf, raising=False)
    monkeypatch.setitem(sys.modules, "numba", None)
    assert len(run(stage(None))[0]) > 1
    with pytest.raises(ModuleNotFoundError):
        stage(True)


def test_in_a_short_run_nothing_is_compiled():
    one = stage(None)
    run(one)
    assert one._windower._panes.sums is None


def test_a_frame_with_a_broken_definition_is_refused_and_changes_nothing():
    one = stage(False)
    state = one.initial()
    ids, t = np.arange(2, dtype=np.uint64), np.full(2, START)
    text = definition(1).to_bytes().replace(b'"labels":{', b'"labels":{"x":7,')
    defs = sc.SeriesDefs([definition(0).to_bytes(), text])
    frame = sc.encode_frame(ids, t, np.ones(2), shards=np.zeros(2, int), defs=defs)
    before = one.dump(state)
    with pytest.raises(sc.RecordInvalid):
        one.step(state, Message(sc.FRAMES, 0, 0, b"", frame, (), START, START))
    assert one.dump(state) == before


def test_a_snapshot_of_an_earlier_form_is_refused_with_a_sentence():
    with pytest.raises(SnapshotError, match="earlier version"):
        WindowState.load(pack({"registry": []}))


@pytest.mark.parametrize(("is_there", "said"), [(True, {"signal_silent@1"}), (False, set())])
def test_spans_that_stop_are_missing_telemetry_only_while_metrics_of_the_service_go_on(is_there, said):
    """Twenty minutes of both; then no spans."""
    defs = [
        sc.SeriesDef(id=f"{1:016x}", entity_id="default/instance/a/1", service="a", name="cpu"),
        sc.SeriesDef(
            id=f"{2:016x}", entity_id="default/service/a", service="a", name="span.total", kind="count",
            signal="traces", is_event=True,
        ),
    ]  # fmt: skip
    one, found = stage(False), []
    state = one.initial()
    for pane in range(180):
        at, stopped = START + pane * 10 * NS, pane >= 120
        ids = [1] * (is_there or not stopped) + [2] * (not stopped)
        series = np.array(ids, np.uint64)
        value = sc.encode_frame(series, np.full(len(ids), at), np.full(len(ids), 9.0), shards=series.astype(int),
                                defs=defs if pane == 0 else [])  # fmt: skip
        for event in (Message(sc.FRAMES, 0, pane, b"", value, (), at, at), Tick(at + 10 * NS)):
            state, out = one.step(state, event)
            found += [sc.read(Message(e.topic, 0, 0, e.key, e.value, e.headers, 0, 0)) for e in out]
    assert {a.detector for a in found if isinstance(a, sc.Anomaly) and a.name == "span.total"} == said
