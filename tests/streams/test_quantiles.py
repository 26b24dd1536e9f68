"""The 99th percentile of classic histograms, as Prometheus' `histogram_quantile` has it."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.windows import START, frame

import schemas as sc
from schemas.core import NS, Message
from streams import Windower, WindowState, made_of
from streams._quantiles import Histograms, Ladders, is_bucket, percentiles
from streams._split import part_of_windows
from streams.sources.prometheus import PrometheusRemoteWrite

GOLDEN = Path(__file__).resolve().parents[1] / "golden/remote_write"
SERVICE = "default/service/a"
LADDER = ("0.1", "0.5", "1", "+Inf")


def bucket(le, name="took_seconds_bucket", **labels):
    labels = dict(sorted({**labels, "le": le}.items()))
    number = sc.series_id("default", SERVICE, name, labels)
    traits = {"kind": "count", "temporality": "cumulative"}
    return sc.SeriesDef(id=f"{number:016x}", entity_id=SERVICE, service="a", name=name, labels=labels, **traits)


def played(rows, ladder=LADDER, state=None, fast=False, more=()):
    """Rows of counts, one a bucket, None for no sample; the state, and the percentile of each pane."""
    defs = [*(bucket(le) for le in ladder), *more]
    windower, state, found = Windower("test"), state or WindowState(), []
    if fast:
        windower.use_kernels()
    begun = state.through_ns or START
    for k, row in enumerate(rows):
        at = begun + k * 10 * NS
        samples = [(int(d.id, 16), at, float(v)) for d, v in zip(defs, row, strict=True) if v is not None]
        windower.add(state, frame(samples, defs))
        for block in windower.close(state, at + 10 * NS):
            if block.end_ns - block.start_ns == 10 * NS:
                named = {state.registry.definition(at).name: i for i, at in enumerate(block.rows.tolist())}
                at_p99 = named.get("took_seconds_p99")
                found.append(math.nan if at_p99 is None else float(block.mean[at_p99]))
    return state, found


ROWS = [(0, 0, 0, 0), (900, 990, 1000, 1000), (1800, 1980, 2000, 2000), (2600, 2780, 3000, 3000)]


@pytest.mark.parametrize("fast", [False, True])
def test_it_lies_inside_its_bucket_where_the_rank_does(fast):
    state, found = played(ROWS, fast=fast)
    assert found[1:] == pytest.approx([0.5, 0.5, 0.5 + 0.5 * (990 - 800) / 200])
    (series,) = [d for d in map(state.registry.definition, range(len(state.registry))) if d.name.endswith("p99")]
    assert (series.unit, series.kind, series.labels) == ("s", "gauge", {})


def test_in_the_bucket_without_an_end_it_is_the_last_bound():
    assert played([(0, 0, 0, 0), (0, 0, 0, 500)])[1][1] == 1.0


def test_of_fewer_than_a_hundred_nothing_is_said():
    assert math.isnan(played([(0, 0, 0, 0), (99, 99, 99, 99)])[1][1])


def test_a_bucket_that_is_missing_or_fell_alone_says_nothing():
    _, found = played([*ROWS[:2], (1800, None, 2000, 2000), (10, 2780, 3000, 3000), (1000, 3800, 4020, 4020)])
    assert np.isnan(found[2:4]).all() and found[4] > 0


def test_after_a_restart_of_all_buckets_it_goes_on():
    assert played([*ROWS[:2], (450, 495, 500, 500)])[1][-1] == pytest.approx(0.5)


def test_a_histogram_without_its_last_bucket_has_none():
    assert np.isnan(played([row[:3] for row in ROWS], ladder=LADDER[:3])[1]).all()


def test_a_percentile_that_a_sender_has_itself_stands():
    own = bucket("x", name="took_seconds_p99").model_copy(update={"kind": "gauge", "temporality": "instant"})
    own = own.model_copy(update={"labels": {}, "id": f"{sc.series_id('default', SERVICE, own.name, {}):016x}"})
    assert played([(*row, 7.0) for row in ROWS], more=[own])[1] == [7.0] * 4


@pytest.mark.parametrize("cut", [1, 2, 3])
def test_a_restart_from_a_snapshot_gives_the_same(cut):
    state, first = played(ROWS[:cut])
    later, then = played(ROWS[cut:], state=WindowState.load(state.dump()))
    whole, found = played(ROWS)
    assert np.array_equal(first + then, found, equal_nan=True) and later.dump() == whole.dump()


def test_the_part_that_a_shard_takes_along_goes_on():
    state, _ = played(ROWS[:2])
    part = part_of_windows(state, lambda d: True, is_first=True)
    assert played(ROWS[2:], state=part)[1] == pytest.approx(played(ROWS)[1][2:])


def test_what_it_was_made_of_is_found_by_its_name():
    assert int(bucket("+Inf").id, 16) in made_of("default", SERVICE, "took_seconds_p99", {}).tolist()


@pytest.mark.parametrize("server", ["prometheus-2.42.v1", "prometheus-3.15.v1", "prometheus-3.15.v2"])
def test_each_histogram_of_a_real_prometheus_server_is_whole(server):
    """Over all pages of a scrape, as one may end inside a histogram; one of two buckets has no percentile."""
    found = {}
    for path in GOLDEN.glob(f"{server}.*.snappy"):
        kind = json.loads(path.with_suffix(".json").read_text())["content-type"]
        message = Message("raw", 0, 0, b"", path.read_bytes(), (("http-content-type", kind.encode()),), 0, 0)
        found.update(PrometheusRemoteWrite(fast=False).decode(message).definitions)
    buckets = [series for series in found.values() if is_bucket(series)]
    histograms = Histograms()
    whole = {one.id for row, d in enumerate(buckets) if (one := histograms.add(row, d)) is not None}
    assert {f"{number:016x}" for number, mine in histograms.buckets.items() if len(mine) > 2} == whole
    assert len(whole) > 5


@given(st.lists(st.integers(0, 1000), min_size=3, max_size=12), st.data())
def test_it_is_what_prometheus_would_say(counts, data):
    bounds = sorted(
        data.draw(st.lists(st.floats(-5, 50), min_size=len(counts) - 1, max_size=len(counts) - 1, unique=True))
    )
    increase, bound = np.cumsum(counts).astype(float), np.array([*bounds, math.inf])
    ladders = Ladders(np.arange(len(counts)), bound, np.array([0]), np.array([0]))
    (found,) = percentiles(ladders, increase, np.ones(len(counts), np.int64)).tolist()
    expected = quantile(0.99, bound.tolist(), increase.tolist()) if increase[-1] >= 100 else math.nan
    assert found == pytest.approx(expected, nan_ok=True)


def quantile(q, bounds, counts):
    """promql/quantile.go, bucketQuantile."""
    rank = q * counts[-1]
    b = next(i for i, count in enumerate(counts) if count >= rank)
    if b == len(counts) - 1:
        return bounds[-2]
    if b == 0 and bounds[0] <= 0:
        return bounds[0]
    start, end, count = 0.0, bounds[b], counts[b]
    if b > 0:
        start, count, rank = bounds[b - 1], count - counts[b - 1], rank - counts[b - 1]
    return start + (end - start) * (rank / count)
