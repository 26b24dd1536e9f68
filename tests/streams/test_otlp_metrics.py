"""What OTLP metrics become, in both encodings."""

import json
import math
import sys
from typing import Any

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest as Request

from schemas import SeriesDef, series_id
from schemas.core import Message
from streams import SourceError
from streams._decoded import Decoded
from streams.sources.otlp_metrics import OtlpMetrics


def decode(request: Request | bytes | dict[str, Any], tenant: str = "", **options: Any) -> Decoded:
    value = request if isinstance(request, bytes) else b""
    value = request.SerializeToString() if isinstance(request, Request) else value
    value = json.dumps(request).encode() if isinstance(request, dict) else value
    headers = (("tidegate-tenant", tenant.encode()),) if tenant else ()
    return OtlpMetrics(fast=False, **options).decode(Message("otlp_metrics", 0, 7, b"", value, headers, 0, 0))


def metric(name: str = "m", unit: str = "", service: str = "cart") -> tuple[Request, Any]:
    request = Request()
    resource_metrics = request.resource_metrics.add()
    resource_metrics.resource.attributes.add(key="service.name").value.string_value = service
    return request, resource_metrics.scope_metrics.add().metrics.add(name=name, unit=unit)


def samples(decoded: Decoded) -> list[tuple[str, int, float]]:
    """(name, time, value) of each point."""
    return [(decoded.definitions[s].name, t, v) for s, t, v in zip(*(c.tolist() for c in decoded.points), strict=True)]


def only(decoded: Decoded) -> SeriesDef:
    (definition,) = decoded.definitions.values()
    return definition


def test_a_gauge_is_a_level_and_its_id_is_of_entity_name_and_labels():
    request, m = metric("cpu", "s")
    point = m.gauge.data_points.add(time_unix_nano=5, as_int=3)
    point.attributes.add(key="core").value.int_value = 1
    decoded = decode(request, tenant="shop")
    definition = only(decoded)
    assert samples(decoded) == [("cpu", 5, 3.0)]
    assert int(definition.id, 16) == series_id("shop", "shop/service/cart", "cpu", {"core": "1"})
    assert (definition.unit, definition.kind, definition.temporality) == ("s", "gauge", "instant")


@pytest.mark.parametrize(
    ("temporality", "is_monotonic", "kind", "meaning"),
    [
        (1, True, "count", "delta"),
        (1, False, "count", "delta"),
        (2, True, "count", "cumulative"),
        (0, True, "count", "cumulative"),
        (2, False, "gauge", "instant"),
    ],
)
def test_a_sum_is_a_count_unless_it_may_fall(temporality: int, is_monotonic: bool, kind: str, meaning: str):
    request, m = metric()
    m.sum.aggregation_temporality, m.sum.is_monotonic = temporality, is_monotonic
    m.sum.data_points.add(time_unix_nano=5, as_double=0.5)
    definition = only(decode(request))
    assert (definition.kind, definition.temporality, definition.unit) == (kind, meaning, "1")


def test_no_recorded_value_and_no_value_are_nan_and_times_beyond_int64_are_clamped():
    request, m = metric()
    m.gauge.data_points.add(time_unix_nano=1, as_double=5, flags=1)
    m.gauge.data_points.add(time_unix_nano=2**64 - 1)
    (_, t0, v0), (_, t1, v1) = samples(decode(request))
    assert math.isnan(v0) and math.isnan(v1) and (t0, t1) == (1, 2**63 - 1)


def test_a_histogram_is_buckets_and_two_counts():
    request, m = metric("rt", "ms")
    m.histogram.aggregation_temporality = 1
    m.histogram.data_points.add(time_unix_nano=9, count=6, sum=9.5, bucket_counts=[1, 2, 3], explicit_bounds=[1, 2])
    decoded = decode(request)
    assert samples(decoded) == [("rt.count", 9, 6.0), ("rt.sum", 9, 9.5)]
    h = decoded.histograms
    assert (h.bucket.tolist(), h.count.tolist(), h.t.tolist(), h.points) == ([-1, 7, 8], [1, 2, 3], [9, 9, 9], 1)
    assert decoded.definitions[int(h.series[0])].is_histogram
    assert {d.name: (d.unit, d.kind, d.temporality) for d in decoded.definitions.values()} == {
        "rt": ("ms", "count", "delta"), "rt.count": ("1", "count", "delta"), "rt.sum": ("ms", "count", "delta"),
    }  # fmt: skip


def test_every_histogram_point_has_a_row_even_when_empty_but_none_without_buckets_or_value():
    request, m = metric()
    m.histogram.data_points.add(time_unix_nano=1, bucket_counts=[0, 0], explicit_bounds=[1])
    m.histogram.data_points.add(time_unix_nano=2, count=4, bucket_counts=[4])
    m.histogram.data_points.add(time_unix_nano=3, count=4, bucket_counts=[4, 0], explicit_bounds=[1], flags=1)
    h = decode(request).histograms
    assert (h.t.tolist(), h.bucket.tolist(), h.count.tolist(), h.points) == ([1], [-32768], [0], 1)


