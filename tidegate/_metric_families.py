"""Metric families that every process exports under the same names, whatever runs in it, and how rows become one."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

_BUFFERED = "buffered"  # goes down again, so it is a gauge
Rows = Iterable[tuple[tuple[str, ...], float]]
"""Values of the labels, and the value."""


def counter(name: str, text: str, labels: Sequence[str], rows: Rows) -> Metric:
    family = CounterMetricFamily(name, text, labels=labels)
    for values, n in rows:
        family.add_metric(values, n)
    return family


def gauge(name: str, text: str, labels: Sequence[str], rows: Rows) -> Metric:
    family = GaugeMetricFamily(name, text, labels=labels)
    for values, n in rows:
        family.add_metric(values, n)
    return family


def ledger_families(
    ledger: Mapping[str, Mapping[str, int]], refused: Mapping[str, int], sources: tuple[int, int]
) -> Iterator[Metric]:
    """Both ledgers as `streams.report` names them, dead letters by reason, and (active, idle) sources.

    refused: records that a stage could not take, by code.
    """
    yield counter(
        "tidegate_messages", "Messages by state of the ledger.", ("state",),
        (((state,), n) for state, n in ledger["messages"].items()),
    )  # fmt: skip
    rows = [((kind, state), n) for kind in ("samples", "derived") for state, n in ledger[kind].items()]
    yield counter(
        "tidegate_samples", "Samples by state of the ledger; derived ones come from logs and spans.",
        ("kind", "state"), (row for row in rows if row[0][1] != _BUFFERED),
    )  # fmt: skip
    yield gauge(
        "tidegate_samples_buffered", "Samples in windows that are still open.", ("kind",),
        (((kind,), n) for (kind, state), n in rows if state == _BUFFERED),
    )  # fmt: skip
    reasons: list[tuple[tuple[str, ...], float]] = [
        ((*name.split(":", 1),), n) for name, n in ledger["reasons"].items()
    ]
    reasons += [(("records.refused", code), n) for code, n in refused.items()]
    yield counter(
        "tidegate_dead_letters", "What became dead letters, by what it was and why.", ("what", "reason"), reasons
    )
    yield gauge(
        "tidegate_sources", "Sources by whether they speak.", ("state",),
        [(("active",), sources[0]), (("idle",), sources[1])],
    )  # fmt: skip
