"""The 99th percentile of histograms that come whole is a series beside their count."""

from itertools import pairwise

import numpy as np
import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from support.windows import START

import schemas as sc
from schemas.core import NS, HistogramBlock, Message, Tick
from streams import Normalise, made_of
from streams._histogram_tails import tails_of
from streams._split import part_of_windows
from streams.sources.otlp_metrics import OtlpMetrics
from tidegate._detecting import Detecting

BOUNDS = (0.125, 0.25, 0.5, 1.0)
NAME = "http.server.request.duration"
P99 = sc.series_id("default", "default/service/cart", f"{NAME}.p99", {})


def sent(at, counts, *, is_cumulative=True, name=NAME, own=()):
    """own: seconds at which the sender tells a percentile of its own."""
    told = ExportMetricsServiceRequest()
    resource = told.resource_metrics.add()
    resource.resource.attributes.add(key="service.name").value.string_value = "cart"
    metric = resource.scope_metrics.add().metrics.add(name=name, unit="s")
    metric.histogram.aggregation_temporality = 2 if is_cumulative else 1
    point = metric.histogram.data_points.add(time_unix_nano=START + at * NS, count=sum(counts), sum=1.0)
    point.bucket_counts.extend(counts)
    point.explicit_bounds.extend(BOUNDS)
    if at in own:
        gauge = resource.scope_metrics[0].metrics.add(name=f"{name}.p99", unit="s").gauge
        gauge.data_points.add(time_unix_nano=START + at * NS, as_double=0.5)
    return told.SerializeToString()


def played(rows, *, cut=None, how=None, **traits):
    """(second, counts) of each point; the percentile of every pane by its end, as a detector would see it."""
    normalise, detecting = Normalise([OtlpMetrics(fast=False)]), Detecting([], fast=False)
    first, state, found = normalise.initial(), detecting.initial(), {}
    out = []
    for n, (at, counts) in enumerate(rows):
        now = START + at * NS
        message = Message("otlp_metrics", 0, n, b"", sent(at, counts, **traits), (), now, now)
        first, more = normalise.step(first, message)
        out += more
    final = sc.emit("otlp_metrics", sc.Watermark(stage="x", through_ns=now, final=True), id="f", key="", source="x",
                    event_ns=now)  # fmt: skip
    first, more = normalise.step(first, Message("otlp_metrics", 0, n + 1, b"", final.value, final.headers, now, now))
    for emit in (one for one in [*out, *more] if getattr(one, "topic", "") in (sc.FRAMES, sc.HISTOGRAMS)):
        m = Message(emit.topic, 0, 0, b"", emit.value, emit.headers, emit.event_ns, emit.event_ns)
        state, _ = detecting.step(state, m)
    for end in range(10, rows[-1][0] + 20, 10):
        detecting.step(state, Tick(START + end * NS))
        row = state.windows.registry.row(P99)
        if row >= 0 and state.windows.ring["count"][state.windows.head][row]:
            found[end] = float(state.windows.ring["last"][state.windows.head][row])
        if end == cut:
            state = how(detecting, state)
    return found, state


ROWS = [(1, (0, 0, 0, 0, 0)), (11, (90, 100, 10, 0, 0)), (21, (180, 200, 20, 0, 0)), (31, (181, 201, 20, 90, 8))]


def test_it_is_interpolated_between_the_bounds_of_its_bucket():
    found, state = played(ROWS)
    assert found == pytest.approx(
        {20: 0.25 + 0.25 * 0.8, 30: 0.25 + 0.25 * 0.8, 40: 2 ** (1 / 8) - (2 ** (1 / 8) - 1) / 8}, rel=0.02
    )
    series = state.windows.registry.definition(state.windows.registry.row(P99))
    assert (series.name, series.kind, series.unit, series.is_histogram) == (f"{NAME}.p99", "gauge", "s", False)


def test_of_fewer_than_a_hundred_nothing_is_said():
    assert played([(1, (99, 0, 0, 0, 0)), (11, (99, 0, 0, 0, 99))], is_cumulative=False)[0] == {
        20: pytest.approx(2 ** (1 / 8), rel=0.02)
    }


def test_points_that_are_differences_say_the_same():
    deltas = [(at, tuple(int(x) for x in np.subtract(b, a))) for (_, a), (at, b) in pairwise(ROWS)]
    assert played(deltas, is_cumulative=False)[0] == played(ROWS)[0]


def restarted(detecting, state):
    return detecting.load(detecting.dump(state))


def moved(_, state):
    state.windows = part_of_windows(state.windows, lambda d: True, is_first=True)
    return state


@pytest.mark.parametrize("how", [restarted, moved])
@pytest.mark.parametrize("cut", [10, 20, 30])
def test_restarts_and_moving_shards_change_nothing(cut, how):
    found, state = played(ROWS, cut=cut, how=how)
    whole, straight = played(ROWS)
    assert found == whole and state.windows.dump() == straight.windows.dump()


def test_the_ledger_counts_only_what_was_sent():
    detecting = Detecting([], fast=False)
    _, state = played(ROWS)
    counts = detecting.ledger(state).counts
    assert counts["samples.processed"] == 3 * len(ROWS) and not counts["derived.processed"]


def test_zeros_and_negative_values_are_at_zero():
    block = HistogramBlock(
        0, 1, np.array([7], np.uint64), np.zeros(2, np.int64), np.array([-32768, -32767], np.int16), np.array([60, 60])
    )
    assert tails_of(block).value.tolist() == [0.0]


def test_what_it_was_made_of_is_found_by_its_name():
    count = sc.series_id("default", "default/service/cart", f"{NAME}.count", {})
    assert count in made_of("default", "default/service/cart", f"{NAME}.p99", {}).tolist()


def test_a_percentile_that_a_sender_tells_itself_later_is_its_own_and_its_silence_a_gap():
    """Frames come as time passes, so our percentile is there when the sender's own begins; that one ends at 300 s."""
    normalise, detecting = Normalise([OtlpMetrics(fast=False)]), Detecting([], fast=False)
    first, state, gaps = normalise.initial(), detecting.initial(), []
    state.windows.covered.add("metrics", START, START + 400 * NS)
    for n, at in enumerate(range(1, 400, 10)):
        now, body = START + at * NS, sent(at, (90 * n, 100 * n, 10 * n, 0, 0), own=range(61, 300))
        first, more = normalise.step(first, Message("otlp_metrics", 0, n, b"", body, (), now, now))
        first, rest = normalise.step(first, Tick(now + 9 * NS))
        for emit in (one for one in [*more, *rest] if getattr(one, "topic", "") in (sc.FRAMES, sc.HISTOGRAMS)):
            m = Message(emit.topic, 0, 0, b"", emit.value, emit.headers, emit.event_ns, emit.event_ns)
            state, _ = detecting.step(state, m)
        state, out = detecting.step(state, Tick(now + 9 * NS))
        gaps += [emit for emit in out if b'"expected_interval_ns"' in emit.value]
    assert [sc.read(Message(g.topic, 0, 0, g.key, g.value, g.headers, 1, 1)).series for g in gaps] == [f"{P99:016x}"]
