"""OTLP metrics to columns, the plain way: one walk over the parsed protobuf message.

This defines what the answer is; the numba parser must give the same. What becomes what:

    gauge, sum that may fall and is cumulative   one level ("gauge")
    sum that only rises, or is delta             one "count" with the sender's temporality
    histogram, exponential histogram             buckets under the metric's name, and counts `.count`, `.sum`
    summary                                      counts `.count`, `.sum`, a gauge with label `quantile` each

A temporality left unspecified is read as cumulative, the default of OpenTelemetry SDKs. A point with the flag "no
recorded value", or without a value, is NaN. Labels have the names of today (`_conventions.py`). Resource attributes
name the entity and do not become labels, except `service.version`, which is the label `version`.
Source: opentelemetry-proto 1.x `metrics.proto` and its data model.
"""

import sys
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.metrics.v1 import metrics_pb2 as otlp

from schemas import SeriesDef, series_id
from streams._buckets import COUNT_MAX, ZERO, Buckets, explicit_buckets, exponential_buckets
from streams._conventions import renamed
from streams._decoded import NO_HISTOGRAMS, NO_POINTS, Decoded, HistogramPoints, Points, Rendered, RenderedDefs
from streams._entities import Origin
from streams._errors import SourceError
from streams._otlp_values import TIME_MAX_NS, number_text, origin_from, text_of
from streams._otlp_wire import parse

LABELS_MAX_BYTES = 65_536
"""The most that entity, name and labels of one series may take together, in UTF-8 bytes."""
DEFINITIONS_MAX = 1_000_000
"""Definitions remembered; when full all are forgotten and learned again."""

_NO_VALUE = otlp.DATA_POINT_FLAGS_NO_RECORDED_VALUE_MASK
_DELTA = otlp.AGGREGATION_TEMPORALITY_DELTA
_NAN = float("nan")

Pairs = tuple[tuple[str, str], ...]
Series = tuple[int, Rendered]
"""Id and definition."""


class Shape(NamedTuple):
    """All of a definition but the labels."""

    origin: Origin
    name: str
    unit: str
    kind: Any = "gauge"
    temporality: Any = "instant"
    is_histogram: bool = False


class Definitions:
    """Definitions by what they are made of, so that ids are hashed once a series and not once a point."""

    def __init__(self, labels_max_bytes: int = LABELS_MAX_BYTES, limit: int = DEFINITIONS_MAX) -> None:
        self._labels_max_bytes, self._limit, self._count = labels_max_bytes, limit, 0
        self._known: dict[Shape, dict[Pairs, Series]] = {}

    def family(self, shape: Shape) -> dict[Pairs, Series]:
        """What is known of one shape; `define` adds to it."""
        if self._count >= self._limit:
            self.forget()
        return self._known.setdefault(shape, {})

    def define(self, shape: Shape, attributes: Pairs, family: dict[Pairs, Series]) -> Series:
        """A series that its family does not know yet. Raises SourceError LABELS_TOO_LARGE."""
        family[attributes] = series = self._define(shape, attributes)
        self._count += 1
        return series

    def _define(self, shape: Shape, attributes: Pairs) -> Series:
        origin = shape.origin
        labels = {"version": origin.version} if origin.version else {}
        labels.update(renamed(attributes))
        labels = {sys.intern(key): value for key, value in sorted(labels.items())}
        size = sum(len(text.encode()) for pair in labels.items() for text in pair)
        size += len(origin.entity_id.encode()) + len(shape.name.encode())
        if size > self._labels_max_bytes:
            what = (
                f"series '{shape.name[:80]}' of {origin.service[:80]} has {len(labels)} labels of {size} bytes in all"
            )
            todo = f"The limit is {self._labels_max_bytes} bytes: drop the large attributes at the sender or collector"
            raise SourceError(what, todo=todo, code="LABELS_TOO_LARGE")
        number = series_id(origin.tenant, origin.entity_id, shape.name, labels)
        return number, Rendered.of(definition_of(shape, f"{number:016x}", labels))

    def forget(self) -> None:
        """Learn all again."""
        self._known, self._count = {}, 0