def test_an_exponential_histogram_is_brought_to_scale_three():
    request, m = metric()
    m.exponential_histogram.aggregation_temporality = 2
    point = m.exponential_histogram.data_points.add(time_unix_nano=1, count=7, scale=4, zero_count=1)
    point.positive.offset = 2
    point.positive.bucket_counts.extend([1, 2, 3])
    h = decode(request).histograms
    assert (h.bucket.tolist(), h.count.tolist()) == ([-32768, 1, 2], [1, 3, 3])


def test_a_summary_is_two_counts_and_a_gauge_a_quantile():
    request, m = metric("rt")
    point = m.summary.data_points.add(time_unix_nano=1, count=2, sum=3)
    point.quantile_values.add(quantile=0.99, value=4)
    decoded = decode(request)
    assert samples(decoded) == [("rt.count", 1, 2.0), ("rt.sum", 1, 3.0), ("rt", 1, 4.0)]
    assert [d.labels for d in decoded.definitions.values() if d.kind == "gauge"] == [{"quantile": "0.99"}]


def test_labels_are_text_and_the_service_version_is_one():
    request, m = metric()
    request.resource_metrics[0].resource.attributes.add(key="service.version").value.string_value = "1.2"
    attributes = m.gauge.data_points.add().attributes
    attributes.add(key="b").value.bool_value = True
    attributes.add(key="d").value.double_value = 2.0
    array = attributes.add(key="a").value.array_value
    array.values.add().string_value = "x"
    array.values.add().kvlist_value.values.add(key="k").value.int_value = 1
    attributes.add(key="none")
    labels = only(decode(request)).labels
    assert labels == {"version": "1.2", "b": "true", "d": "2", "a": '["x",{"k":1}]', "none": ""}


def test_json_means_the_same_as_protobuf():
    point = {
        "timeUnixNano": "5", "asInt": "3", "attributes": [{"key": "core", "value": {"intValue": 1}}], "new": 1,
        "exemplars": [{"traceId": "5b8efff798038103d269b633813fc60c", "spanId": "eee19b7ec3c1b174", "asDouble": 1}],
    }  # fmt: skip
    resource = {"attributes": [{"key": "service.name", "value": {"stringValue": "cart"}}]}
    metrics = [{"name": "cpu", "gauge": {"dataPoints": [point, {"timeUnixNano": 6, "asDouble": "NaN"}]}}]
    document = {"resourceMetrics": [{"resource": resource, "scopeMetrics": [{"metrics": metrics}]}]}
    request, m = metric("cpu")
    m.gauge.data_points.add(time_unix_nano=5, as_int=3).attributes.add(key="core").value.int_value = 1
    m.gauge.data_points.add(time_unix_nano=6, as_double=math.nan)
    a, b = decode(document), decode(request)
    assert [c.tobytes() for c in a.points] == [c.tobytes() for c in b.points] and a.definitions == b.definitions


def test_a_protobuf_that_begins_like_json_is_still_protobuf():
    request, m = metric()
    m.description = "x" * (123 - request.resource_metrics[0].ByteSize() - 2)
    assert request.SerializeToString()[:2] == b"\n{"
    m.gauge.data_points.add()
    m.description = m.description[: 123 - request.resource_metrics[0].ByteSize() + len(m.description)]
    assert request.SerializeToString()[:2] == b"\n{" and len(decode(request).points.t) == 1


def test_labels_above_the_limit_are_refused_with_a_sentence():
    request, m = metric("cpu")
    m.gauge.data_points.add().attributes.add(key="k").value.string_value = "x" * 2**20
    with pytest.raises(
        SourceError, match=r"series 'cpu' of cart has 1 labels of 1048600 bytes.*limit is 65536"
    ) as caught:
        decode(request)
    assert caught.value.code == "LABELS_TOO_LARGE" and "otlp_metrics/0@7" in str(caught.value)
    assert len(decode(request, labels_max_bytes=2**21).points.t) == 1


def test_without_numba_all_works_and_only_asking_for_it_fails(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "numba", None)
    request, m = metric("cpu")
    m.gauge.data_points.add(as_double=1)
    message = Message("otlp_metrics", 0, 0, b"", request.SerializeToString(), (), 0, 0)
    assert len(OtlpMetrics().decode(message).points.t) == 1
    with pytest.raises(ModuleNotFoundError, match="needs numba"):
        OtlpMetrics(fast=True)


def test_broken_histograms_are_refused():
    request, m = metric("rt")
    m.histogram.data_points.add(bucket_counts=[1, 2, 3], explicit_bounds=[1])
    with pytest.raises(SourceError, match=r"rt.*3 bucket counts") as caught:
        decode(request)
    assert caught.value.code == "OTLP_HISTOGRAM_INVALID"


def test_cut_bytes_foreign_bytes_and_bad_json_have_codes_of_their_own():
    request, m = metric("cpu")
    m.gauge.data_points.add(as_double=1)
    whole = request.SerializeToString()
    for value, code in (
        (whole[:-1], "OTLP_TRUNCATED"),
        (b"hello, world", "OTLP_INVALID"),
        (b'{"resourceMetrics": [', "OTLP_JSON_INVALID"),
        (b'\n{"resourceMetrics": 5}', "OTLP_JSON_INVALID"),
        (b'{"resourceMetrics":' + b"[" * 100_000, "OTLP_JSON_INVALID"),
    ):
        with pytest.raises(SourceError) as caught:
            decode(value)
        assert caught.value.code == code
