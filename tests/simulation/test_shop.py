"""The simulated shop is the same for the same seed, and its bad deploy does what was asked and nothing else."""

import time
from collections import Counter
from itertools import pairwise

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest as Logs
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest as Metrics
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest as Traces

from schemas import Change, Watermark, read, record_type
from schemas.core import NS, Emit, Message
from simulation import BadDeploy, shop, truth
from simulation._shop import ERROR_RATIO

START = 1_700_000_000 * NS
FAULT = BadDeploy(at_s=300, innocent_s=120)


@pytest.fixture(scope="module")
def emits() -> list[Emit]:
    return list(shop(7, START, 600, fault=FAULT, rate=200))


@pytest.fixture(scope="module")
def spans(emits: list[Emit]) -> list[tuple[str, str, object]]:
    """(service, version, span) of everything."""
    return [
        (*(a.value.string_value for a in group.resource.attributes[:2]), span)
        for emit in emits if emit.topic == "otlp_spans" and not emit.headers
        for group in Traces.FromString(emit.value).resource_spans
        for span in group.scope_spans[0].spans
    ]  # fmt: skip


def records(emits: list[Emit]) -> list[object]:
    found = [Message(e.topic, 0, 0, e.key, e.value, e.headers, e.event_ns, e.event_ns) for e in emits if e.headers]
    return [read(m) for m in found if record_type(m)]


def error_ratio(spans: list, service: str, since_s: float, until_s: float) -> tuple[float, int]:
    """Share of failed orders by start, and how many orders there were."""
    chosen = [
        span.status.code == 2 for of, _, span in spans
        if of == service and span.kind == 2 and span.name == "POST /checkout"
        and since_s <= (span.start_time_unix_nano - START) / NS < until_s
    ]  # fmt: skip
    return sum(chosen) / len(chosen), len(chosen)


def test_the_same_seed_gives_the_same_bytes_and_another_gives_others() -> None:
    one, same, other = (list(shop(seed, START, 60, fault=FAULT)) for seed in (1, 1, 2))
    assert one == same and one != other


def test_arrival_is_in_order_of_event_time_and_each_topic_ends_with_a_final_mark(emits: list[Emit]) -> None:
    assert [e.event_ns for e in emits] == sorted(e.event_ns for e in emits)
    finals = [mark for mark in records(emits) if isinstance(mark, Watermark)]
    assert {e.topic for e in emits[-4:]} == {"otlp_metrics", "otlp_logs", "otlp_spans", "tidegate.raw.v1"}
    assert len(finals) == 4 and all(mark.final and mark.through_ns >= START + 600 * NS for mark in finals)


@pytest.mark.parametrize("service", ["checkout", "gateway"])
def test_the_error_ratio_of_checkout_is_what_was_asked_before_and_after(spans: list, service: str) -> None:
    before, n_before = error_ratio(spans, service, 0, 300)
    after, n_after = error_ratio(spans, service, 320, 600)
    assert abs(before - ERROR_RATIO) < 4 * (ERROR_RATIO / n_before) ** 0.5
    assert abs(after - 0.05) < 4 * (0.05 / n_after) ** 0.5


def test_only_the_new_version_has_the_new_failure_and_it_logs_a_new_line_with_its_stack(emits: list[Emit]) -> None:
    seen = Counter(
        group.resource.attributes[1].value.string_value
        for emit in emits if emit.topic == "otlp_logs" and not emit.headers
        for group in Logs.FromString(emit.value).resource_logs
        for line in group.scope_logs[0].log_records
        if "no discount table" in line.body.string_value and "\n\tat shop.checkout" in line.body.string_value
    )  # fmt: skip
    assert set(seen) == {"1.9.0"} and seen["1.9.0"] > 100


def test_both_deploys_are_told_and_the_innocent_one_comes_two_minutes_earlier(emits: list[Emit]) -> None:
    changes = [record for record in records(emits) if isinstance(record, Change)]
    assert [(c.service, c.title, c.version_from, c.version_to, (c.at_ns - START) // NS) for c in changes] == [
        ("catalogue", "deploy #4520", "2.3.0", "2.3.1", 180), ("checkout", "deploy #4521", "1.8.0", "1.9.0", 300),
    ]  # fmt: skip
    assert truth(START, FAULT)[0]["entity"] == "checkout"


def test_instances_roll_to_the_new_version_one_after_the_other(spans: list) -> None:
    new = [(s.start_time_unix_nano - START) / NS for service, v, s in spans if (service, v) == ("checkout", "1.9.0")]
    old = [(s.start_time_unix_nano - START) / NS for service, v, s in spans if (service, v) == ("checkout", "1.8.0")]
    assert 300 <= min(new) < 302 and 313 < max(old) < 320


def test_every_span_lies_inside_its_parent_and_a_client_span_leaves_room_for_the_network(spans: list) -> None:
    by_id = {span.span_id: span for _, _, span in spans}
    assert len(by_id) == len(spans)
    for _, _, span in spans:
        if parent := by_id.get(span.parent_span_id):
            assert parent.start_time_unix_nano <= span.start_time_unix_nano <= span.end_time_unix_nano
            assert span.end_time_unix_nano <= parent.end_time_unix_nano and parent.trace_id == span.trace_id
            assert {parent.kind, span.kind} == {2, 3}
    assert all(span.parent_span_id for _, _, span in spans if span.name == "GET /stock")


def test_without_a_fault_nothing_is_deployed_and_nothing_breaks() -> None:
    quiet = list(shop(3, START, 120))
    assert not [record for record in records(quiet) if isinstance(record, Change)]
    assert not any(b"no discount table" in emit.value for emit in quiet)


def test_metrics_come_every_ten_seconds_and_counters_never_fall(emits: list[Emit]) -> None:
    totals: dict[tuple, list[tuple[int, int]]] = {}
    for emit in emits:
        if emit.topic == "otlp_metrics" and not emit.headers:
            for group in Metrics.FromString(emit.value).resource_metrics:
                for metric in group.scope_metrics[0].metrics:
                    for point in metric.sum.data_points:
                        key = group.resource.attributes[2].value.string_value, str(point.attributes)
                        totals.setdefault(key, []).append((point.time_unix_nano, point.as_int))
    gateway = [rows for (pod, _), rows in totals.items() if pod.startswith("gateway")]
    assert all(b[0] - a[0] == 10 * NS and b[1] >= a[1] for rows in gateway for a, b in pairwise(rows))
    assert len({pod for pod, _ in totals}) == 20  # eight services, two instances, two of them rolled


def test_twenty_minutes_cost_less_than_three_seconds_of_cpu() -> None:
    begun = time.process_time()
    rows = sum(1 for _ in shop(1, START, 1200, fault=FAULT))
    assert rows > 300 and time.process_time() - begun < 3


def test_a_message_holds_about_a_thousand_rows_at_most_whatever_the_rate() -> None:
    for emit in shop(1, START, 20, rate=2000):
        if emit.topic == "otlp_spans" and not emit.headers:
            groups = Traces.FromString(emit.value).resource_spans
            assert sum(len(group.scope_spans[0].spans) for group in groups) <= 1000
