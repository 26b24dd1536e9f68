"""Means of sums by counts: what a window says of classic histograms and summaries."""

import json
from pathlib import Path

import numpy as np
import pytest
from support.windows import START, frame

import schemas as sc
from schemas.core import NS, Message
from streams import Windower, WindowState, _window_state
from streams._means import count_of, is_sum
from streams._split import part_of_windows
from streams.sources.prometheus import PrometheusRemoteWrite

GOLDEN = sorted((Path(__file__).resolve().parents[1] / "golden/remote_write").glob("*.snappy"))
SERVICE = "default/service/a"


def counter(name, labels=None, **traits):
    labels = labels or {}
    number = sc.series_id("default", SERVICE, name, labels)
    traits = {"kind": "count", "temporality": "cumulative", "unit": "s" if name.endswith("sum") else "1"} | traits
    return sc.SeriesDef(id=f"{number:016x}", entity_id=SERVICE, service="a", name=name, labels=labels, **traits)


SUM, COUNT = counter("took_seconds_sum"), counter("took_seconds_count")


def played(rows, defs=(SUM, COUNT), step_s=10, state=None, fast=False):
    """Rows of values, one a definition, None for no sample; the state, and the mean of each pane by name of series."""
    windower, state, found = Windower("test"), state or WindowState(), []
    if fast:
        windower.use_kernels()
    begun = state.through_ns or START
    for k, row in enumerate(rows):
        samples = [(int(d.id, 16), begun + k * step_s * NS, v) for d, v in zip(defs, row, strict=True) if v is not None]
        windower.add(state, frame(samples, list(defs)))
        for block in windower.close(state, begun + (k + 1) * step_s * NS):
            names = [state.registry.definition(at).name for at in block.rows.tolist()]
            columns = {c: getattr(block, c).tolist() for c in ("mean", "count", "weight", "completeness", "high")}
            width = (block.end_ns - block.start_ns) // NS
            found.append((width, {n: {c: columns[c][i] for c in columns} for i, n in enumerate(names)}))
    return state, found


def means(found, name="took_seconds_mean", width=10):
    return [block[name]["mean"] if name in block else None for w, block in found if w == width]


def test_the_mean_of_a_window_is_the_increase_of_the_sum_by_that_of_the_count():
    _, found = played([(0.0, 0), (2.0, 10), (5.0, 20), (5.5, 21)])
    assert means(found)[1:] == pytest.approx([0.2, 0.3, 0.5])


def test_in_a_longer_window_requests_count_alike_whenever_they_came():
    rows = [(0.0, 0), (100.0, 100), (100.0, 100), (100.2, 102), (100.2, 102), (100.2, 102)]
    _, found = played(rows)
    assert means(found, width=60)[-1] == pytest.approx(100.2 / 102)


def test_it_is_a_series_of_its_own_with_the_unit_of_the_sum_and_the_count_as_denominator():
    state, _ = played([(0.0, 0), (2.0, 10)])
    made = state.registry.definition(2)
    assert (made.name, made.unit, made.kind, made.denominator) == ("took_seconds_mean", "s", "gauge", COUNT.id)


def test_its_weight_is_how_many_there_were_and_its_completeness_that_of_the_sum():
    _, found = played([(0.0, 0), (2.0, 10), (5.0, 30), (None, None), (6.0, 40), (7.0, 50)])
    minute = [block["took_seconds_mean"] for width, block in found if width == 60][-1]
    assert minute["weight"] == 50
    assert minute["completeness"] == [b["took_seconds_sum"] for w, b in found if w == 60][-1]["completeness"] < 1


def test_where_nothing_was_counted_there_is_no_mean():
    _, found = played([(0.0, 0), (2.0, 10), (2.0, 10), (3.0, 20)])
    assert np.isnan(means(found)[2])
    assert means(found)[3] == pytest.approx(0.1)


@pytest.mark.parametrize("after", [(0.5, 12), (9.0, 5), (0.5, 5)], ids=["the sum fell", "the count fell", "both fell"])
def test_a_pane_in_which_either_side_was_reset_says_nothing(after):
    _, found = played([(0.0, 0), (2.0, 10), after, (after[0] + 1.0, after[1] + 10)])
    assert np.isnan(means(found)[2])
    assert means(found)[3] == pytest.approx(0.1)


def test_without_a_count_there_is_no_mean_and_with_other_labels_neither():
    other = counter("took_seconds_count", {"path": "/"})
    state, _ = played([(0.0, 0), (2.0, 10)], defs=(SUM, other))
    assert len(state.registry) == 2


def test_delta_sums_and_counts_as_of_opentelemetry_have_a_mean_from_the_first_pane_on():
    defs = counter("took.sum", temporality="delta"), counter("took.count", temporality="delta")
    assert means(played([(2.0, 10), (1.0, 10)], defs)[1], "took.mean") == pytest.approx([0.2, 0.1])


def test_a_count_that_speaks_later_than_its_sum_finds_it_also_after_a_restart():
    state, _ = played([(0.0, None), (2.0, None)])
    _, found = played([(2.0, 10), (3.0, 20)], state=WindowState.load(state.dump()))
    assert means(found)[-1] == pytest.approx(0.1)


def test_a_snapshot_of_before_there_were_means_gets_them(monkeypatch):
    with monkeypatch.context() as old:
        old.setattr(WindowState, "_pair", lambda self, fresh: None)
        state, _ = played([(0.0, 0), (2.0, 10)])
        old.delitem(_window_state._COLUMNS, "numerator")
        snapshot = state.dump()
    _, found = played([(3.0, 20)], state=WindowState.load(snapshot))
    assert means(found) == pytest.approx([0.1])


def test_a_part_of_the_shards_keeps_the_mean_with_its_sum_and_count():
    state, _ = played([(0.0, 0), (2.0, 10)])
    part = part_of_windows(state, lambda d: d.service == "a", is_first=True)
    assert means(played([(3.0, 20)], state=part)[1]) == pytest.approx([0.1])
    assert len(part_of_windows(state, lambda d: False, is_first=False).registry) == 0


def test_compiled_windows_have_the_bits_of_the_plain_ones():
    pytest.importorskip("numba")
    rows = [(k * 0.37 % 5, k * 7 % 31) for k in range(40)]
    plain, fast = (played(rows, fast=fast) for fast in (False, True))
    assert str(plain[1]) == str(fast[1])
    assert plain[0].dump() == fast[0].dump()


def test_what_a_sender_calls_a_mean_itself_stands_beside_sum_and_count():
    own = counter("took_seconds_mean", kind="gauge", temporality="instant")
    state, found = played([(0.0, 0, 7.0), (2.0, 10, 7.0)], defs=(SUM, COUNT, own))
    assert len(state.registry) == 3
    assert means(found) == [7.0, 7.0]


@pytest.mark.parametrize("path", [p for p in GOLDEN if ".v2." in p.name], ids=lambda p: p.name)
def test_each_sum_of_a_real_prometheus_server_finds_its_count(path):
    kind = json.loads(path.with_suffix(".json").read_text())["content-type"]
    message = Message("raw", 0, 0, b"", path.read_bytes(), (("http-content-type", kind.encode()),), 0, 0)
    found = PrometheusRemoteWrite(fast=False).decode(message).definitions
    sums = [found[number] for number in found if is_sum(found[number])]
    assert sums
    lone = [d.name for d in sums if count_of(d) not in found]
    assert not lone
