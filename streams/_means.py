"""Means of what is sent as a sum and a count: seconds of all requests by how many there were.

A classic histogram or a summary of Prometheus has counters `X_sum` and `X_count`, those of OpenTelemetry become `X.sum`
and `X.count`. Neither says how long a request took: a sum of seconds grows with the number of requests. So where both
have spoken the windower adds a series of its own, the gauge `X_mean` (`X.mean`) with the unit of the sum, and in each
window its mean is the increase of the sum by that of the count; its `denominator` is the count, so the weight of a
window is how many there were. A pane in which nothing was counted, or either side fell (a restart, which may not show
on the other side), says nothing. Its completeness is that of the sum.
Source: Prometheus, "Histograms and summaries", "Count and sum of observations".
"""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from schemas import SeriesDef, series_id
from schemas.core import F64, I64

_ENDS = ("_sum", ".sum")
_MEANS = ("_mean", ".mean")


class Pairs(NamedTuple):
    """Rows of means, and of the sums and counts that they are made of; all (k,)."""

    mean: I64
    total: I64
    number: I64


class Before(NamedTuple):
    """Last values of cumulative sums and counts before a pane; (k,)."""

    total: F64
    number: F64


def is_sum(series: SeriesDef) -> bool:
    """Whether it may have a count beside it; looks only at what belongs to a trait."""
    return series.kind == "count" and not series.is_histogram and not series.is_event and series.name.endswith(_ENDS)


def count_of(series: SeriesDef) -> int:
    """The id that the count of this sum has, if there is one."""
    return series_id(series.tenant, series.entity_id, f"{series.name[:-3]}count", series.labels)


def mean_of(series: SeriesDef, count: int) -> SeriesDef:
    """The mean of a sum by the count of this id.

    >>> d = SeriesDef(id="0" * 16, entity_id="default/service/a", service="a", name="x_seconds_sum", unit="s")
    >>> mean_of(d, 1).name, mean_of(d, 1).kind, mean_of(d, 1).denominator
    ('x_seconds_mean', 'gauge', '0000000000000001')
    """
    name = f"{series.name[:-3]}mean"
    identity = series_id(series.tenant, series.entity_id, name, series.labels)
    return series.model_copy(
        update={
            "id": f"{identity:016x}", "name": name, "kind": "gauge", "temporality": "instant",
            "denominator": f"{count:016x}",
        }
    )  # fmt: skip


def parts_of(name: str, labels: Mapping[str, str]) -> Iterator[tuple[str, Mapping[str, str]]]:
    """Names and labels of what a mean of this name was made of; none where it is no mean."""
    if name.endswith(_MEANS):
        yield f"{name[:-4]}sum", labels
        yield f"{name[:-4]}count", labels