def definition_of(shape: Shape, identity: str, labels: dict[str, str]) -> SeriesDef:
    """The definition of a series whose parts were checked already; labels in the order of their keys."""
    return SeriesDef.model_construct(
        id=identity,
        tenant=shape.origin.tenant,
        entity_id=shape.origin.entity_id,
        service=shape.origin.service,
        name=shape.name,
        labels=labels,
        unit=shape.unit,
        kind=shape.kind,
        temporality=shape.temporality,
        is_histogram=shape.is_histogram,
    )


def decode_metrics(data: bytes, tenant: str, definitions: Definitions) -> Decoded:
    """One export request, protobuf or JSON, to columns in the order of the message; raises SourceError.

    If one id has two definitions inside a message (say two units), the first one counts.
    """
    request = parse(data, ExportMetricsServiceRequest)
    walk = _Walk(definitions)
    for resource_metrics in request.resource_metrics:
        origin = origin_from(resource_metrics.resource.attributes, tenant)
        for scope_metrics in resource_metrics.scope_metrics:
            for metric in scope_metrics.metrics:
                walk.metric(origin, metric)
    return walk.decoded()


class _Walk:
    """Collects the columns of one message."""

    def __init__(self, definitions: Definitions) -> None:
        self._definitions = definitions
        self._found: dict[int, Rendered] = {}
        self._series: list[int] = []
        self._t: list[int] = []
        self._value: list[float] = []
        self._rows: list[tuple[int, int, int, int]] = []
        self._histograms = 0

    def metric(self, origin: Origin, metric: otlp.Metric) -> None:
        data = metric.WhichOneof("data")
        unit = metric.unit or "1"
        if data == "gauge" or data == "sum":
            self._numbers(number_shape(origin, metric), getattr(metric, data).data_points)
        elif data == "histogram":
            self._histogram(origin, metric.name, unit, metric.histogram, _explicit)
        elif data == "exponential_histogram":
            self._histogram(origin, metric.name, unit, metric.exponential_histogram, _exponential)
        elif data == "summary":
            self._summary(origin, metric.name, unit, metric.summary)

    def decoded(self) -> Decoded:
        points, histograms = NO_POINTS, NO_HISTOGRAMS
        if self._series:
            columns = np.array(self._series, np.uint64), np.array(self._t, np.int64), np.array(self._value, np.float64)
            points = Points(*columns)
        if self._rows:
            series, t, bucket, count = zip(*self._rows, strict=True)
            histograms = HistogramPoints(
                np.array(series, np.uint64),
                np.array(t, np.int64),
                np.array(bucket, np.int16),
                np.array(count, np.int64),
                self._histograms,
            )
        return Decoded(points=points, histograms=histograms, definitions=RenderedDefs(self._found))

    def _define(self, shape: Shape, attributes: Pairs) -> int:
        family = self._definitions.family(shape)
        number, definition = family.get(attributes) or self._definitions.define(shape, attributes, family)
        self._found.setdefault(number, definition)
        return number

    def _add(self, shape: Shape, attributes: Pairs, time_ns: int, value: float) -> None:
        self._series.append(self._define(shape, attributes))
        self._t.append(time_ns)
        self._value.append(value)

    def _numbers(self, shape: Shape, points: Iterable[otlp.NumberDataPoint]) -> None:
        family = self._definitions.family(shape)
        for point in points:
            attributes = _pairs(point.attributes)
            number, definition = family.get(attributes) or self._definitions.define(shape, attributes, family)
            self._found.setdefault(number, definition)
            which = point.WhichOneof("value")
            if which is None or point.flags & _NO_VALUE:
                value = _NAN
            else:
                value = point.as_double if which == "as_double" else float(point.as_int)
            self._series.append(number)
            self._t.append(_time(point))
            self._value.append(value)

    def _histogram(self, origin: Origin, name: str, unit: str, data: Any, buckets_of: Any) -> None:
        temporality = "delta" if data.aggregation_temporality == _DELTA else "cumulative"
        shape = Shape(origin, name, unit, "count", temporality, True)
        count_shape = Shape(origin, f"{name}.count", "1", "count", temporality)
        sum_shape = Shape(origin, f"{name}.sum", unit, "count", temporality)
        for point in data.data_points:
            attributes, time_ns = _pairs(point.attributes), _time(point)
            is_missing = bool(point.flags & _NO_VALUE)
            self._add(count_shape, attributes, time_ns, _NAN if is_missing else float(point.count))
            if point.HasField("sum"):
                self._add(sum_shape, attributes, time_ns, _NAN if is_missing else point.sum)
            buckets = None if is_missing else buckets_of(name, point)
            if buckets is not None:
                number = self._define(shape, attributes)
                rows = sorted(buckets.items()) or [(ZERO, 0)]
                self._rows.extend((number, time_ns, bucket, count) for bucket, count in rows)
                self._histograms += 1

    def _summary(self, origin: Origin, name: str, unit: str, data: otlp.Summary) -> None:
        count_shape = Shape(origin, f"{name}.count", "1", "count", "cumulative")
        sum_shape = Shape(origin, f"{name}.sum", unit, "count", "cumulative")
        shape = Shape(origin, name, unit)
        for point in data.data_points:
            attributes, time_ns = _pairs(point.attributes), _time(point)
            is_missing = bool(point.flags & _NO_VALUE)
            self._add(count_shape, attributes, time_ns, _NAN if is_missing else float(point.count))
            self._add(sum_shape, attributes, time_ns, _NAN if is_missing else point.sum)
            for at in point.quantile_values:
                labels = (*attributes, ("quantile", number_text(at.quantile)))
                self._add(shape, labels, time_ns, _NAN if is_missing else at.value)


