"""Raw gauges of a recording as columns, for the baselines: they see what the peers see, not our anomalies."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from schemas import OTLP_METRICS, record_type
from schemas.core import Message

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]


class Table(NamedTuple):
    """By service and name of the series: times in ns, ascending, and values."""

    columns: dict[tuple[str, str], tuple[I64, F64]]

    def has_before(self, at_ns: int) -> bool:
        return any(len(t) and t[0] < at_ns for t, _ in self.columns.values())


def table_of(messages: Iterable[Message]) -> Table:
    """All gauges; a series is its name and its statistic, if it has one."""
    rows: dict[tuple[str, str], list[tuple[int, float]]] = {}
    for message in messages:
        if message.topic != OTLP_METRICS or record_type(message):
            continue
        for resource in ExportMetricsServiceRequest.FromString(message.value).resource_metrics:
            names = {a.key: a.value.string_value for a in resource.resource.attributes}
            service = names.get("service.name", "")
            for metric in (m for scope in resource.scope_metrics for m in scope.metrics):
                for point in metric.gauge.data_points:
                    labels = "".join(f" {a.value.string_value}" for a in point.attributes)
                    rows.setdefault((service, metric.name + labels), []).append((point.time_unix_nano, point.as_double))
    columns = {}
    for key, points in sorted(rows.items()):
        points.sort()
        columns[key] = (np.array([t for t, _ in points], np.int64), np.array([v for _, v in points], np.float64))
    return Table(columns)