def number_shape(origin: Origin, metric: otlp.Metric) -> Shape:
    """What the points of a gauge or sum are."""
    unit, data = metric.unit or "1", metric.sum
    if metric.WhichOneof("data") == "gauge":
        return Shape(origin, metric.name, unit)
    if data.aggregation_temporality == _DELTA:
        return Shape(origin, metric.name, unit, "count", "delta")
    if data.is_monotonic:
        return Shape(origin, metric.name, unit, "count", "cumulative")
    return Shape(origin, metric.name, unit)


def _pairs(attributes: Iterable[KeyValue]) -> Pairs:
    return tuple([(a.key, text_of(a.value)) for a in attributes])


def _time(point: Any) -> int:
    return min(int(point.time_unix_nano), TIME_MAX_NS)


def _explicit(name: str, point: otlp.HistogramDataPoint) -> Buckets | None:
    """None where the sender keeps no buckets: without bounds, only the count and sum are known."""
    if not point.explicit_bounds and len(point.bucket_counts) <= 1:
        return None
    counts = [min(count, COUNT_MAX) for count in point.bucket_counts]
    try:
        return explicit_buckets(counts, point.explicit_bounds)
    except ValueError as error:
        raise _invalid(name, error) from error


def _exponential(name: str, point: otlp.ExponentialHistogramDataPoint) -> Buckets:
    positive = point.positive
    try:
        return exponential_buckets(
            scale=point.scale,
            zero=point.zero_count,
            positive=positive.bucket_counts,
            offset=positive.offset,
            negative=point.negative.bucket_counts,
        )
    except ValueError as error:
        raise _invalid(name, error) from error


def _invalid(name: str, error: ValueError) -> SourceError:
    what = f"histogram '{name[:80]}': {error}"
    return SourceError(what, todo="Correct the sender", code="OTLP_HISTOGRAM_INVALID")
